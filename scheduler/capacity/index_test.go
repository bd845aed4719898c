package capacity

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/structs"
)

func node(i int, cpu int64) *structs.Node {
	return &structs.Node{
		ID: fmt.Sprintf("node-%d", i), Status: structs.NodeStatusReady, NodePool: "default",
		Attributes: map[string]string{"size": fmt.Sprint(cpu)},
		NodeResources: &structs.NodeResources{
			Cpu: structs.NodeCpuResources{CpuShares: cpu}, Memory: structs.NodeMemoryResources{MemoryMB: 1000},
			Networks: []*structs.NetworkResource{{IP: "10.0.0.1"}},
		},
		ReservedResources: &structs.NodeReservedResources{Cpu: structs.NodeReservedCpuResources{CpuShares: 100}},
	}
}

func alloc(id string, node int, cpu int64, ports ...int) *structs.Allocation {
	r := &structs.AllocatedResources{Tasks: map[string]*structs.AllocatedTaskResources{"t": {Cpu: structs.AllocatedCpuResources{CpuShares: cpu}}}}
	for _, p := range ports {
		r.Shared.Ports = append(r.Shared.Ports, structs.PortMapping{Value: p, HostIP: "10.0.0.1"})
	}
	return &structs.Allocation{ID: id, NodeID: fmt.Sprintf("node-%d", node), AllocatedResources: r}
}

// TestIndexFollowsDifferences tells the index random differences and compares
// it with what a plain list of nodes and allocations says.
func TestIndexFollowsDifferences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := New()
		x.exprLimit = rapid.IntRange(1, 4).Draw(t, "limit")
		nodes, allocs := map[string]*structs.Node{}, map[string]*structs.Allocation{}
		var jobs []*structs.Job
		for i := range 4 {
			jobs = append(jobs, &structs.Job{Priority: new(10 + i/2*10)})
		}
		asked := false
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, 5).Draw(t, "node")
			id := fmt.Sprintf("alloc-%d", rapid.IntRange(0, 8).Draw(t, "alloc"))
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0:
				n := node(i, int64(rapid.IntRange(1, 3).Draw(t, "size"))*1000)
				if rapid.Bool().Draw(t, "down") {
					n.Status = structs.NodeStatusDown
				}
				nodes[n.ID] = n
				x.UpsertNode(n)
			case 1:
				delete(nodes, fmt.Sprintf("node-%d", i))
				x.RemoveNode(fmt.Sprintf("node-%d", i))
			case 2:
				delete(allocs, id)
				x.RemoveAlloc(id)
			case 3:
				a := alloc(id, i, 10)
				a.ClientStatus = structs.AllocClientFailed
				delete(allocs, id)
				x.SetAlloc(a)
			default:
				ports := rapid.SliceOfN(rapid.IntRange(20000, 20003), 0, 2).Draw(t, "ports")
				a := alloc(id, i, int64(rapid.IntRange(0, 5).Draw(t, "cpu")*10), ports...)
				if job := rapid.IntRange(0, 4).Draw(t, "job"); job > 0 {
					a.Job, a.JobID, a.TaskGroup = jobs[job-1], fmt.Sprint("job", job), "g"
				}
				allocs[id] = a
				x.SetAlloc(a)
			}
			compare(t, x, nodes, allocs)
			if asked = asked || rapid.IntRange(0, 3).Draw(t, "who") == 0; asked {
				compareTenants(t, x, allocs)
			}
		}
	})
}

// compareTenants asks who is on each node, and what those have in common.
func compareTenants(t *rapid.T, x *Index, allocs map[string]*structs.Allocation) {
	for i := range int32(x.Len()) {
		for _, priority := range []int{5, 10, 15, 20} {
			var want Crowd
			same := map[string]bool{}
			keys := map[AllocKey]bool{}
			for id, a := range allocs {
				if n, ok := x.byID[a.NodeID]; !ok || n != i || a.Job == nil || a.Job.GetPriority() > priority {
					continue
				}
				want.N++
				keys[KeyOf(id)] = true
				amount := AmountOf(a.AllocatedResources)
				want.Sum = want.Sum.Plus(amount)
				want.Most.CPU = max(want.Most.CPU, amount.CPU)
				same[fmt.Sprint(amount, a.JobID)] = true
			}
			got := x.Crowd(i, priority)
			if got == nil {
				got = &Crowd{Alike: true}
			}
			if got.N != want.N || got.Sum != want.Sum || got.Most.CPU != want.Most.CPU || got.Alike != (len(same) < 2) {
				t.Fatalf("node %d: up to %d there are %+v, want %+v, alike %v", i, priority, got, want, same)
			}
			list, below := x.Tenants(i), 0
			for k := range list {
				if int(list[k].Priority) <= priority {
					below++
					if o, _ := x.Owner(&list[k]); !keys[list[k].Key] || o.Priority != int(list[k].Priority) {
						t.Fatalf("node %d: %+v of %+v", i, list[k], o)
					}
				}
			}
			if below != len(keys) || !slices.IsSortedFunc(list, func(a, b Tenant) int { return a.compare(&b) }) {
				t.Fatalf("node %d: %d tenants up to %d, want %d, or not in order", i, below, priority, len(keys))
			}
		}
	}
	owners := map[string]bool{}
	for _, a := range allocs {
		if a.Job != nil {
			owners[a.JobID] = true
		}
	}
	if len(x.tenancy.byOwner) != len(owners) {
		t.Fatalf("%d owners are remembered of %d", len(x.tenancy.byOwner), len(owners))
	}
}

func compare(t *rapid.T, x *Index, nodes map[string]*structs.Node, allocs map[string]*structs.Allocation) {
	isBig := func() func(*structs.Node) bool {
		return func(n *structs.Node) bool { return n.NodeResources.Cpu.CpuShares > 1000 }
	}
	steps := rapid.IntRange(0, 8).Draw(t, "steps")
	if before := steps; x.Prepare("big", isBig, func(*structs.Node) int { return 1 }, &steps) && steps < 0 || before-steps > 8 {
		t.Fatalf("%d steps of %d were left", steps, before)
	}
	if rapid.IntRange(0, 2).Draw(t, "half judged") == 0 {
		return // what is looked at next is prepared in part
	}
	big := x.Verdict("big", isBig)
	sizes := x.Column("size", func(n *structs.Node) (string, bool) { return n.Attributes["size"], true })
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		n := nodes[id]
		i, ok := x.Number(id)
		if !ok || x.Node(i) != n {
			t.Fatalf("%s is not known", id)
		}
		var used, count, ports = int64(0), 0, map[int]int{}
		for _, a := range allocs {
			if a.NodeID == id {
				used += a.AllocatedResources.Tasks["t"].Cpu.CpuShares
				count++
				for _, p := range a.AllocatedResources.Shared.Ports {
					ports[p.Value]++
				}
			}
		}
		if x.Used(i).CPU != used || x.Allocs(i) != count || x.Total(i).CPU != n.NodeResources.Cpu.CpuShares-100 {
			t.Fatalf("%s has %+v of %+v in %d, want %d in %d", id, x.Used(i), x.Total(i), x.Allocs(i), used, count)
		}
		x.Settle()
		if want := math.Pow(10, 1-float64(used)/float64(x.Total(i).CPU)); x.Pow(i).CPU != want {
			t.Fatalf("%s has the power %g, want %g", id, x.Pow(i).CPU, want)
		}
		free := DefaultMaxDynamicPort - DefaultMinDynamicPort + 1 - len(ports)
		if !x.Ports(i).HasDynamic("", free) || x.Ports(i).HasDynamic("", free+1) {
			t.Fatalf("%s doesn't have %d ports", id, free)
		}
		for p := 20000; p <= 20003; p++ {
			if x.Ports(i).Free("10.0.0.1", uint16(p)) != (ports[p] == 0) {
				t.Fatalf("%s: port %d is held by %d", id, p, ports[p])
			}
		}
		if big.Has(i) != (n.NodeResources.Cpu.CpuShares > 1000) || sizes.Values[sizes.Of(i)] != n.Attributes["size"] {
			t.Fatalf("%s is remembered as it was", id)
		}
		if x.Ready().Has(i) != n.Ready() {
			t.Fatalf("%s: ready is %t", id, x.Ready().Has(i))
		}
	}
	if n := x.Ready().Count(); n > len(nodes) {
		t.Fatalf("%d ready nodes of %d", n, len(nodes))
	}
}

func TestHold(t *testing.T) {
	x := New()
	x.UpsertNode(node(1, 1000))
	x.SetAlloc(alloc("old", 1, 300, 80))
	plan := &structs.Plan{
		Stops: []structs.AllocStop{{AllocID: "old", DesiredStatus: structs.AllocDesiredStop}},
		Groups: []structs.PlacementGroup{{
			FirstRow: 4, Resources: alloc("", 1, 50).AllocatedResources,
			Rows: []structs.Placement{{NodeID: "node-1", Ports: []structs.PortMapping{{Value: 81}}}, {NodeID: "node-1"}},
		}},
	}
	x.Hold(plan, counted())
	x.Hold(plan, counted()) // twice is once
	x.HoldAgain(plan, counted())
	i, _ := x.Number("node-1")
	if x.Used(i).CPU != 100 || !x.Ports(i).Free("", 80) || x.Ports(i).Free("", 81) {
		t.Errorf("used %+v", x.Used(i))
	}
	x.RemoveAlloc("00000000-0000-0000-0000-000000000004") // refused
	x.RemoveAlloc("00000000-0000-0000-0000-000000000005")
	x.SetAlloc(alloc("old", 1, 300, 80))
	if x.Used(i).CPU != 300 || x.Ports(i).Free("", 80) || !x.Ports(i).Free("", 81) {
		t.Errorf("used %+v after the refusal", x.Used(i))
	}
}

func TestReservedAndNamedPorts(t *testing.T) {
	n := node(1, 1000)
	n.NodeResources.Networks = append(n.NodeResources.Networks, &structs.NetworkResource{Device: "eth1", IP: "192.168.7.9"})
	n.ReservedResources.Networks.ReservedHostPorts = "22, 8000-8001,x,9-"
	n.HostNetworks = map[string]*structs.HostNetworkInfo{
		"lan":  {CIDR: "192.168.0.0/16", ReservedPorts: "443"},
		"one":  {CIDR: "203.0.113.5/32"},
		"nic":  {Interface: "eth1"},
		"none": {CIDR: "172.16.0.0/12"},
	}
	x := New()
	x.UpsertNode(n)
	i, _ := x.Number(n.ID)
	p := x.Ports(i)
	for network, want := range map[string]string{"": "10.0.0.1", "default": "10.0.0.1", "lan": "192.168.7.9", "one": "203.0.113.5", "nic": "192.168.7.9", "none": "10.0.0.1"} {
		if got, ok := p.Address(network); !ok || got != want {
			t.Errorf("%q is at %q", network, got)
		}
	}
	if _, ok := p.Address("wan"); ok {
		t.Error("a network that isn't there has an address")
	}
	for _, tt := range []struct {
		ip   string
		port uint16
		want bool
	}{{"10.0.0.1", 22, false}, {"10.0.0.1", 8001, false}, {"10.0.0.1", 8002, true}, {"192.168.7.9", 443, false}, {"192.168.7.9", 22, false}, {"10.0.0.1", 443, true}} {
		if got := p.Free(tt.ip, tt.port); got != tt.want {
			t.Errorf("%s:%d is free: %t", tt.ip, tt.port, got)
		}
	}
}

func TestBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) (Bits, map[int32]bool) {
			var b Bits
			m := map[int32]bool{}
			for _, i := range rapid.SliceOf(rapid.Int32Range(0, 200)).Draw(t, name) {
				in := rapid.Bool().Draw(t, "in")
				b.Set(i, in)
				m[i] = in
			}
			return b, m
		}
		a, ma := draw("a")
		b, mb := draw("b")
		c := a.Clone(201)
		lost := c.And(b)
		n := 0
		for i := int32(0); i <= 200; i++ {
			if a.Has(i) != ma[i] || c.Has(i) != (ma[i] && mb[i]) {
				t.Fatalf("%d", i)
			}
			if c.Has(i) {
				n++
			}
		}
		if c.Count() != n || lost != a.Count()-n {
			t.Fatalf("%d of %d, %d lost", c.Count(), n, lost)
		}
		last := int32(-1)
		c.Each(func(i int32) {
			if i <= last || !c.Has(i) {
				t.Fatalf("%d after %d", i, last)
			}
			last = i
		})
	})
}
