package structs

import (
	"net/netip"
	"slices"
	"strings"
)

func (g *TaskGroup) validateNetworks(f faults) {
	f.check(len(g.Networks) <= 1, "a group can have one network block, this has %d", len(g.Networks))
	for _, n := range g.Networks {
		n.validate(f.in("network"))
	}
}

func (n *NetworkResource) validate(f faults) {
	modes := []string{NetworkModeNone, NetworkModeHost, NetworkModeBridge}
	cni := strings.HasPrefix(n.Mode, NetworkModeCNI) && n.Mode != NetworkModeCNI
	f.in("mode").check(cni || slices.Contains(modes, n.Mode), "%s", wantOneOf(n.Mode, append(modes, "cni/<network>")))
	labels, static := map[string]bool{}, map[Port]string{}
	for _, p := range slices.Concat(n.ReservedPorts, n.DynamicPorts) {
		in := f.in("port %q", p.Label)
		in.check(p.Label != "", "a port needs a label")
		in.check(!labels[p.Label], "there are two ports of this label: rename one")
		labels[p.Label] = true
		p.validate(in, n.Mode)
		if p.Value == 0 {
			continue
		}
		key := Port{Value: p.Value, HostNetwork: p.HostNetwork}
		if other, taken := static[key]; taken {
			in.add("the static port %d is taken by port %q of the same group", p.Value, other)
		}
		static[key] = p.Label
	}
	if n.Hostname != "" && !strings.Contains(n.Hostname, "${") {
		f.in("hostname").check(isDNSName(n.Hostname), "%q is not a host name", n.Hostname)
	}
	if n.DNS != nil {
		for _, s := range n.DNS.Servers {
			_, err := netip.ParseAddr(s)
			f.in("dns > servers").check(err == nil || strings.Contains(s, "${"), "%q is not an IP address", s)
		}
	}
	if n.CNI != nil {
		for _, k := range mapKeys(n.CNI.Args) {
			f.in("cni > args").check(!strings.Contains(k+n.CNI.Args[k], ";"), "%q must not contain a semicolon", k)
		}
	}
}

func (p Port) validate(f faults, mode string) {
	f.in("static").check(p.Value >= 0 && p.Value <= 65535, "must be from 1 to 65535, is %d", p.Value)
	f.in("to").check(p.To >= -1 && p.To <= 65535, "must be from 0 to 65535, or -1 for the host's port, is %d", p.To)
	f.in("ignore_collision").check(!p.IgnoreCollision || mode == NetworkModeHost, "only works with network mode host")
}

func (g *TaskGroup) validateVolumes(f faults, kind string) {
	for _, name := range mapKeys(g.Volumes) {
		v := g.Volumes[name]
		in := f.in("volume %q", name)
		in.check(name != "", "a volume needs a label")
		types := []string{VolumeTypeHost, VolumeTypeCSI}
		in.in("type").check(slices.Contains(types, v.Type), "%s", wantOneOf(v.Type, types))
		in.in("source").check(v.Source != "", "name the volume that is meant")
		canary := g.Update != nil && Value(g.Update.Canary) > 0
		in.check(!canary || !v.OneWriter(),
			"a canary would have to write to volume %q beside the old version, and its access_mode %q allows one writer: leave canary out, or let several write", name, v.AccessMode)
		if v.PerAlloc {
			in.in("per_alloc").check(kind != JobTypeSystem && kind != JobTypeSysBatch, "%s jobs can't have it", kind)
			in.in("per_alloc").check(!canary, "can't be used together with canaries")
			in.in("sticky").check(!v.Sticky, "can't be used together with per_alloc")
		}
		if v.Type == VolumeTypeCSI {
			in.in("access_mode").check(v.AccessMode != "", "is required for csi volumes")
			in.in("attachment_mode").check(v.AttachmentMode != "", "is required for csi volumes")
		} else {
			in.in("mount_options").check(v.MountOptions == nil, "only works with csi volumes")
		}
	}
}

// HasPort reports whether one of the group's networks, or a network of one of
// its tasks, has a port of that label.
func (g *TaskGroup) HasPort(label string) bool {
	nets := slices.Clone(g.Networks)
	for _, t := range g.Tasks {
		if t.Resources != nil {
			nets = append(nets, t.Resources.Networks...)
		}
	}
	for _, n := range nets {
		for _, p := range slices.Concat(n.ReservedPorts, n.DynamicPorts) {
			if p.Label == label {
				return true
			}
		}
	}
	return false
}

// isDNSName reports whether s is a host name: labels of letters, digits and
// inner hyphens, joined by dots.
func isDNSName(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isDNSLabel(label) {
			return false
		}
	}
	return true
}

func isDNSLabel(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		ok := c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !ok {
			return false
		}
	}
	return true
}
