// Package periodic launches periodic jobs: at each instant of a job's schedule
// one child, whoever leads then. What was missed while nobody led is told; the
// latest of it is launched late, once, and the others are left out.
//
// It must not know clocks, the log or the scheduler: a Step takes a view and the
// time and returns what to propose. What it remembers only spares it from
// looking at everything each time: how far a job's launches are settled stands
// in the state, and the store settles each once. Begin reading at Launcher.Step.
package periodic

import (
	"container/heap"
	"fmt"
	"iter"
	"time"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// View is what the launcher reads of the state.
type View interface {
	Jobs(namespace, prefix string) iter.Seq[*structs.Job]
	Job(namespace, id string) *structs.Job
	JobSummary(namespace, id string) *structs.JobSummary
	// LaunchedUntil is how far a job's launches are settled, in unix seconds.
	LaunchedUntil(namespace, id string) int64
}

const (
	// maxMissed is how many missed launches are counted.
	maxMissed = 1000
	// lateAfter is how late a launch may be without being told.
	lateAfter = 30 * time.Second
)

// Launcher decides which periodic jobs are launched next.
type Launcher struct {
	newID func() string
	jobs  map[structs.NamespacedID]*entry
	queue queue
	// noted are jobs to be looked at again, in the order in which they were.
	noted   []structs.NamespacedID
	isNoted map[structs.NamespacedID]bool
}

// New returns a launcher; newID makes identifiers of evaluations.
func New(newID func() string) *Launcher {
	return &Launcher{newID: newID, jobs: map[structs.NamespacedID]*entry{}, isNoted: map[structs.NamespacedID]bool{}}
}

// Decision is a launch that is due, and what is remarkable about it.
type Decision struct {
	Launch command.Launch
	Due    time.Time
	// Late is how long after its time it is decided; Missed counts launches
	// before it that are left out, up to maxMissed.
	Late   time.Duration
	Missed int
	// Overlap is set if it is left out because an earlier launch is not done.
	Overlap bool
	// Skipped is set if it is left out because its time is over and the job wants
	// nothing made late.
	Skipped bool
}

// Remarkable reports whether users should be told.
func (d *Decision) Remarkable() bool { return d.Overlap || d.Missed > 0 || d.Late > lateAfter }

// Reset makes the launcher look at all jobs of a view.
func (l *Launcher) Reset(v View) {
	for key := range l.jobs {
		l.drop(key)
	}
	for j := range v.Jobs(structs.AllNamespaces, "") {
		if j.IsPeriodic() {
			l.Note(j.NamespacedID())
		}
	}
}

// Note has a job looked at again: it was registered, changed or removed.
func (l *Launcher) Note(key structs.NamespacedID) {
	if !l.isNoted[key] {
		l.isNoted[key] = true
		l.noted = append(l.noted, key)
	}
}

// Idle reports whether there is no periodic job to be launched.
func (l *Launcher) Idle() bool { return len(l.jobs) == 0 && len(l.noted) == 0 }

// Step returns what is to be launched now, and when to look again if nothing
// changes (zero: no need). What it returned it returns again until it is
// settled.
func (l *Launcher) Step(v View, now time.Time) (due []Decision, wake time.Time) {
	noted := l.noted
	l.noted = nil
	clear(l.isNoted)
	for _, key := range noted {
		l.refresh(v, key)
	}
	for len(l.queue) > 0 && !l.queue[0].next.After(now) {
		e := l.queue[0]
		if !e.current(v) && !l.refresh(v, e.key) {
			continue
		}
		if e = l.jobs[e.key]; e.next.After(now) {
			continue
		}
		due = append(due, l.decide(v, e, now))
		// Until it is settled it isn't in the way of the others.
		l.drop(e.key)
		l.Note(e.key)
	}
	if len(l.queue) > 0 {
		wake = l.queue[0].next
	}
	return due, wake
}

// Due returns what of one job is to be launched now, if anything.
func (l *Launcher) Due(v View, key structs.NamespacedID, now time.Time) (d Decision, due bool) {
	e := entryOf(v, key)
	if e == nil || e.next.After(now) {
		return Decision{}, false
	}
	return l.decide(v, e, now), true
}

// refresh takes in how a job is now; it reports whether it is to be launched at
// all.
func (l *Launcher) refresh(v View, key structs.NamespacedID) bool {
	l.drop(key)
	e := entryOf(v, key)
	if e == nil {
		return false
	}
	l.jobs[key] = e
	heap.Push(&l.queue, e)
	return true
}

func (l *Launcher) drop(key structs.NamespacedID) {
	if e := l.jobs[key]; e != nil {
		heap.Remove(&l.queue, e.at)
		delete(l.jobs, key)
	}
}

// decide says what becomes of a job's launches up to now.
func (l *Launcher) decide(v View, e *entry, now time.Time) Decision {
	job := v.Job(e.key.Namespace, e.key.ID)
	at := e.schedule.Latest(e.from, now)
	d := Decision{Due: at, Late: now.Sub(at), Missed: e.schedule.Count(e.from, at, maxMissed)}
	alone := structs.Value(job.Periodic.ProhibitOverlap)
	run := job.Periodic.RunMissed
	d.Skipped = d.Late > lateAfter && run != nil && !*run
	d.Overlap = !d.Skipped && alone && busy(v.JobSummary(e.key.Namespace, e.key.ID))
	d.Launch = command.Launch{
		Namespace: e.key.Namespace, JobID: e.key.ID, ParentModifyIndex: e.modified, Instant: at.Unix(), After: e.until, Alone: alone,
	}
	if d.Remarkable() {
		d.Launch.Note = d.note()
	}
	if d.Overlap || d.Skipped {
		return d
	}
	child := job.Launch(at, now)
	if d.Remarkable() {
		child.StatusDescription = &d.Launch.Note
	}
	d.Launch.Job = child
	d.Launch.Eval = &structs.Evaluation{
		ID: l.newID(), Namespace: e.key.Namespace, Priority: child.GetPriority(), Type: child.GetType(),
		TriggeredBy: structs.TriggerPeriodicJob, JobID: child.GetID(), Status: structs.EvalStatusPending,
		CreateTime: now.UnixNano(), ModifyTime: now.UnixNano(),
	}
	return d
}

// note is what users read about a launch.
func (d *Decision) note() string {
	text := "launch of " + d.Due.UTC().Format(time.RFC3339)
	switch {
	case d.Skipped:
		text += fmt.Sprintf(" left out: its time was %s ago, and run_missed is false", d.Late.Round(time.Second))
	case d.Overlap:
		text += " left out: an earlier one is not done, and prohibit_overlap is set"
	case d.Late > lateAfter:
		text += fmt.Sprintf(" made %s late", d.Late.Round(time.Second))
	default:
		text += " made in time"
	}
	switch {
	case d.Missed >= maxMissed:
		text += fmt.Sprintf("; %d or more before it were missed and left out", maxMissed)
	case d.Missed == 1:
		text += "; one before it was missed and left out"
	case d.Missed > 1:
		text += fmt.Sprintf("; %d before it were missed and left out", d.Missed)
	}
	return text
}

func busy(s *structs.JobSummary) bool {
	return s != nil && s.Children != nil && s.Children.Pending+s.Children.Running > 0
}
