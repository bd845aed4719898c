package structs

// AllocUpdate is what a node reports about one of its allocations. A nil or
// empty part is unchanged.
type AllocUpdate struct {
	ID                string
	ClientStatus      string
	ClientDescription string
	TaskStates        map[string]*TaskState
	DeploymentStatus  *AllocDeploymentStatus
	NetworkStatus     *AllocNetworkStatus
	ModifyTime        int64
}
