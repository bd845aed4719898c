package httpapi

import (
	"net/http"

	"github.com/steppe-run/steppe/httpapi/cluster"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/httpapi/work"
)

// agentRoutes are the rows about the agent itself.
func agentRoutes() []*door.Route {
	return []*door.Route{
		{Methods: "GET", Path: "/v1/agent/self", Access: "agent:read", Do: cluster.AgentSelf},
		{Methods: "PUT|POST", Path: "/v1/agent/join", Access: "agent:write (missing permission only warns until 2.1)", Do: cluster.AgentJoin},
		{Methods: "GET", Path: "/v1/agent/members", Access: "node:read", Seat: door.SeatServer, Do: cluster.ServerMembers},
		{Methods: "PUT|POST", Path: "/v1/agent/force-leave", Access: "agent:write", Do: cluster.AgentForceLeave},
		{Methods: "GET", Path: "/v1/agent/servers", Access: "agent:read", Do: cluster.AgentServers},
		{Methods: "PUT|POST", Path: "/v1/agent/servers", Access: "agent:write", Do: cluster.AgentSetServers},
		{Methods: "GET", Path: "/v1/agent/schedulers", Access: "agent:read", Missing: missing("settings of scheduler workers")},
		{Methods: "GET", Path: "/v1/agent/schedulers/config", Access: "agent:read", Missing: missing("settings of scheduler workers")},
		{Methods: "PUT|POST", Path: "/v1/agent/schedulers/config", Access: "agent:write", Missing: missing("settings of scheduler workers")},
		{Methods: "GET", Unchecked: true, Path: "/v1/agent/keyring/list", Access: "agent:write", Missing: missing("changes of the gossip key")},
		{Methods: "PUT|POST", Unchecked: true, Path: "/v1/agent/keyring/install", Access: "agent:write", Missing: missing("changes of the gossip key")},
		{Methods: "PUT|POST", Unchecked: true, Path: "/v1/agent/keyring/use", Access: "agent:write", Missing: missing("changes of the gossip key")},
		{Methods: "PUT|POST", Unchecked: true, Path: "/v1/agent/keyring/remove", Access: "agent:write", Missing: missing("changes of the gossip key")},
		{Methods: "GET", Path: "/v1/agent/health", Do: cluster.AgentHealth},
		{Methods: "GET", Path: "/v1/agent/host", Access: "agent:read; with ACLs off needs enable_debug", Missing: missing("descriptions of the host")},
		{Methods: "PUT|POST", Path: "/v1/agent/reload", Access: "agent:write", Do: cluster.AgentReload},
		{Methods: "GET", Unchecked: true, Path: "/v1/agent/monitor", Access: "agent:read", Kind: door.KindStream, Do: cluster.AgentMonitor},
		{Methods: "GET", Unchecked: true, Path: "/v1/agent/monitor/export", Access: "agent:read", Kind: door.KindStream, Missing: missing("exports of old logs")},
		{Methods: "GET", Unchecked: true, Path: "/v1/agent/pprof/cmdline", Access: "agent:write (enable_debug when ACLs off)", Kind: door.KindRaw, Missing: missing("profiles")},
		{Methods: "GET", Unchecked: true, Path: "/v1/agent/pprof/profile", Access: "agent:write (enable_debug when ACLs off)", Kind: door.KindRaw, Missing: missing("profiles")},
		{Methods: "GET", Unchecked: true, Path: "/v1/agent/pprof/trace", Access: "agent:write (enable_debug when ACLs off)", Kind: door.KindRaw, Missing: missing("profiles")},
		{Methods: "GET", Unchecked: true, Path: "/v1/agent/pprof/:profile", Access: "agent:write (enable_debug when ACLs off)", Kind: door.KindRaw, Missing: missing("profiles")},
		{Methods: "GET", Path: "/v1/metrics", Do: cluster.MetricsRead},
		{Methods: "GET", Path: "/debug/pprof/", Kind: door.KindRaw, Missing: missing("profiles")},
		{Methods: "GET", Path: "/debug/pprof/cmdline", Kind: door.KindRaw, Missing: missing("profiles")},
		{Methods: "GET", Path: "/debug/pprof/profile", Kind: door.KindRaw, Missing: missing("profiles")},
		{Methods: "GET", Path: "/debug/pprof/symbol", Kind: door.KindRaw, Missing: missing("profiles")},
		{Methods: "GET", Path: "/debug/pprof/trace", Kind: door.KindRaw, Missing: missing("profiles")},
	}
}

// clusterRoutes are the rows about the cluster as a whole.
func clusterRoutes() []*door.Route {
	return []*door.Route{
		{Methods: "GET", Path: "/v1/services", Access: "ns:read-job (or workload identity in namespace)", Blocking: true, Seat: door.SeatRead, Look: work.ServicesList, Watch: watchServices},
		{Methods: "GET", Path: "/v1/service/:name", Access: "ns:read-job (or workload identity)", Blocking: true, Paged: true, Seat: door.SeatRead, Look: work.ServiceRead, Watch: watchServices},
		{Methods: "DELETE", Path: "/v1/service/:name/:service_id", Access: "ns:submit-job or delete-service-registration", Seat: door.SeatWrite, Do: work.ServiceDelete},
		{Methods: "GET", Path: "/v1/regions", Seat: door.SeatServer, Do: cluster.RegionsList},
		{Methods: "GET", Path: "/v1/scaling/policies", Access: "ns:list-scaling-policies or (list-jobs and read-job)", Blocking: true, Missing: missing("scaling policies")},
		{Methods: "GET", Path: "/v1/scaling/policy/:policy_id", Access: "ns:read-scaling-policy or (list-jobs and read-job)", Blocking: true, Missing: missing("scaling policies")},
		{Methods: "GET", Path: "/v1/status/leader", Seat: door.SeatServer, Do: cluster.StatusLeader},
		{Methods: "GET", Path: "/v1/status/peers", Seat: door.SeatServer, Do: cluster.StatusPeers},
		{Methods: "PUT|POST", Path: "/v1/search", Access: "per context; contexts without rights are dropped, 403 if none", Blocking: true, Seat: door.SeatRead, Look: cluster.Search, Watch: cluster.SearchTables},
		{Methods: "PUT|POST", Path: "/v1/search/fuzzy", Access: "per context", Blocking: true, Seat: door.SeatRead, Look: cluster.FuzzySearch, Watch: cluster.SearchTables},
		{Methods: "GET", Path: "/v1/operator/license", Access: "operator:read / license-read", Do: cluster.LicenseRead},
		{Methods: "PUT", Path: "/v1/operator/license", Access: "operator:write", Missing: door.EnterpriseOnly},
		{Methods: "GET", Path: "/v1/operator/raft/configuration", Access: "management", Seat: door.SeatRead, Do: cluster.RaftConfiguration},
		{Methods: "DELETE", Path: "/v1/operator/raft/peer", Access: "management", Seat: door.SeatWrite, WrongMethod: http.StatusNotFound, Do: cluster.RaftRemove},
		{Methods: "PUT|POST", Path: "/v1/operator/raft/transfer-leadership", Access: "management", Seat: door.SeatWrite, Do: cluster.RaftTransfer},
		{Methods: "GET", Path: "/v1/operator/keyring/keys", Access: "operator:keyring-read", Blocking: true, Missing: missing("encryption keys")},
		{Methods: "PUT|POST", Path: "/v1/operator/keyring/rotate", Access: "operator:keyring-rotate", Missing: missing("encryption keys")},
		{Methods: "DELETE", Path: "/v1/operator/keyring/key/:key_id", Access: "operator:keyring-delete", Missing: missing("encryption keys")},
		{Methods: "GET", Path: "/v1/operator/autopilot/configuration", Access: "operator:read", WrongMethod: http.StatusNotFound, Missing: missing("autopilot settings")},
		{Methods: "PUT", Path: "/v1/operator/autopilot/configuration", Access: "operator:write", WrongMethod: http.StatusNotFound, Missing: missing("autopilot settings")},
		{Methods: "GET", Path: "/v1/operator/autopilot/health", Access: "operator:read", Missing: missing("autopilot settings")},
		{Methods: "GET", Path: "/v1/operator/snapshot", Access: "operator:snapshot-save", Kind: door.KindStream, Seat: door.SeatRead, Do: cluster.SnapshotSave},
		{Methods: "PUT|POST", Path: "/v1/operator/snapshot", Access: "management", Missing: missing("restoring a snapshot")},
		{Methods: "GET", Path: "/v1/operator/upgrade-check/vault-workload-identity", Access: "operator:read", WrongMethod: http.StatusNotFound, Missing: missing("upgrade checks")},
		{Methods: "POST", Path: "/v1/operator/utilization", Access: "operator:write", Missing: door.EnterpriseOnly},
		{Methods: "GET", Path: "/v1/operator/scheduler/configuration", Access: "operator:read", Seat: door.SeatRead, Look: cluster.SchedulerRead, Watch: watchScheduler},
		{Methods: "PUT|POST", Path: "/v1/operator/scheduler/configuration", Access: "operator:write", Seat: door.SeatWrite, Do: cluster.SchedulerWrite},
		{Methods: "PUT", Path: "/v1/system/gc", Access: "management", Seat: door.SeatWrite, Do: cluster.SystemGC},
		{Methods: "PUT", Path: "/v1/system/reconcile/summaries", Access: "management", Seat: door.SeatWrite, Do: cluster.SystemReconcile},
		{Methods: "GET", Path: "/v1/event/stream", Access: "per topic: ns:read-job / host-volume-read / csi-read-volume / node:read / operator:read / any variable access / management for NodePool, ACL* and *", Kind: door.KindStream, Seat: door.SeatServer, Do: cluster.EventStream},
		{Methods: "GET", Path: "/v1/namespaces", Access: "any capability in namespace (filtered)", Blocking: true, Seat: door.SeatRead, Look: cluster.NamespacesList, Watch: watchNamespaces},
		{Methods: "PUT|POST", Path: "/v1/namespace", Access: "management", Seat: door.SeatWrite, Do: cluster.NamespaceWrite},
		{Methods: "GET", Path: "/v1/namespace/:name", Access: "any capability in namespace", Blocking: true, Seat: door.SeatRead, Look: cluster.NamespaceRead, Watch: watchNamespaces},
		{Methods: "PUT|POST", Path: "/v1/namespace/:name", Access: "management", Seat: door.SeatWrite, Do: cluster.NamespaceWrite},
		{Methods: "DELETE", Path: "/v1/namespace/:name", Access: "management", Seat: door.SeatWrite, Do: cluster.NamespaceDelete},
		{Methods: "GET", Path: "/ui/", Kind: door.KindRaw, Missing: missing("web pages of the console")},
		{Methods: "GET", Path: "/", Do: cluster.Root},
	}
}
