package placer

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/structs"
)

// TestWhoVerifiesKnowsThePortsOfTheScheduler asks both of every port of random
// nodes: what one gives the other must not refuse, nor the other way round.
func TestWhoVerifiesKnowsThePortsOfTheScheduler(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawAddresses(t)
		x, table := scheduler.NewCapacity(), alloc.New()
		x.UpsertNode(n)
		i, _ := x.Number(n.ID)
		trial := table.Trial()
		var held []structs.PortMapping
		for k := range rapid.IntRange(0, 4).Draw(t, "held") {
			m := drawPort(t)
			if !x.Ports(i).Free(m.HostIP, uint16(m.Value)) {
				continue
			}
			held = append(held, m)
			x.SetAlloc(&structs.Allocation{
				ID: fmt.Sprint("alloc", k), NodeID: n.ID,
				AllocatedResources: &structs.AllocatedResources{Shared: structs.AllocatedSharedResources{Ports: []structs.PortMapping{m}}},
			})
			if trial.Add(n, try(m)); trial.Refused(n.ID) != "" {
				t.Fatalf("%+v is free for the scheduler, but: %s", m, trial.Refused(n.ID))
			}
		}
		for _, ip := range addresses {
			for port := 20; port < 32; port++ {
				trial = table.Trial()
				for _, m := range held {
					trial.Add(n, try(m))
				}
				trial.Add(n, try(structs.PortMapping{Value: port, HostIP: ip}))
				free, refused := x.Ports(i).Free(ip, uint16(port)), trial.Refused(n.ID)
				if free != (refused == "") {
					t.Fatalf("port %d of %q: free for the scheduler: %t, refused: %q; held %+v on %+v", port, ip, free, refused, held, n)
				}
			}
		}
	})
}

var addresses = []string{"", "10.0.0.1", "10.0.1.1", "10.0.2.1"}

func drawPort(t *rapid.T) structs.PortMapping {
	return structs.PortMapping{Value: rapid.IntRange(20, 31).Draw(t, "port"), HostIP: rapid.SampledFrom(addresses).Draw(t, "on")}
}

func try(m structs.PortMapping) alloc.Try {
	return alloc.Try{Placed: &alloc.Placed{Ports: []structs.PortMapping{m}}, Collide: func(string) bool { return false }}
}

// drawAddresses draws a node with some addresses, host networks and ports kept
// on all or on one of them.
func drawAddresses(t *rapid.T) *structs.Node {
	lists := rapid.SampledFrom([]string{"", "22", "20-23, 30", " 25 - 26", "no, 27"})
	n := &structs.Node{ID: "node", HostNetworks: map[string]*structs.HostNetworkInfo{}, NodeResources: &structs.NodeResources{}}
	for i, ip := range addresses[1:] {
		if rapid.Bool().Draw(t, "has") {
			n.NodeResources.Networks = append(n.NodeResources.Networks, &structs.NetworkResource{Mode: "host", Device: fmt.Sprint("eth", i), IP: ip})
		}
	}
	for i, ip := range addresses[1:] {
		if rapid.Bool().Draw(t, "host network") {
			info := &structs.HostNetworkInfo{Name: fmt.Sprint("net", i), ReservedPorts: lists.Draw(t, "kept there")}
			info.CIDR = ip + rapid.SampledFrom([]string{"/32", "/24"}).Draw(t, "mask")
			n.HostNetworks[info.Name] = info
		}
	}
	if rapid.Bool().Draw(t, "kept") {
		n.ReservedResources = &structs.NodeReservedResources{Networks: structs.NodeReservedNetworkResources{ReservedHostPorts: lists.Draw(t, "kept")}}
	}
	return n
}
