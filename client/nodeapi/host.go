package nodeapi

import (
	"net/http"

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
	if times, err := cpu.TimesWithContext(ctx, true); err == nil {
		for _, t := range times {
			out.CPU = append(out.CPU, cpuShare(t))
		}
	}
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

// cpuShare is what a processor did since the machine started, in percent.
func cpuShare(t cpu.TimesStat) *structs.HostCPUStats {
	total := t.User + t.System + t.Idle + t.Nice + t.Iowait + t.Irq + t.Softirq + t.Steal
	if total <= 0 {
		total = 1
	}
	return &structs.HostCPUStats{
		CPU: t.CPU, User: t.User / total * 100, System: t.System / total * 100, Idle: t.Idle / total * 100,
	}
}

func diskStats(device string, u *disk.UsageStat) *structs.HostDiskStats {
	return &structs.HostDiskStats{
		Device: device, Mountpoint: u.Path, Size: u.Total, Used: u.Used, Available: u.Free,
		UsedPercent: u.UsedPercent, InodesUsedPercent: u.InodesUsedPercent,
	}
}
