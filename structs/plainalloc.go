package structs

// PlainAlloc is what there is to say of an allocation of which nothing special
// holds: it stands in for no other and none stands in for it, nothing was asked
// of it, it is no canary. Most allocations are such, and who compares a job of a
// million with what it wants need not see them whole.
type PlainAlloc struct {
	// Job is the version that it runs, nil if that isn't known.
	Job                         *Job
	Group, NodeID, DeploymentID string
	NameIndex                   uint32
	DesiredStatus, ClientStatus string
	// Healthy is what its deployment found.
	Healthy bool
	// CreateTime is when it was placed.
	CreateTime int64
}

// Plain returns what there is to say of a plain allocation; ok is false if it is
// none.
func (a *Allocation) Plain() (p PlainAlloc, ok bool) {
	special := a.PreviousAllocation != "" || a.NextAllocation != "" || a.RescheduleTracker != nil || a.FollowupEvalID != "" ||
		a.PreemptedByAllocation != "" || a.DesiredTransition != (DesiredTransition{}) || a.DeploymentStatus.IsCanary()
	return PlainAlloc{
		Job: a.Job, Group: a.TaskGroup, NodeID: a.NodeID, DeploymentID: a.DeploymentID, NameIndex: a.Index(),
		DesiredStatus: a.DesiredStatus, ClientStatus: a.ClientStatus, Healthy: a.DeploymentStatus.IsHealthy(),
		CreateTime: a.CreateTime,
	}, !special
}
