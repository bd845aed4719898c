package scheduler

import (
	"maps"

	"github.com/steppe-run/steppe/scheduler/place"
	"github.com/steppe-run/steppe/scheduler/reconcile"
	"github.com/steppe-run/steppe/structs"
)

// everyNode reports whether the job runs once on every node that suits it.
func (d *decider) everyNode() bool { return structs.EveryNode(d.Eval.Type) }

// suiting returns the nodes that take allocations of a group, room aside.
func (d *decider) suiting(job *structs.Job, group *structs.TaskGroup) reconcile.Nodes {
	return place.SuitingOf(d.Capacity, job, group)
}

// placeEach places on the nodes that were named and adds it to the plan, until
// that has as many placements as the budget allows. Whoever finds no room on his
// node takes nothing of it: a plan that is cut has always made progress.
func (d *decider) placeEach(planner *place.Planner, r *reconcile.Result, budget int) {
	d.missed = map[string]int{}
	for _, b := range d.Scratch.batches(r.Places) {
		if budget == 0 {
			d.more = true
			return
		}
		out := planner.Each(d.Scratch.ask(b), budget)
		budget -= d.add(b, out)
		for i := range out.Choices {
			if !out.Choices[i].OK && b.list[i].Stop == nil && b.key.job == d.job {
				d.missed[b.key.group.GetName()]++
			}
		}
		if len(out.Choices) < len(b.list) {
			d.more = true
			return
		}
	}
}

// resize has the deployment under way, or the one that the plan creates, expect
// of each group what can run: nodes come and go, and some have no room.
func (d *decider) resize(r *reconcile.Result) {
	if len(r.Totals) == 0 {
		return
	}
	dep := d.plan.Deployment
	if dep == nil {
		dep = d.View.LatestDeployment(d.Eval.Namespace, d.Eval.JobID)
	}
	groups, changed, all := maps.Clone(dep.TaskGroups), d.plan.Deployment != nil, 0
	for name, total := range r.Totals {
		st := *groups[name]
		st.DesiredTotal = total.Allocs - d.missed[name]
		st.DesiredCanaries = min(total.Canaries, st.DesiredTotal)
		changed = changed || st.DesiredTotal != groups[name].DesiredTotal || st.DesiredCanaries != groups[name].DesiredCanaries
		groups[name] = &st
		all += st.DesiredTotal
	}
	switch {
	case !changed:
	case all == 0 && d.plan.Deployment != nil && len(d.plan.Groups)+len(d.plan.InPlace) == 0:
		d.plan.Deployment, r.DeploymentID = nil, "" // nothing of it can run anywhere
	default:
		next := *dep
		next.TaskGroups = groups
		d.plan.Deployment = &next
	}
}
