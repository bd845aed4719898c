// Package servertest has the node and the job that the tests of the control
// plane's rooms begin with.
//
// It must not know any of those rooms. Begin reading at Node.
package servertest

import (
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/structs"
)

// Node describes a new node with room for ten allocations of Job.
func Node(name string) *structs.Node {
	return &structs.Node{
		ID: ids.New(), SecretID: ids.New(), Name: name, Datacenter: "dc1", NodePool: structs.NodePoolDefault,
		ComputedClass: "class", Status: structs.NodeStatusReady, SchedulingEligibility: structs.NodeEligible,
		Attributes: map[string]string{"kernel.name": "linux", "driver.mock": "1", "nomad.service_discovery": "true"},
		Drivers:    map[string]*structs.DriverInfo{"mock": {Detected: true, Healthy: true}},
		NodeResources: &structs.NodeResources{
			Cpu:            structs.NodeCpuResources{CpuShares: 1000, TotalCpuCores: 4},
			Memory:         structs.NodeMemoryResources{MemoryMB: 1000},
			Disk:           structs.NodeDiskResources{DiskMB: 100_000},
			MinDynamicPort: 20000, MaxDynamicPort: 32000,
		},
	}
}

// Job is a job of one group "web", 100 MHz and 100 MB an allocation.
func Job(id, kind string, count int) *structs.Job {
	cpu, memory, disk := 100, 100, 300
	group := "web"
	return &structs.Job{
		ID: &id, Name: &id, Type: &kind,
		TaskGroups: []*structs.TaskGroup{{
			Name: &group, Count: &count,
			EphemeralDisk: &structs.EphemeralDisk{SizeMB: &disk},
			Tasks: []*structs.Task{{
				Name: "main", Driver: "mock", Config: map[string]any{"run_for": "1h"},
				Resources: &structs.Resources{CPU: &cpu, MemoryMB: &memory},
			}},
		}},
	}
}
