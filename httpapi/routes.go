package httpapi

import (
	"slices"

	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

// Routes is the table: every path of the public interface, built or not.
func Routes() []*Route {
	return slices.Concat(
		jobRoutes(), workRoutes(), clientRoutes(), agentRoutes(), clusterRoutes(),
		storageRoutes(), aclRoutes(), variableRoutes(), enterpriseRoutes(),
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
)

// nodeAnswers hands a request to this agent's node; the seat has made sure
// that it is meant.
func nodeAnswers(c *call) (reply, error) { return c.api.here(c) }
