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
	// Order grows with each report of the node. A report may be on its way twice,
	// or be overtaken by a later one; what comes after a later one says nothing.
	// Zero is a report from a node that doesn't count.
	Order uint64
}

// ReportOrder is the Order of the n-th report of a node since it was registered
// at an index of the log.
func ReportOrder(registered, n uint64) uint64 {
	const most = 1<<20 - 1 // reports beyond that share the last place
	return registered<<20 | min(n, most)
}
