package scheduler

import (
	"github.com/steppe-run/steppe/scheduler/feasible"
	"github.com/steppe-run/steppe/structs"
)

// maxSteps bounds how much of the judging of nodes one call does, in steps of
// which each takes less than ten nanoseconds: regular expressions that may be as
// slow as is permitted, and ten thousand different values, take a second.
const maxSteps = 500_000

// prepared judges the nodes by those conditions of the job that may take long.
// It is false if the rest is left for the next call.
func (d *decider) prepared() bool {
	if d.Annotate || d.job == nil {
		return true
	}
	if d.job.Patterns() > structs.MaxPatterns {
		return true // registered before there was a limit: more than is remembered at a time
	}
	steps := maxSteps
	for _, g := range d.job.TaskGroups {
		for _, c := range feasible.Costly(d.job, g) {
			if !d.Capacity.Prepare(c.Name, c.Make, c.Cost, &steps) {
				return false
			}
		}
	}
	return true
}

// later is the decision to go on with the same evaluation in another slice.
func (d *decider) later() Decision {
	eval := *d.Eval
	return Decision{Eval: &eval, More: true, Plan: &structs.Plan{
		EvalID: d.Eval.ID, Namespace: d.Eval.Namespace, JobID: d.Eval.JobID, Priority: d.Eval.Priority,
	}}
}
