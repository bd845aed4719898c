package nodeapi

import (
	"context"
	"net/http"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/steppe-run/steppe/structs"
)

func (a *api) hostStats(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return err
	}
	out := &structs.HostStats{Memory: &structs.HostMemoryStats{
		Total: memory.Total, Available: memory.Available, Used: memory.Used, Free: memory.Free,
	}}
	// What can't be measured is left out; the rest is still of use.
	if uptime, err := host.UptimeWithContext(ctx); err == nil {
		out.Uptime = uptime
	}
	out.CPU = a.cpuShares(ctx)
	out.CPUTicksConsumed = ticks(out.CPU, a.CPU())
	if usage, err := disk.UsageWithContext(ctx, a.AllocDir); err == nil {
		out.AllocDirStats = diskStats("", usage)
	}
	if mounts, err := disk.PartitionsWithContext(ctx, false); err == nil {
		for _, m := range mounts {
			if usage, err := disk.UsageWithContext(ctx, m.Mountpoint); err == nil {
				out.DiskStats = append(out.DiskStats, diskStats(m.Device, usage))
			}
		}
	}
	return answer(w, out)
}

// cpuWindow is how long the processors are watched for an answer.
const cpuWindow = 100 * time.Millisecond

// cpuShares is what each processor does at present, in percent.
func (a *api) cpuShares(ctx context.Context) []*structs.HostCPUStats {
	before, err := cpu.TimesWithContext(ctx, true)
	if err != nil || a.pause(ctx, cpuWindow) != nil {
		return nil
	}
	after, err := cpu.TimesWithContext(ctx, true)
	if err != nil || len(after) != len(before) {
		return nil
	}
	out := make([]*structs.HostCPUStats, len(after))
	for i := range after {
		out[i] = cpuShare(before[i], after[i])
	}
	return out
}

// ticks is what the processors do together, in MHz of what the node has.
func ticks(cores []*structs.HostCPUStats, mhz int) float64 {
	var busy float64
	for _, c := range cores {
		busy += 100 - c.Idle
	}
	return busy / 100 / float64(max(1, len(cores))) * float64(mhz)
}

func cpuShare(before, after cpu.TimesStat) *structs.HostCPUStats {
	total := allTime(after) - allTime(before)
	if total <= 0 {
		return &structs.HostCPUStats{CPU: after.CPU, Idle: 100}
	}
	return &structs.HostCPUStats{
		CPU:    after.CPU,
		User:   (after.User - before.User) / total * 100,
		System: (after.System - before.System) / total * 100,
		Idle:   (after.Idle - before.Idle) / total * 100,
	}
}

func allTime(t cpu.TimesStat) float64 {
	return t.User + t.System + t.Idle + t.Nice + t.Iowait + t.Irq + t.Softirq + t.Steal
}

func diskStats(device string, u *disk.UsageStat) *structs.HostDiskStats {
	return &structs.HostDiskStats{
		Device: device, Mountpoint: u.Path, Size: u.Total, Used: u.Used, Available: u.Free,
		UsedPercent: u.UsedPercent, InodesUsedPercent: u.InodesUsedPercent,
	}
}
