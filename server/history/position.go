package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Position is where a record belongs: the index of the log at which its object
// left the state, and its number among those that left with the same entry. It
// is the same on every server.
type Position struct {
	Index uint64 `codec:"i"`
	Seq   uint32 `codec:"s"`
}

// after returns the position behind everything of an index.
func after(index uint64) Position { return Position{index, math.MaxUint32} }

func (p Position) compare(o Position) int {
	return cmp.Or(cmp.Compare(p.Index, o.Index), cmp.Compare(p.Seq, o.Seq))
}

func (p Position) before(o Position) bool { return p.compare(o) < 0 }

// prev returns the position just before p.
func (p Position) prev() Position {
	switch {
	case p.Seq > 0:
		return Position{p.Index, p.Seq - 1}
	case p.Index > 0:
		return after(p.Index - 1)
	}
	return p
}

func (p Position) zero() bool { return p == Position{} }

func later(a, b Position) Position {
	if a.before(b) {
		return b
	}
	return a
}

func earlier(a, b Position) Position {
	if b.before(a) {
		return b
	}
	return a
}

// String is the position as a token for callers.
func (p Position) String() string {
	return strconv.FormatUint(p.Index, 10) + "." + strconv.FormatUint(uint64(p.Seq), 10)
}

// ParsePosition reads what String wrote.
func ParsePosition(text string) (Position, error) {
	index, seq, cut := strings.Cut(text, ".")
	i, err := strconv.ParseUint(index, 10, 64)
	s, err2 := strconv.ParseUint(seq, 10, 32)
	if !cut || err != nil || err2 != nil {
		return Position{}, fmt.Errorf("%q is no position of the history: it is INDEX.NUMBER", text)
	}
	return Position{i, uint32(s)}, nil
}

// Range is all positions behind After, up to and with UpTo.
type Range struct {
	After Position `codec:"a"`
	UpTo  Position `codec:"u"`
}

func (r Range) empty() bool { return !r.After.before(r.UpTo) }

// Ranges are positions in order, apart from each other.
type ranges []Range

// with returns the ranges and one more.
func (rs ranges) with(r Range) ranges {
	if r.empty() {
		return rs
	}
	out := make(ranges, 0, len(rs)+1)
	for _, have := range rs {
		if have.UpTo.before(r.After) || r.UpTo.before(have.After) {
			out = append(out, have)
			continue
		}
		r = Range{earlier(have.After, r.After), later(have.UpTo, r.UpTo)}
	}
	out = append(out, r)
	slices.SortFunc(out, func(a, b Range) int { return a.After.compare(b.After) })
	return out
}

// without returns the ranges less one.
func (rs ranges) without(r Range) ranges {
	out := make(ranges, 0, len(rs)+1)
	for _, have := range rs {
		for _, rest := range []Range{
			{have.After, earlier(have.UpTo, r.After)},
			{later(have.After, r.UpTo), have.UpTo},
		} {
			if !rest.empty() && !r.empty() {
				out = append(out, rest)
			}
		}
		if r.empty() {
			out = append(out, have)
		}
	}
	return out
}
