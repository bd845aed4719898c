package capacity

import (
	"math"
)

// Search says which nodes are wanted.
type Search struct {
	// Ask is what must be free.
	Ask Amount
	// Seed is where ties begin: of equals the one whose hash follows it first.
	Seed uint64
	// Fit is the highest score of a node that the ask leaves with free shares
	// between these; with both the same, the score of such a node.
	Fit func(least, most Pow) float64
	// Accept tells whether a node is wanted. It is asked at most once a node.
	Accept func(node int32) bool
	// Shelf tells, by any node of a pool and datacenter, whether nodes there
	// can be wanted.
	Shelf func(node int32) bool
}

// Found is a node that was looked for.
type Found struct {
	Node  int32
	Score float64
	Tie   uint64
	// Busy nodes come after all others, see Index.Busy.
	Busy bool
}

// Before orders nodes: best first, equals by their tie.
func (f *Found) Before(o *Found) bool {
	switch {
	case f.Busy != o.Busy:
		return o.Busy
	case f.Score != o.Score:
		return f.Score > o.Score
	}
	return f.Tie < o.Tie
}

// Tie is a node's place among equals, counted from the seed.
func Tie(hash, seed uint64) uint64 { return hash - seed }

// Stream gives nodes in their order, best first, without looking at all of
// them: it follows the branch that promises most. It ends with the next change
// of its index, and with the next search.
type Stream struct {
	search  Search
	open    Heap[lead, *lead]
	factors []fits
	seen    int
}

// lead is where better nodes may be: a branch or a point, with what it promises
// at best, or a point of which the next node is known.
type lead struct {
	Found
	in    *branch
	point *point
	at    cursor
	fit   *fits
}

// Before orders leads by what they promise.
func (l *lead) Before(o *lead) bool { return l.Found.Before(&o.Found) }

// fits is what an ask leaves of the free shares on the nodes of a shelf.
type fits struct {
	small, large Pow // factors of the smallest and of the largest node
	one          bool
}

// Seek returns the nodes that fit, best first. An index has one search at a time.
func (x *Index) Seek(s Search) *Stream {
	x.Settle()
	t := &x.stream
	*t = Stream{search: s, open: t.open[:0], factors: append(t.factors[:0], make([]fits, len(x.shelves.list))...)}
	factors := t.factors
	for i, sh := range x.shelves.list {
		if len(sh.points) == 0 || s.Shelf != nil && !s.Shelf(sh.any()) {
			continue
		}
		factors[i] = fits{small: x.Factor(s.Ask, sh.least), one: sh.least == sh.most}
		if factors[i].large = factors[i].small; !factors[i].one {
			factors[i].large = x.Factor(s.Ask, sh.most)
		}
		t.follow(sh.root, &factors[i], sh.key.busy)
	}
	return t
}

// any returns one of the shelf's nodes.
func (s *shelf) any() int32 {
	b := s.root
	for b.low != nil {
		b = b.low
	}
	c := b.points[0].nodes.from(0)
	m, _ := b.points[0].nodes.next(&c)
	return m.node
}

// Seen is how many nodes were looked at so far.
func (t *Stream) Seen() int { return t.seen }

// Next returns the next node; false if there is none.
func (t *Stream) Next() (Found, bool) {
	for len(t.open) > 0 {
		top := &t.open[0]
		switch {
		case top.in != nil:
			l := t.open.Pop()
			t.enter(&l)
		case top.at.left < 0: // a point that isn't begun
			top.at = top.point.nodes.from(t.search.Seed)
			t.advance()
		default:
			found := top.Found
			t.advance()
			return found, true
		}
	}
	return Found{}, false
}

// advance moves the point at the top to its next node that is accepted.
func (t *Stream) advance() {
	top := &t.open[0]
	for {
		m, ok := top.point.nodes.next(&top.at)
		if !ok {
			t.open.Pop()
			return
		}
		t.seen++
		if t.search.Accept(m.node) {
			top.Node, top.Tie = m.node, Tie(m.hash, t.search.Seed)
			t.open.Down(0)
			return
		}
	}
}

// enter looks into a branch.
func (t *Stream) enter(l *lead) {
	if l.in.low != nil {
		t.follow(l.in.low, l.fit, l.Busy)
		t.follow(l.in.high, l.fit, l.Busy)
		return
	}
	for _, p := range l.in.points {
		if p.free.CPU < t.search.Ask.CPU || p.free.Memory < t.search.Ask.Memory {
			continue
		}
		f := l.fit.small
		if !l.fit.one {
			f = FactorOf(t.search.Ask, Amount{CPU: p.key.cpu, Memory: p.key.memory})
		}
		left := Pow{p.pow.CPU * f.CPU, p.pow.Memory * f.Memory}
		t.open.Push(lead{point: p, at: cursor{left: -1}, Found: Found{Score: t.search.Fit(left, left), Busy: l.Busy}})
	}
}

// follow adds a branch to the open ones, if something fits there.
func (t *Stream) follow(b *branch, f *fits, busy bool) {
	ask := &t.search.Ask
	if b.size == 0 || b.box.maxFree.CPU < ask.CPU || b.box.maxFree.Memory < ask.Memory {
		return
	}
	// What fits leaves no less than nothing. Neither that nor a power computed
	// for another size is exact in its last bits.
	const full, slack = 1 - 1e-9, 1e-12
	score := t.search.Fit(
		Pow{max(full, b.box.minPow.CPU*f.small.CPU), max(full, b.box.minPow.Memory*f.small.Memory)},
		Pow{b.box.maxPow.CPU * f.large.CPU, b.box.maxPow.Memory * f.large.Memory})
	t.open.Push(lead{in: b, fit: f, Found: Found{Score: score + slack, Busy: busy}})
}

// maxFactors bounds the remembered factors; when there are more, all are forgotten.
const maxFactors = 4096

// Factor is FactorOf, remembered: nodes have few sizes and jobs ask for few.
func (x *Index) Factor(ask, total Amount) Pow {
	ask.Disk, total.Disk = 0, 0
	k := [2]Amount{ask, total}
	f, ok := x.factors[k]
	if !ok {
		if len(x.factors) >= maxFactors {
			clear(x.factors)
		}
		f = FactorOf(ask, total)
		x.factors[k] = f
	}
	return f
}

// FactorOf is what an ask multiplies the free shares of a node with: see Pow.
func FactorOf(ask, total Amount) Pow {
	return Pow{shrink(ask.CPU, total.CPU), shrink(ask.Memory, total.Memory)}
}

func shrink(ask, total int64) float64 {
	if total <= 0 {
		return 1
	}
	return math.Pow(10, -float64(ask)/float64(total))
}
