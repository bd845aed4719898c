package agent

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/steppe-run/steppe/structs"
)

// Config is an agent's configuration under the names of the configuration
// file. Defaults, files and flags are decoded over one value, in that order;
// what a later one doesn't mention stays. Durations are kept as text until
// Settings checks them, so that all faults are told at once.
type Config struct {
	Region             string `hcl:"region,optional"`
	Datacenter         string `hcl:"datacenter,optional"`
	Name               string `hcl:"name,optional"`
	DataDir            string `hcl:"data_dir,optional"`
	PluginDir          string `hcl:"plugin_dir,optional"`
	LogLevel           string `hcl:"log_level,optional"`
	LogJSON            bool   `hcl:"log_json,optional"`
	BindAddr           string `hcl:"bind_addr,optional"`
	EnableDebug        bool   `hcl:"enable_debug,optional"`
	LeaveOnInterrupt   bool   `hcl:"leave_on_interrupt,optional"`
	LeaveOnTerminate   bool   `hcl:"leave_on_terminate,optional"`
	DisableUpdateCheck bool   `hcl:"disable_update_check,optional"` // accepted: there is no update check
	// InsecureOpenAPI lets an API that asks nobody who they are bind beyond
	// loopback. Steppe's own key.
	InsecureOpenAPI bool `hcl:"insecure_open_api,optional"`

	// HTTPHeaders go with every answer of the HTTP API.
	HTTPHeaders map[string]string `hcl:"http_api_response_headers,optional"`

	Ports     *Ports         `hcl:"ports,block"`
	Addresses *Addresses     `hcl:"addresses,block"`
	Advertise *Addresses     `hcl:"advertise,block"`
	Server    *ServerBlock   `hcl:"server,block"`
	Client    *ClientBlock   `hcl:"client,block"`
	TLS       *TLSBlock      `hcl:"tls,block"`
	Telemetry *Telemetry     `hcl:"telemetry,block"`
	Limits    *Limits        `hcl:"limits,block"`
	UI        *UIBlock       `hcl:"ui,block"`
	ACL       *ACLBlock      `hcl:"acl,block"`
	Plugins   []*PluginBlock `hcl:"plugin,block"`

	// Dev is set by the flag -dev only.
	Dev bool
	// StateOwned tells that data_dir is a temporary folder of this run, which
	// is removed when the agent ends.
	StateOwned bool
}

// Ports are the ports that an agent listens on.
type Ports struct {
	HTTP int `hcl:"http,optional"`
	RPC  int `hcl:"rpc,optional"`
	Serf int `hcl:"serf,optional"`
}

// Addresses are addresses by use: to bind, or to tell others.
type Addresses struct {
	HTTP string `hcl:"http,optional"`
	RPC  string `hcl:"rpc,optional"`
	Serf string `hcl:"serf,optional"`
}

// Join says which servers to look for, and how insistently.
type Join struct {
	StartJoin     []string `hcl:"start_join,optional"`
	RetryJoin     []string `hcl:"retry_join,optional"`
	RetryMax      int      `hcl:"retry_max,optional"`
	RetryInterval string   `hcl:"retry_interval,optional"`
}

// ServerBlock configures the control plane.
type ServerBlock struct {
	Enabled         bool     `hcl:"enabled,optional"`
	BootstrapExpect int      `hcl:"bootstrap_expect,optional"`
	DataDir         string   `hcl:"data_dir,optional"`
	RaftMultiplier  int      `hcl:"raft_multiplier,optional"`
	RaftProtocol    int      `hcl:"raft_protocol,optional"`
	Encrypt         string   `hcl:"encrypt,optional"`
	HeartbeatGrace  string   `hcl:"heartbeat_grace,optional"`
	MinHeartbeatTTL string   `hcl:"min_heartbeat_ttl,optional"`
	MaxHeartbeats   float64  `hcl:"max_heartbeats_per_second,optional"`
	FailoverTTL     string   `hcl:"failover_heartbeat_ttl,optional"`
	StartJoin       []string `hcl:"start_join,optional"`
	RetryJoin       []string `hcl:"retry_join,optional"`
	RetryMax        int      `hcl:"retry_max,optional"`
	RetryInterval   string   `hcl:"retry_interval,optional"`
	ServerJoin      *Join    `hcl:"server_join,block"`

	NodeGCThreshold       string `hcl:"node_gc_threshold,optional"`
	JobGCInterval         string `hcl:"job_gc_interval,optional"`
	JobGCThreshold        string `hcl:"job_gc_threshold,optional"`
	EvalGCThreshold       string `hcl:"eval_gc_threshold,optional"`
	BatchEvalGCThreshold  string `hcl:"batch_eval_gc_threshold,optional"`
	DeploymentGCThreshold string `hcl:"deployment_gc_threshold,optional"`
	JobDefaultPriority    int    `hcl:"job_default_priority,optional"`
	JobMaxPriority        int    `hcl:"job_max_priority,optional"`
	JobMaxCount           int    `hcl:"job_max_count,optional"`
	JobTrackedVersions    int    `hcl:"job_tracked_versions,optional"`
	EventBufferSize       int    `hcl:"event_buffer_size,optional"`
	RaftSnapshotThreshold int    `hcl:"raft_snapshot_threshold,optional"`
	RaftSnapshotInterval  string `hcl:"raft_snapshot_interval,optional"`
	RaftTrailingLogs      int    `hcl:"raft_trailing_logs,optional"`
	// HistoryMaxMB and HistoryMaxAge bound what is kept of what left the state.
	// Steppe's own keys.
	HistoryMaxMB  int    `hcl:"history_max_mb,optional"`
	HistoryMaxAge string `hcl:"history_max_age,optional"`
	// LossBrakePercent, LossBrakeMinNodes and LossBrakeHold say when the loss of many
	// nodes at once is held back, and for how long. Steppe's own keys.
	LossBrakePercent  int    `hcl:"loss_brake_percent,optional"`
	LossBrakeMinNodes int    `hcl:"loss_brake_min_nodes,optional"`
	LossBrakeHold     string `hcl:"loss_brake_hold,optional"`
	// QuarantineAfter is from the how manyeth loss in a row on a node takes no
	// placements for a while. Steppe's own key.
	QuarantineAfter int `hcl:"quarantine_after,optional"`

	Scheduler *SchedulerBlock `hcl:"default_scheduler_config,block"`
}

// SchedulerBlock is how a new region schedules, until the API changes it.
type SchedulerBlock struct {
	Algorithm        string           `hcl:"scheduler_algorithm,optional"`
	Oversubscription bool             `hcl:"memory_oversubscription_enabled,optional"`
	RejectJobs       bool             `hcl:"reject_job_registration,optional"`
	PauseBroker      bool             `hcl:"pause_eval_broker,optional"`
	NodeLimit        int              `hcl:"node_limit_for_feasibility_checks,optional"`
	Preemption       *PreemptionBlock `hcl:"preemption_config,block"`
}

// PreemptionBlock says whose work may displace that of lower priority.
type PreemptionBlock struct {
	System   *bool `hcl:"system_scheduler_enabled,optional"`
	SysBatch bool  `hcl:"sysbatch_scheduler_enabled,optional"`
	Batch    bool  `hcl:"batch_scheduler_enabled,optional"`
	Service  bool  `hcl:"service_scheduler_enabled,optional"`
}

// configuration is what the block means, nil if there is none.
func (b *SchedulerBlock) configuration() *structs.SchedulerConfiguration {
	if b == nil {
		return nil
	}
	out := structs.DefaultSchedulerConfiguration()
	if b.Algorithm != "" {
		out.SchedulerAlgorithm = b.Algorithm
	}
	out.MemoryOversubscriptionEnabled = b.Oversubscription
	out.RejectJobRegistration, out.PauseEvalBroker = b.RejectJobs, b.PauseBroker
	out.NodeLimitForFeasibilityChecks = uint(max(b.NodeLimit, 0))
	if p := b.Preemption; p != nil {
		out.PreemptionConfig = structs.PreemptionConfig{
			SystemSchedulerEnabled:   p.System == nil || *p.System,
			SysBatchSchedulerEnabled: p.SysBatch, BatchSchedulerEnabled: p.Batch, ServiceSchedulerEnabled: p.Service,
		}
	}
	return out
}

// ClientBlock configures the node agent.
type ClientBlock struct {
	Enabled          bool              `hcl:"enabled,optional"`
	StateDir         string            `hcl:"state_dir,optional"`
	AllocDir         string            `hcl:"alloc_dir,optional"`
	Servers          []string          `hcl:"servers,optional"`
	NodeClass        string            `hcl:"node_class,optional"`
	NodePool         string            `hcl:"node_pool,optional"`
	Meta             map[string]string `hcl:"meta,optional"`
	MetaBlocks       []*attributes     `hcl:"meta,block"`
	Options          map[string]string `hcl:"options,optional"`
	OptionBlocks     []*attributes     `hcl:"options,block"`
	NetworkInterface string            `hcl:"network_interface,optional"`
	NetworkSpeed     int               `hcl:"network_speed,optional"`
	CPUTotalCompute  int               `hcl:"cpu_total_compute,optional"`
	NoDMIDecode      bool              `hcl:"cpu_disable_dmidecode,optional"` // accepted: no program is asked
	ReservableCores  string            `hcl:"reservable_cores,optional"`
	MemoryTotalMB    int               `hcl:"memory_total_mb,optional"`
	DiskTotalMB      int               `hcl:"disk_total_mb,optional"`
	DiskFreeMB       int               `hcl:"disk_free_mb,optional"`
	MaxKillTimeout   string            `hcl:"max_kill_timeout,optional"`
	MinDynamicPort   int               `hcl:"min_dynamic_port,optional"`
	MaxDynamicPort   int               `hcl:"max_dynamic_port,optional"`
	ClientMinPort    int               `hcl:"client_min_port,optional"`
	ClientMaxPort    int               `hcl:"client_max_port,optional"`
	NoHostUUID       bool              `hcl:"no_host_uuid,optional"`
	DisableExec      bool              `hcl:"disable_remote_exec,optional"`
	Reserved         *Reserved         `hcl:"reserved,block"`
	ServerJoin       *Join             `hcl:"server_join,block"`
	GCInterval       string            `hcl:"gc_interval,optional"`
	GCParallel       int               `hcl:"gc_parallel_destroys,optional"`
	GCDiskUsage      float64           `hcl:"gc_disk_usage_threshold,optional"`
	GCInodeUsage     float64           `hcl:"gc_inode_usage_threshold,optional"`
	GCMaxAllocs      int               `hcl:"gc_max_allocs,optional"`
	CgroupParent     string            `hcl:"cgroup_parent,optional"`
	ChrootEnv        map[string]string `hcl:"chroot_env,optional"`
	ChrootEnvBlocks  []*attributes     `hcl:"chroot_env,block"`
	HostVolumes      []*HostVolume     `hcl:"host_volume,block"`
	HostNetworks     []*HostNetwork    `hcl:"host_network,block"`
	BridgeName       string            `hcl:"bridge_network_name,optional"`
	BridgeSubnet     string            `hcl:"bridge_network_subnet,optional"`
	BridgeSubnetIPv6 string            `hcl:"bridge_network_subnet_ipv6,optional"`
	BridgeHairpin    bool              `hcl:"bridge_network_hairpin_mode,optional"`
	BindWildcard     bool              `hcl:"bind_wildcard_default_host_network,optional"`
	Fingerprints     []*Fingerprint    `hcl:"fingerprint,block"`
	DNS              *DNSBlock         `hcl:"dns,block"`
}

// Fingerprint says how insistently a cloud is asked what this machine is.
type Fingerprint struct {
	Name          string `hcl:"name,label"`
	RetryInterval string `hcl:"retry_interval,optional"`
	RetryAttempts int    `hcl:"retry_attempts,optional"`
	ExitOnFailure bool   `hcl:"exit_on_failure,optional"`
}

// DNSBlock says how the node answers for services by name. It is our own.
type DNSBlock struct {
	Enabled   bool     `hcl:"enabled,optional"`
	Domain    string   `hcl:"domain,optional"`
	Port      int      `hcl:"port,optional"`
	Addresses []string `hcl:"addresses,optional"` // IP, or IP:port
	TTL       string   `hcl:"ttl,optional"`
	Upstreams []string `hcl:"upstreams,optional"` // IP, or IP:port; left out: those of resolv.conf; empty: none
}

// Reserved is what a node keeps for itself.
type Reserved struct {
	CPU           int    `hcl:"cpu,optional"`
	Memory        int    `hcl:"memory,optional"`
	Disk          int    `hcl:"disk,optional"`
	ReservedPorts string `hcl:"reserved_ports,optional"`
	Cores         string `hcl:"cores,optional"`
}

// HostVolume offers a folder of the node to jobs.
type HostVolume struct {
	Name     string `hcl:"name,label"`
	Path     string `hcl:"path"`
	ReadOnly bool   `hcl:"read_only,optional"`
}

// HostNetwork names one of the node's networks.
type HostNetwork struct {
	Name          string `hcl:"name,label"`
	CIDR          string `hcl:"cidr,optional"`
	Interface     string `hcl:"interface,optional"`
	ReservedPorts string `hcl:"reserved_ports,optional"`
}

// TLSBlock names the certificates.
type TLSBlock struct {
	HTTP                 bool   `hcl:"http,optional"`
	RPC                  bool   `hcl:"rpc,optional"`
	VerifyServerHostname bool   `hcl:"verify_server_hostname,optional"`
	CAFile               string `hcl:"ca_file,optional"`
	CertFile             string `hcl:"cert_file,optional"`
	KeyFile              string `hcl:"key_file,optional"`
	VerifyHTTPSClient    bool   `hcl:"verify_https_client,optional"`
}

// Telemetry configures metrics.
type Telemetry struct {
	CollectionInterval       string   `hcl:"collection_interval,optional"`
	InMemoryInterval         string   `hcl:"in_memory_collection_interval,optional"`
	InMemoryRetention        string   `hcl:"in_memory_retention_period,optional"`
	PrometheusMetrics        bool     `hcl:"prometheus_metrics,optional"`
	DisableHostname          bool     `hcl:"disable_hostname,optional"`
	UseNodeName              bool     `hcl:"use_node_name,optional"`
	PublishAllocationMetrics bool     `hcl:"publish_allocation_metrics,optional"`
	PublishNodeMetrics       bool     `hcl:"publish_node_metrics,optional"`
	PrefixFilter             []string `hcl:"prefix_filter,optional"`
	FilterDefault            bool     `hcl:"filter_default,optional"`
}

// Limits bounds what one peer may take.
type Limits struct {
	HTTPSHandshakeTimeout string `hcl:"https_handshake_timeout,optional"`
	HTTPMaxConnsPerClient int    `hcl:"http_max_conns_per_client,optional"`
	RPCHandshakeTimeout   string `hcl:"rpc_handshake_timeout,optional"`
	RPCMaxConnsPerClient  int    `hcl:"rpc_max_conns_per_client,optional"`
}

// UIBlock configures the web console.
type UIBlock struct {
	Enabled      bool `hcl:"enabled,optional"`
	ShowCLIHints bool `hcl:"show_cli_hints,optional"`
}

// ACLBlock is read so that a file which says "off" is accepted; "on" is told
// to be not built yet.
type ACLBlock struct {
	Enabled bool `hcl:"enabled,optional"`
}

// PluginBlock configures one driver plugin.
type PluginBlock struct {
	Name   string        `hcl:"name,label"`
	Args   []string      `hcl:"args,optional"`
	Config []*pluginBody `hcl:"config,block"`
	// Values is the config where it comes from no file.
	Values map[string]any
}

// pluginBody is decoded by the plugin's own schema, later.
type pluginBody struct {
	Body hcl.Body `hcl:",remain"`
}

// attributes is a block whose keys are free, such as meta { rack = "r1" }.
type attributes struct {
	Body hcl.Attributes `hcl:",remain"`
}
