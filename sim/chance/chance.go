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
	w := &writer{random: rand.New(rand.NewPCG(seed, 0xC4A9CE)), versions: map[string]int{}, specs: map[string]string{}}
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
	jobs           []string
	versions       map[string]int
	specs          map[string]string
}

func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(&w.text, format+"\n", args...)
}

func (w *writer) open(seed uint64) {
	w.servers = []int{1, 1, 3, 3, 3, 5}[w.random.IntN(6)]
	w.nodes = 1 + w.random.IntN(8)
	w.line("a cluster of %d servers and %d nodes of %d MHz and %d MB", w.servers, w.nodes, w.pick(1000, 2000, 4000), w.pick(1000, 2000, 4000))
	w.line("seed %d", seed)
	w.job()
}

func (w *writer) pick(values ...int) int { return values[w.random.IntN(len(values))] }

func (w *writer) words(values ...string) string { return values[w.random.IntN(len(values))] }

func (w *writer) maybe(percent int) bool { return w.random.IntN(100) < percent }

// event is one thing that happens, and maybe time after it.
func (w *writer) event() {
	kinds := []struct {
		weight int
		write  func()
	}{
		{14, w.job}, {14, w.change}, {8, w.command}, {14, w.nodeFault}, {12, w.serverFault},
		{8, w.networkFault}, {10, w.taskFault}, {6, w.drain}, {4, func() { w.line("network heals") }},
		{2, func() { w.line("try collect garbage") }},
	}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	at := w.random.IntN(total)
	for _, k := range kinds {
		if at -= k.weight; at < 0 {
			k.write()
			break
		}
	}
	if w.maybe(75) {
		w.line("wait %s", w.words("50ms", "300ms", "1s", "3s", "5s", "10s", "12s", "20s", "30s", "1m", "2m", "5m"))
	}
}

// job registers a new job.
func (w *writer) job() {
	name := fmt.Sprint("j", len(w.jobs)+1)
	w.jobs = append(w.jobs, name)
	kind := w.words("service", "service", "service", "service", "batch")
	spec := kind + fmt.Sprintf(" cpu=%d memory=%d priority=%d", w.pick(50, 100, 300), w.pick(50, 100, 300), w.pick(20, 50, 50, 50, 80))
	spec += w.behaviour(kind)
	if kind == "service" {
		spec += w.update()
	}
	if w.maybe(30) {
		spec += fmt.Sprintf(" restarts=%d restart_within=%s restart_delay=%s restart_mode=%s",
			w.random.IntN(4), w.words("1m", "10m"), w.words("1s", "5s"), w.words("fail", "fail", "delay"))
	}
	if w.maybe(30) {
		spec += w.rescheduling(kind)
	}
	w.specs[name] = spec
	w.register(name)
}

func (w *writer) register(name string) {
	w.line("try job %s %s count=%d image=%d", name, w.specs[name], w.random.IntN(9), w.versions[name])
}

func (w *writer) behaviour(kind string) string {
	out := ""
	switch {
	case kind == "batch":
		out += fmt.Sprintf(" run_for=%s exit=%d", w.words("1s", "10s", "1m", "5m"), w.pick(0, 0, 0, 1))
	case w.maybe(25):
		out += fmt.Sprintf(" run_for=%s exit=1 fail_first=%d", w.words("1s", "8s", "30s"), 1+w.random.IntN(4))
	}
	if w.maybe(15) {
		out += " kill_after=" + w.words("1s", "4s", "1m")
	}
	if w.maybe(10) {
		out += " start_block=" + w.words("1s", "20s")
	}
	if w.maybe(15) {
		out += " distinct_hosts"
	}
	switch {
	case w.maybe(10):
		out += fmt.Sprint(" port=", 20000+w.random.IntN(3))
	case w.maybe(30):
		out += " port=0 check=web"
	}
	if w.maybe(15) {
		out += " shutdown_delay=" + w.words("1s", "8s")
	}
	if kind == "service" && w.maybe(20) {
		out += " lost_after=" + w.words("30s", "2m", "10m") + fmt.Sprint(" replace=", w.maybe(50)) + " reconcile=" + w.words("best_score", "keep_original", "keep_replacement", "longest_running")
	}
	if kind == "service" && w.maybe(30) {
		out += fmt.Sprint(" migrate=", 1+w.random.IntN(3))
	}
	return out
}

func (w *writer) update() string {
	if w.maybe(20) {
		return ""
	}
	healthy := w.words("0s", "1s", "5s", "10s")
	out := fmt.Sprintf(" max_parallel=%d min_healthy=%s healthy_by=%s progress_by=%s", w.pick(0, 1, 1, 2, 3, 10), healthy, w.words("20s", "1m"), w.words("2m", "3m"))
	if w.maybe(40) {
		out += fmt.Sprint(" canary=", 1+w.random.IntN(4))
		if w.maybe(50) {
			out += " auto_promote"
		}
	}
	if w.maybe(40) {
		out += " auto_revert"
	}
	if w.maybe(15) {
		out += " health=task_states"
	}
	return out
}

func (w *writer) rescheduling(kind string) string {
	if kind == "service" && w.maybe(40) {
		return " unlimited reschedule_delay=" + w.words("5s", "30s")
	}
	return fmt.Sprintf(" unlimited=false reschedules=%d reschedule_in=%s reschedule_delay=%s", w.random.IntN(4), w.words("1m", "1h"), w.words("5s", "20s"))
}

func (w *writer) some() string { return w.jobs[w.random.IntN(len(w.jobs))] }

// change registers a job again, somewhat different.
func (w *writer) change() {
	name := w.some()
	switch {
	case w.maybe(60):
		w.versions[name]++
		w.register(name)
	case w.maybe(50):
		w.line("try job %s %s count=%d image=%d meta=%d", name, w.specs[name], w.random.IntN(9), w.versions[name], w.random.IntN(100))
	default:
		w.register(name)
	}
}

func (w *writer) command() {
	name := w.some()
	switch w.random.IntN(10) {
	case 0:
		w.line("try stop %s", name)
	case 1:
		w.line("try purge %s", name)
	case 2, 3:
		w.line("try scale %s to %d", name, w.random.IntN(10))
	case 4:
		w.line("try revert %s to %d", name, w.random.IntN(3))
	case 5:
		w.line("try promote %s", name)
	case 6:
		w.line("try %s %s", w.words("fail", "fail", "pause", "resume"), name)
	case 7:
		w.line("try resume %s", name)
	default:
		w.line("try stop an allocation of %s", name)
	}
}

func (w *writer) node() string { return fmt.Sprint("node-", 1+w.random.IntN(w.nodes)) }

func (w *writer) server() string {
	if w.maybe(50) {
		return "leader"
	}
	return fmt.Sprint("server-", 1+w.random.IntN(w.servers))
}

func (w *writer) nodeFault() {
	n := w.node()
	switch w.random.IntN(12) {
	case 0, 1:
		w.line("try %s dies", n)
	case 2:
		w.line("try agent of %s dies", n)
	case 3, 4, 5:
		w.line("try %s returns", n)
	case 6:
		w.line("try %s returns empty", n)
	case 7:
		w.line("try %s freezes", n)
	case 8:
		w.line("try %s thaws", n)
	case 9:
		w.line("try agent of %s dies %s write %d", n, w.words("before", "after"), 1+w.random.IntN(12))
	case 10:
		w.line("try disk of %s is full", n)
	case 11:
		w.line("try disk of %s has room", n)
	}
}

func (w *writer) serverFault() {
	s := w.server()
	switch w.random.IntN(10) {
	case 0, 1:
		w.line("try %s dies", s)
	case 2:
		w.line("try %s dies in %d entries", s, 1+w.random.IntN(10))
	case 3, 4, 5:
		w.line("try server-%d returns", 1+w.random.IntN(w.servers))
	case 6, 7:
		w.line("try leader moves")
	case 8:
		w.line("try %s takes a snapshot", s)
	case 9:
		w.line("try %s %s", s, w.words("freezes", "thaws"))
	}
}

func (w *writer) networkFault() {
	who := w.node()
	if w.maybe(50) {
		who = w.server()
	}
	switch w.random.IntN(5) {
	case 0:
		w.line("try %s is cut off", who)
	case 1:
		w.line("try %s can't send", who)
	case 2:
		w.line("try %s can't receive", who)
	case 3:
		w.line("try server-%d and %s are cut", 1+w.random.IntN(w.servers), w.node())
	case 4:
		w.line("try messages are late %d by %s", w.pick(5, 50, 300), w.words("100ms", "3s", "15s"))
	}
}

func (w *writer) taskFault() {
	switch w.random.IntN(7) {
	case 0, 1, 2:
		w.line("try a task of %s fails", w.some())
	case 3:
		w.line("try a task of %s ends", w.some())
	case 4:
		w.line("try %s is unhealthy", w.some())
	case 5:
		w.line("try %s is healthy", w.some())
	case 6:
		w.line("try %s %s", w.node(), w.words("can't start tasks", "can start tasks"))
	}
}

func (w *writer) drain() {
	n := w.node()
	switch w.random.IntN(6) {
	case 0:
		w.line("try drain %s", n)
	case 1, 2:
		w.line("try drain %s within %s", n, w.words("10s", "1m", "10m"))
	case 3:
		w.line("try drain %s now", n)
	case 4:
		w.line("try drain of %s ends", n)
	case 5:
		w.line("try %s is %s", n, w.words("eligible", "eligible", "ineligible"))
	}
}

// Shortest returns a story that fails in the same way and needs all of its lines
// for it; one that doesn't fail it returns as it is.
func Shortest(s *story.Story) (*story.Story, error) {
	first, err := story.Run(s, story.Options{})
	if err != nil || !first.Broken() {
		return s, err
	}
	short := Shrink(s, func(s *story.Story) bool {
		result, err := story.Run(s, story.Options{})
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
