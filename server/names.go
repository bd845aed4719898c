package server

import (
	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/feed"
)

// What callers ask for and are answered, under the name of the room that they
// know.
type (
	// JobDeregisterRequest stops a job, or removes it.
	JobDeregisterRequest = control.JobDeregisterRequest
	// JobTagRequest names a version of a job, or takes the name away.
	JobTagRequest = control.JobTagRequest
	// JobTagResponse is the tag as stored.
	JobTagResponse = control.JobTagResponse
	// AllocStopRequest stops an allocation and has it replaced.
	AllocStopRequest = control.AllocStopRequest
	// NodeUpdateResponse tells what follows from a change of a node.
	NodeUpdateResponse = control.NodeUpdateResponse
	// SchedulerConfigRequest replaces the scheduler's configuration.
	SchedulerConfigRequest = control.SchedulerConfigRequest
	// BrakeConfig says when the loss of many nodes at once is held back.
	BrakeConfig = control.BrakeConfig
	// GCConfig says how long finished things stay.
	GCConfig = control.GCConfig
	// Wait is what one blocked evaluation waits for.
	Wait = control.Wait
)

// What a server lets its callers read, under names of its own, so that those
// who may know the server but not the store can hold such values.
type (
	// Store is the replicated state.
	Store = state.Store
	// Snapshot is the state at one index.
	Snapshot = state.Snapshot
	// Table names a part of the state, for those who wait for changes.
	Table = feed.Table
	// Change is what one applied entry changed.
	Change = feed.Change
	// LaggedError says from which index a slow reader of changes may resume.
	LaggedError = feed.LaggedError
)

// The tables that a caller may wait for.
const (
	TableJobs            = feed.TableJobs
	TableJobVersions     = feed.TableJobVersions
	TableJobSubmissions  = feed.TableJobSubmissions
	TableJobSummaries    = feed.TableJobSummaries
	TableScalingEvents   = feed.TableScalingEvents
	TableNodes           = feed.TableNodes
	TableEvals           = feed.TableEvals
	TableDeployments     = feed.TableDeployments
	TableAllocs          = feed.TableAllocs
	TableServices        = feed.TableServices
	TableSchedulerConfig = feed.TableSchedulerConfig
	TableNodePools       = feed.TableNodePools
	TableNamespaces      = feed.TableNamespaces
)
