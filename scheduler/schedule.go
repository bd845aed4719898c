package scheduler

import (
	"errors"
	"fmt"
	"math"

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

// MaxChanges bounds the stops and updates in place of one plan in the same way. A
// plan that is cut there places nothing yet.
const MaxChanges = 10 * MaxPlacements

// Schedule decides one evaluation. An error means that the evaluation can't be
// decided at all and that trying again won't help; a job that doesn't fit is
// not an error but a Decision with a blocked evaluation.
func Schedule(in Input) (Decision, error) {
	switch in.Eval.Type {
	case structs.JobTypeService, structs.JobTypeBatch, structs.JobTypeSystem, structs.JobTypeSysBatch:
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
	ask := reconcile.Input{
		Job:        d.job,
		Eval:       in.Eval,
		Deployment: in.View.LatestDeployment(in.Eval.Namespace, in.Eval.JobID),
		Node:       in.View.Node,
		Evaluation: in.View.Eval,
		Fits:       d.fits,
		Now:        in.Now,
		NewID:      in.NewID,
		Places:     d.Scratch.places,
		Most:       d.most(),
	}
	if d.everyNode() {
		ask.Nodes, ask.Most = d.suiting, 0
	}
	d.collect(&ask)
	result := reconcile.Compute(ask)
	d.Scratch.places = result.Places
	d.start(result)
	if !d.cut() {
		d.place(result)
		d.withhold(len(result.Stops))
		d.resize(result)
	}
	return d.finish(result), nil
}

// decider is the state of one call of Schedule.
type decider struct {
	Input
	job    *structs.Job
	allocs []*structs.Allocation
	tally  *reconcile.Tally                      // of the others; nil: there are none
	checks map[string][]func(*structs.Node) bool // by group
	plan   *structs.Plan
	failed map[string]*structs.AllocationMetric
	queued map[string]int
	// classes and escaped say of which nodes a blocked evaluation waits.
	classes map[string]bool
	escaped bool
	more    bool
	// missed counts by group the nodes, of those that a system or sysbatch job was to
	// come to, that can't take it.
	missed map[string]int
}

// collect reads the job's allocations, whole only those of which something may
// have to be done.
func (d *decider) collect(ask *reconcile.Input) {
	d.tally = &d.Scratch.tally
	d.tally.Begin(ask)
	d.read(d.tally.Take)
	if !d.tally.Suffices(d.allocs) {
		d.tally = nil
		d.read(nil)
	}
	ask.Allocs, ask.Tally = d.allocs, d.tally
	d.queued = map[string]int{}
	if d.job != nil {
		for _, tg := range d.job.TaskGroups {
			d.queued[tg.GetName()] = 0
		}
	}
}

func (d *decider) read(take func(*structs.PlainAlloc) bool) {
	d.allocs = d.Scratch.allocs[:0]
	enough := math.MaxInt // of those that run
	if reconcile.Unwanted(d.job) && !d.Annotate {
		enough = MaxChanges // all are to stop, and one plan stops no more
	}
	for a := range d.View.JobAllocs(d.Eval.Namespace, d.Eval.JobID, take) {
		d.allocs = append(d.allocs, a)
		if !a.TerminalStatus() {
			enough--
		}
		if enough < 0 {
			break
		}
	}
	d.Scratch.allocs = d.allocs
}

// most is how many new allocations of a group are listed: one plan takes no more,
// unless it is to show or to place all at once.
func (d *decider) most() int {
	if d.whole() {
		return 0
	}
	return MaxPlacements
}

// whole reports whether one plan must hold everything.
func (d *decider) whole() bool { return d.Annotate || d.allAtOnce() }

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

// cut bounds what the plan changes, and reports whether there was more.
func (d *decider) cut() bool {
	stops, updates := len(d.plan.Stops), len(d.plan.InPlace)
	if d.Annotate || stops+updates <= MaxChanges {
		return false
	}
	d.plan.Stops = d.plan.Stops[:min(stops, MaxChanges)]
	d.plan.InPlace = d.plan.InPlace[:min(updates, MaxChanges-len(d.plan.Stops))]
	d.more = true
	return true
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
	for group, counts := range d.tally.Running() {
		for _, c := range counts {
			opts.Mates = append(opts.Mates, place.Mates{Group: group, NodeID: c.NodeID, N: c.N})
		}
	}
	opts.Preempt = d.preemption()
	p := d.newPlanner(opts)
	for i := range d.plan.Stops {
		p.Free(d.plan.Stops[i].AllocID)
	}
	return p
}
