package control

import (
	"time"

	"github.com/steppe-run/steppe/structs"
)

// JobDeregisterRequest stops a job, or removes it.
type JobDeregisterRequest struct {
	Namespace string
	JobID     string
	Purge     bool
	// EvalPriority overrides the evaluation's priority, if not zero.
	EvalPriority    int
	NoShutdownDelay bool
}

// JobTagRequest names a version of a job, or takes the name away.
type JobTagRequest struct {
	Namespace   string
	JobID       string
	Name        string
	Description string
	// Version is nil for the latest.
	Version *uint64
	Remove  bool
}

// JobTagResponse is the tag as stored.
type JobTagResponse struct {
	Name        string
	Description string
	TaggedTime  int64
	Index       uint64
}

// AllocStopRequest stops an allocation and has it replaced.
type AllocStopRequest struct {
	AllocID         string
	NoShutdownDelay bool
	// Reschedule records the replacement as a reschedule, away from the node.
	Reschedule bool
}

// NodeUpdateResponse tells what follows from a change of a node.
type NodeUpdateResponse struct {
	HeartbeatTTL    time.Duration
	EvalIDs         []string
	EvalCreateIndex uint64
	NodeModifyIndex uint64
	structs.WriteMeta
}

// SchedulerConfigRequest replaces the scheduler's configuration.
type SchedulerConfigRequest struct {
	Config *structs.SchedulerConfiguration
	// CAS applies it only if the modify index is still CASIndex.
	CAS      bool
	CASIndex uint64
}
