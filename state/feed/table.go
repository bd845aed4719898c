package feed

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
	NumTables
)

var tableNames = [NumTables]string{
	"jobs", "job_versions", "job_submissions", "job_summaries", "scaling_events", "nodes", "evals",
	"deployments", "allocs", "services", "scheduler_config", "node_pools", "namespaces",
}

// String returns the table's name.
func (t Table) String() string {
	if t >= NumTables {
		return "unknown"
	}
	return tableNames[t]
}

// TableSet is a set of tables.
type TableSet uint32

// SetOf returns the set of some tables.
func SetOf(tables []Table) TableSet {
	var s TableSet
	for _, t := range tables {
		s |= 1 << t
	}
	return s
}
