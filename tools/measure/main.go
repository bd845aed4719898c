// Command measure starts a development agent and prints the figures that
// Steppe promises, each beside its limit: start, memory, idle processor,
// bursts of allocations, the cost of a command. It prints, it doesn't judge:
// machines differ, and shared ones are noisy.
//
// It must not know the agent's insides: it uses the binary and the HTTP API.
// Begin reading at run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/structs"
)

const (
	address  = "http://127.0.0.1:14646"
	deadline = 5 * time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	node := flag.Bool("node", false, "measure a node with many tasks instead")
	flag.Parse()
	if err := run(ctx, os.Stdout, *node); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bench is one measured agent.
type bench struct {
	ctx    context.Context
	out    io.Writer
	binary string
	client *api.Client
	agent  *exec.Cmd
}

func run(ctx context.Context, out io.Writer, node bool) (err error) {
	binary, err := filepath.Abs("bin/steppe")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "steppe-measure-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	client, err := api.New(api.Config{Address: address})
	if err != nil {
		return err
	}
	b := &bench{ctx: ctx, out: out, binary: binary, client: client}
	b.row("figure", "measured", "limit")
	if node {
		return b.nodeFigures()
	}
	if err := b.start(dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	for _, step := range []func() error{b.size, b.idle, b.command, b.single, b.burst, b.batch, b.crowded} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) row(figure, measured, limit string) {
	_, _ = fmt.Fprintf(b.out, "%-58s %12s %12s\n", figure, measured, limit) // a closed terminal
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func (b *bench) start(dir string) error {
	config := filepath.Join(dir, "agent.hcl")
	text := "ports {\n  http = 14646\n  rpc = 14647\n  serf = 14648\n}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	b.agent = exec.Command(b.binary, "agent", "-dev", "-config", config, "-log-level", "ERROR")
	b.agent.Env = append(os.Environ(), "HOME="+dir)
	begin := time.Now()
	if err := b.agent.Start(); err != nil {
		return err
	}
	for {
		leader, err := b.client.Leader(b.ctx)
		if err == nil && leader != "" {
			break
		}
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.row("agent -dev answers /v1/status/leader", seconds(time.Since(begin)), "1.50 s")
	return b.until("a ready node", func() (bool, error) {
		nodes, _, err := b.client.Nodes(b.ctx, nil)
		return err == nil && len(nodes) == 1 && nodes[0].Status == structs.NodeStatusReady, nil
	})
}

func (b *bench) stop() error {
	if err := b.agent.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	return b.agent.Wait()
}

func (b *bench) until(what string, done func() (bool, error)) error {
	for {
		ok, err := done()
		if err != nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		if b.ctx.Err() != nil {
			return fmt.Errorf("wait for %s: %w", what, b.ctx.Err())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (b *bench) size() error {
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	b.row("binary, stripped", fmt.Sprintf("%.1f MB", float64(info.Size())/1e6), "60 MB")
	return nil
}

// idle measures memory and processor time of the agent alone.
func (b *bench) idle() error {
	time.Sleep(3 * time.Second)
	before, err := cpuTime(b.agent.Process.Pid)
	if err != nil {
		return err
	}
	const window = 10 * time.Second
	time.Sleep(window)
	after, err := cpuTime(b.agent.Process.Pid)
	if err != nil {
		return err
	}
	rss, err := status(b.agent.Process.Pid, "VmRSS")
	if err != nil {
		return err
	}
	b.row("agent -dev idle, resident memory", fmt.Sprintf("%d MiB", rss/1024), "90 MiB")
	b.row("agent -dev idle, share of a core", fmt.Sprintf("%.2f %%", float64(after-before)/float64(window)*100), "1 %")
	return nil
}

func cpuTime(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err // 100 ticks a second on Linux
}

func status(pid int, key string) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("no %s for process %d", key, pid)
}

// command measures one command of the command line: the best of several runs,
// as the machine may be busy.
func (b *bench) command() error {
	best, memory := time.Hour, int64(0)
	for range 10 {
		cmd := exec.CommandContext(b.ctx, b.binary, "node", "status")
		cmd.Env = append(os.Environ(), "STEPPE_ADDR="+address)
		begin := time.Now()
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("run node status: %w", err)
		}
		best = min(best, time.Since(begin))
		memory = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	}
	b.row("a command (node status), best of 10", fmt.Sprintf("%d ms", best.Milliseconds()), "60 ms")
	b.row("a command (node status), resident memory", fmt.Sprintf("%d MiB", memory/1024), "40 MiB")
	return nil
}

func job(id, kind string, count int, args ...string) *structs.Job {
	group := "main"
	return &structs.Job{ID: &id, Type: &kind, TaskGroups: []*structs.TaskGroup{{
		Name: &group, Count: &count, EphemeralDisk: &structs.EphemeralDisk{SizeMB: ptr(10)},
		Tasks: []*structs.Task{{
			Name: "main", Driver: "raw_exec", Config: map[string]any{"command": "/bin/sh", "args": args},
			Resources: &structs.Resources{CPU: ptr(5), MemoryMB: ptr(10)}, LogConfig: &structs.LogConfig{MaxFiles: ptr(1), MaxFileSizeMB: ptr(1)},
		}},
	}}}
}

func stopPurge() api.StopOptions { return api.StopOptions{Purge: true} }

func ptr[T any](v T) *T { return &v }

// timed registers a job and waits until the summary says so many in a state.
func (b *bench) timed(j *structs.Job, count int, state func(structs.TaskGroupSummary) int) (time.Duration, error) {
	begin := time.Now()
	if _, err := b.client.RegisterJob(b.ctx, &structs.JobRegisterRequest{Job: j}, nil); err != nil {
		return 0, err
	}
	err := b.until(*j.ID, func() (bool, error) {
		s, _, err := b.client.JobSummary(b.ctx, *j.ID, nil)
		return err == nil && state(s.Summary["main"]) == count, nil
	})
	took := time.Since(begin)
	if _, stopErr := b.client.StopJob(b.ctx, *j.ID, api.StopOptions{Purge: true}, nil); err == nil {
		err = stopErr
	}
	if err != nil {
		return 0, err
	}
	return took, b.until("the end of "+*j.ID, b.allEnded)
}

// allEnded tells whether nothing runs any more, so that the next figure isn't
// measured beside the end of the last one.
func (b *bench) allEnded() (bool, error) {
	allocs, _, err := b.client.Allocations(b.ctx, nil)
	if err != nil {
		return false, err
	}
	for _, a := range allocs {
		if a.ClientStatus == structs.AllocClientRunning || a.ClientStatus == structs.AllocClientPending {
			return false, nil
		}
	}
	return true, nil
}

func runningOf(s structs.TaskGroupSummary) int { return s.Running }

func (b *bench) single() error {
	best := time.Hour
	for i := range 5 {
		took, err := b.timed(job(fmt.Sprintf("one-%d", i), "service", 1, "-c", "sleep 600"), 1, runningOf)
		if err != nil {
			return err
		}
		best = min(best, took)
	}
	b.row("one raw_exec allocation running, best of 5", seconds(best), "0.30 s")
	return nil
}

func (b *bench) burst() error {
	took, err := b.timed(job("burst", "service", 200, "-c", "sleep 600"), 200, runningOf)
	if err != nil {
		return err
	}
	b.row("200 raw_exec allocations running", seconds(took), "5.00 s")
	return nil
}

// crowded measures a burst that starts while as many tasks are being ended.
func (b *bench) crowded() error {
	ending := job("ending", "service", 200, "-c", "sleep 600")
	if _, err := b.client.RegisterJob(b.ctx, &structs.JobRegisterRequest{Job: ending}, nil); err != nil {
		return err
	}
	err := b.until("a full node", func() (bool, error) {
		s, _, err := b.client.JobSummary(b.ctx, *ending.ID, nil)
		return err == nil && runningOf(s.Summary["main"]) == 200, nil
	})
	if err != nil {
		return err
	}
	if _, err := b.client.StopJob(b.ctx, *ending.ID, api.StopOptions{Purge: true}, nil); err != nil {
		return err
	}
	took, err := b.timed(job("beside", "batch", 200, "-c", "true"), 200, func(s structs.TaskGroupSummary) int { return s.Complete })
	if err != nil {
		return err
	}
	b.row("200 short batch tasks complete while 200 tasks end", seconds(took), "")
	return nil
}

func (b *bench) batch() error {
	took, err := b.timed(job("batch", "batch", 200, "-c", "true"), 200, func(s structs.TaskGroupSummary) int { return s.Complete })
	if err != nil {
		return err
	}
	b.row("200 short batch tasks complete", seconds(took), "5.00 s")
	return nil
}
