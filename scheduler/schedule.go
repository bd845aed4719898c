package scheduler

import (
	"errors"
	"fmt"

	"github.com/steppe-run/steppe/scheduler/feasible"
	"github.com/steppe-run/steppe/scheduler/place"
	"github.com/steppe-run/steppe/scheduler/reconcile"
	"github.com/steppe-run/steppe/structs"
)

// ErrUnsupportedJobType is returned for evaluations of a type that has no
// scheduler yet.
var ErrUnsupportedJobType = errors.New("no scheduler for this type of job is built yet")

// MaxPlacements bounds the placements of one plan. A job that wants more gets
// them in several plans, so that it can't hold up others (see Decision.More).
const MaxPlacements = 10_000

// Schedule decides one evaluation. An error means that the evaluation can't be
// decided at all and that trying again won't help; a job that doesn't fit is
// not an error but a Decision with a blocked evaluation.
func Schedule(in Input) (Decision, error) {
	switch in.Eval.Type {
	case structs.JobTypeService, structs.JobTypeBatch:
	default:
		return Decision{}, fmt.Errorf("schedule evaluation of type %q: %w", in.Eval.Type, ErrUnsupportedJobType)
	}
	d := &decider{Input: in, job: in.View.Job(in.Eval.Namespace, in.Eval.JobID)}
	if d.Scratch == nil {
		d.Scratch = &Scratch{}
	}
	if !d.prepared() {
		return d.later(), nil
	}
	defer d.Scratch.tidy()
	d.collect()
	result := reconcile.Compute(reconcile.Input{
		Job:        d.job,
		Eval:       in.Eval,
		Allocs:     d.allocs,
		Deployment: in.View.LatestDeployment(in.Eval.Namespace, in.Eval.JobID),
		Node:       in.View.Node,
		Fits:       d.fits,
		Now:        in.Now,
		NewID:      in.NewID,
		Places:     d.Scratch.places,
	})
	d.Scratch.places = result.Places
	d.start(result)
	d.place(result)
	d.withhold(len(result.Stops))
	return d.finish(result), nil
}

// decider is the state of one call of Schedule.
type decider struct {
	Input
	job    *structs.Job
	allocs []*structs.Allocation
	checks map[string][]func(*structs.Node) bool // by group
	plan   *structs.Plan
	failed map[string]*structs.AllocationMetric
	queued map[string]int
	// classes and escaped say of which nodes a blocked evaluation waits.
	classes map[string]bool
	escaped bool
	more    bool
}

func (d *decider) collect() {
	d.allocs = d.Scratch.allocs
	for a := range d.View.AllocsByJob(d.Eval.Namespace, d.Eval.JobID) {
		d.allocs = append(d.allocs, a)
	}
	d.Scratch.allocs = d.allocs
	d.queued = map[string]int{}
	if d.job != nil {
		for _, tg := range d.job.TaskGroups {
			d.queued[tg.GetName()] = 0
		}
	}
}

// fits reports whether a node still satisfies what a group of the newest
// version asks of nodes, eligibility and capacity aside.
func (d *decider) fits(tg *structs.TaskGroup, n *structs.Node) bool {
	checks, known := d.checks[tg.GetName()]
	if !known {
		pool, datacenters := feasible.Place(d.job)
		for _, c := range append(feasible.Checks(d.job, tg), pool, datacenters) {
			checks = append(checks, c.Make())
		}
		if d.checks == nil {
			d.checks = map[string][]func(*structs.Node) bool{}
		}
		d.checks[tg.GetName()] = checks
	}
	for _, check := range checks {
		if !check(n) {
			return false
		}
	}
	return true
}

// start begins the plan with everything but the placements.
func (d *decider) start(r *reconcile.Result) {
	d.plan = &structs.Plan{
		EvalID:            d.Eval.ID,
		Namespace:         d.Eval.Namespace,
		JobID:             d.Eval.JobID,
		Priority:          d.Eval.Priority,
		Stops:             r.Stops,
		Marks:             r.Marks,
		InPlace:           r.InPlace,
		Deployment:        r.Deployment,
		DeploymentUpdates: r.DeploymentUpdates,
	}
	if d.job != nil {
		d.plan.JobVersion = d.job.GetVersion()
	}
}

// algorithm is how nodes are preferred in the job's pool.
func (d *decider) algorithm() string {
	if pool := d.View.NodePool(d.job.GetNodePool()); pool != nil && pool.SchedulerConfiguration != nil {
		if a := pool.SchedulerConfiguration.SchedulerAlgorithm; a != "" {
			return a
		}
	}
	if d.Config != nil && d.Config.SchedulerAlgorithm != "" {
		return d.Config.SchedulerAlgorithm
	}
	return structs.SchedulerBinPack
}

// oversubscribe reports whether tasks in the job's pool may have a memory
// limit above what is reserved for them.
func (d *decider) oversubscribe() bool {
	if pool := d.View.NodePool(d.job.GetNodePool()); pool != nil && pool.SchedulerConfiguration != nil {
		if on := pool.SchedulerConfiguration.MemoryOversubscriptionEnabled; on != nil {
			return *on
		}
	}
	return d.Config != nil && d.Config.MemoryOversubscriptionEnabled
}

// planner prepares the choice of nodes: what the plan stops is free.
func (d *decider) planner() *place.Planner {
	var stopped map[string]bool
	if len(d.plan.Stops) > 0 {
		stopped = make(map[string]bool, len(d.plan.Stops))
	}
	for i := range d.plan.Stops {
		stopped[d.plan.Stops[i].AllocID] = true
	}
	opts := place.Options{Algorithm: d.algorithm(), Seed: d.Seed, Oversubscribe: d.oversubscribe()}
	for _, a := range d.allocs {
		if !a.TerminalStatus() && !stopped[a.ID] {
			opts.Existing = append(opts.Existing, place.Existing{ID: a.ID, Group: a.TaskGroup, NodeID: a.NodeID})
		}
	}
	opts.Preempt = d.preemption()
	p := d.newPlanner(opts)
	for i := range d.plan.Stops {
		p.Free(d.plan.Stops[i].AllocID)
	}
	return p
}
