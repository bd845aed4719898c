// Package chance makes stories up: jobs, changes and faults by the dozen, from a
// seed, plays many of them, and makes one that fails as short as it can be.
//
// It must not know how stories are played. Begin reading at Story, then Play.
package chance

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/steppe-run/steppe/sim/story"
)

// Story makes up a story. The same seed makes the same story.
func Story(seed uint64) (*story.Story, error) {
	w := &writer{random: rand.New(rand.NewPCG(seed, 0xC4A9CE))}
	w.open(seed)
	for range 4 + w.random.IntN(22) {
		w.event()
	}
	w.line("settle")
	return story.Parse(w.text.String())
}

// writer writes a story.
type writer struct {
	random         *rand.Rand
	text           strings.Builder
	servers, nodes int
	// racks says that nodes have metadata.
	racks bool
	jobs  []*job
}

func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(&w.text, format+"\n", args...)
}

func (w *writer) open(seed uint64) {
	w.servers = []int{1, 1, 3, 3, 3, 5}[w.random.IntN(6)]
	w.nodes = 1 + w.random.IntN(8)
	w.line("a cluster of %d servers and %d nodes of %d MHz and %d MB", w.servers, w.nodes, w.pick(1000, 2000, 4000), w.pick(1000, 2000, 4000))
	w.line("seed %d", seed)
	if w.nodes > 3 && w.maybe(25) {
		w.line("the brake holds from %d nodes", 2+w.random.IntN(w.nodes-2))
	}
	if w.maybe(15) { // clocks are about to be changed somewhere
		w.line("it is %s", w.words("2026-03-29T00:50:00Z", "2026-10-25T00:50:00Z", "2026-03-08T06:55:00Z", "2026-11-01T05:57:00Z", "2028-02-29T23:57:00Z"))
	}
	if w.racks = w.maybe(30); w.racks {
		for i := range (w.nodes + 1) / 2 {
			w.line("try node-%d has rack=r%d", 2*i+1, 1+i%2)
		}
	}
	w.job()
}

func (w *writer) pick(values ...int) int { return values[w.random.IntN(len(values))] }

func (w *writer) words(values ...string) string { return values[w.random.IntN(len(values))] }

func (w *writer) maybe(percent int) bool { return w.random.IntN(100) < percent }

// event is one thing that happens, and maybe time after it.
func (w *writer) event() {
	w.oneOf([]choice{
		{14, w.job}, {14, w.change}, {10, w.command}, {14, w.nodeFault}, {12, w.serverFault},
		{8, w.networkFault}, {10, w.taskFault}, {6, w.drain}, {3, w.nodeChange}, {1, w.preemption},
		{4, func() { w.line("network heals") }}, {3, func() { w.line("try collect garbage") }},
	})
	if w.maybe(75) {
		w.line("wait %s", w.words("50ms", "300ms", "1s", "3s", "5s", "10s", "12s", "20s", "30s", "1m", "2m", "5m"))
	}
}

// choice is something that may be written, and how often compared to others.
type choice struct {
	weight int
	write  func()
}

func (w *writer) oneOf(choices []choice) {
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	at := w.random.IntN(total)
	for _, c := range choices {
		if at -= c.weight; at < 0 {
			c.write()
			return
		}
	}
}

// options of all made-up stories: those that come to rest have far fewer
// entries.
var options = story.Options{Most: 5_000}

// Shortest returns a story that fails in the same way and needs all of its lines
// for it; one that doesn't fail it returns as it is.
func Shortest(s *story.Story) (*story.Story, error) {
	first, err := story.Run(s, options)
	if err != nil || !first.Broken() {
		return s, err
	}
	short := Shrink(s, func(s *story.Story) bool {
		result, err := story.Run(s, options)
		return err == nil && kind(result) == kind(first)
	})
	return short, nil
}

// kind is what a failure is about, its particulars aside.
func kind(r *story.Result) string {
	if len(r.Violations) > 0 {
		return r.Violations[0].Rule
	}
	if len(r.Failures) > 0 {
		what := r.Failures[0].What
		return fmt.Sprint("failure ", what[:min(len(what), 30)])
	}
	return ""
}

// Shrink leaves out of a story what it doesn't need to fail in the same way.
func Shrink(s *story.Story, fails func(*story.Story) bool) *story.Story {
	for size := max(1, len(s.Lines)/2); ; {
		shorter := false
		for at := 0; at+size < len(s.Lines)+1; {
			if next := s.Without(at, at+size); fails(next) {
				s, shorter = next, true
			} else {
				at += size
			}
		}
		switch {
		case size > 1:
			size = max(1, size/2)
		case !shorter:
			return s
		}
	}
}
