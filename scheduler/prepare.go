package scheduler

import (
	"slices"

	"github.com/steppe-run/steppe/scheduler/feasible"
	"github.com/steppe-run/steppe/structs"
)

// maxSteps bounds how much of the judging of nodes one call does, in steps of
// which each takes less than ten nanoseconds: about 5 ms.
const maxSteps = 500_000

// Prepare judges the nodes by those conditions of a job that may take long:
// regular expressions that are as slow as is permitted, on ten thousand different
// values, take minutes. It does a slice of that; it is false if it is to be called
// again before the job is scheduled or studied. Jobs are prepared one after the
// other: too many at a time would have each other's judgements forgotten.
func Prepare(x *Capacity, job *structs.Job) (done bool) {
	steps, forgotten := maxSteps, x.Forgotten()
	for _, c := range costly(job) {
		if !x.Prepare(c.Name, c.Make, c.Cost, &steps) {
			return false
		}
	}
	return x.Forgotten() == forgotten // or what this call found done may be gone
}

// costly lists the conditions of a job that may take long.
func costly(job *structs.Job) []feasible.Check {
	if job == nil || job.Patterns() > structs.MaxPatterns {
		return nil // registered before there was a limit: more than is remembered at a time
	}
	var out []feasible.Check
	for _, g := range job.TaskGroups {
		out = append(out, feasible.Costly(job, g)...)
	}
	return out
}

// prepared reports whether the job can be decided now, and does a part of what
// that takes, unless it is the turn of another.
func (d *decider) prepared() bool {
	switch {
	case d.Annotate:
		return true // a rehearsal that shows everything; who wants slices calls Prepare
	case d.Wait:
		return !slices.ContainsFunc(costly(d.job), func(c feasible.Check) bool { return !d.Capacity.Judged(c.Name) })
	}
	return Prepare(d.Capacity, d.job)
}

// later is the decision to go on with the same evaluation in another slice.
func (d *decider) later() Decision {
	eval := *d.Eval
	return Decision{Eval: &eval, More: true, Plan: &structs.Plan{
		EvalID: d.Eval.ID, Namespace: d.Eval.Namespace, JobID: d.Eval.JobID, Priority: d.Eval.Priority,
	}}
}
