package structs

// AllocationRestartRequest restarts tasks of an allocation.
type AllocationRestartRequest struct {
	TaskName string
	AllTasks bool
}

// AllocSignalRequest sends a signal to tasks of an allocation.
type AllocSignalRequest struct {
	Task   string
	Signal string
}

// AllocStopResponse answers the stop of an allocation.
type AllocStopResponse struct {
	EvalID string
	WriteMeta
}

// DeploymentUpdateResponse answers a change of a deployment.
type DeploymentUpdateResponse struct {
	EvalID                string
	EvalCreateIndex       uint64
	DeploymentModifyIndex uint64
	RevertedJobVersion    *uint64
	WriteMeta
}

// DeploymentAllocHealthRequest sets the health of allocations.
type DeploymentAllocHealthRequest struct {
	DeploymentID           string
	HealthyAllocationIDs   []string
	UnhealthyAllocationIDs []string
	WriteRequest
}

// DeploymentPromoteRequest promotes canaries.
type DeploymentPromoteRequest struct {
	DeploymentID string
	All          bool
	Groups       []string
	PromotedAt   int64
	WriteRequest
}

// DeploymentPauseRequest pauses or resumes a deployment.
type DeploymentPauseRequest struct {
	DeploymentID string
	Pause        bool
	WriteRequest
}

// DeploymentFailRequest fails a deployment.
type DeploymentFailRequest struct {
	DeploymentID string
	WriteRequest
}

// DeploymentUnblockRequest unblocks a deployment.
type DeploymentUnblockRequest struct {
	DeploymentID string
	WriteRequest
}

// NodeUpdateDrainRequest starts or (DrainSpec null) ends a drain.
type NodeUpdateDrainRequest struct {
	NodeID       string
	DrainSpec    *DrainSpec
	MarkEligible bool
	Meta         map[string]string
}

// NodeDrainUpdateResponse answers a NodeUpdateDrainRequest.
type NodeDrainUpdateResponse struct {
	NodeModifyIndex uint64
	EvalIDs         []string
	EvalCreateIndex uint64
	WriteMeta
}

// NodeUpdateEligibilityRequest makes a node eligible or ineligible.
type NodeUpdateEligibilityRequest struct {
	NodeID      string
	Eligibility string
}

// NodeEligibilityUpdateResponse answers a NodeUpdateEligibilityRequest.
type NodeEligibilityUpdateResponse struct {
	NodeModifyIndex uint64
	EvalIDs         []string
	EvalCreateIndex uint64
	WriteMeta
}

// NodePurgeResponse answers the removal of a node.
type NodePurgeResponse struct {
	EvalIDs         []string
	EvalCreateIndex uint64
	NodeModifyIndex uint64
}

// EvalDeleteRequest removes evaluations.
type EvalDeleteRequest struct {
	EvalIDs []string
	Filter  string
	WriteRequest
}

// EvalDeleteResponse tells how many were removed.
type EvalDeleteResponse struct {
	Count int
}

// EvalCountResponse tells how many there are.
type EvalCountResponse struct {
	Count int
	QueryMeta
}

// GenericResponse answers a write that has nothing else to tell.
type GenericResponse struct {
	WriteMeta
}
