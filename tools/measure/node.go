package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/structs"
)

const (
	// idleTasks run while an agent's need is measured.
	idleTasks = 200
	// starts and kills are how often each is measured.
	starts, kills = 20, 10
	// floodMB is what one task prints.
	floodMB = 1024
)

// nodeFigures measures what a node with many idle tasks needs, how long tasks take
// to start, how soon a killed agent is back, and how fast one task may print. The
// servers are a process of their own, so that nothing of theirs counts.
func (b *bench) nodeFigures() error {
	dir, err := os.MkdirTemp("", "steppe-measure-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	if err := b.launch(dir, "server", "server {\n  enabled = true\n  bootstrap_expect = 1\n}\nports {\n  http = 14646\n  rpc = 14647\n  serf = 14648\n}\n"); err != nil {
		return err
	}
	server := b.agent
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }() // it was measured
	if err := b.until("a leader", func() (bool, error) { l, err := b.client.Leader(b.ctx); return err == nil && l != "", nil }); err != nil {
		return err
	}
	node := &node{bench: b, dir: dir}
	if err := node.start(); err != nil {
		return err
	}
	defer node.end()
	return errors.Join(node.latency(), node.idle(), node.back(), node.flood())
}

// launch starts an agent in the foreground of nothing.
func (b *bench) launch(dir, name, config string) error {
	file := filepath.Join(dir, name+".hcl")
	text := fmt.Sprintf("name = %q\ndata_dir = %q\nbind_addr = \"127.0.0.1\"\n%s", name, filepath.Join(dir, name), config)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	b.agent = exec.Command(b.binary, "agent", "-config", file, "-log-level", "ERROR")
	b.agent.Env = append(os.Environ(), "HOME="+dir)
	return b.agent.Start()
}

// node is the measured agent.
type node struct {
	*bench
	dir   string
	alloc string // one of its allocations
}

func (n *node) start() error {
	err := n.launch(n.dir, "client", `client {
  enabled = true
  servers = ["127.0.0.1:14647"]
  gc_disk_usage_threshold = 100
}
ports {
  http = 14656
  rpc = 14657
  serf = 14658
}
plugin "raw_exec" {
  config { enabled = true }
}
`)
	if err != nil {
		return err
	}
	return n.until("a ready node", func() (bool, error) {
		nodes, _, err := n.client.Nodes(n.ctx, nil)
		return err == nil && len(nodes) == 1 && nodes[0].Status == structs.NodeStatusReady, nil
	})
}

// end takes the agent away with all its tasks, whatever went wrong before.
func (n *node) end() {
	for _, id := range []string{"idle", "flood"} {
		_, _ = n.client.StopJob(n.ctx, id, stopPurge(), nil) // it may be gone
	}
	_ = n.until("the end of all tasks", n.allEnded)
	_ = n.agent.Process.Signal(os.Interrupt) // as above
	_ = n.agent.Wait()
}

// latency is from the order to start a task to its start.
func (n *node) latency() error {
	var took []time.Duration
	for i := range starts {
		id := fmt.Sprintf("start-%d", i)
		j := job(id, "batch", 1, "-c", "true")
		if _, err := n.timed(j, 1, func(s structs.TaskGroupSummary) int { return s.Complete }); err != nil {
			return err
		}
		allocs, _, err := n.client.Allocations(n.ctx, nil)
		if err != nil {
			return err
		}
		for _, a := range allocs {
			if a.JobID == id && a.TaskStates["main"] != nil {
				took = append(took, startOf(a.TaskStates["main"]))
			}
		}
	}
	n.row("raw_exec task, from set-up to started, p95", p95(took).Round(time.Millisecond).String(), "50 ms")
	return nil
}

func startOf(s *structs.TaskState) time.Duration {
	var from, to int64
	for _, e := range s.Events {
		switch e.Type {
		case structs.TaskSetup:
			from = e.Time
		case structs.TaskStarted:
			to = e.Time
		}
	}
	return time.Duration(to - from)
}

func p95(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[(len(d)*95+99)/100-1]
}

// idle measures the node with its idle tasks, which go on.
func (n *node) idle() error {
	j := job("idle", "service", idleTasks, "-c", "exec sleep 3600")
	if _, err := n.client.RegisterJob(n.ctx, &structs.JobRegisterRequest{Job: j}, nil); err != nil {
		return err
	}
	err := n.until("idle tasks", func() (bool, error) {
		s, _, err := n.client.JobSummary(n.ctx, "idle", nil)
		return err == nil && runningOf(s.Summary["main"]) == idleTasks, nil
	})
	if err != nil {
		return err
	}
	allocs, _, err := n.client.Allocations(n.ctx, nil)
	if err != nil {
		return err
	}
	for _, a := range allocs {
		if a.JobID == "idle" {
			n.alloc = a.ID
		}
	}
	time.Sleep(30 * time.Second) // the burst is over, and what it needed given back
	ours, before, err := n.processes()
	if err != nil {
		return err
	}
	const window = 30 * time.Second
	time.Sleep(window)
	_, after, err := n.processes()
	if err != nil {
		return err
	}
	supervisors, err := pssOf(n.supervisors())
	if err != nil {
		return err
	}
	own, err := pssOf(ours)
	if err != nil {
		return err
	}
	n.row("supervision of a task, PSS", fmt.Sprintf("%.2f MiB", float64(supervisors)/1024/idleTasks), "4 MiB")
	n.row(fmt.Sprintf("agent and its plugins with %d idle tasks, PSS", idleTasks), fmt.Sprintf("%d MiB", own/1024), "120 MiB")
	n.row(fmt.Sprintf("agent and its plugins with %d idle tasks, share of a core", idleTasks), fmt.Sprintf("%.2f %%", float64(after-before)/float64(window)*100), "2 %")
	for _, pid := range ours {
		pss, err := pssOf([]int{pid})
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // for people only
		n.row("  of which "+lastWord(line), fmt.Sprintf("%d MiB", pss/1024), "")
		if err != nil {
			return err
		}
	}
	return nil
}

// lastWord names a plugin by its driver, and the agent.
func lastWord(line []byte) string {
	if !bytes.Contains(line, []byte("\x00plugin\x00")) {
		return "the agent"
	}
	words := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	return "plugin " + words[len(words)-1]
}

// processes are the agent and its plugins, and the processor time they have used.
func (n *node) processes() ([]int, time.Duration, error) {
	out := []int{n.agent.Process.Pid}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, 0, err
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return nil, 0, err
		}
		if parent, err := status(pid, "PPid"); err == nil && parent == out[0] {
			if line, _ := os.ReadFile(filepath.Join(dir, "cmdline")); bytes.Contains(line, []byte("\x00plugin\x00")) {
				out = append(out, pid)
			}
		}
	}
	var sum time.Duration
	for _, pid := range out {
		t, err := cpuTime(pid)
		if err != nil {
			return nil, 0, err
		}
		sum += t
	}
	return out, sum, nil
}

// supervisors are the processes that own this node's tasks.
func (n *node) supervisors() []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is ours
	var out []int
	for _, dir := range dirs {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // it has ended meanwhile
		if bytes.Contains(line, []byte(n.dir)) && bytes.Contains(line, []byte("/private/supervisor-")) {
			if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

// pssOf sums the memory of processes in KiB, what they share counted once.
func pssOf(pids []int) (int, error) {
	sum := 0
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		for _, line := range strings.Split(string(data), "\n") {
			if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
				kib, err := strconv.Atoi(strings.Fields(rest)[0])
				if err != nil {
					return 0, err
				}
				sum += kib
			}
		}
	}
	return sum, nil
}

// back kills the agent and waits until the next one has its tasks back: it answers
// for one of them by asking the driver.
func (n *node) back() error {
	var took []time.Duration
	before := n.supervisors()
	for range kills {
		if err := n.agent.Process.Kill(); err != nil {
			return err
		}
		_ = n.agent.Wait() // killed
		begin := time.Now()
		if err := n.start(); err != nil {
			return err
		}
		err := n.until("the tasks of a killed agent", func() (bool, error) {
			answer, err := http.Get("http://127.0.0.1:14656/v1/client/allocation/" + n.alloc + "/stats")
			if err != nil {
				return false, nil
			}
			return answer.StatusCode == http.StatusOK, answer.Body.Close()
		})
		if err != nil {
			return err
		}
		took = append(took, time.Since(begin))
	}
	if after := n.supervisors(); !slices.Equal(before, after) {
		return fmt.Errorf("of %d supervised tasks %d are the same after %d kills", len(before), len(after), kills)
	}
	n.row(fmt.Sprintf("killed agent with %d tasks is back, p95 of %d", idleTasks, kills), seconds(p95(took)), "2.50 s")
	return nil
}

// flood has one task print as fast as it can, into logs made for it.
func (n *node) flood() error {
	if _, err := n.client.StopJob(n.ctx, "idle", stopPurge(), nil); err != nil {
		return err
	}
	if err := n.until("the end of the idle tasks", n.allEnded); err != nil {
		return err
	}
	j := job("flood", "batch", 1, "-c", fmt.Sprintf("yes 0123456789012345678901234567890123456789012345678901234567890 | head -c %d", floodMB<<20))
	t := j.TaskGroups[0].Tasks[0]
	t.LogConfig = &structs.LogConfig{MaxFiles: ptr(8), MaxFileSizeMB: ptr(floodMB / 4)}
	j.TaskGroups[0].EphemeralDisk.SizeMB = ptr(2*floodMB + 100)
	if _, err := n.client.RegisterJob(n.ctx, &structs.JobRegisterRequest{Job: j}, nil); err != nil {
		return err
	}
	err := n.until("the flood", func() (bool, error) {
		s, _, err := n.client.JobSummary(n.ctx, "flood", nil)
		return err == nil && s.Summary["main"].Complete == 1, nil
	})
	if err != nil {
		return err
	}
	allocs, _, err := n.client.Allocations(n.ctx, nil)
	if err != nil {
		return err
	}
	for _, a := range allocs {
		if a.JobID != "flood" {
			continue
		}
		var size int64
		files, _ := filepath.Glob(filepath.Join(n.dir, "client", "alloc", a.ID, "alloc", "logs", "main.stdout.*")) // the pattern is ours
		for _, f := range files {
			info, err := os.Stat(f)
			if err != nil {
				return err
			}
			size += info.Size()
		}
		s := a.TaskStates["main"]
		took := s.FinishedAt.Sub(s.StartedAt)
		n.row(fmt.Sprintf("%d MiB through one task's log, %d bytes missing", floodMB, int64(floodMB)<<20-size), fmt.Sprintf("%.0f MB/s", float64(size)/1e6/took.Seconds()), "200 MB/s")
	}
	_, err = n.client.StopJob(n.ctx, "flood", stopPurge(), nil)
	return errors.Join(err, n.until("the end of the flood", n.allEnded))
}
