//go:build linux

package docker

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/structs"
)

// createOptions puts a task into the engine's terms. It refuses what the node
// doesn't allow.
func createOptions(t *drivers.TaskConfig, c *taskConfig, plugin *pluginConfig) (client.ContainerCreateOptions, error) {
	host := &container.HostConfig{
		Runtime: c.Runtime, ReadonlyRootfs: c.ReadonlyRootfs, GroupAdd: c.GroupAdd, ExtraHosts: c.ExtraHosts,
		PidMode: container.PidMode(c.PidMode), IpcMode: container.IpcMode(c.IpcMode), UTSMode: container.UTSMode(c.UTSMode),
		UsernsMode: container.UsernsMode(c.UsernsMode), CgroupnsMode: container.CgroupnsMode(c.CgroupNS),
		Sysctls: merge(c.Sysctl), StorageOpt: merge(c.StorageOpt), ShmSize: c.ShmSize, VolumeDriver: c.VolumeDriver,
		OomScoreAdj: max(c.OOMScoreAdj, plugin.OOMScoreAdj), LogConfig: logConfig(c, plugin), Privileged: c.Privileged,
	}
	if _, gpu := t.DeviceEnv["NVIDIA_VISIBLE_DEVICES"]; gpu && host.Runtime == "" {
		host.Runtime = plugin.NvidiaRuntime
	}
	if c.Init {
		host.Init = &c.Init
	}
	config := &container.Config{
		Image: c.Image, User: t.User, Hostname: c.Hostname, WorkingDir: c.WorkDir, Tty: c.TTY, OpenStdin: c.Interactive,
		Labels: labels(t, c, plugin), Entrypoint: c.Entrypoint, Env: environment(t),
	}
	if c.Command != "" {
		config.Cmd = append([]string{c.Command}, c.Args...)
	} else if len(c.Args) > 0 {
		config.Cmd = c.Args
	}
	if c.Healthchecks != nil && c.Healthchecks.Disable {
		config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
	}
	out := client.ContainerCreateOptions{Config: config, HostConfig: host, Name: containerName(t)}
	return out, errors.Join(
		permit(t, c, plugin), security(host, t, c, plugin), capabilities(host, c, plugin), resources(host, t, c, plugin), ulimits(host, c),
		mounts(host, t, c, plugin), devices(host, t, c, plugin), dns(host, t, c), networking(&out, t, c), publish(&out, t, c),
	)
}

// containerName is unique to a task of an allocation, whatever start it is.
func containerName(t *drivers.TaskConfig) string { return t.Name + "-" + t.AllocID }

func environment(t *drivers.TaskConfig) []string {
	all := maps.Clone(t.Env)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, t.DeviceEnv)
	out := make([]string, 0, len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		out = append(out, key+"="+all[key])
	}
	return out
}

// labels are the task's own, ours, and those of the field that the node's
// configuration asks for.
func labels(t *drivers.TaskConfig, c *taskConfig, plugin *pluginConfig) map[string]string {
	out := map[string]string{}
	maps.Copy(out, merge(c.Labels))
	out[labelAlloc], out[labelTask], out[labelNode] = t.AllocID, t.ID, t.NodeID
	extra := map[string]string{
		"job_id": t.JobID, "job_name": t.JobName, "task_group_name": t.TaskGroup, "task_name": t.Name,
		"namespace": t.Namespace, "node_id": t.NodeID, "node_name": t.NodeName, "short_alloc_id": t.AllocID[:min(8, len(t.AllocID))],
	}
	for key, value := range extra {
		if matches(plugin.ExtraLabels, key) {
			out["com.hashicorp.nomad."+key] = value
		}
	}
	return out
}

func logConfig(c *taskConfig, plugin *pluginConfig) container.LogConfig {
	chosen := plugin.Logging
	if c.Logging != nil {
		chosen = c.Logging
	}
	if chosen == nil {
		return container.LogConfig{}
	}
	kind := chosen.Type
	if kind == "" {
		kind = chosen.Driver
	}
	config := merge(chosen.Config)
	if kind == "" {
		kind = "json-file"
	}
	if kind == "json-file" {
		if config == nil {
			config = map[string]string{}
		}
		// The engine's own are without bounds: a task would fill the node's disk.
		for key, value := range map[string]string{"max-file": "2", "max-size": "2m"} {
			if config[key] == "" {
				config[key] = value
			}
		}
	}
	return container.LogConfig{Type: kind, Config: config}
}

// capabilities gives the defaults less cap_drop plus cap_add, as far as the
// node allows them.
func capabilities(host *container.HostConfig, c *taskConfig, plugin *pluginConfig) error {
	if c.Privileged {
		return nil
	}
	allowed := map[string]bool{}
	for _, name := range plugin.AllowCaps {
		allowed[capName(name)] = true
	}
	given := map[string]bool{}
	for _, name := range strings.Fields(defaultCaps) {
		given[name] = allowed[name] || allowed["ALL"]
	}
	for _, name := range c.CapDrop {
		if capName(name) == "ALL" {
			clear(given)
		}
		given[capName(name)] = false
	}
	var refused []string
	for _, name := range c.CapAdd {
		name = capName(name)
		if !allowed[name] && !allowed["ALL"] {
			refused = append(refused, strings.ToLower(name))
		}
		given[name] = true
	}
	if len(refused) > 0 {
		return fmt.Errorf(`cap_add: %s not allowed on this node: see allow_caps in plugin "docker"`, strings.Join(refused, ", "))
	}
	host.CapDrop = []string{"ALL"}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if given[name] {
			host.CapAdd = append(host.CapAdd, name)
		}
	}
	return nil
}

func capName(name string) string {
	return strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(name)), "CAP_")
}

// defaultPids bounds the processes and threads of a task about which neither it
// nor its node says anything: one that forks without end must not take the
// node's last.
const defaultPids = 512

// resources sets the limits. Memory is hard; the reservation is what the
// scheduler counted when the task may use more.
func resources(host *container.HostConfig, t *drivers.TaskConfig, c *taskConfig, plugin *pluginConfig) error {
	if c.PidsLimit > 0 && plugin.PidsLimit > 0 && c.PidsLimit > plugin.PidsLimit {
		return fmt.Errorf("pids_limit %d is above this node's %d", c.PidsLimit, plugin.PidsLimit)
	}
	if c.PidsLimit < 0 || c.ShmSize < 0 || c.MemoryHardLimit < 0 {
		return errors.New("pids_limit, shm_size and memory_hard_limit can't be negative")
	}
	limit := int64(defaultPids)
	if plugin.PidsLimit > 0 {
		limit = plugin.PidsLimit
	}
	if c.PidsLimit > 0 {
		limit = c.PidsLimit
	}
	host.PidsLimit = &limit
	host.CpusetCpus = c.CpusetCPUs
	r := t.Resources
	if r == nil {
		return nil
	}
	host.Memory = r.Linux.MemoryLimitBytes
	if hard := c.MemoryHardLimit << 20; hard > 0 {
		if hard < r.Linux.MemoryLimitBytes {
			return fmt.Errorf("memory_hard_limit %d must not be below the task's memory", c.MemoryHardLimit)
		}
		host.Memory = hard
	}
	reserved := r.Allocated.Memory.MemoryMB << 20
	if reserved == 0 {
		reserved = r.Linux.MemoryLimitBytes
	}
	if reserved > 0 && reserved < host.Memory {
		host.MemoryReservation = reserved
	}
	// No swap: a task that needs more memory than it has shall be told.
	host.MemorySwap = host.Memory
	host.CPUShares = r.Linux.CPUShares
	if host.CpusetCpus == "" {
		host.CpusetCpus = r.Linux.CpusetCPUs
	}
	if c.CPUHardLimit {
		if c.CPUCFSPeriod < 1000 || c.CPUCFSPeriod > 1000000 {
			return fmt.Errorf("cpu_cfs_period %d must be between 1000 and 1000000", c.CPUCFSPeriod)
		}
		host.CPUPeriod = c.CPUCFSPeriod
		host.CPUQuota = max(1000, int64(math.Round(r.Linux.PercentTicks*float64(c.CPUCFSPeriod)*float64(runtime.NumCPU()))))
	}
	return nil
}

func ulimits(host *container.HostConfig, c *taskConfig) error {
	for name, value := range merge(c.Ulimit) {
		soft, hard, both := strings.Cut(value, ":")
		if !both {
			hard = soft
		}
		s, err1 := strconv.ParseInt(strings.TrimSpace(soft), 10, 64)
		h, err2 := strconv.ParseInt(strings.TrimSpace(hard), 10, 64)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("ulimit %s = %q: give a number, or soft:hard", name, value)
		}
		host.Ulimits = append(host.Ulimits, &container.Ulimit{Name: name, Soft: s, Hard: h})
	}
	return nil
}

func devices(host *container.HostConfig, t *drivers.TaskConfig, c *taskConfig, plugin *pluginConfig) error {
	for _, d := range t.Devices {
		host.Devices = append(host.Devices, container.DeviceMapping{PathOnHost: d.HostPath, PathInContainer: d.TaskPath, CgroupPermissions: d.Permissions})
	}
	for _, d := range c.Devices {
		if d.HostPath == "" {
			return errors.New("devices: host_path is missing")
		}
		if err := deviceAllowed(d.HostPath, plugin); err != nil {
			return fmt.Errorf("devices: %w", err)
		}
		if d.ContainerPath == "" {
			d.ContainerPath = d.HostPath
		}
		if d.CgroupPermissions == "" {
			d.CgroupPermissions = "rwm"
		}
		if strings.Trim(d.CgroupPermissions, "rwm") != "" {
			return fmt.Errorf("devices: cgroup_permissions %q must be some of rwm", d.CgroupPermissions)
		}
		host.Devices = append(host.Devices, container.DeviceMapping{PathOnHost: d.HostPath, PathInContainer: d.ContainerPath, CgroupPermissions: d.CgroupPermissions})
	}
	return nil
}

// nameservers prefers the task's own words over the group's.
func nameservers(t *drivers.TaskConfig, c *taskConfig) (servers, search, options []string) {
	servers, search, options = c.DNSServers, c.DNSSearch, c.DNSOptions
	if t.DNS != nil && len(servers)+len(search)+len(options) == 0 {
		servers, search, options = t.DNS.Servers, t.DNS.Searches, t.DNS.Options
	}
	return servers, search, options
}

func dns(host *container.HostConfig, t *drivers.TaskConfig, c *taskConfig) error {
	servers, search, options := nameservers(t, c)
	for _, word := range append(append([]string{}, search...), options...) {
		if strings.ContainsAny(word, " \t\r\n") {
			return fmt.Errorf("dns_search_domains, dns_options: %q is not one word", word)
		}
	}
	for _, s := range servers {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("dns_servers: %q is not an address", s)
		}
		host.DNS = append(host.DNS, addr)
	}
	host.DNSSearch, host.DNSOptions = search, options
	for _, entry := range c.ExtraHosts {
		name, addr, _ := strings.Cut(entry, ":")
		if _, err := netip.ParseAddr(strings.Trim(addr, "[]")); name == "" || err != nil && addr != "host-gateway" || strings.ContainsAny(name, " \t\r\n") {
			return fmt.Errorf("extra_hosts: %q must be of the form name:address", entry)
		}
	}
	return nil
}

// networking joins the container to its network.
func networking(out *client.ContainerCreateOptions, t *drivers.TaskConfig, c *taskConfig) error {
	id, err := joined(t)
	if err != nil {
		return err
	}
	if id != "" {
		return join(out, t, c, id)
	}
	mode := c.NetworkMode
	if mode == "" {
		mode = "default"
	}
	out.HostConfig.NetworkMode = container.NetworkMode(mode)
	if len(c.NetworkAliases) == 0 && c.IPv4Address == "" && c.IPv6Address == "" && c.MacAddress == "" {
		return nil
	}
	if name := out.HostConfig.NetworkMode; !name.IsUserDefined() && (len(c.NetworkAliases) > 0 || c.IPv4Address != "" || c.IPv6Address != "") {
		return fmt.Errorf("network_aliases, ipv4_address and ipv6_address need a network of your own in network_mode, not %q", mode)
	}
	endpoint, err := endpointOf(c)
	if err != nil {
		return err
	}
	out.NetworkingConfig = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{mode: endpoint}}
	return nil
}

// endpointOf is what the task wishes its place in a network to be.
func endpointOf(c *taskConfig) (*network.EndpointSettings, error) {
	endpoint := &network.EndpointSettings{Aliases: c.NetworkAliases}
	if c.MacAddress != "" {
		if err := endpoint.MacAddress.UnmarshalText([]byte(c.MacAddress)); err != nil {
			return nil, fmt.Errorf("mac_address %q: %w", c.MacAddress, err)
		}
	}
	if c.IPv4Address == "" && c.IPv6Address == "" {
		return endpoint, nil
	}
	endpoint.IPAMConfig = &network.EndpointIPAMConfig{}
	for _, a := range []struct {
		name, text string
		into       *netip.Addr
	}{{"ipv4_address", c.IPv4Address, &endpoint.IPAMConfig.IPv4Address}, {"ipv6_address", c.IPv6Address, &endpoint.IPAMConfig.IPv6Address}} {
		if a.text == "" {
			continue
		}
		addr, err := netip.ParseAddr(a.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not an address", a.name, a.text)
		}
		*a.into = addr
	}
	return endpoint, nil
}

// publish maps the ports that the task names from the node into the container.
func publish(out *client.ContainerCreateOptions, t *drivers.TaskConfig, c *taskConfig) error {
	if len(c.Ports) > 0 && len(c.PortMap) > 0 {
		return errors.New("ports and port_map can't be used together: port_map is the old form of ports")
	}
	wanted := map[string]int{}
	for _, label := range c.Ports {
		wanted[label] = 0
	}
	for _, m := range c.PortMap {
		maps.Copy(wanted, m)
	}
	if mode := out.HostConfig.NetworkMode; len(wanted) == 0 || mode.IsHost() || mode.IsNone() || mode.IsContainer() {
		return nil
	}
	out.Config.ExposedPorts, out.HostConfig.PortBindings = network.PortSet{}, network.PortMap{}
	for _, label := range slices.Sorted(maps.Keys(wanted)) {
		ports := portsOf(t, label)
		if len(ports) == 0 {
			return fmt.Errorf("port %q isn't in the group's network block: add it there", label)
		}
		for _, p := range ports {
			inside := wanted[label]
			if inside == 0 {
				inside = p.To
			}
			if inside <= 0 {
				inside = p.Value
			}
			if err := bind(out, inside, p.Value, p.HostIP); err != nil {
				return fmt.Errorf("port %q: %w", label, err)
			}
		}
	}
	return nil
}

// portsOf are the group's ports of a label: one on each host network.
func portsOf(t *drivers.TaskConfig, label string) []structs.PortMapping {
	if t.Resources == nil {
		return nil
	}
	var out []structs.PortMapping
	for _, p := range t.Resources.Ports {
		if p.Label == label {
			out = append(out, p)
		}
	}
	return out
}

func bind(out *client.ContainerCreateOptions, inside, outside int, ip string) error {
	var addr netip.Addr
	if ip != "" {
		var err error
		if addr, err = netip.ParseAddr(ip); err != nil {
			return fmt.Errorf("host address %q: %w", ip, err)
		}
	}
	for _, protocol := range []string{"tcp", "udp"} {
		port, err := network.ParsePort(strconv.Itoa(inside) + "/" + protocol)
		if err != nil {
			return err
		}
		out.Config.ExposedPorts[port] = struct{}{}
		out.HostConfig.PortBindings[port] = append(out.HostConfig.PortBindings[port], network.PortBinding{HostIP: addr, HostPort: strconv.Itoa(outside)})
	}
	return nil
}
