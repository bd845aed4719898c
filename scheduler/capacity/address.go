package capacity

import (
	"net/netip"

	"github.com/steppe-run/steppe/structs"
)

// defaultAddress is where ports go that name no host network: the address of
// the node's first host-mode network.
func defaultAddress(n *structs.Node) string {
	if n.NodeResources == nil {
		return ""
	}
	for _, net := range n.NodeResources.Networks {
		if hostMode(net) && net.IP != "" {
			return net.IP
		}
	}
	return ""
}

func hostMode(n *structs.NetworkResource) bool {
	return n.Mode == "" || n.Mode == structs.NetworkModeHost
}

// hostNetworkAddress is the address that stands for a named host network: one
// of the node's addresses inside the network's CIDR and on its interface. If
// none is known, the default one is taken: rather a port too few than one given
// twice.
func hostNetworkAddress(n *structs.Node, info *structs.HostNetworkInfo) string {
	if info == nil {
		return defaultAddress(n)
	}
	prefix, err := netip.ParsePrefix(info.CIDR)
	hasCIDR := err == nil
	if hasCIDR && prefix.IsSingleIP() {
		return prefix.Addr().String()
	}
	if n.NodeResources != nil {
		for _, net := range n.NodeResources.Networks {
			if hostMode(net) && net.IP != "" && inside(net, info.Interface, prefix, hasCIDR) {
				return net.IP
			}
		}
	}
	if hasCIDR && prefix.Addr() != prefix.Masked().Addr() {
		return prefix.Addr().String() // an address with its mask, 10.0.0.7/24
	}
	return defaultAddress(n)
}

func inside(net *structs.NetworkResource, device string, prefix netip.Prefix, hasCIDR bool) bool {
	if device != "" && net.Device != device {
		return false
	}
	if !hasCIDR {
		return device != ""
	}
	ip, err := netip.ParseAddr(net.IP)
	return err == nil && prefix.Contains(ip)
}
