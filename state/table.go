package state

// Table names a part of the store, for blocking queries.
type Table uint8

// The tables.
const (
	TableJobs Table = iota
	TableJobVersions
	TableJobSubmissions
	TableJobSummaries
	TableScalingEvents
	TableNodes
	TableEvals
	TableDeployments
	TableAllocs
	TableServices
	TableSchedulerConfig
	TableNodePools
	TableNamespaces
	numTables
)

var tableNames = [numTables]string{
	"jobs", "job_versions", "job_submissions", "job_summaries", "scaling_events", "nodes", "evals",
	"deployments", "allocs", "services", "scheduler_config", "node_pools", "namespaces",
}

// String returns the table's name.
func (t Table) String() string {
	if t >= numTables {
		return "unknown"
	}
	return tableNames[t]
}

// tableSet is a set of tables.
type tableSet uint32

func setOf(tables []Table) tableSet {
	var s tableSet
	for _, t := range tables {
		s |= 1 << t
	}
	return s
}
