package reconcile

import (
	"slices"
	"time"

	"github.com/steppe-run/steppe/structs"
)

const (
	// rescheduleWindow is how early a replacement may be placed.
	rescheduleWindow = time.Second
	// followUpWindow is how far apart failures may be that share an evaluation.
	followUpWindow = 5 * time.Second
	// restWindow is how long what has failed of a system job stays so, though the job
	// is evaluated since there is room for something else of it.
	restWindow = 30 * time.Second

	descFollowUp = "created for delayed rescheduling"
)

// nextReschedule returns when a failed allocation may be replaced; ok is false
// if its policy allows no further attempt.
func nextReschedule(a *structs.Allocation, p *structs.ReschedulePolicy, now time.Time) (at time.Time, ok bool) {
	at, _, ok = p.Next(a.Past(), failedAt(a, now))
	return at, ok
}

// failedAt is when the allocation's last task ended: by the clock of its node, but by
// the servers' neither before the allocation was made nor after its last change.
// Between clocks that differ the delay would pass at once, or never.
func failedAt(a *structs.Allocation, now time.Time) time.Time {
	var ended time.Time
	for _, s := range a.TaskStates {
		if s != nil && s.FinishedAt.After(ended) {
			ended = s.FinishedAt
		}
	}
	made, changed := time.Unix(0, a.CreateTime), now
	if a.ModifyTime > 0 {
		changed = time.Unix(0, a.ModifyTime)
	}
	switch {
	case ended.IsZero(), ended.After(changed):
		return changed
	case ended.Before(made):
		return made
	}
	return ended
}

// tracker extends the history of an allocation that is being replaced because
// it failed.
func (r *run) tracker(a *structs.Allocation, p *structs.ReschedulePolicy) *structs.RescheduleTracker {
	keep := structs.MaxRescheduleEvents
	var delay time.Duration
	if p != nil {
		keep = max(keep, structs.Value(p.Attempts))
		delay = p.NextDelay(a.Past(), failedAt(a, r.Now))
	}
	events := append(slices.Clone(a.Past()), &structs.RescheduleEvent{
		RescheduleTime: r.Now.UnixNano(), PrevAllocID: a.ID, PrevNodeID: a.NodeID, Delay: delay,
	})
	return &structs.RescheduleTracker{Events: events[max(0, len(events)-keep):], LastReschedule: "ok"}
}

// penalized lists the nodes on which an allocation and its predecessors failed.
func penalized(a *structs.Allocation) []string {
	out := []string{a.NodeID}
	for _, e := range a.Past() {
		if !slices.Contains(out, e.PrevNodeID) {
			out = append(out, e.PrevNodeID)
		}
	}
	return out
}

// window is a follow-up evaluation that others may share.
type window struct {
	from time.Time
	id   string
}

// followUp returns the id of an evaluation at a time: the window's, if it is
// near enough, else a new one.
func (r *run) followUp(w *window, at time.Time, trigger string) string {
	if w.id != "" && !at.Before(w.from) && at.Sub(w.from) <= followUpWindow {
		return w.id
	}
	now := r.Now.UnixNano()
	e := &structs.Evaluation{
		ID:                r.NewID(),
		Namespace:         r.Eval.Namespace,
		Priority:          r.Eval.Priority,
		Type:              r.Eval.Type,
		TriggeredBy:       trigger,
		JobID:             r.Eval.JobID,
		JobModifyIndex:    r.Job.GetJobModifyIndex(),
		Status:            structs.EvalStatusPending,
		StatusDescription: descFollowUp,
		WaitUntil:         at,
		PreviousEval:      r.Eval.ID,
		CreateTime:        now,
		ModifyTime:        now,
	}
	r.out.FollowUps = append(r.out.FollowUps, e)
	w.from, w.id = at, e.ID
	return e.ID
}

// awaits reports whether an evaluation that an allocation names is still to come,
// for this very reason, and not too late for what is due at a time. One that is over
// looks at it no more, nor does one whose time has come: it may have been dropped for
// this one. One of something else that befell the allocation comes at another time.
func (r *run) awaits(id string, at time.Time, trigger string) bool {
	if id == "" || id == r.Eval.ID {
		return false
	}
	e := r.Evaluation(id)
	return e != nil && e.Status == structs.EvalStatusPending && e.TriggeredBy == trigger &&
		e.WaitUntil.After(r.Now) && !e.WaitUntil.After(at.Add(followUpWindow))
}

// due reports whether this is the evaluation that was to replace a failed allocation:
// then its time has come, whatever has changed meanwhile what that is reckoned from.
func (r *run) due(a *structs.Allocation) bool {
	return a.FollowupEvalID == r.Eval.ID && r.Eval.TriggeredBy == structs.TriggerAllocFailure
}

// delayed is a failed allocation that is replaced later.
type delayed struct {
	alloc *structs.Allocation
	at    time.Time
}

// delay arranges the replacement of failed allocations at their times.
func (g *group) delay() {
	slices.SortStableFunc(g.later, func(a, b delayed) int { return a.at.Compare(b.at) })
	var w window
	for _, l := range g.later {
		g.desired.RescheduleLater++
		g.desired.Ignore++
		if g.run.awaits(l.alloc.FollowupEvalID, l.at, structs.TriggerAllocFailure) {
			continue
		}
		g.run.out.Marks = append(g.run.out.Marks, structs.AllocMark{
			AllocID:        l.alloc.ID,
			FollowupEvalID: g.run.followUp(&w, l.at, structs.TriggerAllocFailure),
		})
	}
}
