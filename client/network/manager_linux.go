package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

const (
	// healEvery is how often it is asked whether anybody changed the packet
	// filter; that costs one question to the kernel.
	healEvery = time.Second
	// sweepEvery is how often everything is compared with the records.
	sweepEvery = 5 * time.Minute
)

// Manager makes and takes away the networks of one node's allocations.
type Manager struct {
	settings
	records records
	wake    chan struct{}

	mu    sync.Mutex
	known map[string]*record
	last  [2]netip.Addr // given most recently, by family
	asked int           // changes of the records that rules depend on

	rules   sync.Mutex // held while rules are written; before mu
	written int        // the value of asked that the rules show
	seen    uint32     // generation of the packet filter after we looked at it
}

// New reads the records; it makes nothing yet.
func New(cfg Config) (*Manager, error) {
	s, err := read(cfg)
	if err != nil {
		return nil, err
	}
	m := &Manager{settings: *s, records: records{cfg.Dir}, wake: make(chan struct{}, 1)}
	if m.known, err = m.records.read(); err != nil {
		return nil, err
	}
	for _, r := range m.known {
		for i, a := range []netip.Addr{r.Address, r.AddressIPv6} {
			if a.IsValid() && (!m.last[i].IsValid() || m.last[i].Less(a)) {
				m.last[i] = a
			}
		}
	}
	return m, nil
}

// Make brings about the network of an allocation.
func (m *Manager) Make(ctx context.Context, w Wanted) (*Made, error) {
	if err := safeID(w.AllocID); err != nil {
		return nil, err
	}
	r, err := m.intend(w)
	if err != nil {
		return nil, err
	}
	if r.Own {
		if err := makeNamespace(ctx, r.Path); err != nil {
			return nil, err
		}
	}
	made := &Made{Isolation: &drivers.NetworkIsolation{Mode: drivers.NetworkGroup, Path: r.Path}}
	if r.bridged() {
		if err := m.connect(r); err != nil {
			return nil, err
		}
		made.Status = &structs.AllocNetworkStatus{InterfaceName: InterfaceName, Address: r.Address.String()}
		if r.AddressIPv6.IsValid() {
			made.Status.AddressIPv6 = r.AddressIPv6.String()
		}
	}
	made.Isolation.Hosts = &drivers.HostsConfig{Hostname: w.Hostname}
	if made.Status != nil {
		made.Isolation.Hosts.Address = made.Status.Address
	}
	return made, nil
}

// intend writes down what is going to be made, or finds it written.
func (m *Manager) intend(w Wanted) (*record, error) {
	if strings.HasPrefix(w.Mode, structs.NetworkModeCNI) {
		return nil, fmt.Errorf("network mode %q is not built yet in this release", w.Mode)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &record{AllocID: w.AllocID, Mode: w.Mode, Path: w.Path, Ports: w.Ports}
	if r.Path == "" {
		r.Path, r.Own = filepath.Join(m.Namespaces, w.AllocID), true
	}
	if old := m.known[w.AllocID]; old != nil && old.Mode == r.Mode {
		r.Link, r.Address, r.AddressIPv6 = old.Link, old.Address, old.AddressIPv6
		if !m.subnet.Contains(r.Address) {
			r.Address = netip.Addr{} // the node was given another subnet
		}
		if !m.subnet6.IsValid() || !m.subnet6.Contains(r.AddressIPv6) {
			r.AddressIPv6 = netip.Addr{}
		}
	}
	if r.bridged() {
		r.Link = linkName(w.AllocID)
		if err := m.checkPorts(r.Ports); err != nil {
			return nil, err
		}
		if err := m.giveAddresses(r); err != nil {
			return nil, err
		}
	}
	if err := m.records.write(r); err != nil {
		return nil, err
	}
	m.known[r.AllocID] = r
	m.asked++
	return r, nil
}

// giveAddresses gives a record addresses of its own. Called with mu held.
func (m *Manager) giveAddresses(r *record) error {
	if r.Address.IsValid() && (r.AddressIPv6.IsValid() || !m.subnet6.IsValid()) {
		return nil
	}
	taken := map[netip.Addr]bool{}
	for id, other := range m.known {
		if id != r.AllocID {
			taken[other.Address], taken[other.AddressIPv6] = true, true
		}
	}
	others, err := m.cables()
	if err != nil {
		return err
	}
	for _, c := range others {
		if a, err := netip.ParseAddr(c.address); err == nil && c.allocID != r.AllocID {
			taken[a] = true
		}
	}
	if !r.Address.IsValid() {
		if r.Address, err = nextAddress(m.subnet, m.last[0], taken); err != nil {
			return err
		}
		m.last[0] = r.Address
	}
	if m.subnet6.IsValid() && !r.AddressIPv6.IsValid() {
		if r.AddressIPv6, err = nextAddress(m.subnet6, m.last[1], taken); err != nil {
			return err
		}
		m.last[1] = r.AddressIPv6
	}
	return nil
}

// checkPorts refuses what couldn't be mapped.
func (m *Manager) checkPorts(ports []structs.PortMapping) error {
	for _, p := range ports {
		if at, wildcard := m.reachedAt(p); !wildcard && at.Is6() && !m.subnet6.IsValid() {
			return fmt.Errorf("port %q is on the IPv6 address %s, but bridge networks of this node have no IPv6: set client.bridge_network_subnet_ipv6", p.Label, at)
		}
	}
	return nil
}

// connect makes the cable and the rules of an allocation.
func (m *Manager) connect(r *record) error {
	if err := m.plug(r); err != nil {
		return err
	}
	if err := m.putOrigin(r); err != nil {
		return err
	}
	return m.showRules()
}

// showRules has the rules show every record that there is by now. Those who
// come while somebody writes share the next writing.
func (m *Manager) showRules() error {
	m.mu.Lock()
	asked := m.asked
	m.mu.Unlock()
	m.rules.Lock()
	defer m.rules.Unlock()
	if m.written >= asked {
		return nil
	}
	return m.writeRules()
}

// writeRules must be called with rules held.
func (m *Manager) writeRules() error {
	all, asked := m.all()
	if !slices.ContainsFunc(all, (*record).bridged) {
		if err := errors.Join(m.dropRules(), m.closeForeign(), m.dropBridge()); err != nil {
			return err
		}
		m.written = asked
		return nil
	}
	if err := m.putRules(all); err != nil {
		return err
	}
	if err := m.openForeign(); err != nil {
		return err
	}
	m.written = asked
	return nil
}

// all returns the records in a fixed order.
func (m *Manager) all() ([]*record, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]*record, 0, len(m.known))
	for _, id := range slices.Sorted(maps.Keys(m.known)) {
		out = append(out, m.known[id])
	}
	return out, m.asked
}

// Drop takes the network of an allocation away. It is idempotent; what it
// can't take away is tried again with the next sweep.
func (m *Manager) Drop(ctx context.Context, allocID string) error {
	m.mu.Lock()
	r := m.known[allocID]
	m.mu.Unlock()
	if r == nil {
		return nil
	}
	if r.bridged() {
		if err := errors.Join(m.dropOrigin(r.Link), unplug(r.Link)); err != nil {
			return err
		}
		forgetConnections(r)
	}
	if r.Own {
		if err := removeNamespace(r.Path); err != nil {
			return err
		}
	}
	m.mu.Lock()
	delete(m.known, allocID)
	m.asked++
	m.mu.Unlock()
	if r.bridged() {
		if err := m.showRules(); err != nil {
			return err
		}
	}
	return m.records.remove(allocID)
}

// forgetConnections ends what the kernel remembers of an allocation's
// connections: whoever has its ports or its address next starts anew. That they
// can't be found is no reason to keep a network.
func forgetConnections(r *record) {
	for _, a := range []netip.Addr{r.Address, r.AddressIPv6} {
		if !a.IsValid() {
			continue
		}
		family := netlink.InetFamily(unix.AF_INET)
		if a.Is6() {
			family = unix.AF_INET6
		}
		for _, kind := range []netlink.ConntrackFilterType{netlink.ConntrackReplySrcIP, netlink.ConntrackOrigSrcIP} {
			filter := &netlink.ConntrackFilter{}
			if filter.AddIP(kind, a.AsSlice()) == nil {
				_, _ = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, filter) // as told above
			}
		}
	}
}

// Sweep takes away what belongs to allocations that aren't alive any more.
func (m *Manager) Sweep(ctx context.Context, alive func(allocID string) bool) {
	all, _ := m.all()
	for _, r := range all {
		if alive(r.AllocID) {
			continue
		}
		if err := m.Drop(ctx, r.AllocID); err != nil {
			m.Logger.Warn("the network of an ended allocation could not be taken away", logx.KeyAlloc, r.AllocID, logx.KeyError, err)
		}
	}
	others, err := m.cables()
	if err != nil {
		m.Logger.Warn("networks could not be swept", logx.KeyError, err)
	}
	for name, c := range others {
		m.mu.Lock()
		_, known := m.known[c.allocID]
		m.mu.Unlock()
		if known || c.owner != m.Owner || alive(c.allocID) {
			continue
		}
		err := errors.Join(m.dropOrigin(name), unplug(name))
		if safeID(c.allocID) == nil {
			err = errors.Join(err, removeNamespace(filepath.Join(m.Namespaces, c.allocID)))
		}
		if err != nil {
			m.Logger.Warn("the network of an unknown allocation could not be taken away", logx.KeyAlloc, c.allocID, logx.KeyError, err)
		}
	}
}

// Run keeps what was made as it was made, and sweeps what is left of others,
// until ctx ends.
func (m *Manager) Run(ctx context.Context, alive func(allocID string) bool) error {
	m.Sweep(ctx, alive)
	next := m.Clock.Now().Add(sweepEvery)
	for {
		if err := loop.Sleep(ctx, m.Clock, healEvery); err != nil {
			return err
		}
		if err := m.heal(); err != nil {
			m.Logger.Warn("the packet rules of networks could not be kept", logx.KeyError, err)
		}
		if now := m.Clock.Now(); !now.Before(next) {
			m.Sweep(ctx, alive)
			next = now.Add(sweepEvery)
		}
	}
}

// heal puts back what somebody has taken away. While nobody has touched the
// packet filter nor the bridge, that is two questions to the kernel.
func (m *Manager) heal() error {
	all, _ := m.all()
	all = slices.DeleteFunc(all, func(r *record) bool { return !r.bridged() })
	if len(all) == 0 {
		return nil
	}
	if err := m.healCables(all); err != nil {
		return err
	}
	m.rules.Lock()
	defer m.rules.Unlock()
	generation, err := ruleGeneration()
	if err != nil || generation == m.seen {
		return err
	}
	if all, _ = m.all(); !slices.ContainsFunc(all, (*record).bridged) {
		return nil
	}
	stand, err := m.rulesStand(all)
	if err != nil {
		return err
	}
	if !stand {
		m.Logger.Warn("packet rules of networks were changed by somebody else and are put back")
		if err := m.writeRules(); err != nil {
			return err
		}
	} else if err := m.openForeign(); err != nil {
		return err
	}
	missing, err := m.originsMissing(all)
	if err != nil {
		return err
	}
	for _, r := range missing {
		if _, err := netlink.LinkByName(r.Link); err != nil {
			continue // it is just being made, or taken away
		}
		if err := m.putOrigin(r); err != nil {
			return err
		}
	}
	m.seen = generation // if we changed it, we look once more
	return nil
}

// healCables plugs in anew what lost its bridge.
func (m *Manager) healCables(all []*record) error {
	if _, err := netlink.LinkByName(m.Bridge); err == nil {
		return nil
	}
	m.Logger.Warn("the bridge of networks is gone and is made again", "interface", m.Bridge)
	for _, r := range all {
		if !isNamespace(r.Path) {
			continue
		}
		if err := m.plug(r); err != nil {
			return err
		}
	}
	return nil
}

// read checks a configuration and fills in what it leaves out.
func read(cfg Config) (*settings, error) {
	s := &settings{Config: cfg}
	if cfg.Dir == "" {
		return nil, errors.New("networks need a folder for their records")
	}
	fill(&s.Owner, "node")
	fill(&s.Namespaces, DefaultNamespaces)
	fill(&s.Bridge, DefaultBridge)
	fill(&s.Subnet, DefaultSubnet)
	if s.Clock == nil {
		s.Clock = clock.Real{}
	}
	if s.Logger == nil {
		s.Logger = logx.Discard()
	}
	if len(s.Bridge) >= unix.IFNAMSIZ || strings.ContainsAny(s.Bridge, "/ \t\n:") || s.Bridge == "." || s.Bridge == ".." {
		return nil, fmt.Errorf("bridge_network_name %q can't name an interface: use at most %d letters, digits and hyphens", s.Bridge, unix.IFNAMSIZ-1)
	}
	var err error
	if s.subnet, err = parseSubnet("bridge_network_subnet", s.Subnet, 4, 30); err != nil {
		return nil, err
	}
	if s.SubnetIPv6 != "" {
		s.subnet6, err = parseSubnet("bridge_network_subnet_ipv6", s.SubnetIPv6, 6, 126)
	}
	return s, err
}

func parseSubnet(key, text string, version, most int) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4() != (version == 4) || p.Bits() > most {
		return netip.Prefix{}, fmt.Errorf("%s %q must be an IPv%d network of at most /%d, such as %s", key, text, version, most, map[int]string{4: DefaultSubnet, 6: "fd00:a110:c8::/64"}[version])
	}
	return p.Masked(), nil
}

func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
