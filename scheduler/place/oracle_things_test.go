package place

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/structs"
)

// public is added to the ports of the public network, whose address no other
// network has.
const public = 100_000

func portKey(p structs.PortMapping) int {
	if strings.HasPrefix(p.HostIP, "203.") {
		return p.Value + public
	}
	return p.Value
}

// demand is what the next row takes of a node.
type demand struct {
	cpu, mem        int
	static          []int
	dynamic, public int // dynamic ports
	cores           int
	blocks          []*structs.RequestedDevice
}

// demand computes what a row takes of a node: cores are a share of its compute.
func (s *scenario) demand(ask *Ask, n *structs.Node) *demand {
	r := ask.Group.Tasks[0].Resources
	d := &demand{cpu: *r.CPU, mem: *r.MemoryMB, cores: structs.Value(r.Cores), blocks: r.Devices}
	if total := int(n.NodeResources.Cpu.TotalCpuCores); d.cores > 0 && total > 0 {
		d.cpu += d.cores * (int(n.NodeResources.Cpu.CpuShares) / total)
	}
	for _, net := range ask.Group.Networks {
		for _, p := range net.ReservedPorts {
			if p.HostNetwork == "pub" {
				p.Value += public
			}
			d.static = append(d.static, p.Value)
		}
		for _, p := range net.DynamicPorts {
			if p.HostNetwork == "pub" {
				d.public++
			} else {
				d.dynamic++
			}
		}
	}
	return d
}

// drawThings gives a node cores, devices and a public network.
func drawThings(t *rapid.T, n *structs.Node, i int) {
	cores := rapid.SampledFrom([]int{0, 0, 2, 4}).Draw(t, "cores")
	n.NodeResources.Cpu.TotalCpuCores = uint16(cores)
	for c := range rapid.IntRange(0, cores).Draw(t, "reservable") {
		n.NodeResources.Cpu.ReservableCpuCores = append(n.NodeResources.Cpu.ReservableCpuCores, uint16(cores-1-c))
	}
	for _, kind := range []string{"one", "two", "fpga"} {
		instances := rapid.SampledFrom([]int{0, 0, 1, 2, 3}).Draw(t, "instances")
		if instances == 0 {
			continue
		}
		d := &structs.NodeDeviceResource{Vendor: "acme", Type: "gpu", Name: kind, Attributes: map[string]*structs.Attribute{
			"memory": {IntVal: ptr(int64(rapid.SampledFrom([]int{4, 8, 16}).Draw(t, "memory"))), Unit: "GiB"},
		}}
		if kind == "fpga" {
			d.Vendor, d.Type = "other", "fpga"
		}
		for k := range instances {
			d.Instances = append(d.Instances, &structs.NodeDevice{ID: fmt.Sprint(k), Healthy: rapid.IntRange(0, 4).Draw(t, "sick") > 0})
		}
		n.NodeResources.Devices = append(n.NodeResources.Devices, d)
	}
	n.NodeResources.Networks = []*structs.NetworkResource{{Mode: "host", IP: fmt.Sprintf("10.0.0.%d", i+1)}}
	if rapid.Bool().Draw(t, "pub") {
		n.HostNetworks = map[string]*structs.HostNetworkInfo{"pub": {Name: "pub", CIDR: fmt.Sprintf("203.0.113.%d/32", i+1)}}
	}
}

func drawThingsAsked(t *rapid.T, r *structs.Resources) {
	if rapid.IntRange(0, 3).Draw(t, "asks cores") == 0 {
		r.CPU, r.Cores = ptr(0), ptr(rapid.IntRange(1, 2).Draw(t, "cores asked"))
	}
	if rapid.IntRange(0, 2).Draw(t, "asks devices") > 0 {
		return
	}
	for range rapid.IntRange(1, 2).Draw(t, "blocks") {
		d := &structs.RequestedDevice{
			Name:  rapid.SampledFrom([]string{"gpu", "acme/gpu", "acme/gpu/two", "fpga"}).Draw(t, "device"),
			Count: ptr(uint64(rapid.IntRange(1, 2).Draw(t, "device count"))),
		}
		if rapid.Bool().Draw(t, "large") {
			d.Constraints = []*structs.Constraint{{LTarget: "${device.attr.memory}", Operand: ">=", RTarget: "8192 MiB"}}
		}
		if rapid.Bool().Draw(t, "device affinity") {
			d.Affinities = []*structs.Affinity{{
				LTarget: "${device.model}", Operand: "=", RTarget: rapid.SampledFrom([]string{"one", "two"}).Draw(t, "model"),
				Weight: ptr(rapid.SampledFrom([]int8{-100, 40, 70}).Draw(t, "device weight")),
			}}
		}
		r.Devices = append(r.Devices, d)
	}
}

// drawThingsHeld gives an allocation that runs already a core or a device.
func (s *scenario) drawThingsHeld(t *rapid.T, n *structs.Node, a *placed) {
	switch cores := n.NodeResources.Cpu.ReservableCpuCores; rapid.IntRange(0, 3).Draw(t, "holds") {
	case 0:
		if len(cores) > 0 && !s.holds(n.ID, func(o *placed) bool { return slices.Contains(o.cores, cores[0]) }) {
			a.cores = cores[:1]
		}
	case 1:
		if len(n.NodeResources.Devices) > 0 {
			d := n.NodeResources.Devices[0]
			if key := d.Kind() + ":0"; !s.holds(n.ID, func(o *placed) bool { return slices.Contains(o.devices, key) }) {
				a.devices = []string{key}
			}
		}
	}
}

func (s *scenario) holds(node string, what func(*placed) bool) bool {
	for _, a := range s.allocs {
		if a.node == node && what(a) {
			return true
		}
	}
	return false
}

// give writes what an allocation holds as its task has it.
func (a *placed) give(t *structs.AllocatedTaskResources) {
	t.Cpu.ReservedCores = a.cores
	for _, d := range a.devices {
		var vendor, kind, name string
		switch d {
		case "acme/gpu/one:0":
			vendor, kind, name = "acme", "gpu", "one"
		case "acme/gpu/two:0":
			vendor, kind, name = "acme", "gpu", "two"
		default:
			vendor, kind, name = "other", "fpga", "fpga"
		}
		t.Devices = append(t.Devices, &structs.AllocatedDeviceResource{Vendor: vendor, Type: kind, Name: name, DeviceIDs: []string{"0"}})
	}
}

// couldHave reports whether a node has what a row asks for, in use or not.
func (s *scenario) couldHave(ask *Ask, n *structs.Node) bool {
	d := s.demand(ask, n)
	if len(n.NodeResources.Cpu.ReservableCpuCores) < d.cores {
		return false
	}
	if _, pub := n.HostNetworks["pub"]; !pub && (d.public > 0 || slices.ContainsFunc(d.static, func(p int) bool { return p > public })) {
		return false
	}
	return !slices.ContainsFunc(d.blocks, func(b *structs.RequestedDevice) bool {
		return !slices.ContainsFunc(n.NodeResources.Devices, func(k *structs.NodeDeviceResource) bool {
			return wanted(b, k) && s.free(n, k, false) >= int(*b.Count)
		})
	})
}

func wanted(b *structs.RequestedDevice, k *structs.NodeDeviceResource) bool {
	if !slices.Contains([]string{k.Type, k.Vendor + "/" + k.Type, k.Vendor + "/" + k.Type + "/" + k.Name}, b.Name) {
		return false
	}
	return len(b.Constraints) == 0 || *k.Attributes["memory"].IntVal >= 8
}

// free counts the healthy instances of a kind, or those not in use.
func (s *scenario) free(n *structs.Node, k *structs.NodeDeviceResource, unused bool) int {
	count := 0
	for _, i := range k.Instances {
		key := k.Kind() + ":" + i.ID
		if i.Healthy && !(unused && s.holds(n.ID, func(o *placed) bool { return slices.Contains(o.devices, key) })) {
			count++
		}
	}
	return count
}

func (s *scenario) lacksThings(n *structs.Node, need *demand) bool {
	free := 0
	for _, c := range n.NodeResources.Cpu.ReservableCpuCores {
		if !s.holds(n.ID, func(o *placed) bool { return slices.Contains(o.cores, c) }) {
			free++
		}
	}
	found, _ := s.assign(n, need.blocks)
	return free < need.cores || !found
}

// assign tries every way to give blocks devices of a node, and returns the
// highest sum of weights.
func (s *scenario) assign(n *structs.Node, blocks []*structs.RequestedDevice) (found bool, best float64) {
	left := map[string]int{}
	for _, k := range n.NodeResources.Devices {
		left[k.Kind()] = s.free(n, k, true)
	}
	var try func(at int, sum float64)
	best = math.Inf(-1)
	try = func(at int, sum float64) {
		if at == len(blocks) {
			found, best = true, max(best, sum)
			return
		}
		b := blocks[at]
		for _, k := range n.NodeResources.Devices {
			if !wanted(b, k) || left[k.Kind()] < int(*b.Count) {
				continue
			}
			worth := 0.0
			if len(b.Affinities) > 0 && b.Affinities[0].RTarget == k.Name {
				worth = float64(*b.Affinities[0].Weight)
			}
			left[k.Kind()] -= int(*b.Count)
			try(at+1, sum+worth)
			left[k.Kind()] += int(*b.Count)
		}
	}
	try(0, 0)
	return found, best
}

func blockWeights(blocks []*structs.RequestedDevice) float64 {
	var sum float64
	for _, b := range blocks {
		for _, a := range b.Affinities {
			sum += math.Abs(float64(*a.Weight))
		}
	}
	return sum
}

// checkThings checks what a row was given, and notes it.
func (s *scenario) checkThings(t *rapid.T, need *demand, c Choice, a *placed) {
	n := s.node(c.NodeID)
	a.cores = c.Cores["t"]
	if len(a.cores) != need.cores || len(c.Devices["t"]) != len(need.blocks) {
		t.Fatalf("%d cores and %d devices asked, got %v and %v", need.cores, len(need.blocks), c.Cores, c.Devices)
	}
	for i, core := range a.cores {
		if slices.Contains(a.cores[:i], core) || !slices.Contains(n.NodeResources.Cpu.ReservableCpuCores, core) ||
			s.holds(n.ID, func(o *placed) bool { return slices.Contains(o.cores, core) }) {
			t.Fatalf("core %d of %s is not free", core, n.ID)
		}
	}
	for i, given := range c.Devices["t"] {
		k := slices.IndexFunc(n.NodeResources.Devices, func(k *structs.NodeDeviceResource) bool { return k.Kind() == given.Kind() })
		if k < 0 || !wanted(need.blocks[i], n.NodeResources.Devices[k]) || len(given.DeviceIDs) != int(*need.blocks[i].Count) {
			t.Fatalf("%+v given for %+v", given, need.blocks[i])
		}
		for _, id := range given.DeviceIDs {
			key := given.Kind() + ":" + id
			healthy := slices.ContainsFunc(n.NodeResources.Devices[k].Instances, func(i *structs.NodeDevice) bool { return i.ID == id && i.Healthy })
			if !healthy || slices.Contains(a.devices, key) || s.holds(n.ID, func(o *placed) bool { return slices.Contains(o.devices, key) }) {
				t.Fatalf("device %s of %s is not free", key, n.ID)
			}
			a.devices = append(a.devices, key)
		}
	}
}
