package agent

import "github.com/steppe-run/steppe/structs"

// The ports of the contract.
const (
	defaultHTTPPort = 4646
	defaultRPCPort  = 4647
	defaultSerfPort = 4648
)

// Default returns the configuration before any file or flag.
func Default() *Config {
	return &Config{
		Region:     "global",
		Datacenter: "dc1",
		LogLevel:   "INFO",
		BindAddr:   "0.0.0.0",
		Ports:      &Ports{HTTP: defaultHTTPPort, RPC: defaultRPCPort, Serf: defaultSerfPort},
		Addresses:  &Addresses{},
		Advertise:  &Addresses{},
		Server:     defaultServer(),
		Client:     defaultClient(),
		TLS:        &TLSBlock{},
		Telemetry: &Telemetry{
			CollectionInterval: "1s", InMemoryInterval: "10s", InMemoryRetention: "1m", FilterDefault: true,
		},
		Limits: &Limits{
			HTTPSHandshakeTimeout: "5s", HTTPMaxConnsPerClient: 100,
			RPCHandshakeTimeout: "5s", RPCMaxConnsPerClient: 100,
		},
		UI:  &UIBlock{Enabled: true, ShowCLIHints: true},
		ACL: &ACLBlock{},
	}
}

func defaultServer() *ServerBlock {
	return &ServerBlock{
		RaftMultiplier: 1, RaftProtocol: 3,
		HeartbeatGrace: "10s", MinHeartbeatTTL: "10s", MaxHeartbeats: 50, FailoverTTL: "0s",
		RetryInterval:   "30s",
		ServerJoin:      &Join{RetryInterval: "30s"},
		NodeGCThreshold: "24h", JobGCInterval: "5m", JobGCThreshold: "4h",
		EvalGCThreshold: "1h", BatchEvalGCThreshold: "24h", DeploymentGCThreshold: "1h",
		JobDefaultPriority: 50, JobMaxPriority: 100, JobMaxCount: structs.JobMaxCount, JobTrackedVersions: 6, EventBufferSize: 100,
		RaftSnapshotThreshold: 8192, RaftSnapshotInterval: "120s", RaftTrailingLogs: 10240,
		HistoryMaxMB: 1024, HistoryMaxAge: "336h",
		LossBrakePercent: 40, LossBrakeMinNodes: 20, LossBrakeHold: "10m", QuarantineAfter: 3,
	}
}

func defaultClient() *ClientBlock {
	return &ClientBlock{
		NodePool: "default", MaxKillTimeout: "30s",
		MinDynamicPort: 20000, MaxDynamicPort: 32000,
		ClientMinPort: 14000, ClientMaxPort: 14512,
		BridgeName: "nomad", BridgeSubnet: "172.26.64.0/20", BindWildcard: true,
		NoHostUUID: true, Reserved: &Reserved{}, ServerJoin: &Join{RetryInterval: "30s"},
		DNS:        &DNSBlock{Enabled: true, Domain: "steppe", Port: 8600, Addresses: []string{"127.0.0.1"}, TTL: "0s"},
		GCInterval: "1m", GCParallel: 2, GCDiskUsage: 80, GCInodeUsage: 70, GCMaxAllocs: 50,
	}
}

// ApplyDev turns c into a development agent: server and client in one process
// on loopback, raw_exec allowed. The data folder is chosen by the caller.
func (c *Config) ApplyDev() {
	c.Dev = true
	c.BindAddr = "127.0.0.1"
	c.LogLevel = "WARN"
	c.Server.Enabled = true
	c.Server.BootstrapExpect = 1
	c.Client.Enabled = true
	c.Telemetry.PrometheusMetrics = true
	c.Plugins = append(c.Plugins, &PluginBlock{Name: "raw_exec", Values: map[string]any{"enabled": true}})
}
