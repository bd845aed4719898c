package structs

import (
	"net/netip"
	"strconv"
	"strings"
)

// DefaultAddress is where ports go that name no host network: the address of
// the node's first host-mode network.
func (n *Node) DefaultAddress() string {
	if n.NodeResources == nil {
		return ""
	}
	for _, net := range n.NodeResources.Networks {
		if net != nil && hostMode(net) && net.IP != "" {
			return net.IP
		}
	}
	return ""
}

func hostMode(n *NetworkResource) bool {
	return n.Mode == "" || n.Mode == NetworkModeHost
}

// HostNetworkAddress is the address that stands for a named host network: one
// of the node's addresses inside the network's CIDR and on its interface. If
// none is known, the default one is taken: rather a port too few than one given
// twice.
func (n *Node) HostNetworkAddress(info *HostNetworkInfo) string {
	if info == nil {
		return n.DefaultAddress()
	}
	prefix, err := netip.ParsePrefix(info.CIDR)
	hasCIDR := err == nil
	if hasCIDR && prefix.IsSingleIP() {
		return prefix.Addr().String()
	}
	if n.NodeResources != nil {
		for _, net := range n.NodeResources.Networks {
			if net != nil && hostMode(net) && net.IP != "" && inside(net, info.Interface, prefix, hasCIDR) {
				return net.IP
			}
		}
	}
	if hasCIDR && prefix.Addr() != prefix.Masked().Addr() {
		return prefix.Addr().String() // an address with its mask, 10.0.0.7/24
	}
	return n.DefaultAddress()
}

func inside(net *NetworkResource, device string, prefix netip.Prefix, hasCIDR bool) bool {
	if device != "" && net.Device != device {
		return false
	}
	if !hasCIDR {
		return device != ""
	}
	ip, err := netip.ParseAddr(net.IP)
	return err == nil && prefix.Contains(ip)
}

// PortRange is host ports of a node, both ends inclusive.
type PortRange struct {
	// IP is the address that has them, empty for the node's default one.
	IP       string
	From, To uint16
}

// KeptPorts returns the host ports that the node's operator keeps from
// allocations: those of all its addresses, and those of one host network. What
// can't be read was refused by the node's configuration, and is left out.
func (n *Node) KeptPorts() []PortRange {
	var out []PortRange
	for _, info := range n.HostNetworks {
		if info != nil {
			out = keptPorts(out, n.HostNetworkAddress(info), info.ReservedPorts)
		}
	}
	if n.ReservedResources == nil || n.ReservedResources.Networks.ReservedHostPorts == "" {
		return out
	}
	list := n.ReservedResources.Networks.ReservedHostPorts
	out = keptPorts(out, n.DefaultAddress(), list)
	for _, info := range n.HostNetworks {
		out = keptPorts(out, n.HostNetworkAddress(info), list)
	}
	return out
}

// keptPorts reads a list such as "22,8000-8010".
func keptPorts(out []PortRange, ip, list string) []PortRange {
	for part := range strings.SplitSeq(list, ",") {
		lo, hi, isRange := strings.Cut(strings.TrimSpace(part), "-")
		from, err := strconv.ParseUint(strings.TrimSpace(lo), 10, 16)
		if err != nil {
			continue
		}
		to := from
		if isRange {
			if to, err = strconv.ParseUint(strings.TrimSpace(hi), 10, 16); err != nil {
				continue
			}
		}
		out = append(out, PortRange{IP: ip, From: uint16(from), To: uint16(to)})
	}
	return out
}
