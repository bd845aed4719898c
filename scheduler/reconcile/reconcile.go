// Package reconcile compares what a job wants with the allocations that it
// has, and says what to stop, to update where it runs, to replace and to
// place, and what the job's deployment becomes.
//
// It must not know capacity: it says how many and which, never where; of jobs
// that run on every node, on which of the nodes that suit them, never whether
// there is room. Begin reading at Compute, then group.go, or everywhere.go for
// system and sysbatch jobs.
package reconcile

import (
	"slices"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// Input is everything that Compute depends on.
type Input struct {
	// Job is the newest version, nil if the job was purged.
	Job *structs.Job
	// Eval names the job and is the reason for this run.
	Eval *structs.Evaluation
	// Allocs are all allocations of the job, ended ones included, but for those that
	// Tally, unless it is nil, has counted.
	Allocs []*structs.Allocation
	Tally  *Tally
	// Deployment is the job's latest, nil if there was none.
	Deployment *structs.Deployment
	// Evaluation returns an evaluation, nil if it is gone.
	Evaluation func(id string) *structs.Evaluation
	// Node returns a node, nil if it is gone.
	Node func(id string) *structs.Node
	// Fits reports whether a node satisfies what a group of Job asks of nodes.
	Fits func(group *structs.TaskGroup, node *structs.Node) bool
	// Nodes returns the nodes that take allocations of a group of some version of
	// the job. It is set for jobs that run on every node, and only for those.
	Nodes func(job *structs.Job, group *structs.TaskGroup) Nodes
	Now   time.Time
	NewID func() string
	// Places may be nil; Result.Places is appended to it.
	Places []Place
	// Most is how many new allocations of a group are listed at most, those aside
	// that stand in for others; 0 is no limit.
	Most int
}

// Nodes are nodes that take allocations: ready, and satisfying what is asked of
// them; whether they have room isn't asked.
type Nodes interface {
	Has(nodeID string) bool
	Each(func(nodeID string))
}

// Place is an allocation to place.
type Place struct {
	Group *structs.TaskGroup
	// Job is the version to run: Input.Job, or an older one while canaries wait
	// to be promoted.
	Job          *structs.Job
	NameIndex    uint32
	Canary       bool
	DeploymentID string
	// Previous is the allocation that this one replaces, if any.
	Previous *structs.Allocation
	// Stop ends Previous if, and only if, a node is found.
	Stop *structs.AllocStop
	// Reschedule is the history of a placement that replaces a failed one.
	Reschedule *structs.RescheduleTracker
	// Penalized are nodes on which predecessors failed.
	Penalized []string
	// Prefer is the node that has the data of a sticky disk.
	Prefer string
	// Node is the only node that will do, "" if any will.
	Node string
}

// Result is what is to be done.
type Result struct {
	Stops   []structs.AllocStop
	Marks   []structs.AllocMark
	InPlace []structs.AllocInPlace
	Places  []Place
	// Unlisted counts by group the allocations that are to be placed too and of
	// which Input.Most lets none be listed.
	Unlisted map[string]int
	// Totals tells, of jobs that run on every node, for how many nodes each group
	// of the deployment under way is to run on, if all that is placed finds room.
	Totals map[string]Total
	// Deployment is to be created, if not nil.
	Deployment        *structs.Deployment
	DeploymentUpdates []structs.DeploymentStatusUpdate
	// DeploymentID is the deployment under way, "" if there is none.
	DeploymentID string
	// FollowUps are evaluations that look at the job again later.
	FollowUps []*structs.Evaluation
	desired   []desired
}

// Total is the size of a group's part of a deployment.
type Total struct{ Allocs, Canaries int }

// desired counts what is to be done of a group.
type desired struct {
	group string
	*structs.DesiredUpdates
}

// Desired counts by group what is to be done.
func (r *Result) Desired() map[string]*structs.DesiredUpdates {
	out := make(map[string]*structs.DesiredUpdates, len(r.desired))
	for _, d := range r.desired {
		out[d.group] = d.DesiredUpdates
	}
	return out
}

// run is the state of one computation.
type run struct {
	Input
	out     *Result
	batch   bool
	current *structs.Deployment // of this version of the job, whatever its status
	failed  bool                // the current deployment failed
	paused  bool                // the current deployment holds still
	nodes   map[string]*structs.Node
	changes map[changeKey]bool // whether an update from a version is destructive
}

type changeKey struct {
	job   *structs.Job
	group string
}

// Compute compares a job with its allocations.
func Compute(in Input) *Result {
	r := &run{
		Input: in, batch: in.Eval.Type == structs.JobTypeBatch,
		out: &Result{Places: in.Places},
	}
	r.lookAtDeployment()
	byGroup := byGroup(in.Allocs)
	if !Unwanted(in.Job) {
		for _, tg := range in.Job.TaskGroups {
			if tg.GetCount() > 0 {
				r.compare(tg, byGroup[tg.GetName()])
				delete(byGroup, tg.GetName())
			}
		}
	}
	for _, name := range sortedKeys(byGroup) {
		r.stopGroup(name, byGroup[name])
	}
	for _, name := range in.Tally.names() {
		r.desired(name)
	}
	r.finishDeployment()
	return r.out
}

// compare computes one group that the job wants.
func (r *run) compare(tg *structs.TaskGroup, allocs []*structs.Allocation) {
	if r.Nodes != nil {
		r.everywhere(tg, allocs)
		return
	}
	r.group(tg, allocs)
}

// byGroup sorts allocations, nil if there are none.
func byGroup(allocs []*structs.Allocation) map[string][]*structs.Allocation {
	if len(allocs) == 0 {
		return nil
	}
	out := map[string][]*structs.Allocation{}
	for _, a := range allocs {
		out[a.TaskGroup] = append(out[a.TaskGroup], a)
	}
	for _, list := range out {
		slices.SortFunc(list, byName)
	}
	return out
}

// Unwanted reports whether nothing of a job is to run: it was purged or stopped,
// or is only launched from.
func Unwanted(job *structs.Job) bool { return job.Stopped() || job.IsTemplate() }

// byName orders allocations by index, then by age.
func byName(a, b *structs.Allocation) int {
	if i, j := a.Index(), b.Index(); i != j {
		return int(i) - int(j)
	}
	if a.CreateIndex != b.CreateIndex {
		if a.CreateIndex < b.CreateIndex {
			return -1
		}
		return 1
	}
	if a.ID < b.ID {
		return -1
	}
	return 1
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// stopGroup stops what runs of a group that is not wanted: it was removed, its
// count is 0, or the whole job was stopped.
func (r *run) stopGroup(name string, allocs []*structs.Allocation) {
	desired := r.desired(name)
	for _, a := range allocs {
		switch {
		case a.ClientStatus == structs.AllocClientFailed && !a.ServerTerminal():
			r.stop(a, structs.DescAllocNotNeeded) // or it would be replaced when the group returns
		case a.ClientTerminal():
		case r.gone(a.NodeID):
			r.lose(a)
			desired.Stop++
		case !a.ServerTerminal():
			r.stop(a, structs.DescAllocNotNeeded)
			desired.Stop++
		}
	}
}

func (r *run) desired(group string) *structs.DesiredUpdates {
	for _, d := range r.out.desired {
		if d.group == group {
			return d.DesiredUpdates
		}
	}
	d := &structs.DesiredUpdates{}
	r.out.desired = append(r.out.desired, desired{group, d})
	return d
}

func (r *run) stop(a *structs.Allocation, why string) {
	r.out.Stops = append(r.out.Stops, structs.AllocStop{
		AllocID: a.ID, DesiredStatus: structs.AllocDesiredStop, DesiredDescription: why,
	})
}

// lose stops an allocation whose node will not report again.
func (r *run) lose(a *structs.Allocation) {
	r.out.Stops = append(r.out.Stops, structs.AllocStop{
		AllocID: a.ID, DesiredStatus: structs.AllocDesiredStop, DesiredDescription: structs.DescAllocLost,
		ClientStatus: structs.AllocClientLost,
	})
}

func (r *run) node(id string) *structs.Node {
	n, ok := r.nodes[id]
	if !ok {
		n = r.Node(id)
		if r.nodes == nil {
			r.nodes = map[string]*structs.Node{}
		}
		r.nodes[id] = n
	}
	return n
}

// gone reports whether a node is out of reach for good.
func (r *run) gone(id string) bool {
	n := r.node(id)
	return n == nil || structs.NodeTerminal(n.Status)
}

// outdated reports whether an allocation runs an older version of the job.
func (r *run) outdated(a *structs.Allocation) bool { return r.old(a.Job) }

// old reports whether a version of the job isn't the newest.
func (r *run) old(job *structs.Job) bool {
	return !job.SameVersion(r.Job)
}

// destructive reports whether an outdated allocation must be replaced to run
// the newest version: its tasks changed, or its node doesn't suit any more.
func (r *run) destructive(a *structs.Allocation, tg *structs.TaskGroup) bool {
	if r.changed(a, tg) {
		return true
	}
	n := r.node(a.NodeID)
	return n == nil || !r.Fits(tg, n)
}

// changed reports whether the newest version runs other tasks than an allocation.
func (r *run) changed(a *structs.Allocation, tg *structs.TaskGroup) bool {
	if a.Job == nil {
		return true
	}
	key := changeKey{a.Job, tg.GetName()}
	changed, known := r.changes[key]
	if !known {
		changed = structs.TasksUpdated(a.Job, r.Job, tg.GetName())
		if r.changes == nil {
			r.changes = map[changeKey]bool{}
		}
		r.changes[key] = changed
	}
	return changed
}
