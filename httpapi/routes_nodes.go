package httpapi

// workRoutes are the rows about nodes, allocations, evaluations and deployments.
func workRoutes() []*Route {
	return []*Route{
		{Methods: "GET", Path: "/v1/nodes", Access: "node:read", Blocking: true, Paged: true, Seat: SeatRead, look: nodesList, watch: watchNodes},
		{Methods: "GET", Path: "/v1/node/:node_id", Access: "node:read (SecretID cleared)", Blocking: true, Seat: SeatRead, look: nodeRead, watch: watchNodes},
		{Methods: "PUT|POST", Path: "/v1/node/:node_id/evaluate", Access: "node:write", Seat: SeatWrite, do: nodeEvaluate},
		{Methods: "GET", Path: "/v1/node/:node_id/allocations", Access: "node:read; allocs filtered to ns:read-job", Blocking: true, Seat: SeatRead, look: nodeAllocations, watch: watchAllocs},
		{Methods: "PUT|POST", Path: "/v1/node/:node_id/drain", Access: "node:write", Seat: SeatWrite, do: nodeDrain},
		{Methods: "PUT|POST", Path: "/v1/node/:node_id/eligibility", Access: "node:write", Seat: SeatWrite, do: nodeEligibility},
		{Methods: "PUT|POST", Path: "/v1/node/:node_id/purge", Access: "node:write", Seat: SeatWrite, do: nodePurge},
		{Methods: "GET", Path: "/v1/node/pools", Access: "node_pool:read (results filtered)", Blocking: true, Paged: true, Seat: SeatRead, look: poolsList, watch: watchPools},
		{Methods: "PUT|POST", Path: "/v1/node/pools", Access: "node_pool:write", Seat: SeatWrite, do: poolWrite},
		{Methods: "GET", Path: "/v1/node/pool/:name", Access: "node_pool:read", Blocking: true, Seat: SeatRead, look: poolRead, watch: watchPools},
		{Methods: "PUT|POST", Path: "/v1/node/pool/:name", Access: "node_pool:write", Seat: SeatWrite, do: poolWrite},
		{Methods: "DELETE", Path: "/v1/node/pool/:name", Access: "node_pool:delete", Seat: SeatWrite, do: poolDelete},
		{Methods: "GET", Path: "/v1/node/pool/:name/nodes", Access: "node:read and node_pool:read", Blocking: true, Paged: true, Seat: SeatRead, look: poolNodes, watch: watchPoolNodes},
		{Methods: "GET", Path: "/v1/node/pool/:name/jobs", Access: "node_pool:read and ns:list-jobs", Blocking: true, Paged: true, Seat: SeatRead, look: poolJobs, watch: watchPoolJobs},
		{Methods: "GET", Path: "/v1/allocations", Access: "ns:read-job", Blocking: true, Paged: true, Seat: SeatRead, look: allocsList, watch: watchAllocs},
		{Methods: "GET", Path: "/v1/allocation/:alloc_id", Access: "ns:read-job (or node secret)", Blocking: true, Seat: SeatRead, look: allocRead, watch: watchAllocs},
		{Methods: "PUT|POST", Path: "/v1/allocation/:alloc_id/stop", Access: "ns:alloc-lifecycle", Seat: SeatWrite, do: allocStop},
		{Methods: "GET", Path: "/v1/allocation/:alloc_id/services", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: allocServices, watch: watchServices},
		{Methods: "GET", Unchecked: true, Path: "/v1/allocation/:alloc_id/checks", Access: "ns:read-job", Seat: SeatNode, do: nodeAnswers},
		{Methods: "GET", Path: "/v1/evaluations", Access: "ns:read-job", Blocking: true, Paged: true, Seat: SeatRead, look: evalsList, watch: watchEvals},
		{Methods: "DELETE", Path: "/v1/evaluations", Access: "management", Missing: missing("bulk deletions of evaluations")},
		{Methods: "GET", Path: "/v1/evaluations/count", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: evalsCount, watch: watchEvals},
		{Methods: "GET", Path: "/v1/evaluation/:eval_id", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: evalRead, watch: watchEvals},
		{Methods: "GET", Path: "/v1/evaluation/:eval_id/allocations", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: evalAllocations, watch: watchAllocs},
		{Methods: "GET", Path: "/v1/deployments", Access: "ns:read-job", Blocking: true, Paged: true, Seat: SeatRead, look: deploymentsList, watch: watchDeployments},
		{Methods: "GET", Path: "/v1/deployment/:deployment_id", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: deploymentRead, watch: watchDeployments},
		{Methods: "GET", Path: "/v1/deployment/allocations/:deployment_id", Access: "ns:read-job", Blocking: true, Seat: SeatRead, look: deploymentAllocations, watch: watchAllocs},
		{Methods: "PUT|POST", Path: "/v1/deployment/fail/:deployment_id", Access: "ns:submit-job or fail-deployment", Seat: SeatWrite, do: deploymentFail},
		{Methods: "PUT|POST", Path: "/v1/deployment/pause/:deployment_id", Access: "ns:submit-job or pause-deployment", Seat: SeatWrite, do: deploymentPause},
		{Methods: "PUT|POST", Path: "/v1/deployment/promote/:deployment_id", Access: "ns:submit-job or promote-deployment", Seat: SeatWrite, do: deploymentPromote},
		{Methods: "PUT|POST", Path: "/v1/deployment/unblock/:deployment_id", Access: "ns:submit-job or unblock-deployment", Seat: SeatWrite, do: deploymentUnblock},
		{Methods: "PUT|POST", Path: "/v1/deployment/allocation-health/:deployment_id", Access: "ns:submit-job or set-alloc-health-deployment", Seat: SeatWrite, do: deploymentHealth},
	}
}

// clientRoutes are the rows about what nodes answer themselves.
func clientRoutes() []*Route {
	return []*Route{
		{Methods: "GET", Unchecked: true, Path: "/v1/client/fs/ls/:alloc_id", Access: "ns:read-fs", CORS: true, Seat: SeatNode, do: nodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/fs/stat/:alloc_id", Access: "ns:read-fs", CORS: true, Seat: SeatNode, do: nodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/fs/cat/:alloc_id", Access: "ns:read-fs", Kind: KindRaw, CORS: true, Seat: SeatNode, do: nodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/fs/readat/:alloc_id", Access: "ns:read-fs", Kind: KindRaw, CORS: true, Seat: SeatNode, do: nodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/fs/stream/:alloc_id", Access: "ns:read-fs", Kind: KindStream, CORS: true, Seat: SeatNode, do: nodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/fs/logs/:alloc_id", Access: "ns:read-logs or read-fs", Kind: KindStream, CORS: true, Seat: SeatNode, do: nodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/gc", Access: "node:write", Seat: SeatNode, Mutates: true, do: nodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/stats", Access: "node:read", CORS: true, Seat: SeatNode, do: nodeAnswers},
		{Methods: "GET", Path: "/v1/client/metadata", Access: "node:read", CORS: true, Missing: missing("changes of node metadata")},
		{Methods: "POST", Path: "/v1/client/metadata", Access: "node:write", Missing: missing("changes of node metadata")},
		{Methods: "GET", Path: "/v1/client/identity", Access: "node:read", CORS: true, Missing: missing("node identities")},
		{Methods: "PUT|POST", Path: "/v1/client/identity/renew", Access: "node:write", Missing: missing("node identities")},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/allocation/:alloc_id/stats", Access: "ns:read-job", CORS: true, Seat: SeatNode, do: nodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/allocation/:alloc_id/checks", Access: "ns:read-job", CORS: true, Seat: SeatNode, do: nodeAnswers},
		{Methods: "GET", Path: "/v1/client/allocation/:alloc_id/exec", Access: "ns:alloc-exec (+alloc-node-exec if driver has no fs isolation)", Kind: KindWebsocket, Seat: SeatNode, do: nodeAnswers},
		{Methods: "GET", Unchecked: true, Path: "/v1/client/allocation/:alloc_id/snapshot", Access: "migrate token in X-Nomad-Token", Kind: KindStream, Missing: missing("moves of ephemeral disks")},
		{Methods: "PUT|POST", Unchecked: true, Path: "/v1/client/allocation/:alloc_id/restart", Access: "ns:alloc-lifecycle", Seat: SeatNode, Mutates: true, do: nodeAnswers},
		{Methods: "PUT|POST", Unchecked: true, Path: "/v1/client/allocation/:alloc_id/gc", Access: "ns:submit-job or gc-allocation", Seat: SeatNode, Mutates: true, do: nodeAnswers},
		{Methods: "PUT|POST", Path: "/v1/client/allocation/:alloc_id/signal", Access: "ns:alloc-lifecycle", Seat: SeatNode, do: nodeAnswers},
		{Methods: "GET", Path: "/v1/client/allocation/:alloc_id/pause", Access: "ns:read-job", Missing: missing("task schedules")},
		{Methods: "PUT|POST", Path: "/v1/client/allocation/:alloc_id/pause", Access: "ns:submit-job or pause-allocation", Missing: missing("task schedules")},
	}
}
