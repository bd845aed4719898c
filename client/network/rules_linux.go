package network

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/structs"
)

// The priorities of our chains: before everybody else's filters, whose accept
// doesn't overrule our drop.
const (
	beforeFilter = -10
	beforeMost   = -300
)

// dnatStatus is the mark of connections whose target was mapped, in the
// kernel's status of a connection.
const dnatStatus = 1 << 5

// wantedChain is a chain as it is to be, with its rules in their order.
type wantedChain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook // nil: a chain that others jump to
	priority int32
	rules    []wantedRule
}

// wantedRule is a rule and what it is recognised by.
type wantedRule struct {
	text  string
	exprs []expr.Any
}

// mark is what the rule carries in the kernel.
func (r wantedRule) mark() []byte {
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.text)) // never fails
	return userdata.AppendString(nil, userdata.TypeComment, fmt.Sprintf("steppe %x", h.Sum64()))
}

// family is one of the two internet protocols.
type family struct {
	table   nftables.TableFamily
	subnet  netip.Prefix
	source  uint32 // where an address lies in the header
	target  uint32
	version int
}

func families(s *settings) []family {
	out := []family{{nftables.TableFamilyIPv4, s.subnet, 12, 16, 4}}
	if s.subnet6.IsValid() {
		out = append(out, family{nftables.TableFamilyIPv6, s.subnet6, 8, 24, 6})
	}
	return out
}

// chains are all rules of a family: what follows from the records, and from
// nothing else.
func (s *settings) chains(f family, all []*record) []wantedChain {
	return []wantedChain{
		{"guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, beforeMost, s.guard(f)},
		{"ports", "", nil, 0, s.ports(f, all)},
		{"arrive", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, int32(*nftables.ChainPriorityNATDest), toPorts()},
		{"begin", nftables.ChainTypeNAT, nftables.ChainHookOutput, int32(*nftables.ChainPriorityNATDest), toPorts()},
		{"leave", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, int32(*nftables.ChainPriorityNATSource), s.leave(f)},
		{"visit", nftables.ChainTypeFilter, nftables.ChainHookInput, beforeFilter, s.visit()},
		{"pass", nftables.ChainTypeFilter, nftables.ChainHookForward, beforeFilter, s.pass(f)},
	}
}

// guard keeps everybody but the node itself from its loopback addresses: the
// bridge takes packets to them, for the node's own sake.
func (s *settings) guard(f family) []wantedRule {
	if f.version != 4 {
		return nil
	}
	return []wantedRule{rule("not lo to 127.0.0.0/8: drop", notInto("lo"), f.to(netip.MustParsePrefix("127.0.0.0/8")), drop())}
}

// toPorts leads what is meant for the node itself to the ports that are mapped.
func toPorts() []wantedRule {
	return []wantedRule{
		rule("tcp to here: ports", here(), protocol(unix.IPPROTO_TCP), jump("ports")),
		rule("udp to here: ports", here(), protocol(unix.IPPROTO_UDP), jump("ports")),
	}
}

// ports maps the node's ports to the allocations.
func (s *settings) ports(f family, all []*record) []wantedRule {
	var out []wantedRule
	for _, r := range all {
		target := r.Address
		if f.version == 6 {
			target = r.AddressIPv6
		}
		if !r.bridged() || !target.IsValid() {
			continue
		}
		for _, p := range r.Ports {
			at, wildcard := s.reachedAt(p)
			if !wildcard && at.Is6() != (f.version == 6) {
				continue
			}
			clauses := [][]expr.Any{}
			name := "any"
			if !wildcard {
				name = at.String()
				clauses = append(clauses, f.to(netip.PrefixFrom(at, at.BitLen())))
			}
			clauses = append(clauses, port(p.Value), toward(f, target, inner(p)))
			out = append(out, rule(fmt.Sprintf("%s %d: %s %d", name, p.Value, target, inner(p)), clauses...))
		}
	}
	return out
}

// reachedAt is the node's address at which a port is mapped, or whether it is
// at all of them: so are those of the default host network, unless that is the
// loopback.
func (s *settings) reachedAt(p structs.PortMapping) (at netip.Addr, wildcard bool) {
	at, err := netip.ParseAddr(p.HostIP)
	if err != nil {
		return at, true
	}
	at = at.Unmap()
	isDefault := s.DefaultAddress != nil && s.DefaultAddress() == p.HostIP
	return at, isDefault && !s.NoWildcard && !at.IsLoopback()
}

// inner is a port as the task knows it.
func inner(p structs.PortMapping) int {
	if p.To > 0 {
		return p.To
	}
	return p.Value
}

// leave gives what leaves the bridge's subnet the node's own address, and what
// couldn't be answered otherwise the bridge's.
func (s *settings) leave(f family) []wantedRule {
	var out []wantedRule
	if f.version == 4 {
		out = append(out, rule("loopback to bridge: masquerade", outOf(s.Bridge), f.from(netip.MustParsePrefix("127.0.0.0/8")), masquerade()))
	}
	return append(out,
		rule("subnet to bridge by a mapped port: masquerade", outOf(s.Bridge), f.from(f.subnet), mapped(), masquerade()),
		rule("subnet to elsewhere: masquerade", notOutOf(s.Bridge), f.from(f.subnet), masquerade()),
	)
}

// visit keeps tasks from the agent's own ports.
func (s *settings) visit() []wantedRule {
	out := []wantedRule{rule("bridge, established: accept", into(s.Bridge), state(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept())}
	for _, p := range s.GuardedPorts {
		for _, l4 := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			out = append(out, rule(fmt.Sprintf("bridge to port %d by %d: drop", p, l4), into(s.Bridge), protocol(l4), port(p), drop()))
		}
	}
	return out
}

// pass lets onto the bridge what was asked for from there or by a mapped port.
// Whatever other rules of the node accept, the rest doesn't get there.
func (s *settings) pass(f family) []wantedRule {
	var out []wantedRule
	if f.version == 4 && !s.AllowLinkLocal {
		out = append(out, rule("bridge to link-local: drop", into(s.Bridge), f.to(netip.MustParsePrefix("169.254.0.0/16")), drop()))
	}
	return append(out,
		rule("within bridge: accept", into(s.Bridge), outOf(s.Bridge), accept()),
		rule("established to bridge: accept", outOf(s.Bridge), state(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept()),
		rule("mapped to bridge: accept", outOf(s.Bridge), mapped(), accept()),
		rule("else to bridge: drop", outOf(s.Bridge), drop()),
	)
}

// origin lets through only what an allocation sends by its own name.
func origin(r *record) []wantedRule {
	out := []wantedRule{
		rule("ip of another: drop", frame(unix.ETH_P_IP), network(expr.CmpOpNeq, 12, r.Address), drop()),
		rule("arp of another: drop", frame(unix.ETH_P_ARP), network(expr.CmpOpNeq, 14, r.Address), drop()),
		rule("ip: accept", frame(unix.ETH_P_IP), accept()),
		rule("arp: accept", frame(unix.ETH_P_ARP), accept()),
	}
	if r.AddressIPv6.IsValid() {
		out = append(out,
			rule("ip6 of it: accept", frame(unix.ETH_P_IPV6), network(expr.CmpOpEq, 8, r.AddressIPv6), accept()),
			rule("ip6 of the link: accept", frame(unix.ETH_P_IPV6), within(8, netip.MustParsePrefix("fe80::/10")), accept()),
			rule("ip6 of nobody: accept", frame(unix.ETH_P_IPV6), network(expr.CmpOpEq, 8, netip.IPv6Unspecified()), accept()),
		)
	}
	out = append(out, rule("else: drop", drop()))
	for i := range out {
		out[i].text = fmt.Sprintf("%s %s %s", r.Address, r.AddressIPv6, out[i].text)
	}
	return out
}

func rule(text string, clauses ...[]expr.Any) wantedRule {
	return wantedRule{text, slices.Concat(clauses...)}
}

func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func device(key expr.MetaKey, op expr.CmpOp, name string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: ifname(name)}}
}

func into(name string) []expr.Any     { return device(expr.MetaKeyIIFNAME, expr.CmpOpEq, name) }
func notInto(name string) []expr.Any  { return device(expr.MetaKeyIIFNAME, expr.CmpOpNeq, name) }
func outOf(name string) []expr.Any    { return device(expr.MetaKeyOIFNAME, expr.CmpOpEq, name) }
func notOutOf(name string) []expr.Any { return device(expr.MetaKeyOIFNAME, expr.CmpOpNeq, name) }

func (f family) from(p netip.Prefix) []expr.Any { return within(f.source, p) }
func (f family) to(p netip.Prefix) []expr.Any   { return within(f.target, p) }

// within asks whether the address at an offset of the header is in a prefix.
func within(offset uint32, p netip.Prefix) []expr.Any {
	p = p.Masked()
	addr := p.Addr().AsSlice()
	n := uint32(len(addr))
	out := []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: n}}
	if !p.IsSingleIP() {
		out = append(out, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: n, Mask: ipNet(p).Mask, Xor: make([]byte, n)})
	}
	return append(out, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: addr})
}

// network compares the address at an offset of the header.
func network(op expr.CmpOp, offset uint32, a netip.Addr) []expr.Any {
	b := a.AsSlice()
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(b))},
		&expr.Cmp{Op: op, Register: 1, Data: b},
	}
}

func protocol(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}}}
}

// frame compares what a frame carries.
func frame(etherType uint16) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: bigEndian(etherType)}}
}

// port compares the port that is asked for.
func port(n int) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: bigEndian(uint16(n))},
	}
}

func bigEndian(n uint16) []byte { return []byte{byte(n >> 8), byte(n)} }

// here asks whether a packet is for one of the node's own addresses.
func here() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: native(unix.RTN_LOCAL)},
	}
}

func connection(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

func state(bits uint32) []expr.Any { return connection(expr.CtKeySTATE, bits) }
func mapped() []expr.Any           { return connection(expr.CtKeySTATUS, dnatStatus) }

// toward maps a connection's target.
func toward(f family, a netip.Addr, port int) []expr.Any {
	proto := uint32(unix.NFPROTO_IPV4)
	if f.version == 6 {
		proto = unix.NFPROTO_IPV6
	}
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: a.AsSlice()},
		&expr.Immediate{Register: 2, Data: bigEndian(uint16(port))},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: proto, RegAddrMin: 1, RegProtoMin: 2},
	}
}

func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }
func drop() []expr.Any       { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }
func accept() []expr.Any     { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }
func jump(to string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: to}}
}

// tableName is that of our tables, one a family.
func (s *settings) tableName() string {
	return "steppe_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, s.Bridge+"_"+s.Owner[:min(8, len(s.Owner))])
}
