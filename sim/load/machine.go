package load

import (
	"fmt"
	"slices"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/structs"
)

// racks is how many racks the simulated nodes stand in.
const racks = 50

// size is a kind of machine.
type size struct {
	class         string
	cpu, memoryMB int64
}

// sizes are the machines of a cluster that has grown over the years.
var sizes = []size{
	{"small", 4_000, 8 << 10}, {"medium", 16_000, 32 << 10}, {"large", 32_000, 128 << 10}, {"memory", 16_000, 256 << 10},
}

// sizeOf is the kind of node number i.
func sizeOf(i int, equal bool) size {
	if equal {
		return sizes[1]
	}
	return sizes[i%len(sizes)]
}

// machine describes node number i.
func machine(i int, equal bool) *structs.Node {
	s := sizeOf(i, equal)
	return &structs.Node{
		ID: ids.New(), SecretID: ids.New(), Name: fmt.Sprintf("sim-%d", i), Datacenter: "dc1",
		NodePool: structs.NodePoolDefault, NodeClass: s.class,
		Status: structs.NodeStatusReady, SchedulingEligibility: structs.NodeEligible,
		Attributes: map[string]string{
			"kernel.name": "linux", "cpu.arch": "amd64", "os.name": "debian", "driver." + simDriver: "1",
			"unique.hostname": fmt.Sprintf("sim-%d", i), "nomad.version": "2.0.6",
		},
		Meta:    map[string]string{"rack": fmt.Sprintf("r%d", i/len(sizes)%racks)},
		Drivers: map[string]*structs.DriverInfo{simDriver: {Detected: true, Healthy: true}},
		NodeResources: &structs.NodeResources{
			Cpu:    structs.NodeCpuResources{CpuShares: s.cpu, TotalCpuCores: uint16(s.cpu / 1000)},
			Memory: structs.NodeMemoryResources{MemoryMB: s.memoryMB},
			Disk:   structs.NodeDiskResources{DiskMB: 1 << 20},
			Networks: []*structs.NetworkResource{{
				Mode: "host", Device: "eth0", IP: fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255),
				CIDR: fmt.Sprintf("10.%d.%d.%d/32", i>>16&255, i>>8&255, i&255),
			}},
			MinDynamicPort: 20000, MaxDynamicPort: 32000,
		},
	}
}

// lowerBound is how many nodes at least are needed for n allocations: the
// largest nodes by each dimension alone, however well they are filled.
func lowerBound(o *Options, n int) int {
	bound := func(ask int, has func(size) int64) int {
		room := make([]int64, o.Nodes)
		for i := range room {
			room[i] = has(sizeOf(i, o.Equal)) / int64(ask)
		}
		slices.Sort(room)
		slices.Reverse(room)
		left := int64(n)
		for i, fits := range room {
			if left -= fits; left <= 0 {
				return i + 1
			}
		}
		return o.Nodes
	}
	return max(bound(o.CPU, func(s size) int64 { return s.cpu }), bound(o.MemoryMB, func(s size) int64 { return s.memoryMB }))
}
