package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Changes are woven into the code together, each behind a switch that a test
// binary reads when it starts: what is built once can be run with any of them.

// switches is the file that is added to a package with changes woven in.
const switches = `package %s

import (
	"os"
	"strconv"
)

var plantedNow, _ = strconv.Atoi(os.Getenv("` + switchName + `"))

func planted(n int) bool { return plantedNow == n }

type plantedNumber interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

func plantedInt(n, v int) int {
	if plantedNow == n {
		return v + 1
	}
	return v
}

func plantedSum[T plantedNumber](n int, a, b T) T {
	if plantedNow == n {
		return a - b
	}
	return a + b
}

func plantedDiff[T plantedNumber](n int, a, b T) T {
	if plantedNow == n {
		return a + b
	}
	return a - b
}
`

// switchName is the variable of the environment that says which change is on.
const switchName = "PLANTED"

// span is a range of a file's bytes.
type span struct{ from, to int }

// pieces is how a change is woven in: text, and spans of the file into which
// others may be woven in turn. # stands for the change's number.
type pieces []any

// weave returns a file's text with changes in it, each behind its switch.
func weave(text string, changes []*change) string {
	sorted := slices.Clone(changes)
	slices.SortStableFunc(sorted, func(a, b *change) int {
		if a.whole.from != b.whole.from {
			return a.whole.from - b.whole.from
		}
		return b.whole.to - a.whole.to // what contains others comes first
	})
	return woven(text, span{0, len(text)}, sorted)
}

// woven writes a span. The changes are those within it, the outermost first.
func woven(text string, s span, changes []*change) string {
	var out strings.Builder
	at := s.from
	for len(changes) > 0 {
		c := changes[0]
		changes = changes[1:]
		if c.whole.from < at || c.whole.to > s.to {
			continue // it is within one that was written already, or outside
		}
		out.WriteString(text[at:c.whole.from])
		for _, p := range c.woven {
			switch p := p.(type) {
			case string:
				out.WriteString(strings.ReplaceAll(p, "#", strconv.Itoa(c.number)))
			case span:
				out.WriteString(woven(text, p, changes))
			}
		}
		at = c.whole.to
	}
	out.WriteString(text[at:s.to])
	return out.String()
}

// culprits returns those of the changes to a line that are most likely why it
// doesn't build: numbers whose type isn't int, then sums, then everything.
func culprits(changes []*change, file string, line int) []*change {
	for _, kinds := range [][]string{{kindNumber}, {kindSum}, {kindOperator}, nil} {
		var out []*change
		for _, c := range changes {
			if c.file == file && c.line <= line && line <= c.last && (kinds == nil || slices.Contains(kinds, c.kind)) {
				out = append(out, c)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// packageOf returns the name of a file's package.
func packageOf(text string) string {
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "package "); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

func switchesOf(text string) string { return fmt.Sprintf(switches, packageOf(text)) }
