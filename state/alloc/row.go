package alloc

import "github.com/steppe-run/steppe/structs"

// Shared is what the rows of a batch have in common. It is immutable.
type Shared struct {
	Namespace    string
	JobID        string
	Group        string
	EvalID       string
	DeploymentID string
	// Job is the version that the rows run.
	Job *structs.Job
	// Resources is what each row takes, host ports, devices and the numbers of
	// reserved cores aside.
	Resources *structs.AllocatedResources
	Metrics   *structs.AllocationMetric
	// Ask is the sum over Resources.
	Ask         structs.Comparable
	CreateIndex uint64
	CreateTime  int64
}

// Node is a node as its allocations name it. It is immutable.
type Node struct{ ID, Name string }

// Row is what one allocation doesn't share with its batch. The parts behind
// pointers are immutable: replace, don't change them.
type Row struct {
	// Node is nil for a row that holds no allocation: refused or removed.
	Node *Node
	// Over takes the place of the batch's Shared, once the row was updated in
	// place.
	Over     *Shared
	Placed   *Placed
	Decided  *Decided
	Reported *Reported

	// Modify is the index of the last change, ServerModify that of the last one
	// made by the servers, which the node must see.
	Modify       uint64
	ServerModify uint64
	ModifyTime   int64
	NameIndex    uint32
	Client       Client
	Desired      Desired
	Canary       bool
}

// Placed is what was decided for one row when it was placed.
type Placed struct {
	Ports      []structs.PortMapping
	Devices    map[string][]*structs.AllocatedDeviceResource
	Cores      map[string][]uint16
	Previous   string
	Reschedule *structs.RescheduleTracker
	Metrics    *structs.AllocationMetric
}

// Decided is what the servers decided about a row after it was placed.
type Decided struct {
	Description string
	Followup    string
	Next        string
	PreemptedBy string
	Preempted   []string
	Transition  structs.DesiredTransition
}

// Reported is what the client said about a row.
type Reported struct {
	TaskStates  States
	Description string
	Network     *structs.AllocNetworkStatus
	// Health is the deployment status; whether the row is a canary stands in
	// the row.
	Health *structs.AllocDeploymentStatus
	// Order of the last report.
	Order uint64
}

// Terminal reports whether the allocation is done: the servers want it gone,
// or its tasks have ended.
func (r *Row) Terminal() bool { return r.Desired != Run || r.Client.Terminal() }

// uses reports whether the row takes resources of its node.
func (r *Row) uses() bool { return r.Node != nil && !r.Terminal() }

// Decision returns a copy of what was decided about the row, to be changed and
// stored as r.Decided.
func (r *Row) Decision() *Decided {
	if r.Decided == nil {
		return &Decided{}
	}
	d := *r.Decided
	return &d
}

// Report returns a copy of what the client said about the row, to be changed
// and stored as r.Reported.
func (r *Row) Report() *Reported {
	if r.Reported == nil {
		return &Reported{}
	}
	p := *r.Reported
	return &p
}

// Healthy returns the health that a deployment found, nil if none.
func (r *Row) Healthy() *bool {
	if r.Reported == nil || r.Reported.Health == nil {
		return nil
	}
	return r.Reported.Health.Healthy
}
