// Package httpapi is the public HTTP interface of an agent: one table of
// routes. Each row says which methods and path it answers, which capability the
// caller needs, who has to answer (this agent, any server, the leader, a node),
// whether it blocks or pages, and which function does it.
//
// It must not know how state is stored, how evaluations are scheduled or how
// tasks are run: its rooms read through the small interfaces of package backend
// and ask the server to act. door is what every request goes through; work and
// cluster hold the functions, by noun; show makes what callers see. Begin
// reading at Routes, then at package door.
package httpapi

import (
	"slices"

	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

// Routes is the table: every path of the public interface, built or not.
func Routes() []*door.Route {
	return slices.Concat(
		jobRoutes(), workRoutes(), clientRoutes(), agentRoutes(), clusterRoutes(),
		storageRoutes(), aclRoutes(), variableRoutes(), enterpriseRoutes(), ownRoutes(),
	)
}

// missing is the refusal of a row that is not built; feature is a noun phrase
// in the plural.
func missing(feature string) string { return structs.NotBuilt(feature).Text }

// What blocking queries wait for.
var (
	watchJobs        = []server.Table{server.TableJobs, server.TableJobSummaries}
	watchJob         = []server.Table{server.TableJobs, server.TableJobVersions, server.TableJobSubmissions}
	watchStatuses    = []server.Table{server.TableJobs, server.TableAllocs, server.TableDeployments, server.TableScalingEvents}
	watchAllocs      = []server.Table{server.TableAllocs}
	watchEvals       = []server.Table{server.TableEvals}
	watchDeployments = []server.Table{server.TableDeployments}
	watchServices    = []server.Table{server.TableServices}
	watchNodes       = []server.Table{server.TableNodes}
	watchPools       = []server.Table{server.TableNodePools}
	watchPoolNodes   = []server.Table{server.TableNodePools, server.TableNodes}
	watchPoolJobs    = []server.Table{server.TableNodePools, server.TableJobs, server.TableJobSummaries}
	watchScheduler   = []server.Table{server.TableSchedulerConfig}
	watchNamespaces  = []server.Table{server.TableNamespaces}
	watchNothing     = watchNamespaces // lists that stay empty
)

// New makes an agent's public interface.
func New(cfg door.Config) (*door.API, error) { return door.New(cfg, Routes()) }
