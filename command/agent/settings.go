package agent

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/client"
	"github.com/steppe-run/steppe/internal/cpuset"
	"github.com/steppe-run/steppe/internal/diag"
	"github.com/steppe-run/steppe/structs"
)

// Settings are what a checked configuration means: addresses resolved,
// durations parsed, folders absolute.
type Settings struct {
	Name string

	HTTPAddr, RPCAddr, SerfAddr                            string // host:port to bind
	HTTPAdvertise, RPCAdvertise, SerfAdvertise             string // host:port to tell
	DataDir, ServerDir, ClientDir, AllocDir, PluginDir     string
	HeartbeatGrace, MinHeartbeatTTL                        time.Duration
	FailoverTTL, LossBrakeHold                             time.Duration
	JobGCInterval, JobGC, EvalGC, BatchEvalGC              time.Duration
	DeploymentGC, NodeGC, HistoryMaxAge                    time.Duration
	MaxKillTimeout, ClientGCInterval, DNSTTL               time.Duration
	RetryInterval, CollectionInterval, HTTPSHandshakeLimit time.Duration
	SnapshotInterval                                       time.Duration
	MetricsInterval, MetricsRetention                      time.Duration
	RetryJoin                                              []string
	GossipKey                                              []byte
	RetryMax                                               int
	Fingerprints                                           map[string]client.FingerprintConfig
}

// Settings checks c and returns what it means; all faults at once.
func (c *Config) Settings() (*Settings, error) {
	var faults diag.List
	s := &Settings{}
	c.checkBasics(&faults)
	c.checkScheduler(&faults)
	c.checkBrake(&faults)
	c.checkDNS(&faults)
	c.resolveName(s, &faults)
	c.resolveFolders(s, &faults)
	c.resolveAddresses(s, &faults)
	c.resolveDurations(s, &faults)
	c.resolveJoin(s, &faults)
	c.resolveMachine(s, &faults)
	c.checkUnbuilt(&faults)
	return s, faults.Err()
}

func (c *Config) checkBasics(faults *diag.List) {
	if !c.Server.Enabled && !c.Client.Enabled {
		faults.Add("", "neither server nor client is enabled: set server { enabled = true }, client { enabled = true }, or start with -dev")
	}
	if c.Server.Enabled && c.Server.BootstrapExpect < 0 {
		faults.Add("server.bootstrap_expect", "%d is negative: give the number of servers that form the region", c.Server.BootstrapExpect)
	}
	for path, port := range map[string]int{"ports.http": c.Ports.HTTP, "ports.rpc": c.Ports.RPC, "ports.serf": c.Ports.Serf} {
		if port < 0 || port > 65535 {
			faults.Add(path, "%d is not a port: use 0 to 65535", port)
		}
	}
	if c.Client.MinDynamicPort > c.Client.MaxDynamicPort {
		faults.Add("client.min_dynamic_port", "%d is above client.max_dynamic_port %d", c.Client.MinDynamicPort, c.Client.MaxDynamicPort)
	}
	for _, v := range c.Client.HostVolumes {
		if !filepath.IsAbs(v.Path) {
			faults.Add(`client.host_volume "`+v.Name+`".path`, "%q is not absolute", v.Path)
		}
	}
	if n := c.Server.JobMaxCount; n < 0 {
		faults.Add("server.job_max_count", "%d is negative: 0 is no limit", n)
	}
	if n := c.Server.HistoryMaxMB; n < 0 || n > 0 && n < minHistoryMB {
		faults.Add("server.history_max_mb", "%d is too little: give %d or more, or 0 to keep no history", n, minHistoryMB)
	}
	if strings.ContainsAny(c.Region, " \x00") || c.Region == "" {
		faults.Add("region", "%q is not a name: use one word", c.Region)
	}
	if strings.ContainsAny(c.Datacenter, " \x00*") || c.Datacenter == "" {
		faults.Add("datacenter", "%q is not a name: use one word without *", c.Datacenter)
	}
}

func (c *Config) checkBrake(faults *diag.List) {
	if n := c.Server.LossBrakePercent; n < 1 || n > 100 {
		faults.Add("server.loss_brake_percent", "%d is no share of the nodes: give 1 to 99, or 100 for no brake", n)
	}
	if n := c.Server.LossBrakeMinNodes; n < 1 {
		faults.Add("server.loss_brake_min_nodes", "%d is too little: give the number of nodes from which on there is a brake", n)
	}
	if n := c.Server.QuarantineAfter; n < 0 {
		faults.Add("server.quarantine_after", "%d is too little: give the number of losses in a row, or 0 for no quarantine", n)
	}
}

// maxDNSTTL is the longest that answers for names may be kept by who asked.
const maxDNSTTL = 5 * time.Second

func (c *Config) checkDNS(faults *diag.List) {
	d := c.Client.DNS
	if d.Port < 1 || d.Port > 65535 {
		faults.Add("client.dns.port", "%d is not a port: use 1 to 65535", d.Port)
	}
	if d.Domain == "" || strings.ContainsAny(d.Domain, " /\\:@") || strings.Contains(d.Domain, "..") {
		faults.Add("client.dns.domain", "%q is not a domain: give one such as steppe", d.Domain)
	}
	if ttl, err := time.ParseDuration(d.TTL); err == nil && (ttl < 0 || ttl > maxDNSTTL) {
		faults.Add("client.dns.ttl", "%s is not within 0s to %s: instances come and go", ttl, maxDNSTTL)
	}
	for key, list := range map[string][]string{"addresses": d.Addresses, "upstreams": d.Upstreams} {
		for _, addr := range list {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				host, port = addr, "53"
			}
			if n, err := strconv.Atoi(port); net.ParseIP(host) == nil || err != nil || n < 1 || n > 65535 {
				faults.Add("client.dns."+key, "%q is not an IP address, or one with a port", addr)
			}
		}
	}
}

// minHistoryMB is the smallest history: a few segments of its files.
const minHistoryMB = 16

func (c *Config) checkScheduler(faults *diag.List) {
	if b := c.Server.Scheduler; b != nil {
		if a := b.Algorithm; a != "" && a != structs.SchedulerBinPack && a != structs.SchedulerSpread {
			faults.Add("server.default_scheduler_config.scheduler_algorithm", "%q is unknown: use %s or %s", a, structs.SchedulerBinPack, structs.SchedulerSpread)
		}
		if b.NodeLimit < 0 {
			faults.Add("server.default_scheduler_config.node_limit_for_feasibility_checks", "%d is negative", b.NodeLimit)
		}
	}
}

func (c *Config) checkUnbuilt(faults *diag.List) {
	if c.ACL.Enabled {
		faults.Add("acl.enabled", "access control is not built yet: remove the block, and keep the API on loopback or behind a proxy that authenticates")
	}
	if c.TLS.HTTP && (c.TLS.CAFile == "" || c.TLS.CertFile == "" || c.TLS.KeyFile == "") {
		faults.Add("tls.http", "it needs tls.ca_file, tls.cert_file and tls.key_file: make them with `steppe tls ca create` and `steppe tls cert create`")
	}
	if c.TLS.VerifyHTTPSClient && !c.TLS.HTTP {
		faults.Add("tls.verify_https_client", "callers can prove who they are over TLS only: set tls.http too")
	}
	if len(c.Server.StartJoin)+len(c.Server.ServerJoin.StartJoin)+len(c.Client.ServerJoin.StartJoin) > 0 {
		faults.Add("start_join", "start_join is not built: use retry_join, which also waits for servers that come later")
	}
}

func (c *Config) resolveName(s *Settings, faults *diag.List) {
	s.Name = c.Name
	if s.Name != "" {
		return
	}
	host, err := os.Hostname()
	if err != nil {
		faults.Add("name", "the host's name can't be read (%v): set name", err)
	}
	s.Name = host
}

func (c *Config) resolveFolders(s *Settings, faults *diag.List) {
	s.DataDir = c.DataDir
	switch {
	case c.DataDir == "":
		faults.Add("data_dir", "no data folder is set: give an absolute path, or start with -dev")
		return
	case !filepath.IsAbs(c.DataDir):
		faults.Add("data_dir", "%q is not absolute", c.DataDir)
	}
	s.ServerDir = orDefault(c.Server.DataDir, filepath.Join(c.DataDir, "server"))
	s.ClientDir = orDefault(c.Client.StateDir, filepath.Join(c.DataDir, "client"))
	s.AllocDir = orDefault(c.Client.AllocDir, filepath.Join(c.DataDir, "alloc"))
	s.PluginDir = orDefault(c.PluginDir, filepath.Join(c.DataDir, "plugins"))
}

func (c *Config) resolveAddresses(s *Settings, faults *diag.List) {
	resolve := func(path, bind string, port int, advertise string) (string, string) {
		host := orDefault(bind, c.BindAddr)
		bound := net.JoinHostPort(host, strconv.Itoa(port))
		if net.ParseIP(host) == nil {
			faults.Add("addresses."+path, "%q is not an IP address (templates are not built yet)", host)
			return bound, bound
		}
		told := orDefault(advertise, host)
		if _, _, err := net.SplitHostPort(told); err != nil {
			told = net.JoinHostPort(strings.Trim(told, "[]"), strconv.Itoa(port))
		}
		if h, _, _ := net.SplitHostPort(told); net.ParseIP(h) != nil && net.ParseIP(h).IsUnspecified() {
			told = net.JoinHostPort(firstPrivateIP(), strconv.Itoa(port))
		}
		return bound, told
	}
	s.HTTPAddr, s.HTTPAdvertise = resolve("http", c.Addresses.HTTP, c.Ports.HTTP, c.Advertise.HTTP)
	s.RPCAddr, s.RPCAdvertise = resolve("rpc", c.Addresses.RPC, c.Ports.RPC, orDefault(c.Advertise.RPC, hostOf(c.Advertise.HTTP)))
	s.SerfAddr, s.SerfAdvertise = resolve("serf", c.Addresses.Serf, c.Ports.Serf, orDefault(c.Advertise.Serf, hostOf(orDefault(c.Advertise.RPC, c.Advertise.HTTP))))
}

func (c *Config) resolveDurations(s *Settings, faults *diag.List) {
	for _, d := range []struct {
		path, text string
		into       *time.Duration
	}{
		{"server.heartbeat_grace", c.Server.HeartbeatGrace, &s.HeartbeatGrace},
		{"server.min_heartbeat_ttl", c.Server.MinHeartbeatTTL, &s.MinHeartbeatTTL},
		{"server.failover_heartbeat_ttl", c.Server.FailoverTTL, &s.FailoverTTL},
		{"server.loss_brake_hold", c.Server.LossBrakeHold, &s.LossBrakeHold},
		{"server.job_gc_interval", c.Server.JobGCInterval, &s.JobGCInterval},
		{"server.job_gc_threshold", c.Server.JobGCThreshold, &s.JobGC},
		{"server.eval_gc_threshold", c.Server.EvalGCThreshold, &s.EvalGC},
		{"server.batch_eval_gc_threshold", c.Server.BatchEvalGCThreshold, &s.BatchEvalGC},
		{"server.deployment_gc_threshold", c.Server.DeploymentGCThreshold, &s.DeploymentGC},
		{"server.node_gc_threshold", c.Server.NodeGCThreshold, &s.NodeGC},
		{"server.history_max_age", c.Server.HistoryMaxAge, &s.HistoryMaxAge},
		{"server.raft_snapshot_interval", c.Server.RaftSnapshotInterval, &s.SnapshotInterval},
		{"client.max_kill_timeout", c.Client.MaxKillTimeout, &s.MaxKillTimeout},
		{"client.dns.ttl", c.Client.DNS.TTL, &s.DNSTTL},
		{"client.gc_interval", c.Client.GCInterval, &s.ClientGCInterval},
		{"telemetry.in_memory_collection_interval", c.Telemetry.InMemoryInterval, &s.MetricsInterval},
		{"telemetry.in_memory_retention_period", c.Telemetry.InMemoryRetention, &s.MetricsRetention},
		{"telemetry.collection_interval", c.Telemetry.CollectionInterval, &s.CollectionInterval},
		{"limits.https_handshake_timeout", c.Limits.HTTPSHandshakeTimeout, &s.HTTPSHandshakeLimit},
	} {
		value, err := time.ParseDuration(d.text)
		if err != nil || value < 0 {
			faults.Add(d.path, "%q is not a duration: write 30s, 5m or 24h", d.text)
		}
		*d.into = value
	}
	if s.HistoryMaxAge == 0 && c.Server.HistoryMaxMB != 0 {
		faults.Add("server.history_max_age", "%q keeps nothing: say so with history_max_mb = 0", c.Server.HistoryMaxAge)
	}
}

func (c *Config) resolveJoin(s *Settings, faults *diag.List) {
	key, ok := gossipKey(c.Server.Encrypt)
	if !ok {
		faults.Add("server.encrypt", "the key is not base64 of 16 or 32 bytes")
	}
	s.GossipKey = key
	interval := c.Server.RetryInterval
	s.RetryJoin = append(s.RetryJoin, c.Server.RetryJoin...)
	s.RetryMax = c.Server.RetryMax
	for _, join := range []*Join{c.Server.ServerJoin, c.Client.ServerJoin} {
		s.RetryJoin = append(s.RetryJoin, join.RetryJoin...)
		if len(join.RetryJoin) > 0 {
			interval, s.RetryMax = join.RetryInterval, join.RetryMax
		}
	}
	for _, addr := range s.RetryJoin {
		if strings.Contains(addr, "provider=") || strings.HasPrefix(addr, "exec=") {
			faults.Add("retry_join", "%q: discovery by cloud provider or program is not built yet; give an address or a DNS name", addr)
		}
	}
	value, err := time.ParseDuration(interval)
	if err != nil || value <= 0 {
		faults.Add("retry_interval", "%q is not a duration: write 30s, 5m or 24h", interval)
	}
	s.RetryInterval = value
}

// clouds are those that can be asked what a machine is.
var clouds = []string{"env_aws", "env_azure", "env_digitalocean", "env_gce"}

func (c *Config) resolveMachine(s *Settings, faults *diag.List) {
	for path, text := range map[string]string{"client.reservable_cores": c.Client.ReservableCores, "client.reserved.cores": c.Client.Reserved.Cores} {
		if _, err := cpuset.Parse(text); err != nil {
			faults.Add(path, "%v: give numbers and ranges such as 0-3,8", err)
		}
	}
	s.Fingerprints = map[string]client.FingerprintConfig{}
	for _, f := range c.Client.Fingerprints {
		path := `client.fingerprint "` + f.Name + `"`
		interval, err := time.ParseDuration(orDefault(f.RetryInterval, "0s"))
		if err != nil || interval < 0 {
			faults.Add(path+".retry_interval", "%q is not a duration: write 30s, 5m or 24h", f.RetryInterval)
		}
		if f.RetryAttempts < -1 {
			faults.Add(path+".retry_attempts", "%d is no number of attempts: -1 goes on for ever", f.RetryAttempts)
		}
		if !slices.Contains(clouds, f.Name) {
			faults.Add(path, "only what is asked over the network can be tried again: use %s", strings.Join(clouds, ", "))
		}
		s.Fingerprints[f.Name] = client.FingerprintConfig{RetryInterval: interval, RetryAttempts: f.RetryAttempts, ExitOnFailure: f.ExitOnFailure}
	}
}

func orDefault(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// firstPrivateIP is what an agent that binds every address tells others: its
// first private IPv4 address, else loopback.
func firstPrivateIP() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "127.0.0.1"
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsPrivate() {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}
