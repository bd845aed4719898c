package scheduler

import (
	"iter"
	"time"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/structs"
)

// View is what a decision reads of the replicated state; a snapshot satisfies
// it. A dry run wraps one so that Job returns the proposed job.
type View interface {
	NodeView
	Job(namespace, id string) *structs.Job
	Eval(id string) *structs.Evaluation
	// JobAllocs are the allocations of a job, without the plain ones that take,
	// unless it is nil, says it has seen enough of.
	JobAllocs(namespace, id string, take func(*structs.PlainAlloc) bool) iter.Seq[*structs.Allocation]
	LatestDeployment(namespace, id string) *structs.Deployment
}

// NodeView is what a decision reads of nodes.
type NodeView interface {
	Node(id string) *structs.Node
	NodePool(name string) *structs.NodePool
}

// Running lists what runs on a node; a snapshot satisfies it.
type Running interface {
	AllocsByNode(nodeID string) iter.Seq[*structs.Allocation]
}

// Capacity is the index of what nodes have left; see package capacity.
type Capacity = capacity.Index

// IDs says how the ids of a plan's rows follow from its seeds.
type IDs = capacity.IDs

// NewCapacity returns an index without nodes.
func NewCapacity() *Capacity { return capacity.New() }

// Input is everything that one decision depends on.
type Input struct {
	View View
	// Capacity counts what is committed and what is in flight. Schedule doesn't
	// change what it counts (it may fill its caches, so one call at a time).
	Capacity *Capacity
	// Wait has an evaluation that isn't prepared (see Prepare) left for later as it
	// is: it is the turn of another.
	Wait bool
	// Scratch may be nil.
	Scratch *Scratch
	// Running may be nil: then no allocation has to go for another.
	Running Running
	// Config may be nil: the defaults.
	Config *structs.SchedulerConfiguration
	Eval   *structs.Evaluation
	Now    time.Time
	// Seed breaks ties between equally good nodes.
	Seed uint64
	// NewID makes UUIDs for evaluations, deployments and seeds of allocations.
	NewID func() string
	// Annotate fills Decision.Annotations.
	Annotate bool
}

// Decision is the outcome of one evaluation.
type Decision struct {
	// Plan is never nil; it may be empty (see Empty).
	Plan *structs.Plan
	// Eval is the evaluation as it is to be stored: a changed copy of Input.Eval.
	Eval *structs.Evaluation
	// FollowUps are evaluations to store with the plan: blocked and delayed ones,
	// and those of jobs whose allocations have to go.
	FollowUps []*structs.Evaluation
	// Annotations say what would be done for each group, if Input.Annotate.
	Annotations *structs.PlanAnnotations
	// More is set when the plan was cut to a bounded size: commit it, unless it is
	// empty, then schedule the same evaluation again.
	More bool
}

// Empty reports whether the plan changes nothing.
func (d Decision) Empty() bool {
	p := d.Plan
	return len(p.Stops) == 0 && len(p.Marks) == 0 && len(p.InPlace) == 0 && len(p.Groups) == 0 &&
		p.Deployment == nil && len(p.DeploymentUpdates) == 0
}
