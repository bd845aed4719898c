package httpapi

import (
	"github.com/steppe-run/steppe/httpapi/cluster"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/httpapi/work"
)

// workRoutes are the rows about nodes, allocations, evaluations and deployments.
func workRoutes() []*door.Route {
	return []*door.Route{
		{Methods: "GET", Path: "/v1/nodes", Access: "node:read", Blocking: true, Paged: true, Seat: door.SeatRead, Look: cluster.NodesList, Watch: watchNodes},
		{Methods: "GET", Path: "/v1/node/:node_id", Access: "node:read (SecretID cleared)", Blocking: true, Seat: door.SeatRead, Look: cluster.NodeRead, Watch: watchNodes},
		{Methods: "PUT|POST", Path: "/v1/node/:node_id/evaluate", Access: "node:write", Seat: door.SeatWrite, Do: cluster.NodeEvaluate},
		{Methods: "GET", Path: "/v1/node/:node_id/allocations", Access: "node:read; allocs filtered to ns:read-job", Blocking: true, Seat: door.SeatRead, Look: cluster.NodeAllocations, Watch: watchAllocs},
		{Methods: "PUT|POST", Path: "/v1/node/:node_id/drain", Access: "node:write", Seat: door.SeatWrite, Do: cluster.NodeDrain},
		{Methods: "PUT|POST", Path: "/v1/node/:node_id/eligibility", Access: "node:write", Seat: door.SeatWrite, Do: cluster.NodeEligibility},
		{Methods: "PUT|POST", Path: "/v1/node/:node_id/purge", Access: "node:write", Seat: door.SeatWrite, Do: cluster.NodePurge},
		{Methods: "GET", Path: "/v1/node/pools", Access: "node_pool:read (results filtered)", Blocking: true, Paged: true, Seat: door.SeatRead, Look: cluster.PoolsList, Watch: watchPools},
		{Methods: "PUT|POST", Path: "/v1/node/pools", Access: "node_pool:write", Seat: door.SeatWrite, Do: cluster.PoolWrite},
		{Methods: "GET", Path: "/v1/node/pool/:name", Access: "node_pool:read", Blocking: true, Seat: door.SeatRead, Look: cluster.PoolRead, Watch: watchPools},
		{Methods: "PUT|POST", Path: "/v1/node/pool/:name", Access: "node_pool:write", Seat: door.SeatWrite, Do: cluster.PoolWrite},
		{Methods: "DELETE", Path: "/v1/node/pool/:name", Access: "node_pool:delete", Seat: door.SeatWrite, Do: cluster.PoolDelete},
		{Methods: "GET", Path: "/v1/node/pool/:name/nodes", Access: "node:read and node_pool:read", Blocking: true, Paged: true, Seat: door.SeatRead, Look: cluster.PoolNodes, Watch: watchPoolNodes},
		{Methods: "GET", Path: "/v1/node/pool/:name/jobs", Access: "node_pool:read and ns:list-jobs", Blocking: true, Paged: true, Seat: door.SeatRead, Look: work.PoolJobs, Watch: watchPoolJobs},
		{Methods: "GET", Path: "/v1/allocations", Access: "ns:read-job", Blocking: true, Paged: true, Seat: door.SeatRead, Look: work.AllocsList, Watch: watchAllocs},
		{Methods: "GET", Path: "/v1/allocation/:alloc_id", Access: "ns:read-job (or node secret)", Blocking: true, Seat: door.SeatRead, Look: work.AllocRead, Watch: watchAllocs},
		{Methods: "PUT|POST", Path: "/v1/allocation/:alloc_id/stop", Access: "ns:alloc-lifecycle", Seat: door.SeatWrite, Do: work.AllocStop},
		{Methods: "GET", Path: "/v1/allocation/:alloc_id/services", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.AllocServices, Watch: watchServices},
		{Methods: "GET", Unchecked: true, Path: "/v1/allocation/:alloc_id/checks", Access: "ns:read-job", Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Path: "/v1/evaluations", Access: "ns:read-job", Blocking: true, Paged: true, Seat: door.SeatRead, Look: work.EvalsList, Watch: watchEvals},
		{Methods: "DELETE", Path: "/v1/evaluations", Access: "management", Missing: missing("bulk deletions of evaluations")},
		{Methods: "GET", Path: "/v1/evaluations/count", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.EvalsCount, Watch: watchEvals},
		{Methods: "GET", Path: "/v1/evaluation/:eval_id", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.EvalRead, Watch: watchEvals},
		{Methods: "GET", Path: "/v1/evaluation/:eval_id/allocations", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.EvalAllocations, Watch: watchAllocs},
		{Methods: "GET", Path: "/v1/deployments", Access: "ns:read-job", Blocking: true, Paged: true, Seat: door.SeatRead, Look: work.DeploymentsList, Watch: watchDeployments},
		{Methods: "GET", Path: "/v1/deployment/:deployment_id", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.DeploymentRead, Watch: watchDeployments},
		{Methods: "GET", Path: "/v1/deployment/allocations/:deployment_id", Access: "ns:read-job", Blocking: true, Seat: door.SeatRead, Look: work.DeploymentAllocations, Watch: watchAllocs},
		{Methods: "PUT|POST", Path: "/v1/deployment/fail/:deployment_id", Access: "ns:submit-job or fail-deployment", Seat: door.SeatWrite, Do: work.DeploymentFail},
		{Methods: "PUT|POST", Path: "/v1/deployment/pause/:deployment_id", Access: "ns:submit-job or pause-deployment", Seat: door.SeatWrite, Do: work.DeploymentPause},
		{Methods: "PUT|POST", Path: "/v1/deployment/promote/:deployment_id", Access: "ns:submit-job or promote-deployment", Seat: door.SeatWrite, Do: work.DeploymentPromote},
		{Methods: "PUT|POST", Path: "/v1/deployment/unblock/:deployment_id", Access: "ns:submit-job or unblock-deployment", Seat: door.SeatWrite, Do: work.DeploymentUnblock},
		{Methods: "PUT|POST", Path: "/v1/deployment/allocation-health/:deployment_id", Access: "ns:submit-job or set-alloc-health-deployment", Seat: door.SeatWrite, Do: work.DeploymentHealth},
	}
}

// clientRoutes are the rows about what nodes answer themselves.
func clientRoutes() []*door.Route {
	return []*door.Route{
		{Methods: "GET", Unchecked: true, Path: "/v1/client/fs/ls/:alloc_id", Access: "ns:read-fs", Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/fs/stat/:alloc_id", Access: "ns:read-fs", Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/fs/cat/:alloc_id", Access: "ns:read-fs", Kind: door.KindRaw, Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/fs/readat/:alloc_id", Access: "ns:read-fs", Kind: door.KindRaw, Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/fs/stream/:alloc_id", Access: "ns:read-fs", Kind: door.KindStream, Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/fs/logs/:alloc_id", Access: "ns:read-logs or read-fs", Kind: door.KindStream, Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/gc", Access: "node:write", Seat: door.SeatNode, Mutates: true, Do: door.NodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/stats", Access: "node:read", Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Path: "/v1/client/metadata", Access: "node:read", Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "POST", Path: "/v1/client/metadata", Access: "node:write", Body: door.BodyNode, Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Path: "/v1/client/identity", Access: "node:read", Missing: missing("node identities")},
		{Methods: "PUT|POST", Path: "/v1/client/identity/renew", Access: "node:write", Missing: missing("node identities")},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/allocation/:alloc_id/stats", Access: "ns:read-job", Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/allocation/:alloc_id/checks", Access: "ns:read-job", Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Path: "/v1/client/allocation/:alloc_id/exec", Access: "ns:alloc-exec (+alloc-node-exec if driver has no fs isolation)", Kind: door.KindWebsocket, Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/allocation/:alloc_id/snapshot", Access: "migrate token in X-Nomad-Token", Kind: door.KindStream, Seat: door.SeatServer, Do: work.AllocSnapshot},
		{Methods: "PUT|POST", Unchecked: true, Path: "/v1/client/allocation/:alloc_id/restart", Access: "ns:alloc-lifecycle", Seat: door.SeatNode, Mutates: true, Do: door.NodeAnswers},
		{Methods: "PUT|POST", Unchecked: true, Path: "/v1/client/allocation/:alloc_id/gc", Access: "ns:submit-job or gc-allocation", Seat: door.SeatNode, Mutates: true, Do: door.NodeAnswers},
		{Methods: "PUT|POST", Path: "/v1/client/allocation/:alloc_id/signal", Access: "ns:alloc-lifecycle", Seat: door.SeatNode, Do: door.NodeAnswers},
		{Methods: "GET", Path: "/v1/client/allocation/:alloc_id/pause", Access: "ns:read-job", Missing: missing("task schedules")},
		{Methods: "PUT|POST", Path: "/v1/client/allocation/:alloc_id/pause", Access: "ns:submit-job or pause-allocation", Missing: missing("task schedules")},
	}
}
