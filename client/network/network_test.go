//go:build linux

package network

import (
	"context"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/structs"
)

func mapping(label string, value, to int, ip string) structs.PortMapping {
	return structs.PortMapping{Label: label, Value: value, To: to, HostIP: ip}
}

func TestAllocationsReachEachOtherAndTheWorldAndAreReachedByTheirPorts(t *testing.T) {
	n := newNode(t, nil)
	a := n.make("a1", mapping("http", 8080, 80, nodeAddr), mapping("local", 8081, 81, "127.0.0.1"))
	b := n.make("b1", mapping("http", 9090, 80, nodeAddr))
	if a.Status.Address != "172.26.64.2" || b.Status.Address != "172.26.64.3" || a.Status.InterfaceName != "eth0" {
		t.Errorf("addresses %+v %+v", a.Status, b.Status)
	}
	serve(t, a.Isolation.Path, ":80", "a")
	serve(t, a.Isolation.Path, ":81", "a-local")
	serve(t, b.Isolation.Path, ":80", "b")
	serve(t, n.world, ":80", "world")
	hears(t, a.Isolation.Path, "172.26.64.3:80", "b 172.26.64.2")
	hears(t, a.Isolation.Path, worldAddr+":80", "world "+nodeAddr)
	hears(t, n.world, nodeAddr+":8080", "a "+worldAddr)
	hears(t, n.world, nodeAddr+":9090", "b "+worldAddr)
	hears(t, "", nodeAddr+":8080", "a "+nodeAddr)
	hears(t, "", "127.0.0.1:8080", "a 172.26.64.1")
	hears(t, "", "127.0.0.1:8081", "a-local 172.26.64.1")
	// By the node's port from within the bridge: one of another, one's own.
	hears(t, a.Isolation.Path, nodeAddr+":9090", "b 172.26.64.1")
	// What isn't meant for the outside.
	silent(t, n.world, nodeAddr+":8081")
	silent(t, n.world, "172.26.64.2:80")
	if err := n.manager.Drop(t.Context(), "a1"); err != nil {
		t.Fatal(err)
	}
	silent(t, n.world, nodeAddr+":8080")
	hears(t, n.world, nodeAddr+":9090", "b "+worldAddr)
}

func TestATaskReachesItselfByItsPortInHairpinMode(t *testing.T) {
	n := newNode(t, func(c *Config) { c.Hairpin = true })
	a := n.make("a1", mapping("http", 8080, 80, nodeAddr))
	serve(t, a.Isolation.Path, ":80", "a")
	hears(t, a.Isolation.Path, nodeAddr+":8080", "a 172.26.64.1")
}

func TestPortsStayOnTheirAddressWithoutTheWildcard(t *testing.T) {
	n := newNode(t, func(c *Config) { c.NoWildcard = true })
	a := n.make("a1", mapping("http", 8080, 80, nodeAddr))
	serve(t, a.Isolation.Path, ":80", "a")
	hears(t, n.world, nodeAddr+":8080", "a "+worldAddr)
	silent(t, "", "127.0.0.1:8080")
}

func TestTasksDontReachTheAgentNorTheLoopbackNorTheCloudsMetadata(t *testing.T) {
	n := newNode(t, nil)
	a := n.make("a1")
	serve(t, "", ":4646", "agent")
	serve(t, "", ":5000", "service")
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	meta := netip.MustParsePrefix("169.254.169.254/32")
	must(t, in(t, n.world, func() error {
		lo, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return addAddress(nil, lo, meta)
	}))
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: ipNet(meta), Scope: netlink.SCOPE_LINK, Table: 199}))
	uplink, err := netlink.LinkByName("uplink")
	must(t, err)
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: uplink.Attrs().Index, Dst: ipNet(meta), Scope: netlink.SCOPE_LINK}))
	serve(t, n.world, "169.254.169.254:80", "metadata")
	hears(t, "", "169.254.169.254:80", "metadata "+nodeAddr)
	silent(t, a.Isolation.Path, "169.254.169.254:80")
	for _, host := range []string{"172.26.64.1", nodeAddr, "127.0.0.1"} {
		silent(t, a.Isolation.Path, host+":4646")
	}
	// The node's other services are open, as they are to other machines.
	if got, err := ask(t, a.Isolation.Path, "tcp", nodeAddr+":5000", patience); err != nil || got != "service 172.26.64.2" {
		t.Errorf("a service of the node: %q %v", got, err)
	}
	// A packet to the node's loopback by the bridge's end of the cable.
	must(t, in(t, a.Isolation.Path, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetDown(lo); err != nil {
			return err
		}
		link, err := netlink.LinkByName(InterfaceName)
		if err != nil {
			return err
		}
		if err := sysctl("net/ipv4/conf/eth0/route_localnet", "1"); err != nil {
			return err
		}
		local := netip.MustParsePrefix("127.0.0.0/8")
		return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(local), Gw: gateway(netip.MustParsePrefix(DefaultSubnet)).AsSlice()})
	}))
	silent(t, a.Isolation.Path, "127.0.0.1:5000")
}

func TestNobodySpeaksInTheNameOfAnother(t *testing.T) {
	n := newNode(t, nil)
	a, b := n.make("a1"), n.make("b1")
	serve(t, b.Isolation.Path, ":80", "b")
	hears(t, a.Isolation.Path, "172.26.64.3:80", "b 172.26.64.2")
	must(t, in(t, a.Isolation.Path, func() error {
		link, err := netlink.LinkByName(InterfaceName)
		if err != nil {
			return err
		}
		own := &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("172.26.64.2/20"))}
		if err := netlink.AddrDel(link, own); err != nil {
			return err
		}
		return addAddress(nil, link, netip.MustParsePrefix("172.26.64.99/20"))
	}))
	silent(t, a.Isolation.Path, "172.26.64.3:80")
}

func TestNetworksOfIPv6HaveBothFamilies(t *testing.T) {
	n := newNode(t, func(c *Config) { c.SubnetIPv6 = "fd00:a110:c8::/64" })
	a := n.make("a1", mapping("http", 8080, 80, nodeAddr), mapping("six", 8086, 86, "fd77::1"))
	b := n.make("b1")
	if a.Status.AddressIPv6 != "fd00:a110:c8::2" || b.Status.AddressIPv6 != "fd00:a110:c8::3" {
		t.Errorf("addresses %+v %+v", a.Status, b.Status)
	}
	serve(t, a.Isolation.Path, ":80", "a")
	serve(t, a.Isolation.Path, ":86", "a-six")
	serve(t, n.world, ":80", "world")
	serve(t, "", ":4646", "agent")
	hears(t, b.Isolation.Path, "[fd00:a110:c8::2]:80", "a fd00:a110:c8::3")
	hears(t, b.Isolation.Path, "[fd77::2]:80", "world fd77::1")
	hears(t, n.world, "[fd77::1]:8080", "a fd77::2")
	hears(t, n.world, "[fd77::1]:8086", "a-six fd77::2")
	hears(t, n.world, nodeAddr+":8080", "a "+worldAddr)
	silent(t, n.world, nodeAddr+":8086")
	silent(t, b.Isolation.Path, "[fd00:a110:c8::1]:4646")
}

func TestPortsOfIPv6WithoutASubnetOfItAreRefused(t *testing.T) {
	n := newNode(t, nil)
	_, err := n.manager.Make(t.Context(), Wanted{AllocID: "a1", Mode: "bridge", Ports: []structs.PortMapping{mapping("six", 80, 0, "fd77::1")}})
	if err == nil || !strings.Contains(err.Error(), "bridge_network_subnet_ipv6") {
		t.Errorf("error %v", err)
	}
}

func TestModeNoneHasALoopbackAndNothingElse(t *testing.T) {
	n := newNode(t, nil)
	made, err := n.manager.Make(t.Context(), Wanted{AllocID: "a1", Mode: "none"})
	must(t, err)
	if made.Status != nil {
		t.Errorf("status %+v", made.Status)
	}
	serve(t, made.Isolation.Path, "127.0.0.1:80", "a")
	hears(t, made.Isolation.Path, "127.0.0.1:80", "a 127.0.0.1")
	must(t, in(t, made.Isolation.Path, func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			if l.Attrs().Name == InterfaceName || l.Type() == "veth" {
				t.Errorf("there is an interface %s", l.Attrs().Name)
			}
		}
		return err
	}))
}

func TestANewAgentFindsEverythingAgain(t *testing.T) {
	n := newNode(t, nil)
	a := n.make("a1", mapping("http", 8080, 80, nodeAddr))
	n.make("gone")
	serve(t, a.Isolation.Path, ":80", "a")
	n.open()
	again := n.make("a1", mapping("http", 8080, 80, nodeAddr))
	if again.Status.Address != a.Status.Address {
		t.Errorf("address %s, was %s", again.Status.Address, a.Status.Address)
	}
	hears(t, n.world, nodeAddr+":8080", "a "+worldAddr)
	n.manager.Sweep(t.Context(), func(id string) bool { return id == "a1" })
	if isNamespace(n.cfg.Namespaces + "/gone") {
		t.Error("the namespace of an unknown allocation is left")
	}
	if b := n.make("b1"); b.Status.Address != "172.26.64.4" {
		t.Errorf("an address that has just become free is given at once: %s", b.Status.Address)
	}
}

func TestAfterTheMachineWasRestartedItIsMadeAgain(t *testing.T) {
	n := newNode(t, nil)
	a := n.make("a1", mapping("http", 8080, 80, nodeAddr))
	// What a restart of the machine leaves: the records.
	must(t, unplug(linkName("a1")))
	must(t, removeNamespace(a.Isolation.Path))
	must(t, n.manager.dropRules())
	must(t, n.manager.dropBridge())
	n.open()
	again := n.make("a1", mapping("http", 8080, 80, nodeAddr))
	serve(t, again.Isolation.Path, ":80", "a")
	hears(t, n.world, nodeAddr+":8080", "a "+worldAddr)
	if again.Status.Address != a.Status.Address {
		t.Errorf("address %s, was %s", again.Status.Address, a.Status.Address)
	}
}

func TestCablesWithoutARecordAreSwept(t *testing.T) {
	n := newNode(t, nil)
	n.make("a1")
	must(t, n.manager.records.remove("a1"))
	n.open()
	n.manager.Sweep(t.Context(), func(string) bool { return false })
	if _, err := netlink.LinkByName(linkName("a1")); err == nil || isNamespace(n.cfg.Namespaces+"/a1") {
		t.Error("the network is left")
	}
	// The bridge and the rules go with the next network.
	n.make("b1")
}

func TestFlushedRulesAndALostBridgeComeBack(t *testing.T) {
	n := newNode(t, nil)
	a := n.make("a1", mapping("http", 8080, 80, nodeAddr))
	serve(t, a.Isolation.Path, ":80", "a")
	for _, harm := range []struct {
		name string
		do   func()
	}{
		{"everything is flushed", func() {
			c, err := dialRules()
			must(t, err)
			defer func() { _ = c.CloseLasting() }()
			c.FlushRuleset()
			must(t, c.Flush())
		}},
		{"a chain is flushed", func() {
			c, err := dialRules()
			must(t, err)
			defer func() { _ = c.CloseLasting() }()
			table := &nftables.Table{Name: n.manager.tableName(), Family: nftables.TableFamilyIPv4}
			c.FlushChain(&nftables.Chain{Name: "ports", Table: table})
			must(t, c.Flush())
		}},
		{"the bridge is gone", func() {
			bridge, err := netlink.LinkByName(DefaultBridge)
			must(t, err)
			must(t, netlink.LinkDel(bridge))
		}},
	} {
		must(t, n.manager.heal())
		hears(t, n.world, nodeAddr+":8080", "a "+worldAddr)
		harm.do()
		silent(t, n.world, nodeAddr+":8080")
		must(t, n.manager.heal())
		hears(t, n.world, nodeAddr+":8080", "a "+worldAddr)
		all, _ := n.manager.all()
		if missing, err := n.manager.originsMissing(all); err != nil || len(missing) > 0 {
			t.Errorf("%s: the cable carries anything: %v", harm.name, err)
		}
	}
}

func TestPacketsPassWhereIptablesDropsThem(t *testing.T) {
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Skip("takes iptables")
	}
	n := newNode(t, nil)
	// What Docker does.
	run(t, "iptables", "-N", "DOCKER-USER")
	run(t, "iptables", "-A", "FORWARD", "-j", "DOCKER-USER")
	run(t, "iptables", "-P", "FORWARD", "DROP")
	defer run(t, "iptables", "-P", "FORWARD", "ACCEPT")
	a, b := n.make("a1", mapping("http", 8080, 80, nodeAddr)), n.make("b1")
	serve(t, a.Isolation.Path, ":80", "a")
	serve(t, n.world, ":80", "world")
	check := func() {
		t.Helper()
		hears(t, n.world, nodeAddr+":8080", "a "+worldAddr)
		hears(t, a.Isolation.Path, worldAddr+":80", "world "+nodeAddr)
		hears(t, b.Isolation.Path, "172.26.64.2:80", "a 172.26.64.3")
	}
	check()
	if out := run(t, "iptables", "-S", "FORWARD"); !strings.Contains(out, "-A FORWARD -i nomad") || !strings.Contains(out, "-A FORWARD -o nomad") {
		t.Errorf("iptables reads our rules as\n%s", out)
	}
	run(t, "iptables", "-F", "FORWARD")
	silent(t, n.world, nodeAddr+":8080")
	must(t, n.manager.heal())
	check()
	must(t, n.manager.Drop(t.Context(), "a1"))
	must(t, n.manager.Drop(t.Context(), "b1"))
	if out := run(t, "iptables", "-S", "FORWARD"); strings.Contains(out, "nomad") {
		t.Errorf("left:\n%s", out)
	}
}

func TestTwoAgentsShareABridgeWithoutClashing(t *testing.T) {
	n := newNode(t, nil)
	a := n.make("a1")
	other := n.cfg
	other.Owner, other.Dir = "other-node", t.TempDir()
	m, err := New(other)
	must(t, err)
	b, err := m.Make(t.Context(), Wanted{AllocID: "b1", Mode: "bridge"})
	must(t, err)
	if a.Status.Address == b.Status.Address {
		t.Errorf("both have %s", a.Status.Address)
	}
	n.manager.Sweep(t.Context(), func(id string) bool { return id == "a1" })
	serve(t, b.Isolation.Path, ":80", "b")
	hears(t, a.Isolation.Path, b.Status.Address+":80", "b "+a.Status.Address)
	must(t, m.Drop(t.Context(), "b1"))
}

func TestABridgeNetworkIsMadeInUnder30Milliseconds(t *testing.T) {
	n := newNode(t, nil)
	n.make("first")
	const count = 40
	var slowest, sum time.Duration
	for i := range count {
		began := time.Now()
		n.make(string(rune('A'+i)), mapping("http", 20000+i, 80, nodeAddr))
		took := time.Since(began)
		sum += took
		slowest = max(slowest, took)
	}
	t.Logf("bridge network: mean %s, slowest %s of %d", sum/count, slowest, count)
	if sum/count > 30*time.Millisecond {
		t.Errorf("a network takes %s on average", sum/count)
	}
}

func TestRulesOfAThousandPortsAreWrittenAtOnce(t *testing.T) {
	n := newNode(t, nil)
	a := n.make("a1")
	var ports []structs.PortMapping
	for i := range 1000 {
		ports = append(ports, mapping("p", 20000+i, 80, nodeAddr))
	}
	began := time.Now()
	n.make("a1", ports...)
	t.Logf("a thousand rules in %s", time.Since(began))
	serve(t, a.Isolation.Path, ":80", "a")
	hears(t, n.world, nodeAddr+":20999", "a "+worldAddr)
	began = time.Now()
	must(t, n.manager.heal())
	t.Logf("looked over in %s", time.Since(began))
}

func TestRunHealsAndSweeps(t *testing.T) {
	n := newNode(t, nil)
	a := n.make("a1", mapping("http", 8080, 80, nodeAddr))
	n.make("gone")
	serve(t, a.Isolation.Path, ":80", "a")
	group := loop.New(t.Context())
	defer func() {
		group.Stop()
		must(t, group.Wait())
	}()
	group.Go("run", func(ctx context.Context) error { return n.manager.Run(ctx, func(id string) bool { return id == "a1" }) })
	testx.Eventually(t, patience, "what nobody knows is swept", func() bool { return !isNamespace(n.cfg.Namespaces + "/gone") })
	must(t, n.manager.dropRules())
	testx.Eventually(t, patience, "the rules are back", func() bool {
		got, err := ask(t, n.world, "tcp", nodeAddr+":8080", time.Second)
		return err == nil && got == "a "+worldAddr
	})
}

func TestAddressesGoRoundAndEnd(t *testing.T) {
	subnet := netip.MustParsePrefix("10.0.0.0/29") // .1 is the bridge's, .7 for all
	taken := map[netip.Addr]bool{{}: true}
	var last netip.Addr
	for _, want := range []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"} {
		a, err := nextAddress(subnet, last, taken)
		if err != nil || a.String() != want {
			t.Fatalf("%s %v, want %s", a, err, want)
		}
		taken[a], last = true, a
	}
	if a, err := nextAddress(subnet, last, taken); err == nil {
		t.Errorf("%s is given although all are taken", a)
	}
	delete(taken, netip.MustParseAddr("10.0.0.4"))
	if a, err := nextAddress(subnet, last, taken); err != nil || a.String() != "10.0.0.4" {
		t.Errorf("%s %v", a, err)
	}
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	for _, cfg := range []Config{
		{}, {Dir: "x", Bridge: "far-too-long-a-name"}, {Dir: "x", Bridge: "a/b"}, {Dir: "x", Subnet: "fd00::/64"}, {Dir: "x", Subnet: "10.0.0.0/31"},
		{Dir: "x", SubnetIPv6: "10.0.0.0/24"}, {Dir: "x", Subnet: "no"},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
	m, err := New(Config{Dir: t.TempDir()})
	must(t, err)
	for _, id := range []string{"", "../x", "a/b", ".hidden"} {
		if _, err := m.Make(t.Context(), Wanted{AllocID: id, Mode: "none"}); err == nil {
			t.Errorf("the id %q is taken", id)
		}
	}
}
