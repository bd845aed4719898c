package structs

// SearchRequest asks for the objects whose ID begins with Prefix.
type SearchRequest struct {
	Prefix  string
	Context string
}

// SearchResponse lists matching IDs by context, and the contexts in which
// there are more.
type SearchResponse struct {
	Matches     map[string][]string
	Truncations map[string]bool
	QueryMeta
}

// FuzzySearchRequest asks for the objects whose name contains Text.
type FuzzySearchRequest struct {
	Text    string
	Context string
}

// FuzzyMatch is one object found by a part of its name.
type FuzzyMatch struct {
	ID string
	// Scope names what the object is in, from the outside in.
	Scope []string `json:",omitempty"`
}

// FuzzySearchResponse lists matches by context, and the contexts in which
// there are more.
type FuzzySearchResponse struct {
	Matches     map[string][]FuzzyMatch
	Truncations map[string]bool
	QueryMeta
}

// Contexts of a search.
const (
	SearchAll         = "all"
	SearchAllocs      = "allocs"
	SearchDeployments = "deployment"
	SearchEvals       = "evals"
	SearchJobs        = "jobs"
	SearchNodes       = "nodes"
	SearchNodePools   = "node_pools"
	SearchNamespaces  = "namespaces"
	SearchGroups      = "groups"
	SearchServices    = "services"
	SearchTasks       = "tasks"
	SearchImages      = "images"
	SearchCommands    = "commands"
	SearchClasses     = "classes"
)
