//go:build linux

package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/structs"
)

// Stats implements drivers.Observer.
func (d *Driver) Stats(ctx context.Context, taskID string, interval time.Duration, emit func(*structs.TaskResourceUsage) error) error {
	t, engine, err := d.find(taskID)
	if err != nil {
		return err
	}
	if interval <= 0 {
		interval = time.Second
	}
	var last *container.StatsResponse
	for {
		stats, err := readStats(ctx, engine, t.state.Container)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errdefs.IsNotFound(err):
			return nil
		case err == nil && stats.Read.IsZero():
			// An ended container is answered with zeros.
			return nil
		case err == nil:
			if err := emit(usageOf(stats, last, t.config)); err != nil {
				return err
			}
			last = stats
		}
		pause(ctx, d.clock, interval)
	}
}

func readStats(ctx context.Context, engine *client.Client, id string) (*container.StatsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	r, err := engine.ContainerStats(ctx, id, client.ContainerStatsOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Body.Close() }()
	out := &container.StatsResponse{}
	if err := json.NewDecoder(r.Body).Decode(out); err != nil {
		return nil, fmt.Errorf("read container stats: %w", err)
	}
	return out, nil
}

// usageOf puts the engine's totals into our terms; rates need an earlier
// reading.
func usageOf(s, last *container.StatsResponse, t *drivers.TaskConfig) *structs.TaskResourceUsage {
	cpu := &structs.CpuStats{
		ThrottledPeriods: s.CPUStats.ThrottlingData.ThrottledPeriods, ThrottledTime: s.CPUStats.ThrottlingData.ThrottledTime,
		Measured: []string{"System Mode", "User Mode", "Total Ticks", "Throttled Periods", "Throttled Time", "Percent"},
	}
	if last != nil {
		if elapsed := s.Read.Sub(last.Read); elapsed > 0 {
			now, before := s.CPUStats.CPUUsage, last.CPUStats.CPUUsage
			cpu.Percent = percent(now.TotalUsage, before.TotalUsage, elapsed)
			cpu.UserMode = percent(now.UsageInUsermode, before.UsageInUsermode, elapsed)
			cpu.SystemMode = percent(now.UsageInKernelmode, before.UsageInKernelmode, elapsed)
		}
	}
	if r := t.Resources; r != nil && r.Linux.PercentTicks > 0 && s.CPUStats.OnlineCPUs > 0 {
		coreMHz := float64(r.Linux.CPUShares) / r.Linux.PercentTicks / float64(s.CPUStats.OnlineCPUs)
		cpu.TotalTicks = cpu.Percent / 100 * coreMHz
	}
	m := s.MemoryStats
	memory := &structs.MemoryStats{Usage: m.Usage, MaxUsage: m.MaxUsage, Measured: []string{"RSS", "Cache", "Usage", "Max Usage", "Swap"}}
	if rss, ok := m.Stats["rss"]; ok {
		memory.RSS, memory.Cache, memory.Swap = rss, m.Stats["cache"], m.Stats["swap"]
	} else {
		// Version 2 cgroups have other words.
		memory.RSS, memory.Cache = m.Stats["anon"], m.Stats["file"]
		memory.KernelUsage = m.Stats["kernel_stack"] + m.Stats["slab"]
		memory.Measured = []string{"RSS", "Cache", "Usage", "Kernel Usage"}
	}
	return &structs.TaskResourceUsage{Timestamp: s.Read.UnixNano(), ResourceUsage: &structs.ResourceUsage{CpuStats: cpu, MemoryStats: memory}}
}

// percent is the part of one core used between two totals in nanoseconds.
func percent(now, before uint64, elapsed time.Duration) float64 {
	if now < before {
		return 0
	}
	return float64(now-before) / float64(elapsed) * 100
}
