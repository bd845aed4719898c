package structs

// Plan is what the scheduler decided for one evaluation. It is a proposal:
// the store verifies it again, node by node, when it is applied.
type Plan struct {
	EvalID    string
	Namespace string
	JobID     string
	Priority  int
	// JobVersion is the version that placements and in-place updates run.
	JobVersion uint64

	// Stops ends allocations: no longer needed, lost, migrated, preempted.
	Stops []AllocStop
	// Marks notes things on allocations that stay wanted.
	Marks []AllocMark
	// InPlace moves running allocations to JobVersion without a restart.
	InPlace []AllocInPlace
	// Groups starts allocations.
	Groups []PlacementGroup

	// Deployment is created together with the plan, if not nil.
	Deployment *Deployment
	// DeploymentUpdates change the status of existing deployments.
	DeploymentUpdates []DeploymentStatusUpdate
}

// AllocStop ends one allocation.
type AllocStop struct {
	AllocID            string
	DesiredStatus      string // stop or evict
	DesiredDescription string
	// ClientStatus is set only where the server knows better than the client:
	// lost or unknown. Empty leaves it.
	ClientStatus string
	// FollowupEvalID names the evaluation that will replace it later, if any.
	FollowupEvalID string
	// PreemptedBy is the allocation for which this one makes room, if any.
	PreemptedBy string
}

// AllocMark notes something on an allocation without changing what the servers
// want of it. Empty fields leave what is there.
type AllocMark struct {
	AllocID string
	// ClientStatus is unknown, set while the allocation's node is disconnected.
	ClientStatus       string
	DesiredDescription string
	// FollowupEvalID names the evaluation that will look at it again.
	FollowupEvalID string
}

// AllocInPlace moves one allocation to a new job version where it runs.
type AllocInPlace struct {
	AllocID      string
	DeploymentID string
	Resources    *AllocatedResources
}

// PlacementGroup is a batch of placements that differ only in their rows.
type PlacementGroup struct {
	TaskGroup    string
	DeploymentID string
	// Resources is what each row gets, host ports, devices and the numbers of
	// reserved cores aside.
	Resources *AllocatedResources
	// Metrics explains the choice for the whole batch.
	Metrics *AllocationMetric
	// JobVersion overrides the plan's, if not nil: while canaries wait to be
	// promoted, what is lost of the old version is replaced by the old version.
	JobVersion *uint64
	// Seed is the origin of the rows' ids: row i is ids.Derive(Seed, FirstRow+i).
	Seed [16]byte
	// FirstRow numbers the first row, for a batch that was cut into slices.
	FirstRow uint32
	Rows     []Placement
}

// Placement is one allocation to start.
type Placement struct {
	NodeID string
	// NameIndex is the number in the allocation's name, web.frontend[3].
	NameIndex uint32
	Canary    bool
	// Ports are the host ports that this row was given.
	Ports []PortMapping
	// Devices are the device instances that this row was given, by task.
	Devices map[string][]*AllocatedDeviceResource
	// Cores are the processor cores that this row was given, by task.
	Cores map[string][]uint16
	// Preempts are allocations of other jobs that make room for this row: they
	// are evicted if, and only if, the row is placed.
	Preempts []string
	// PreviousAllocation is the one that this row replaces, if any.
	PreviousAllocation string
	Reschedule         *RescheduleTracker
	Metrics            *AllocationMetric // overrides the batch's, if not nil
}

// DeploymentStatusUpdate changes the status of a deployment.
type DeploymentStatusUpdate struct {
	DeploymentID      string
	Status            string
	StatusDescription string
}
