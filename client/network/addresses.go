package network

import (
	"fmt"
	"net/netip"
)

// nextAddress finds a free address of a subnet, beginning after the one that
// was given last: an address that has just become free rests for a while.
func nextAddress(subnet netip.Prefix, last netip.Addr, taken map[netip.Addr]bool) (netip.Addr, error) {
	first := gateway(subnet).Next()
	at := first
	if last.IsValid() && subnet.Contains(last) {
		at = last.Next()
	}
	// Each address that is taken is passed at most once in each of two rounds.
	for range 2*len(taken) + 4 {
		if !usable(subnet, at) {
			at = first
			if !usable(subnet, at) {
				break
			}
		}
		if !taken[at] {
			return at, nil
		}
		at = at.Next()
	}
	return netip.Addr{}, fmt.Errorf("the bridge's subnet %s has no free address: end some allocations, or set client.bridge_network_subnet to a larger one", subnet)
}

// usable leaves out what isn't in the subnet, and the broadcast address.
func usable(subnet netip.Prefix, a netip.Addr) bool {
	return a.IsValid() && subnet.Contains(a) && (a.Is6() || subnet.Contains(a.Next()))
}

// hardware is the hardware address that goes with an address: whoever
// remembers the address' last holder isn't led astray.
func hardware(a netip.Addr) []byte {
	b := a.As4()
	return append([]byte{0x02, 0x5e}, b[:]...)
}
