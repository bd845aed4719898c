package nodeapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/steppe-run/steppe/client/alloc"
	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/structs"
)

const (
	// sampleEvery is the interval at which usage is measured.
	sampleEvery = time.Second
	// samplePatience is how long the first measurement may take.
	samplePatience = 3 * time.Second
	// sampleFresh is how long a measurement answers further questions.
	sampleFresh = 2 * time.Second
)

func (a *api) allocStats(w http.ResponseWriter, r *http.Request) error {
	runner, err := a.find(r)
	if err != nil {
		return err
	}
	tasks := runner.Tasks()
	if name := r.URL.Query().Get("task"); name != "" {
		t := runner.Task(name)
		if t == nil {
			return fail(http.StatusNotFound, "unknown task name %q", name)
		}
		tasks = []*task.Runner{t}
	}
	usage, err := a.usage.of(r.Context(), runner, tasks)
	if err != nil {
		return err
	}
	return answer(w, usage)
}

// usage measures tasks when somebody asks, and remembers the answer for a
// moment: nobody pays for numbers that are not looked at.
type usage struct {
	clock clock.Clock
	mu    sync.Mutex
	known map[string]*structs.TaskResourceUsage // by allocation and task
}

func newUsage(c clock.Clock) *usage {
	return &usage{clock: c, known: map[string]*structs.TaskResourceUsage{}}
}

// of adds up what the tasks of an allocation use.
func (u *usage) of(ctx context.Context, runner *alloc.Runner, tasks []*task.Runner) (*structs.AllocResourceUsage, error) {
	out := &structs.AllocResourceUsage{
		ResourceUsage: &structs.ResourceUsage{MemoryStats: &structs.MemoryStats{}, CpuStats: &structs.CpuStats{}},
		Tasks:         map[string]*structs.TaskResourceUsage{},
		Timestamp:     u.clock.Now().UnixNano(),
	}
	for _, t := range tasks {
		one, err := u.task(ctx, runner.ID(), t)
		if errors.Is(err, task.ErrNotRunning) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out.Tasks[t.Name()] = one
		addUsage(out.ResourceUsage, one.ResourceUsage)
	}
	return out, nil
}

// errEnough ends a stream of measurements after the first.
var errEnough = errors.New("one measurement is enough")

func (u *usage) task(ctx context.Context, allocID string, t *task.Runner) (*structs.TaskResourceUsage, error) {
	key := allocID + "/" + t.Name()
	now := u.clock.Now()
	u.mu.Lock()
	for k, known := range u.known {
		if now.Sub(time.Unix(0, known.Timestamp)) > sampleFresh {
			delete(u.known, k)
		}
	}
	known := u.known[key]
	u.mu.Unlock()
	if known != nil {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, samplePatience)
	defer cancel()
	var found *structs.TaskResourceUsage
	err := t.Stats(ctx, sampleEvery, func(measured *structs.TaskResourceUsage) error {
		found = measured
		return errEnough
	})
	if found == nil {
		if err == nil {
			err = task.ErrNotRunning
		}
		return nil, err
	}
	if found.Timestamp == 0 {
		found.Timestamp = now.UnixNano()
	}
	u.mu.Lock()
	u.known[key] = found
	u.mu.Unlock()
	return found, nil
}

func addUsage(sum, one *structs.ResourceUsage) {
	if one == nil {
		return
	}
	if m := one.MemoryStats; m != nil {
		s := sum.MemoryStats
		s.RSS += m.RSS
		s.Cache += m.Cache
		s.Swap += m.Swap
		s.Usage += m.Usage
		s.MaxUsage += m.MaxUsage
		s.KernelUsage += m.KernelUsage
		s.KernelMaxUsage += m.KernelMaxUsage
		s.Measured = union(s.Measured, m.Measured)
	}
	if c := one.CpuStats; c != nil {
		s := sum.CpuStats
		s.SystemMode += c.SystemMode
		s.UserMode += c.UserMode
		s.TotalTicks += c.TotalTicks
		s.ThrottledPeriods += c.ThrottledPeriods
		s.ThrottledTime += c.ThrottledTime
		s.Percent += c.Percent
		s.Measured = union(s.Measured, c.Measured)
	}
}

func union(a, b []string) []string {
	for _, x := range b {
		seen := false
		for _, y := range a {
			seen = seen || x == y
		}
		if !seen {
			a = append(a, x)
		}
	}
	return a
}
