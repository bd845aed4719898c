package feasible

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// drivers asks for each driver that the group's tasks run with.
func drivers(group *structs.TaskGroup) []Check {
	var names []string
	for _, t := range group.Tasks {
		if t.Driver != "" && !slices.Contains(names, t.Driver) {
			names = append(names, t.Driver)
		}
	}
	slices.Sort(names)
	out := make([]Check, len(names))
	for i, name := range names {
		out[i] = Check{
			Name:   "driver:" + name,
			Reason: "missing drivers (" + name + ")",
			Wanted: "a healthy driver " + name,
			Actual: func(n *structs.Node) string { return driverState(n, name) },
			Make: func() func(*structs.Node) bool {
				return func(n *structs.Node) bool {
					d := n.Drivers[name]
					return d != nil && d.Detected && d.Healthy
				}
			},
		}
	}
	return out
}

// never filters every node, and says why.
func never(reason string) Check {
	return Check{
		Name:   "never:" + reason,
		Reason: reason,
		Make:   func() func(*structs.Node) bool { return func(*structs.Node) bool { return false } },
	}
}

// volumes asks for the host volumes of the group.
func volumes(group *structs.TaskGroup) []Check {
	names := make([]string, 0, len(group.Volumes))
	for name := range group.Volumes {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []Check
	for _, name := range names {
		req := group.Volumes[name]
		switch {
		case req == nil:
		case req.Type == structs.VolumeTypeCSI:
			out = append(out, never("CSI volumes are not built yet"))
		case req.PerAlloc:
			out = append(out, never("host volumes per allocation are not built yet"))
		default:
			out = append(out, hostVolume(req.Source, req.ReadOnly))
		}
	}
	return out
}

func hostVolume(source string, readOnly bool) Check {
	return Check{
		Name:   fmt.Sprintf("volume:%s\x00%t", source, readOnly),
		Reason: "missing compatible host volumes (" + source + ")",
		Wanted: volumeWanted(source, readOnly),
		Actual: func(n *structs.Node) string { return volumeState(n, source) },
		Make: func() func(*structs.Node) bool {
			return func(n *structs.Node) bool {
				v := n.HostVolumes[source]
				return v != nil && (readOnly || !v.ReadOnly)
			}
		},
	}
}

// networks asks for the network modes and the host networks of the group.
func networks(group *structs.TaskGroup) []Check {
	var out []Check
	for _, net := range group.Networks {
		if net.Mode == structs.NetworkModeBridge || strings.HasPrefix(net.Mode, structs.NetworkModeCNI) {
			out = append(out, networkMode(net.Mode))
		}
		for _, p := range slices.Concat(net.ReservedPorts, net.DynamicPorts) {
			if p.HostNetwork != "" && p.HostNetwork != structs.HostNetworkName {
				out = append(out, hostNetwork(p.HostNetwork))
			}
		}
	}
	return out
}

func networkMode(mode string) Check {
	return Check{
		Name:   "network:" + mode,
		Reason: "missing network (" + mode + ")",
		Wanted: "a network of mode " + mode,
		Actual: modes,
		Make: func() func(*structs.Node) bool {
			return func(n *structs.Node) bool {
				return n.NodeResources != nil && slices.ContainsFunc(n.NodeResources.Networks,
					func(net *structs.NetworkResource) bool { return net.Mode == mode })
			}
		},
	}
}

func hostNetwork(name string) Check {
	return Check{
		Name:   "hostnet:" + name,
		Reason: "missing host network (" + name + ")",
		Wanted: "a host network " + name,
		Actual: func(n *structs.Node) string { return listed(slices.Collect(maps.Keys(n.HostNetworks))) },
		Make: func() func(*structs.Node) bool {
			return func(n *structs.Node) bool { _, ok := n.HostNetworks[name]; return ok }
		},
	}
}
