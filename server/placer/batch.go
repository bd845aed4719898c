package placer

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"runtime/debug"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// entry is a batch of decisions committed together.
type entry struct {
	outcomes []*outcome
	future   Future
}

// outcome is one evaluation and what was decided for it.
type outcome struct {
	eval     *structs.Evaluation
	decision scheduler.Decision
}

// Attempts after which an evaluation whose plans keep being refused is blocked
// until something changes.
const (
	serviceAttempts = 5
	batchAttempts   = 2
)

// schedule decides evaluations until the batch is full, and holds what each
// plan takes so that the next one sees it.
func (p *Placer) schedule(snap *state.Snapshot) *entry {
	e := &entry{}
	var later []*structs.Evaluation // whose decision takes more than a slice
	placed, taken := 0, 0
	began := p.cfg.Clock.Now()
	for _, eval := range p.todo {
		if placed >= maxRows || taken >= maxEvals || taken > 0 && p.cfg.Clock.Now().Sub(began) >= maxSlice {
			break
		}
		taken++
		current := snap.Eval(eval.ID)
		if current == nil || current.Terminal() {
			// It ended by another road while it waited.
			delete(p.attempts, eval.ID)
			p.cfg.Queue.Ack(eval.ID)
			p.prepared(eval)
			continue
		}
		o := &outcome{eval: eval, decision: p.decide(snap, current)}
		if o.decision.More && o.decision.Empty() {
			later = append(later, eval)
			p.preparing = cmp.Or(p.preparing, eval.ID)
			continue
		}
		p.prepared(eval)
		p.room.hold(o.decision.Plan)
		placed += rows(o.decision.Plan)
		e.outcomes = append(e.outcomes, o)
		if p.room.capacity == nil {
			break // it is made anew before the next slice
		}
	}
	p.todo = append(p.todo[taken:], later...)
	return e
}

// prepared lets others be prepared after an evaluation.
func (p *Placer) prepared(eval *structs.Evaluation) {
	if p.preparing == eval.ID {
		p.preparing = ""
	}
}

// decide never fails: what can't be decided is an evaluation that failed.
func (p *Placer) decide(snap *state.Snapshot, eval *structs.Evaluation) scheduler.Decision {
	now := p.cfg.Clock.Now()
	if p.attempts[eval.ID] >= attemptLimit(eval) {
		delete(p.attempts, eval.ID)
		return p.giveUp(eval, now)
	}
	d, err := p.ask(snap, eval, now)
	if err != nil {
		p.cfg.Logger.Error("an evaluation could not be scheduled", logx.KeyEval, eval.ID,
			logx.KeyJob, eval.JobID, logx.KeyError, err)
		failed := eval.Clone()
		failed.Status = structs.EvalStatusFailed
		failed.StatusDescription = err.Error()
		d = scheduler.Decision{Plan: emptyPlan(eval), Eval: failed}
	}
	p.stamp(&d, now)
	return d
}

// ask calls the scheduler. Should it panic, one evaluation fails, not the
// server.
func (p *Placer) ask(snap *state.Snapshot, eval *structs.Evaluation, now time.Time) (d scheduler.Decision, err error) {
	defer func() {
		if r := recover(); r != nil {
			p.cfg.Logger.Error("the scheduler panicked", logx.KeyEval, eval.ID, logx.KeyJob, eval.JobID,
				logx.KeyReason, fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fmt.Errorf("the scheduler failed on this evaluation: %v", r)
			p.room.Drop() // it may have been left half changed
			p.scratch = scheduler.Scratch{}
		}
	}()
	return scheduler.Schedule(scheduler.Input{
		View:     snap,
		Capacity: p.room.capacity,
		Scratch:  &p.scratch,
		Wait:     p.preparing != "" && p.preparing != eval.ID,
		Running:  snap,
		Config:   snap.SchedulerConfig(),
		Eval:     eval,
		Now:      now,
		Seed:     seedOf(eval.ID, snap.Index()),
		NewID:    p.cfg.NewID,
	})
}

// stamp fills in what the scheduler can't know: on which state it decided.
func (p *Placer) stamp(d *scheduler.Decision, now time.Time) {
	d.Eval.SnapshotIndex = p.room.index
	d.Eval.ModifyTime = now.UnixNano()
	for _, f := range d.FollowUps {
		f.SnapshotIndex = p.room.index
		f.ModifyTime = now.UnixNano()
		if f.CreateTime == 0 {
			f.CreateTime = now.UnixNano()
		}
	}
}

// giveUp ends an evaluation whose plans were refused too often. A blocked one
// takes its place: the next change of capacity, or a minute, wakes it.
func (p *Placer) giveUp(eval *structs.Evaluation, now time.Time) scheduler.Decision {
	next := &structs.Evaluation{
		ID:                   p.cfg.NewID(),
		Namespace:            eval.Namespace,
		Priority:             eval.Priority,
		Type:                 eval.Type,
		TriggeredBy:          structs.TriggerMaxPlans,
		JobID:                eval.JobID,
		JobModifyIndex:       eval.JobModifyIndex,
		PreviousEval:         eval.ID,
		Status:               structs.EvalStatusBlocked,
		StatusDescription:    structs.DescEvalBlocked,
		EscapedComputedClass: true,
	}
	failed := eval.Clone()
	failed.Status = structs.EvalStatusFailed
	failed.StatusDescription = "the nodes that were chosen could not take the allocations, several times over"
	failed.BlockedEval = next.ID
	d := scheduler.Decision{Plan: emptyPlan(eval), Eval: failed, FollowUps: []*structs.Evaluation{next}}
	p.stamp(&d, now)
	return d
}

// command is the log entry for the batch.
func (e *entry) command(now time.Time) *command.ApplyPlans {
	c := &command.ApplyPlans{Now: now.UnixNano()}
	for _, o := range e.outcomes {
		if !o.decision.Empty() {
			c.Plans = append(c.Plans, o.decision.Plan)
		}
		if !o.decision.More {
			c.Evals = append(c.Evals, o.decision.Eval)
		}
		c.Evals = append(c.Evals, o.decision.FollowUps...)
	}
	return c
}

func attemptLimit(eval *structs.Evaluation) int {
	if structs.Ends(eval.Type) {
		return batchAttempts
	}
	return serviceAttempts
}

func emptyPlan(eval *structs.Evaluation) *structs.Plan {
	return &structs.Plan{EvalID: eval.ID, Namespace: eval.Namespace, JobID: eval.JobID, Priority: eval.Priority}
}

func seedOf(evalID string, index uint64) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(evalID)) // a hash never fails to write
	return h.Sum64() ^ index*0x9E3779B97F4A7C15
}
