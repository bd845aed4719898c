package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/testx"
)

// processes returns the ids of processes whose command line holds all of words
// and whose environment holds env (empty: any).
func processes(t *testing.T, env string, words ...string) []int {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, dir := range dirs {
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(line) == 0 {
			continue // it ended meanwhile, or belongs to the kernel
		}
		text := strings.ReplaceAll(string(line), "\x00", " ")
		matches := true
		for _, w := range words {
			matches = matches && strings.Contains(text, w)
		}
		if !matches {
			continue
		}
		if env != "" {
			vars, err := os.ReadFile(filepath.Join(dir, "environ"))
			if err != nil || !strings.Contains(string(vars), env) {
				continue
			}
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// taskPID is the process of an allocation's sleep task.
func taskPID(t *testing.T, allocID string) int {
	t.Helper()
	pids := processes(t, "NOMAD_ALLOC_ID="+allocID, "/bin/sleep 3600")
	if len(pids) != 1 {
		t.Fatalf("allocation %s has processes %v, want one", allocID, pids)
	}
	return pids[0]
}

func TestKilledTaskIsRestarted(t *testing.T) {
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything).start()
	a.awaitLeader()
	a.awaitNodes(1)
	register(t, a, sleepJob("sleep", 1))
	alloc := awaitRunning(t, a, "sleep", 1, 20*time.Second)[0]
	before := taskPID(t, alloc.ID)
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, 20*time.Second, "the task runs again", func() bool {
		info, _, err := a.client().Allocations().Info(alloc.ID, nil)
		return err == nil && info.TaskStates["sleep"].Restarts == 1 && info.TaskStates["sleep"].State == "running"
	})
	if after := taskPID(t, alloc.ID); after == before {
		t.Errorf("process %d again", after)
	}
}

func TestKilledPluginKeepsTasks(t *testing.T) {
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything).start()
	a.awaitLeader()
	a.awaitNodes(1)
	register(t, a, sleepJob("sleep", 2))
	allocs := awaitRunning(t, a, "sleep", 2, 20*time.Second)
	before := []int{taskPID(t, allocs[0].ID), taskPID(t, allocs[1].ID)}
	plugins := childrenOf(t, a.cmd.Process.Pid, "plugin", "raw_exec")
	if len(plugins) != 1 {
		t.Fatalf("plugin processes %v, want one", plugins)
	}
	if err := syscall.Kill(plugins[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, 20*time.Second, "the plugin is back", func() bool {
		now := childrenOf(t, a.cmd.Process.Pid, "plugin", "raw_exec")
		return len(now) == 1 && now[0] != plugins[0]
	})
	// It must also have taken its tasks back: a restart through it works.
	assertSame(t, a, allocs[0].ID, before[0])
	assertSame(t, a, allocs[1].ID, before[1])
	if err := syscall.Kill(before[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, 20*time.Second, "the new plugin saw the task end", func() bool {
		info, _, err := a.client().Allocations().Info(allocs[0].ID, nil)
		return err == nil && info.TaskStates["sleep"].Restarts == 1 && info.TaskStates["sleep"].State == "running"
	})
	assertSame(t, a, allocs[1].ID, before[1])
}

func TestKilledAgentKeepsTasks(t *testing.T) {
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything).start()
	a.awaitLeader()
	a.awaitNodes(1)
	register(t, a, sleepJob("sleep", 2))
	allocs := awaitRunning(t, a, "sleep", 2, 20*time.Second)
	awaitHealthy(t, a, "sleep", 20*time.Second)
	before := []int{taskPID(t, allocs[0].ID), taskPID(t, allocs[1].ID)}
	for range 3 {
		a.kill()
		a.start()
		a.awaitLeader()
		a.awaitNodes(1)
		awaitRunning(t, a, "sleep", 2, 20*time.Second)
		assertSame(t, a, allocs[0].ID, before[0])
		assertSame(t, a, allocs[1].ID, before[1])
	}
	if _, _, err := a.client().Jobs().Deregister("sleep", false, nil); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, 20*time.Second, "the recovered tasks can be stopped", func() bool {
		return len(processes(t, "NOMAD_ALLOC_ID="+allocs[0].ID)) == 0 && len(processes(t, "NOMAD_ALLOC_ID="+allocs[1].ID)) == 0
	})
}

func assertSame(t *testing.T, a *agent, allocID string, pid int) {
	t.Helper()
	if now := taskPID(t, allocID); now != pid {
		t.Errorf("allocation %s runs as %d, was %d", allocID, now, pid)
	}
	info, _, err := a.client().Allocations().Info(allocID, nil)
	if err != nil || info.TaskStates["sleep"].Restarts != 0 || info.ClientStatus != "running" {
		t.Errorf("allocation %s: %v %+v", allocID, err, info.TaskStates)
	}
}

// childrenOf returns processes below parent whose command line holds words.
func childrenOf(t *testing.T, parent int, words ...string) []int {
	t.Helper()
	var out []int
	for _, pid := range processes(t, "", words...) {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			continue // it ended meanwhile
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if fields[1] == strconv.Itoa(parent) {
			out = append(out, pid)
		}
	}
	return out
}
