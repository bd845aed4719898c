// Package explain says why: why a job is placed as it is, why an allocation is
// on its node, why a node doesn't take a job, how many more of a job fit. It
// asks the planner that places, so that what it says is what would happen.
//
// It must not know who asks nor how answers are shown, and it changes nothing.
// Begin reading at Input, then survey.go.
package explain

import (
	"iter"
	"time"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/scheduler/place"
	"github.com/steppe-run/steppe/structs"
)

// View is what an explanation reads of the replicated state; a snapshot
// satisfies it.
type View interface {
	scheduler.View
	Listing
}

// Listing lists what is in the state.
type Listing interface {
	Alloc(id string) *structs.Allocation
	Nodes(prefix string) iter.Seq[*structs.Node]
	AllocsByNode(id string) iter.Seq[*structs.Allocation]
	EvalsByJob(namespace, id string) iter.Seq[*structs.Evaluation]
}

// Input is what every explanation depends on.
type Input struct {
	View View
	// Capacity counts what the view holds; its caches are filled.
	Capacity *scheduler.Capacity
	// Config may be nil: the defaults.
	Config *structs.SchedulerConfiguration
	Now    time.Time
}

// planner prepares the choice of nodes for a job, with the job's allocations
// as they are but for those that without names: they count as gone.
func (in *Input) planner(job *structs.Job, without ...string) *place.Planner {
	opts := scheduler.Options(in.View, in.Config, job)
	gone := map[string]bool{}
	for _, id := range without {
		gone[id] = true
	}
	for a := range in.View.JobAllocs(job.GetNamespace(), job.GetID(), nil) {
		if !a.TerminalStatus() && !gone[a.ID] {
			opts.Existing = append(opts.Existing, place.Existing{ID: a.ID, Group: a.TaskGroup, NodeID: a.NodeID})
		}
	}
	p := place.New(in.Capacity, opts)
	for _, id := range without {
		p.Free(id)
	}
	return p
}

// study is what the planner thinks of all nodes, those included where others
// would have to go.
func (in *Input) study(job *structs.Job, g *structs.TaskGroup, without ...string) *place.Study {
	p := in.planner(job, without...)
	p.Preempt(scheduler.Preemption(in.Config, job, in.View))
	return p.Study(job, g)
}

func (in *Input) nodeName(id string) string {
	if n := in.View.Node(id); n != nil {
		return n.Name
	}
	return ""
}
