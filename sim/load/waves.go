package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// How often a run looks while it waits.
const (
	placedEvery  = 25 * time.Millisecond
	runningEvery = 50 * time.Millisecond
	// settled is how long nothing may change, once all jobs are registered,
	// before what is missing is taken for what doesn't fit.
	settled = 3 * time.Second
)

// moment is the server's figures and when they were read.
type moment struct {
	*structs.ServerFigures
	at time.Time
}

// timed measures the wave that runs at once.
func (r *run) timed(ctx context.Context) error {
	before, err := r.client.Figures(ctx, true)
	if err != nil {
		return err
	}
	busy, err := r.crowdCPU()
	if err != nil {
		return err
	}
	r.say("%d jobs of %d allocations are registered over %d connections.", r.opts.Jobs, r.opts.Count, r.opts.Connections)
	began := r.clock.Now()
	placed, err := r.wave(ctx, waveMain, r.opts.Jobs, before.Allocations+r.report.Asked)
	if err != nil {
		return err
	}
	took := placed.at.Sub(began).Seconds()
	r.report.Placed, r.report.PlacedSeconds = placed.Allocations-before.Allocations, took
	r.report.PlacementsPerSecond = float64(r.report.Placed) / took
	r.report.JobsPerSecond = float64(r.opts.Jobs) / took
	r.say("%d are placed, %.0f a second. Their nodes report them running.", r.report.Placed, r.report.PlacementsPerSecond)
	p, err := r.awaitRunning(ctx, waveMain, r.report.Placed)
	if err != nil {
		return err
	}
	after, err := r.client.Figures(ctx, false)
	if err != nil {
		return err
	}
	r.report.Running, r.report.NodesUsed, r.report.Failures = p.Running, p.NodesUsed, p.Failures
	r.report.SubmitToRunningP50, r.report.SubmitToRunningP99 = millis(p.P50), millis(p.P99)
	r.report.NodesLowerBound = lowerBound(&r.opts, r.report.Placed)
	r.report.cost(before, placed.ServerFigures, after)
	spent, err := r.crowdCPU()
	r.report.NodesCPU = (spent - busy).Seconds()
	return err
}

// wave registers jobs and waits until the server holds want allocations, or
// nothing moves any more.
func (r *run) wave(ctx context.Context, name string, jobs, want int) (moment, error) {
	var last moment
	group := loop.New(ctx)
	registered := make(chan struct{})
	group.Go("submit", func(ctx context.Context) error {
		defer close(registered)
		began := r.clock.Now()
		err := r.submit(ctx, name, jobs)
		if name == waveMain {
			r.report.RegisteredSeconds = r.clock.Now().Sub(began).Seconds()
		}
		return err
	})
	group.Go("watch", func(ctx context.Context) error {
		return r.until(ctx, placedEvery, "all to be placed", func() (bool, error) {
			now, err := r.client.Figures(ctx, false)
			if err != nil {
				return false, err
			}
			at := r.clock.Now()
			if last.ServerFigures == nil || now.Allocations > last.Allocations {
				last = moment{now, at}
			}
			select {
			case <-registered:
				return last.Allocations >= want || at.Sub(last.at) > settled, nil
			default:
				return false, nil
			}
		})
	})
	return last, group.Wait()
}

func (r *run) awaitRunning(ctx context.Context, wave string, want int) (Progress, error) {
	var p Progress
	err := r.until(ctx, runningEvery, "all to run", func() (bool, error) {
		var err error
		p, err = r.crowd.ask("status " + wave)
		return p.Running >= want, err
	})
	if err != nil && p.LastFailure != "" {
		err = fmt.Errorf("%w (%d of %d run; %d calls of nodes failed, the last: %s)", err, p.Running, want, p.Failures, p.LastFailure)
	}
	return p, err
}

// sized measures the wave that waits before it runs.
func (r *run) sized(ctx context.Context) error {
	jobs := max(1, min(r.opts.Sizing, r.report.Placed)/r.opts.Count)
	if _, err := r.crowd.ask("hold " + waveSizing); err != nil {
		return err
	}
	before, err := r.settledFigures(ctx)
	if err != nil {
		return err
	}
	r.say("%d more allocations are placed, and wait.", jobs*r.opts.Count)
	placed, err := r.wave(ctx, waveSizing, jobs, before.Allocations+jobs*r.opts.Count)
	if err != nil {
		return err
	}
	n := placed.Allocations - before.Allocations
	if n == 0 {
		r.say("Nothing of it fits: pending and running allocations are not told apart.")
		return nil
	}
	if err := r.until(ctx, runningEvery, "all to reach their nodes", func() (bool, error) {
		p, err := r.crowd.ask("status " + waveSizing)
		return p.Received >= n, err
	}); err != nil {
		return err
	}
	pending, err := r.settledFigures(ctx)
	if err != nil {
		return err
	}
	if _, err := r.crowd.ask("release"); err != nil {
		return err
	}
	if _, err := r.awaitRunning(ctx, waveSizing, n); err != nil {
		return err
	}
	running, err := r.settledFigures(ctx)
	if err != nil {
		return err
	}
	each := func(f *structs.ServerFigures) *float64 {
		b := float64(f.Process.HeapBytes-before.Process.HeapBytes) / float64(n)
		return &b
	}
	r.report.SizedWith, r.report.ServerBytes, r.report.RunningBytes = n, each(pending), each(running)
	r.report.ServerRSS = running.Process.ResidentBytes
	return nil
}

// settledFigures has garbage collected twice: the first collection only frees
// what waits to be reused.
func (r *run) settledFigures(ctx context.Context) (*structs.ServerFigures, error) {
	if _, err := r.client.Figures(ctx, true); err != nil {
		return nil, err
	}
	return r.client.Figures(ctx, true)
}

// crowdCPU is the processor time of the simulated nodes so far.
func (r *run) crowdCPU() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.crowd.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read what the simulated nodes took: %w", err)
	}
	// The name, in parentheses, may hold anything: fields count from its end.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("read what the simulated nodes took: unexpected form %q", text)
	}
	const tick = 10 * time.Millisecond // the kernel's unit towards programs
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}
