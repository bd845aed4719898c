package node

import (
	"context"
	"fmt"
	"sort"
	"strconv"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

func driverTable(n *structs.Node) string {
	var rows [][]string
	for name, d := range n.Drivers {
		rows = append(rows, []string{name, view.Bool(d.Detected), view.Bool(d.Healthy), d.HealthDescription, view.Time(d.UpdateTime)})
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i][0] < rows[j][0] })
	return view.Table([]string{"Driver", "Detected", "Healthy", "Message", "Time"}, rows)
}

func volumeTable(n *structs.Node) string {
	var rows [][]string
	for name, v := range n.HostVolumes {
		rows = append(rows, []string{name, view.Bool(v.ReadOnly), v.Path})
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i][0] < rows[j][0] })
	return view.Table([]string{"Name", "ReadOnly", "Source"}, rows)
}

// usageOf asks the node what each of its running allocations uses. One that
// ends meanwhile uses nothing.
func usageOf(ctx context.Context, c *connect.Call, allocs []*structs.Allocation) []*structs.ResourceUsage {
	var out []*structs.ResourceUsage
	for _, a := range allocs {
		if a.ClientStatus != structs.AllocClientRunning {
			continue
		}
		usage, err := c.Client.AllocationStats(ctx, a.ID, &api.Query{Namespace: a.Namespace})
		if err == nil && usage != nil && usage.ResourceUsage != nil {
			out = append(out, usage.ResourceUsage)
		}
	}
	return out
}

func utilizationTable(n *structs.Node, usage []*structs.ResourceUsage) string {
	var ticks float64
	var memory uint64
	for _, u := range usage {
		if u.CpuStats != nil {
			ticks += u.CpuStats.TotalTicks
		}
		if u.MemoryStats != nil {
			memory += max(u.MemoryStats.RSS, u.MemoryStats.Usage)
		}
	}
	cpu, total, _ := offered(n)
	return view.Table([]string{"CPU", "Memory"}, [][]string{{
		fmt.Sprintf("%.0f/%d MHz", ticks, cpu), view.Bytes(memory) + "/" + view.Bytes(uint64(max(0, total))<<20),
	}})
}

// offered is what a node has for allocations, without what it reserves: MHz,
// then megabytes of memory and disk.
func offered(n *structs.Node) (cpu, memory, disk int64) {
	if r := n.NodeResources; r != nil {
		cpu, memory, disk = r.Cpu.CpuShares, r.Memory.MemoryMB, r.Disk.DiskMB
	}
	if r := n.ReservedResources; r != nil {
		cpu -= int64(r.Cpu.CpuShares)
		memory -= int64(r.Memory.MemoryMB)
		disk -= int64(r.Disk.DiskMB)
	}
	return cpu, memory, disk
}

// allocatedTable sums what the node's live allocations were given.
func allocatedTable(n *structs.Node, allocs []*structs.Allocation) string {
	var cpu, memory, disk int64
	count := 0
	for _, a := range allocs {
		if a.TerminalStatus() || a.AllocatedResources == nil {
			continue
		}
		count++
		disk += a.AllocatedResources.Shared.DiskMB
		for _, t := range a.AllocatedResources.Tasks {
			cpu += t.Cpu.CpuShares
			memory += t.Memory.MemoryMB
		}
	}
	totalCPU, totalMemory, totalDisk := offered(n)
	return view.Table([]string{"CPU", "Memory", "Disk", "Alloc Count"}, [][]string{{
		fmt.Sprintf("%d/%d MHz", cpu, totalCPU), megabytes(memory, totalMemory), megabytes(disk, totalDisk), strconv.Itoa(count),
	}})
}

func megabytes(used, total int64) string {
	return view.Bytes(uint64(max(0, used))<<20) + "/" + view.Bytes(uint64(max(0, total))<<20)
}

func hostTable(n *structs.Node, s *structs.HostStats) string {
	var total int64
	if n.NodeResources != nil {
		total = n.NodeResources.Cpu.CpuShares
	}
	memory, disk := "", ""
	if s.Memory != nil {
		memory = view.Bytes(s.Memory.Used) + "/" + view.Bytes(s.Memory.Total)
	}
	if s.AllocDirStats != nil {
		disk = view.Bytes(s.AllocDirStats.Used) + "/" + view.Bytes(s.AllocDirStats.Size)
	}
	return view.Table([]string{"CPU", "Memory", "Disk"}, [][]string{{fmt.Sprintf("%.0f/%d MHz", s.CPUTicksConsumed, total), memory, disk}})
}

func statsSections(s *structs.HostStats, bold bool) string {
	percent := func(f float64) string { return fmt.Sprintf("%.2f%%", f) }
	out := ""
	for _, cpu := range s.CPU {
		out += view.Section("CPU Stats", view.Keys([]view.Pair{
			{Key: "CPU", Value: cpu.CPU}, {Key: "User", Value: percent(cpu.User)}, {Key: "System", Value: percent(cpu.System)}, {Key: "Idle", Value: percent(cpu.Idle)},
		}), bold)
	}
	if m := s.Memory; m != nil {
		out += view.Section("Memory Stats", view.Keys([]view.Pair{
			{Key: "Total", Value: view.Bytes(m.Total)}, {Key: "Available", Value: view.Bytes(m.Available)},
			{Key: "Used", Value: view.Bytes(m.Used)}, {Key: "Free", Value: view.Bytes(m.Free)},
		}), bold)
	}
	for _, d := range s.DiskStats {
		out += view.Section("Disk Stats", view.Keys([]view.Pair{
			{Key: "Device", Value: d.Device}, {Key: "MountPoint", Value: d.Mountpoint}, {Key: "Size", Value: view.Bytes(d.Size)},
			{Key: "Used", Value: view.Bytes(d.Used)}, {Key: "Available", Value: view.Bytes(d.Available)},
			{Key: "Used Percent", Value: percent(d.UsedPercent)}, {Key: "Inodes Percent", Value: percent(d.InodesUsedPercent)},
		}), bold)
	}
	return out
}

// waiting shows which allocations keep a drain from its end: the last healthy ones
// of their groups.
func waiting(allocs []*structs.Allocation, verbose, bold bool) string {
	var rows [][]string
	for _, a := range allocs {
		if waits := monitor.Waits(a); waits != "" {
			rows = append(rows, []string{view.ID(a.ID, verbose), a.JobID, waits})
		}
	}
	if len(rows) == 0 {
		return ""
	}
	return view.Section("Waiting Allocations", view.Table([]string{"ID", "Job ID", "Migration"}, rows), bold)
}

func stubsOf(allocs []*structs.Allocation) []*structs.AllocationListStub {
	out := make([]*structs.AllocationListStub, len(allocs))
	for i, a := range allocs {
		stub := &structs.AllocationListStub{
			ID: a.ID, EvalID: a.EvalID, Name: a.Name, NodeID: a.NodeID, NodeName: a.NodeName, JobID: a.JobID, TaskGroup: a.TaskGroup,
			DesiredStatus: a.DesiredStatus, ClientStatus: a.ClientStatus, CreateIndex: a.CreateIndex, ModifyIndex: a.ModifyIndex,
			CreateTime: a.CreateTime, ModifyTime: a.ModifyTime,
		}
		if a.Job != nil {
			stub.JobVersion = structs.Value(a.Job.Version)
		}
		out[i] = stub
	}
	return out
}
