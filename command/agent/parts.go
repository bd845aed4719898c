package agent

import (
	"encoding/base64"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/client"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/builtin"
	"github.com/steppe-run/steppe/drivers/plugin"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

func (a *assembly) serverConfig() server.Config {
	c, s := a.config, a.settings
	return server.Config{
		Name: s.Name, Region: c.Region, Datacenter: c.Datacenter, DataDir: s.ServerDir, Dev: c.Dev,
		BootstrapExpect: c.Server.BootstrapExpect, RetryJoin: s.RetryJoin, RetryInterval: s.RetryInterval, RetryMax: s.RetryMax,
		LinkAddr: s.RPCAddr, SerfAddr: s.SerfAddr,
		LinkAdvertiseAddr: s.RPCAdvertise, SerfAdvertiseAddr: s.SerfAdvertise, HTTPAdvertiseAddr: s.HTTPAdvertise,
		TLS: a.tls, EncryptKey: s.GossipKey, Version: a.process.Version, RaftMultiplier: c.Server.RaftMultiplier,
		SnapshotThreshold: uint64(max(c.Server.RaftSnapshotThreshold, 0)), TrailingLogs: uint64(max(c.Server.RaftTrailingLogs, 0)),
		SnapshotInterval: s.SnapshotInterval, MaxConnsPerClient: c.Limits.RPCMaxConnsPerClient,
		HeartbeatGrace: s.HeartbeatGrace, MinHeartbeatTTL: s.MinHeartbeatTTL, MaxHeartbeatsPerSecond: int(c.Server.MaxHeartbeats),
		FailoverHeartbeatTTL: s.FailoverTTL,
		Brake:                server.BrakeConfig{Percent: c.Server.LossBrakePercent, MinNodes: c.Server.LossBrakeMinNodes, Hold: orNever(s.LossBrakeHold)},
		QuarantineAfter:      orNever(c.Server.QuarantineAfter),
		GC: server.GCConfig{
			Interval: s.JobGCInterval, EvalThreshold: s.EvalGC, BatchEvalThreshold: s.BatchEvalGC,
			JobThreshold: s.JobGC, NodeThreshold: s.NodeGC, DeploymentThreshold: s.DeploymentGC,
		},
		History: server.HistoryConfig{
			Off: c.Server.HistoryMaxMB == 0, MaxBytes: int64(c.Server.HistoryMaxMB) << 20, MaxAge: s.HistoryMaxAge,
		},
		DefaultSchedulerConfig: c.Server.Scheduler.configuration(),
		JobMaxCount:            limitOf(c.Server.JobMaxCount),
		Logger:                 a.logger.With(logx.KeyRoom, "server"),
	}
}

// limitOf is a limit as a server is told it, where a configuration says 0 for none.
func limitOf(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// orNever is a limit as a server is told it, where a configuration says 0 for
// never.
func orNever[T int | time.Duration](n T) T {
	if n == 0 {
		return -1
	}
	return n
}

func (a *assembly) hostConfig(blocks map[string]plugin.Block) plugin.Config {
	c, s := a.config, a.settings
	return plugin.Config{
		Builtins: builtin.Drivers(slices.Collect(maps.Keys(blocks))...), Blocks: blocks, PluginDir: s.PluginDir, StateDir: filepath.Join(s.ClientDir, "plugins"),
		Allow: nameList(c.Client.Options["driver.allowlist"]), Deny: nameList(c.Client.Options["driver.denylist"]),
		Node:   drivers.NodeConfig{ClientMinPort: uint32(c.Client.ClientMinPort), ClientMaxPort: uint32(c.Client.ClientMaxPort)},
		Logger: a.logger.With(logx.KeyRoom, "drivers"),
	}
}

// nameList reads an option that holds names with commas between them.
func nameList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

func (a *assembly) clientConfig() client.Config {
	c, s := a.config, a.settings
	return client.Config{
		Region: c.Region, Datacenter: c.Datacenter, Name: s.Name, NodeClass: c.Client.NodeClass, NodePool: c.Client.NodePool,
		Version: a.process.Version, Revision: a.process.Revision, Speaks: a.process.Speaks, StateDir: s.ClientDir, AllocDir: s.AllocDir, HTTPAddr: s.HTTPAdvertise, TLSEnabled: c.TLS.HTTP, Meta: c.Client.Meta,
		NetworkInterface: c.Client.NetworkInterface,
		CPUTotalCompute:  c.Client.CPUTotalCompute, MemoryTotalMB: c.Client.MemoryTotalMB,
		DiskTotalMB: c.Client.DiskTotalMB, DiskFreeMB: c.Client.DiskFreeMB,
		Reserved: c.Client.Reserved.resources(), ReservedCores: c.Client.Reserved.Cores, ReservableCores: c.Client.ReservableCores,
		NetworkSpeed: c.Client.NetworkSpeed, Fingerprints: s.Fingerprints,
		MinDynamicPort: c.Client.MinDynamicPort, MaxDynamicPort: c.Client.MaxDynamicPort,
		HostVolumes: hostVolumes(c.Client.HostVolumes), HostNetworks: hostNetworks(c.Client.HostNetworks),
		CgroupParent: c.Client.CgroupParent, Options: c.Client.Options, NoHostUUID: c.Client.NoHostUUID,
		MaxKillTimeout: s.MaxKillTimeout, DisableRemoteExec: c.Client.DisableExec,
		DNS: c.Client.DNS.config(s.DNSTTL),
		GC: client.GCConfig{
			Interval: s.ClientGCInterval, ParallelDestroys: c.Client.GCParallel, DiskUsageThreshold: c.Client.GCDiskUsage,
			InodeUsageThreshold: c.Client.GCInodeUsage, MaxAllocs: c.Client.GCMaxAllocs,
		},
		Network: a.networkConfig(),
		Dev:     c.Dev,
	}
}

// networkConfig says how allocations with a network of their own are connected:
// not to the agent.
func (a *assembly) networkConfig() client.NetworkConfig {
	c := a.config.Client
	out := client.NetworkConfig{
		Bridge: c.BridgeName, Subnet: c.BridgeSubnet, SubnetIPv6: c.BridgeSubnetIPv6, Hairpin: c.BridgeHairpin,
		NoWildcard:     !c.BindWildcard,
		AllowLinkLocal: c.Options["bridge.allow_link_local"] == "true",
	}
	for _, addr := range []string{a.settings.HTTPAddr, a.settings.RPCAddr, a.settings.SerfAddr} {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			continue
		}
		if n, err := strconv.Atoi(port); err == nil && n > 0 {
			out.GuardedPorts = append(out.GuardedPorts, n)
		}
	}
	return out
}

// config is where and how names are answered for.
func (d *DNSBlock) config(ttl time.Duration) client.DNSConfig {
	out := client.DNSConfig{Domain: d.Domain, TTL: ttl, Upstreams: d.Upstreams}
	for i, addr := range d.Upstreams {
		if i == 0 {
			out.Upstreams = make([]string, len(d.Upstreams))
		}
		out.Upstreams[i] = withPort(addr, 53)
	}
	if d.Enabled {
		for _, addr := range d.Addresses {
			out.Addrs = append(out.Addrs, withPort(addr, d.Port))
		}
	}
	return out
}

func (r *Reserved) resources() structs.NodeReservedResources {
	return structs.NodeReservedResources{
		Cpu:      structs.NodeReservedCpuResources{CpuShares: uint64(max(0, r.CPU))},
		Memory:   structs.NodeReservedMemoryResources{MemoryMB: uint64(max(0, r.Memory))},
		Disk:     structs.NodeReservedDiskResources{DiskMB: uint64(max(0, r.Disk))},
		Networks: structs.NodeReservedNetworkResources{ReservedHostPorts: r.ReservedPorts},
	}
}

func hostVolumes(all []*HostVolume) map[string]*structs.HostVolumeInfo {
	out := map[string]*structs.HostVolumeInfo{}
	for _, v := range all {
		out[v.Name] = &structs.HostVolumeInfo{Path: v.Path, ReadOnly: v.ReadOnly}
	}
	return out
}

func hostNetworks(all []*HostNetwork) map[string]*structs.HostNetworkInfo {
	out := map[string]*structs.HostNetworkInfo{}
	for _, n := range all {
		out[n.Name] = &structs.HostNetworkInfo{Name: n.Name, CIDR: n.CIDR, Interface: n.Interface, ReservedPorts: n.ReservedPorts}
	}
	return out
}

// serverAddrs is where the node begins to look for servers: its own agent's,
// the configured ones, and those that it would join.
func (a *assembly) serverAddrs() []string {
	var out []string
	if a.server != nil {
		out = append(out, a.settings.RPCAdvertise)
	}
	for _, addr := range append(append([]string(nil), a.config.Client.Servers...), a.config.Client.ServerJoin.RetryJoin...) {
		out = append(out, withPort(addr, defaultRPCPort))
	}
	return out
}

func withPort(addr string, port int) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(addr, strconv.Itoa(port))
}

func (a *assembly) apiConfig() door.Config {
	c := door.Config{
		Region: a.config.Region, Name: a.settings.Name, Hosts: a.knownHosts(), Agent: facade{a}, Logs: a.logs,
		Metrics: a.metrics.metrics, Sink: a.metrics.sink, Logger: a.logger,
	}
	for name, value := range a.config.HTTPHeaders {
		if c.ResponseHeaders == nil {
			c.ResponseHeaders = map[string]string{}
		}
		c.ResponseHeaders[http.CanonicalHeaderKey(name)] = value
	}
	if a.metrics.registry != nil {
		c.Prometheus = a.metrics.registry
	}
	if a.server != nil {
		c.Server = a.server
	}
	if a.client != nil {
		c.Node = localNode{a.client}
	}
	if a.server == nil {
		c.Upstream = a.upstream
	}
	return c
}

// knownHosts are the names that people may use to reach this agent's API.
func (a *assembly) knownHosts() []string {
	out := []string{a.settings.Name}
	for _, addr := range []string{a.settings.HTTPAddr, a.settings.HTTPAdvertise} {
		out = append(out, hostOf(addr))
	}
	return out
}

// gossipKey reads the configured gossip key: base64 of 16 or 32 bytes.
func gossipKey(text string) ([]byte, bool) {
	if text == "" {
		return nil, true
	}
	key, err := base64.StdEncoding.DecodeString(text)
	return key, err == nil && (len(key) == 16 || len(key) == 32)
}
