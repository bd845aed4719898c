package scheduler

import (
	"github.com/steppe-run/steppe/scheduler/reconcile"
	"github.com/steppe-run/steppe/structs"
)

// finish writes the outcome into the evaluation and adds those that follow.
func (d *decider) finish(r *reconcile.Result) Decision {
	eval := *d.Eval
	eval.ModifyTime = d.Now.UnixNano()
	eval.DeploymentID = r.DeploymentID
	eval.QueuedAllocations = d.queued
	out := Decision{Plan: d.plan, Eval: &eval, FollowUps: r.FollowUps, More: d.more}
	gone := d.preempted()
	if d.Annotate || eval.AnnotatePlan {
		out.Annotations = &structs.PlanAnnotations{DesiredTGUpdates: r.Desired()}
		d.annotate(out.Annotations, gone)
		eval.PlanAnnotations = out.Annotations
	}
	if d.more {
		// The evaluation stays as it is and comes again; what is arranged for
		// later is arranged by the last plan. Those that have to go for this one
		// are told now.
		d.plan.Marks, out.FollowUps = nil, d.consequences(gone)
		return out
	}
	out.FollowUps = append(out.FollowUps, d.consequences(gone)...)
	eval.Status, eval.StatusDescription = structs.EvalStatusComplete, ""
	eval.FailedTGAllocs = d.failed
	if len(d.failed) > 0 {
		d.block(&eval, &out)
	}
	return out
}

// block arranges that what fits nowhere is tried again when there is capacity.
// An evaluation that was waiting for capacity waits again itself; any other is
// complete, and a new one waits.
func (d *decider) block(eval *structs.Evaluation, out *Decision) {
	if eval.TriggeredBy == structs.TriggerQueuedAllocs && !d.Annotate {
		eval.Status, eval.StatusDescription = structs.EvalStatusBlocked, structs.DescEvalBlocked
		eval.ClassEligibility, eval.EscapedComputedClass = d.classes, d.escaped
		return
	}
	now := d.Now.UnixNano()
	blocked := &structs.Evaluation{
		ID:                   d.NewID(),
		Priority:             eval.Priority,
		Type:                 eval.Type,
		TriggeredBy:          structs.TriggerQueuedAllocs,
		Namespace:            eval.Namespace,
		JobID:                eval.JobID,
		JobModifyIndex:       eval.JobModifyIndex,
		Status:               structs.EvalStatusBlocked,
		StatusDescription:    structs.DescEvalBlocked,
		PreviousEval:         eval.ID,
		ClassEligibility:     d.classes,
		EscapedComputedClass: d.escaped,
		QueuedAllocations:    d.queued,
		CreateTime:           now,
		ModifyTime:           now,
	}
	eval.BlockedEval = blocked.ID
	out.FollowUps = append(out.FollowUps, blocked)
}
