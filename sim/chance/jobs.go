package chance

import (
	"fmt"
	"slices"
	"strings"
)

// job is one that the story has, as it is to be written.
type job struct {
	name, kind string
	// launched and dispatched say that others are made from it.
	launched, dispatched bool
	// of is what is said of the job as a whole.
	of     string
	groups []group
	image  int
	tokens []string
}

type group struct{ name, of string }

// job registers a new job.
func (w *writer) job() {
	j := &job{name: fmt.Sprint("j", len(w.jobs)+1)}
	w.jobs = append(w.jobs, j)
	w.oneOf([]choice{
		{60, func() { j.kind = service }},
		{14, func() { j.kind = batch }},
		{8, func() { j.kind = system }},
		{5, func() { j.kind = sysbatch }},
		{5, func() { j.kind, j.launched = w.words(batch, batch, sysbatch), true }},
		{8, func() { j.kind, j.dispatched = w.words(batch, batch, sysbatch), true }},
	})
	j.of = fmt.Sprintf(" priority=%d", w.pick(20, 50, 50, 50, 80))
	switch {
	case j.launched:
		j.of += w.schedule()
	case j.dispatched:
		j.of += w.words(" parameterized", " parameterized", " payload=required", " meta_optional=who")
	}
	for range w.pick(1, 1, 1, 1, 1, 1, 2, 3) {
		w.group(j)
	}
	w.register(j, "")
	if j.dispatched {
		w.dispatch(j)
	}
}

// Kinds of jobs.
const (
	service  = "service"
	batch    = "batch"
	system   = "system"
	sysbatch = "sysbatch"
)

// group adds a group to a job.
func (w *writer) group(j *job) {
	of := fmt.Sprintf(" cpu=%d memory=%d", w.pick(50, 100, 300), w.pick(50, 100, 300))
	of += w.behaviour(j.kind)
	if j.kind == service || j.kind == system {
		of += w.update()
	}
	if w.maybe(30) {
		of += fmt.Sprintf(" restarts=%d restart_within=%s restart_delay=%s restart_mode=%s",
			w.random.IntN(4), w.words("1m", "10m"), w.words("1s", "5s"), w.words("fail", "fail", "delay"))
	}
	if w.maybe(30) && (j.kind == service || j.kind == batch) {
		of += w.rescheduling(j.kind)
	}
	j.groups = append(j.groups, group{w.groupName(j), of})
}

// groupName is one that the job doesn't have.
func (w *writer) groupName(j *job) string {
	for {
		name := w.words("g", "g", "g", "a", "b", "c", "d", "e")
		if !slices.ContainsFunc(j.groups, func(g group) bool { return g.name == name }) {
			return name
		}
	}
}

// register writes a job down as it is now, with counts drawn anew.
func (w *writer) register(j *job, more string) {
	var b strings.Builder
	fmt.Fprintf(&b, "try job %s %s%s%s", j.name, j.kind, j.of, more)
	for _, g := range j.groups {
		if len(j.groups) > 1 || g.name != "g" {
			b.WriteString(" group=" + g.name)
		}
		fmt.Fprintf(&b, "%s%s image=%d", w.count(j), g.of, j.image)
	}
	w.line("%s", b.String())
}

// count is how often a group is to run. Jobs that many others are made from stay
// small.
func (w *writer) count(j *job) string {
	switch {
	case j.kind == system || j.kind == sysbatch:
		return ""
	case j.launched || j.dispatched:
		return fmt.Sprint(" count=", w.pick(1, 1, 2, 3))
	}
	return fmt.Sprint(" count=", w.random.IntN(9))
}

// schedule is when a periodic job is launched.
func (w *writer) schedule() string {
	crons := []string{"*_*_*_*_*", "*/2_*_*_*_*", "*/5_*_*_*_*", "*/5_*_*_*_*", "0_*_*_*_*", "1,2_*_*_*_*", "0_2,3_*_*_*", "*/30_*_*_*_*_*_*"}
	out := ""
	for range w.pick(1, 1, 1, 2) {
		out += " cron=" + w.words(crons...)
	}
	if w.maybe(40) {
		out += " time_zone=" + w.words("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
	}
	if w.maybe(40) {
		out += " prohibit_overlap"
	}
	if w.maybe(10) {
		out += " enabled=false"
	}
	return out
}

// dispatch makes jobs from a parameterized one: also with a token once more, also
// while it isn't known who leads.
func (w *writer) dispatch(j *job) {
	payload := ""
	if strings.Contains(j.of, "payload=required") && w.maybe(90) {
		payload = " payload=x"
	}
	if strings.Contains(j.of, "meta_optional") && w.maybe(50) {
		payload += " who=ann"
	}
	for range w.pick(1, 1, 2, 3) {
		token := ""
		switch {
		case len(j.tokens) > 0 && w.maybe(50):
			token = " token=" + j.tokens[w.random.IntN(len(j.tokens))]
		case w.maybe(70):
			name := fmt.Sprint("t", len(j.tokens)+1)
			j.tokens = append(j.tokens, name)
			token = " token=" + name
		}
		w.line("try dispatch %s%s%s", j.name, token, payload)
		if token != "" && w.maybe(40) {
			w.line("%s", w.words("try leader moves", "try leader dies", "try leader dies in 1 entries", "wait 20ms", "try leader freezes"))
			w.line("try dispatch %s%s%s", j.name, token, payload)
		}
	}
}

func (w *writer) behaviour(kind string) string {
	out := ""
	switch {
	case kind == batch || kind == sysbatch:
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
	if w.maybe(15) && (kind == service || kind == batch) {
		out += " distinct_hosts"
	}
	if w.racks && w.maybe(40) {
		out += fmt.Sprint(" where=rack:r", 1+w.random.IntN(2))
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
	return out + w.absence(kind)
}

// absence is what becomes of a group's allocations when their node drains or is
// silent.
func (w *writer) absence(kind string) string {
	out := ""
	switch {
	case kind == service && w.maybe(20), kind == batch && w.maybe(10):
		out += " lost_after=" + w.words("30s", "2m", "10m") + fmt.Sprint(" replace=", w.maybe(50)) + " reconcile=" + w.words("best_score", "keep_original", "keep_replacement", "longest_running")
	case kind == service && w.maybe(10):
		out += " stop_after=" + w.words("10s", "1m")
	}
	if kind == service && w.maybe(30) {
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
	if kind == service && w.maybe(40) {
		return " unlimited reschedule_delay=" + w.words("5s", "30s")
	}
	return fmt.Sprintf(" unlimited=false reschedules=%d reschedule_in=%s reschedule_delay=%s", w.random.IntN(4), w.words("1m", "1h"), w.words("5s", "20s"))
}

func (w *writer) some() *job { return w.jobs[w.random.IntN(len(w.jobs))] }

// change registers a job again, somewhat different.
func (w *writer) change() {
	j := w.some()
	more := ""
	w.oneOf([]choice{
		{60, func() { j.image++ }},
		{15, func() { more = fmt.Sprint(" meta=", w.random.IntN(100)) }},
		{10, func() {}},
		{5, func() { // a group more
			if len(j.groups) < 4 {
				w.group(j)
			}
		}},
		{5, func() { // one less
			if len(j.groups) > 1 {
				at := w.random.IntN(len(j.groups))
				j.groups = slices.Delete(j.groups, at, at+1)
			}
		}},
		{5, func() { j.groups[w.random.IntN(len(j.groups))].name = w.groupName(j) }},
	})
	if j.launched && w.maybe(30) {
		j.of = fmt.Sprintf(" priority=%d", w.pick(20, 50, 80)) + w.schedule()
	}
	w.register(j, more)
}

// command is something that is asked for a job.
func (w *writer) command() {
	j := w.some()
	switch {
	case j.dispatched && w.maybe(80):
		w.dispatch(j)
		return
	case j.launched && w.maybe(50):
		w.line("try launch %s", j.name)
		return
	}
	w.oneOf([]choice{
		{10, func() { w.line("try stop %s", j.name) }},
		{10, func() { w.line("try purge %s", j.name) }},
		{20, func() { w.scale(j) }},
		{12, func() { w.line("try revert %s to %d", j.name, w.random.IntN(3)) }},
		{12, func() { w.line("try promote %s", j.name) }},
		{12, func() { w.line("try %s %s", w.words("fail", "fail", "pause", "resume"), j.name) }},
		{8, func() { w.line("try resume %s", j.name) }},
		{18, func() { w.line("try stop an allocation of %s", j.name) }},
		{5, func() { w.line("try tag %s version %d as %s", j.name, w.random.IntN(3), w.words("good", "bad")) }},
		{2, func() { w.line("try untag %s %s", j.name, w.words("good", "bad")) }},
		{4, func() { w.line("try evaluate %s", j.name) }},
	})
}

// scale asks for another count of a group, also for none and for some again.
func (w *writer) scale(j *job) {
	g := j.groups[w.random.IntN(len(j.groups))].name
	if w.maybe(20) {
		w.line("try scale %s group %s to 0", j.name, g)
		w.line("wait %s", w.words("50ms", "5s", "1m"))
	}
	w.line("try scale %s group %s to %d", j.name, g, w.random.IntN(10))
}
