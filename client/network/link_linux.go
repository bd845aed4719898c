package network

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/internal/ids"
)

// bridgeAlias marks a bridge that was made here, and may be taken away.
const bridgeAlias = "made by steppe"

// linkName names the bridge's end of an allocation's cable, within the 15
// characters that the kernel gives.
func linkName(allocID string) string {
	const digits = 10
	if ids.Valid(allocID) {
		return "veth" + strings.ReplaceAll(allocID, "-", "")[:digits]
	}
	sum := sha256.Sum256([]byte(allocID))
	return "veth" + hex.EncodeToString(sum[:])[:digits]
}

// linkAlias says whose a cable is, and which address it has taken: agents that
// share a bridge can see it.
func (s *settings) linkAlias(r *record) string {
	return fmt.Sprintf("steppe %s %s %s", s.Owner, r.AllocID, r.Address)
}

// cable is what is told by the alias of a cable.
type cable struct{ owner, allocID, address string }

func parseAlias(alias string) (cable, bool) {
	words := strings.Fields(alias)
	if len(words) != 4 || words[0] != "steppe" {
		return cable{}, false
	}
	return cable{words[1], words[2], words[3]}, true
}

// ensureBridge makes the bridge and gives it its addresses. One that was there
// before is used as it is, and kept.
func (s *settings) ensureBridge() (netlink.Link, error) {
	link, err := netlink.LinkByName(s.Bridge)
	var missing netlink.LinkNotFoundError
	switch {
	case errors.As(err, &missing):
		attrs := netlink.NewLinkAttrs()
		attrs.Name = s.Bridge
		// A fixed address: that of a bridge else changes with its ports.
		attrs.HardwareAddr = hardware(gateway(s.subnet))
		err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
		if err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("make bridge %s: %w", s.Bridge, err)
		}
		if link, err = netlink.LinkByName(s.Bridge); err != nil {
			return nil, fmt.Errorf("find bridge %s: %w", s.Bridge, err)
		}
		if err := netlink.LinkSetAlias(link, bridgeAlias); err != nil {
			return nil, fmt.Errorf("mark bridge %s: %w", s.Bridge, err)
		}
	case err != nil:
		return nil, fmt.Errorf("find bridge %s: %w", s.Bridge, err)
	case link.Type() != "bridge":
		return nil, fmt.Errorf("the interface %s is no bridge, but a %s: set client.bridge_network_name to another name", s.Bridge, link.Type())
	}
	return link, s.dressBridge(link)
}

// dressBridge gives the bridge what it may have lost, or never had.
func (s *settings) dressBridge(link netlink.Link) error {
	conf := "net/ipv4/conf/" + s.Bridge + "/"
	// The host reaches mapped ports at 127.0.0.1 too; that nobody else does is
	// seen to by a rule.
	if err := sysctl(conf+"route_localnet", "1"); err != nil {
		return err
	}
	if err := sysctl("net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	if err := s.allowIPv6(); err != nil {
		return err
	}
	for _, subnet := range []netip.Prefix{s.subnet, s.subnet6} {
		if !subnet.IsValid() {
			continue
		}
		if err := addAddress(nil, link, netip.PrefixFrom(gateway(subnet), subnet.Bits())); err != nil {
			return fmt.Errorf("give the bridge its address: %w", err)
		}
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("set bridge up: %w", err)
		}
	}
	return nil
}

// allowIPv6 has the kernel forward IPv6 if it is wanted, without closing its
// ears to the routers that it hears today; else the bridge has none, so that no
// link-local address leads around the rules.
func (s *settings) allowIPv6() error {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		if s.subnet6.IsValid() {
			return errors.New("client.bridge_network_subnet_ipv6 is set, but this kernel has no IPv6")
		}
		return nil
	}
	disable := "net/ipv6/conf/" + s.Bridge + "/disable_ipv6"
	if !s.subnet6.IsValid() {
		return sysctl(disable, "1")
	}
	if err := sysctl(disable, "0"); err != nil {
		return err
	}
	listening, err := filepath.Glob("/proc/sys/net/ipv6/conf/*/accept_ra")
	if err != nil {
		return err
	}
	for _, path := range listening {
		if data, err := os.ReadFile(path); err == nil && string(data) == "1\n" {
			if err := sysctl(strings.TrimPrefix(path, "/proc/sys/"), "2"); err != nil {
				return err
			}
		}
	}
	return sysctl("net/ipv6/conf/all/forwarding", "1")
}

// addAddress gives a link an address, unless it has it.
func addAddress(h *netlink.Handle, link netlink.Link, p netip.Prefix) error {
	if h == nil {
		h = &netlink.Handle{}
	}
	addr := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD // it was given by us, nobody else has it
	}
	if err := h.AddrAdd(link, addr); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// plug leads a cable from the bridge into an allocation's namespace and gives
// its end there the allocation's addresses. What is there already stays.
func (s *settings) plug(r *record) error {
	bridge, err := s.ensureBridge()
	if err != nil {
		return err
	}
	space, err := netns.GetFromPath(r.Path)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer func() { _ = space.Close() }() // only read
	within, err := netlink.NewHandleAt(space, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer within.Close()
	if err := s.lay(r, bridge, within, space); err != nil {
		return err
	}
	return s.settle(r, within)
}

// lay makes the cable, if one of its ends is missing.
func (s *settings) lay(r *record, bridge netlink.Link, within *netlink.Handle, space netns.NsHandle) error {
	end, err := netlink.LinkByName(r.Link)
	if err == nil {
		if _, err := within.LinkByName(InterfaceName); err == nil {
			return s.attach(end, bridge)
		}
		if err := netlink.LinkDel(end); err != nil {
			return fmt.Errorf("take old cable away: %w", err)
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex = r.Link, bridge.Attrs().Index
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: InterfaceName, PeerHardwareAddr: hardware(r.Address), PeerNamespace: netlink.NsFd(space),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("lay cable into network namespace: %w", err)
	}
	if end, err = netlink.LinkByName(r.Link); err != nil {
		return fmt.Errorf("find cable: %w", err)
	}
	if err := netlink.LinkSetAlias(end, s.linkAlias(r)); err != nil {
		return fmt.Errorf("mark cable: %w", err)
	}
	return s.attach(end, bridge)
}

// attach plugs the bridge's end of a cable in.
func (s *settings) attach(end, bridge netlink.Link) error {
	if end.Attrs().MasterIndex != bridge.Attrs().Index {
		if err := netlink.LinkSetMaster(end, bridge); err != nil {
			return fmt.Errorf("plug cable into bridge: %w", err)
		}
	}
	if s.Hairpin {
		if err := netlink.LinkSetHairpin(end, true); err != nil {
			return fmt.Errorf("set hairpin mode: %w", err)
		}
	}
	if end.Attrs().Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(end); err != nil {
			return fmt.Errorf("set cable up: %w", err)
		}
	}
	return nil
}

// settle gives the inner end its addresses and routes.
func (s *settings) settle(r *record, within *netlink.Handle) error {
	link, err := within.LinkByName(InterfaceName)
	if err != nil {
		return fmt.Errorf("find cable in network namespace: %w", err)
	}
	for _, a := range []struct {
		addr   netip.Addr
		subnet netip.Prefix
	}{{r.Address, s.subnet}, {r.AddressIPv6, s.subnet6}} {
		if !a.addr.IsValid() {
			continue
		}
		if err := addAddress(within, link, netip.PrefixFrom(a.addr, a.subnet.Bits())); err != nil {
			return fmt.Errorf("give allocation its address: %w", err)
		}
	}
	if err := within.LinkSetUp(link); err != nil {
		return fmt.Errorf("set cable up: %w", err)
	}
	for _, subnet := range []netip.Prefix{s.subnet, s.subnet6} {
		if !subnet.IsValid() || subnet == s.subnet6 && !r.AddressIPv6.IsValid() {
			continue
		}
		any := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if subnet.Addr().Is6() {
			any = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(any), Gw: gateway(subnet).AsSlice()}
		if err := within.RouteAdd(route); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("set default route: %w", err)
		}
	}
	return nil
}

// unplug takes a cable away, with both its ends.
func unplug(name string) error {
	link, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("take cable away: %w", err)
	}
	return nil
}

// cables lists what hangs on the bridge by our marks.
func (s *settings) cables() (map[string]cable, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	out := map[string]cable{}
	for _, l := range links {
		if c, ok := parseAlias(l.Attrs().Alias); ok && l.Type() == "veth" {
			out[l.Attrs().Name] = c
		}
	}
	return out, nil
}

// dropBridge takes the bridge away if it was made here and nothing hangs on it.
func (s *settings) dropBridge() error {
	link, err := netlink.LinkByName(s.Bridge)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) || err == nil && (link.Type() != "bridge" || link.Attrs().Alias != bridgeAlias) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", s.Bridge, err)
	}
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		if l.Attrs().MasterIndex == link.Attrs().Index {
			return nil
		}
	}
	if err := netlink.LinkDel(link); err != nil {
		return fmt.Errorf("take bridge %s away: %w", s.Bridge, err)
	}
	return nil
}
