//go:build linux

package process

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/supervise"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/structs"
)

// ticksPerSecond is the unit of times in /proc; the kernel shows it to
// programs as 100 whatever it uses itself.
const ticksPerSecond = 100

// Stats implements drivers.Observer.
func (c *Core) Stats(ctx context.Context, taskID string, interval time.Duration, emit func(*structs.TaskResourceUsage) error) error {
	t, err := c.find(taskID)
	if err != nil {
		return err
	}
	if interval <= 0 {
		interval = time.Second
	}
	meter := newMeter(t.config)
	for {
		status, err := t.supervise.Status(ctx)
		if errors.Is(err, supervise.ErrLost) || err == nil && status.Exit != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := emit(meter.read(status, c.clock.Now())); err != nil {
			return err
		}
		timer := c.clock.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C():
		}
	}
}

// meter turns running totals into rates.
type meter struct {
	// coreMHz is what one core at full use counts for.
	coreMHz float64
	last    map[int]times
	at      time.Time
}

// times are a process' totals.
type times struct{ user, system float64 }

func newMeter(t *drivers.TaskConfig) *meter {
	m := &meter{last: map[int]times{}}
	if r := t.Resources; r != nil && r.Linux.PercentTicks > 0 {
		m.coreMHz = float64(r.Linux.CPUShares) / r.Linux.PercentTicks / float64(runtime.NumCPU())
	}
	return m
}

// read measures the task's processes.
func (m *meter) read(status *keeper.Status, now time.Time) *structs.TaskResourceUsage {
	seconds := now.Sub(m.at).Seconds()
	if m.at.IsZero() {
		seconds = now.Sub(status.StartedAt).Seconds()
	}
	out := &structs.TaskResourceUsage{Timestamp: now.UnixNano(), ResourceUsage: newUsage(), Pids: map[string]*structs.ResourceUsage{}}
	current := map[int]times{}
	for _, pid := range processes(status) {
		total, rss, err := readProcess(pid)
		if err != nil {
			continue // it ended meanwhile
		}
		current[pid] = total
		usage := newUsage()
		usage.MemoryStats.RSS = rss
		if seconds > 0 {
			m.rate(usage.CpuStats, total.user-m.last[pid].user, total.system-m.last[pid].system, seconds)
		}
		out.Pids[strconv.Itoa(pid)] = usage
		add(out.ResourceUsage, usage)
	}
	m.last, m.at = current, now
	return out
}

// rate puts seconds of use in seconds of time into percent of one core.
func (m *meter) rate(c *structs.CpuStats, user, system, seconds float64) {
	c.UserMode = max(0, user) / seconds * 100
	c.SystemMode = max(0, system) / seconds * 100
	c.Percent = c.UserMode + c.SystemMode
	c.TotalTicks = c.Percent / 100 * m.coreMHz
}

func newUsage() *structs.ResourceUsage {
	return &structs.ResourceUsage{
		CpuStats:    &structs.CpuStats{Measured: []string{"System Mode", "User Mode", "Total Ticks", "Percent"}},
		MemoryStats: &structs.MemoryStats{Measured: []string{"RSS"}},
	}
}

func add(sum, part *structs.ResourceUsage) {
	sum.MemoryStats.RSS += part.MemoryStats.RSS
	sum.CpuStats.UserMode += part.CpuStats.UserMode
	sum.CpuStats.SystemMode += part.CpuStats.SystemMode
	sum.CpuStats.Percent += part.CpuStats.Percent
	sum.CpuStats.TotalTicks += part.CpuStats.TotalTicks
}

// processes lists the task's processes: those of its cgroup, or those that
// descend from its supervisor.
func processes(status *keeper.Status) []int {
	if status.Owned {
		if data, err := os.ReadFile(filepath.Join(status.Cgroup, "cgroup.procs")); err == nil {
			var out []int
			for _, field := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
					out = append(out, pid)
				}
			}
			return out
		}
	}
	return descendants(status.Supervisor.PID)
}

func descendants(root int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	children := map[int][]int{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		fields, err := statFields(pid)
		if err != nil {
			continue
		}
		if parent, err := strconv.Atoi(string(fields[1])); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	var out []int
	for queue := children[root]; len(queue) > 0; queue = queue[1:] {
		out = append(out, queue[0])
		queue = append(queue, children[queue[0]]...)
	}
	return out
}

// statFields are the fields of /proc/PID/stat from the state on.
func statFields(pid int) ([][]byte, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil, err
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 22 {
		return nil, errors.New("unexpected form")
	}
	return fields, nil
}

// readProcess returns a process' times in seconds and its resident bytes.
func readProcess(pid int) (times, uint64, error) {
	fields, err := statFields(pid)
	if err != nil {
		return times{}, 0, err
	}
	user, err1 := strconv.ParseFloat(string(fields[11]), 64)
	system, err2 := strconv.ParseFloat(string(fields[12]), 64)
	pages, err3 := strconv.ParseUint(string(fields[21]), 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return times{}, 0, err
	}
	return times{user / ticksPerSecond, system / ticksPerSecond}, pages * uint64(os.Getpagesize()), nil
}
