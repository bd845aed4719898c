package state

import (
	"errors"
	"fmt"
)

// JobResult is what RegisterJob, DispatchJob, DeregisterJob, MarkJobStable and
// TagJobVersion return.
type JobResult struct {
	Index          uint64
	JobModifyIndex uint64
	Version        uint64
	// Changed is false if the specification was already stored as it is.
	Changed bool
	// Existing is the ID of the job that an idempotency token had already
	// dispatched, if any; nothing was stored then.
	Existing string
}

// LaunchResult is what LaunchJobs returns: for each launch that was refused, by
// its place, why.
type LaunchResult struct {
	Index   uint64
	Refused map[int]error
}

// PlanResult is what ApplyPlans returns.
type PlanResult struct {
	Index uint64
	// Rejected tells, by evaluation, why a plan as a whole was not applied.
	Rejected map[string]string
	// Refused lists, by evaluation, the nodes on which nothing of the plan was
	// placed. An evaluation whose plan was rejected or refused in part is not
	// stored by the same entry, so that it stays as it was and can be
	// scheduled again.
	Refused map[string][]RefusedNode
}

// RefusedNode is a node that could not take what a plan put on it.
type RefusedNode struct {
	NodeID string
	Reason string
}

// NodeResult is what commands about one node return.
type NodeResult struct {
	Index uint64
	// Created is set if the node was not known before.
	Created bool
	// EvalIDs are the evaluations that were made when it was applied.
	EvalIDs []string
}

// DeploymentResult is what commands about one deployment return.
type DeploymentResult struct {
	Index uint64
	// RevertedVersion is the job version made by returning to an older one.
	RevertedVersion *uint64
}

// SweepResult is what Sweep returns: how much it removed.
type SweepResult struct {
	Index                                   uint64
	Evals, Allocs, Deployments, Jobs, Nodes int
}

// ErrLaunchSettled refuses a launch of a periodic job that was decided before
// another one was settled.
var ErrLaunchSettled = errors.New("launches of the job were settled meanwhile")

// ErrLaunchOverlaps refuses a launch that must be alone.
var ErrLaunchOverlaps = errors.New("an earlier launch of the job is not done")

// ErrChildExists refuses a child of a job under an ID that is taken.
var ErrChildExists = errors.New("there is a job of this ID")

// Applied is what every other command returns.
type Applied struct{ Index uint64 }

// ConflictError refuses a command because something changed since it was
// decided.
type ConflictError struct {
	What string
	// Want is the modify index the command expected, Have the one that is.
	Want, Have uint64
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s changed meanwhile (expected index %d, it is %d): read it again and retry", e.What, e.Want, e.Have)
}
