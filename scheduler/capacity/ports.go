package capacity

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// The range of dynamic ports of a node that doesn't name its own, both ends
// inclusive.
const (
	DefaultMinDynamicPort = 20000
	DefaultMaxDynamicPort = 32000
)

// Held is a host port in use on an address of its node; an empty address is
// the node's default one.
type Held struct {
	IP   string
	Port uint16
}

// Ports are the host ports of one node, by address.
type Ports struct {
	min, max  int // dynamic range
	defaultIP string
	networks  map[string]string // host_network name -> address
	addresses []*address
}

// address is the ports of one address of a node.
type address struct {
	ip       string
	taken    portSet // by allocations
	reserved portSet // by the node's operator
	// more counts holders of a port beyond the first (ignore_collision).
	more map[uint16]int
}

// describe takes over what the node says of its addresses.
func (p *Ports) describe(n *structs.Node) {
	p.min, p.max = DefaultMinDynamicPort, DefaultMaxDynamicPort
	if r := n.NodeResources; r != nil {
		if r.MinDynamicPort > 0 {
			p.min = r.MinDynamicPort
		}
		if r.MaxDynamicPort > 0 {
			p.max = r.MaxDynamicPort
		}
	}
	old := p.defaultIP
	p.defaultIP = n.DefaultAddress()
	if a := p.find(old); a != nil && old != p.defaultIP && p.find(p.defaultIP) == nil {
		a.ip = p.defaultIP // allocations that named no address follow the default
	}
	for _, a := range p.addresses {
		a.reserved = portSet{}
	}
	p.networks = make(map[string]string, len(n.HostNetworks))
	for name, info := range n.HostNetworks {
		p.networks[name] = n.HostNetworkAddress(info)
	}
	for _, kept := range n.KeptPorts() {
		a := p.at(kept.IP)
		for port := int(kept.From); port <= int(kept.To); port++ {
			a.reserved.set(uint16(port))
		}
	}
}

// Address returns the address of a host network; ok is false if the node has
// no such network.
func (p *Ports) Address(network string) (ip string, ok bool) {
	if network == "" || network == structs.HostNetworkName {
		if ip, named := p.networks[structs.HostNetworkName]; named {
			return ip, true
		}
		return p.defaultIP, true
	}
	ip, ok = p.networks[network]
	return ip, ok
}

// Default returns the node's default address.
func (p *Ports) Default() string { return p.defaultIP }

// Range returns the node's dynamic ports, both ends inclusive.
func (p *Ports) Range() (lo, hi int) { return p.min, p.max }

// Free reports whether a port of an address is neither taken nor reserved.
func (p *Ports) Free(ip string, port uint16) bool {
	return !p.some(ip, func(a *address) bool { return a.taken.has(port) || a.reserved.has(port) })
}

// some asks those addresses that share their ports with one. On a node without
// a default address, what names none is on all addresses.
func (p *Ports) some(ip string, f func(*address) bool) bool {
	if p.defaultIP != "" {
		a := p.find(ip)
		return a != nil && f(a)
	}
	return slices.ContainsFunc(p.addresses, func(a *address) bool { return (ip == "" || a.ip == ip || a.ip == "") && f(a) })
}

// Shared reports whether two addresses share their ports.
func (p *Ports) Shared(ip, other string) bool {
	if p.defaultIP == "" {
		return ip == other || ip == "" || other == ""
	}
	return cmp.Or(ip, p.defaultIP) == cmp.Or(other, p.defaultIP)
}

// Reserved reports whether the node's operator keeps a port of an address.
func (p *Ports) Reserved(ip string, port uint16) bool {
	return p.some(ip, func(a *address) bool { return a.reserved.has(port) })
}

// HasDynamic reports whether an address surely has n dynamic ports left. It
// may say no when a port was freed only by the caller; then count.
func (p *Ports) HasDynamic(ip string, n int) bool {
	all := max(0, p.max-p.min+1)
	if p.defaultIP == "" && len(p.addresses) > 1 {
		return false
	}
	a := p.find(ip)
	if a == nil {
		return all >= n
	}
	if all-a.taken.size-a.reserved.size >= n { // as if all were in the range
		return true
	}
	return all-a.taken.countUnion(&a.reserved, p.min, p.max) >= n
}

func (p *Ports) find(ip string) *address {
	if ip == "" {
		ip = p.defaultIP
	}
	for _, a := range p.addresses {
		if a.ip == ip {
			return a
		}
	}
	return nil
}

func (p *Ports) at(ip string) *address {
	if a := p.find(ip); a != nil {
		return a
	}
	if ip == "" {
		ip = p.defaultIP
	}
	a := &address{ip: ip}
	p.addresses = append(p.addresses, a)
	return a
}

func (p *Ports) take(ports []Held) {
	for _, h := range ports {
		a := p.at(h.IP)
		if a.taken.has(h.Port) {
			if a.more == nil {
				a.more = map[uint16]int{}
			}
			a.more[h.Port]++
			continue
		}
		a.taken.set(h.Port)
	}
}

func (p *Ports) give(ports []Held) {
	for _, h := range ports {
		a := p.find(h.IP)
		if a == nil {
			continue
		}
		if n := a.more[h.Port]; n > 0 {
			a.more[h.Port] = n - 1
			continue
		}
		a.taken.clear(h.Port)
	}
}

// portSet is a set of ports in chunks of 1,024, made when first used: most
// nodes touch only their dynamic range.
type portSet struct {
	chunks [64]*[16]uint64
	size   int
}

func (s *portSet) has(p uint16) bool {
	c := s.chunks[p>>10]
	return c != nil && c[p>>6&15]&(1<<(p&63)) != 0
}

func (s *portSet) set(p uint16) {
	if s.chunks[p>>10] == nil {
		s.chunks[p>>10] = new([16]uint64)
	}
	if !s.has(p) {
		s.size++
	}
	s.chunks[p>>10][p>>6&15] |= 1 << (p & 63)
}

func (s *portSet) clear(p uint16) {
	if s.has(p) {
		s.size--
		s.chunks[p>>10][p>>6&15] &^= 1 << (p & 63)
	}
}

// countUnion returns how many ports of lo..hi are in s or in o.
func (s *portSet) countUnion(o *portSet, lo, hi int) int {
	n := 0
	for w := lo >> 6; w <= hi>>6; w++ {
		word := s.word(w) | o.word(w)
		if first := w << 6; first < lo {
			word &= ^uint64(0) << (lo - first)
		}
		if last := w<<6 + 63; last > hi {
			word &= ^uint64(0) >> (last - hi)
		}
		n += bits.OnesCount64(word)
	}
	return n
}

func (s *portSet) word(w int) uint64 {
	if c := s.chunks[w>>4]; c != nil {
		return c[w&15]
	}
	return 0
}

// portsOf lists the host ports of an allocation.
func portsOf(r *structs.AllocatedResources) []Held {
	if r == nil {
		return nil
	}
	out := mapped(r.Shared.Ports)
	if len(out) == 0 {
		out = networkPorts(out, r.Shared.Networks)
	}
	for _, t := range r.Tasks {
		out = networkPorts(out, t.Networks)
	}
	if len(r.Tasks) > 1 { // map order must not show
		slices.SortFunc(out, func(a, b Held) int {
			if a.IP != b.IP {
				return strings.Compare(a.IP, b.IP)
			}
			return int(a.Port) - int(b.Port)
		})
	}
	return out
}

func networkPorts(out []Held, networks []*structs.NetworkResource) []Held {
	for _, n := range networks {
		for _, ports := range [][]structs.Port{n.ReservedPorts, n.DynamicPorts} {
			for _, p := range ports {
				if p.Value > 0 {
					out = append(out, Held{IP: n.IP, Port: uint16(p.Value)})
				}
			}
		}
	}
	return out
}

func mapped(ports []structs.PortMapping) []Held {
	var out []Held
	for _, p := range ports {
		if p.Value > 0 {
			out = append(out, Held{IP: p.HostIP, Port: uint16(p.Value)})
		}
	}
	return out
}

func sameHeld(a, b []Held) bool { return slices.Equal(a, b) }
