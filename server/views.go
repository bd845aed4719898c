package server

import "github.com/steppe-run/steppe/state"

// What a server lets its callers read, under names of its own, so that those
// who may know the server but not the store can hold such values.
type (
	// Store is the replicated state.
	Store = state.Store
	// Snapshot is the state at one index.
	Snapshot = state.Snapshot
	// Table names a part of the state, for those who wait for changes.
	Table = state.Table
	// Change is what one applied entry changed.
	Change = state.Change
	// LaggedError says from which index a slow reader of changes may resume.
	LaggedError = state.LaggedError
)

// The tables that a caller may wait for.
const (
	TableJobs            = state.TableJobs
	TableJobVersions     = state.TableJobVersions
	TableJobSubmissions  = state.TableJobSubmissions
	TableJobSummaries    = state.TableJobSummaries
	TableScalingEvents   = state.TableScalingEvents
	TableNodes           = state.TableNodes
	TableEvals           = state.TableEvals
	TableDeployments     = state.TableDeployments
	TableAllocs          = state.TableAllocs
	TableServices        = state.TableServices
	TableSchedulerConfig = state.TableSchedulerConfig
	TableNodePools       = state.TableNodePools
	TableNamespaces      = state.TableNamespaces
)
