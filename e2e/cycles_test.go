package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/steppe-run/steppe/internal/process"
	"github.com/steppe-run/steppe/internal/testx"
)

// cycles is how often the agent is killed; STEPPE_CYCLES says otherwise.
func cycles(t *testing.T) int {
	text := os.Getenv("STEPPE_CYCLES")
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// printers is a job of tasks that print growing numbers.
func printers(count int) *api.Job {
	job := api.NewServiceJob("print", "print", "global", 50)
	group := api.NewTaskGroup("main", count)
	group.RestartPolicy = &api.RestartPolicy{Attempts: ptr(0), Interval: ptr(time.Minute), Delay: ptr(time.Second), Mode: ptr("fail")}
	task := api.NewTask("count", "raw_exec")
	task.Config = map[string]any{"command": "/bin/sh", "args": []string{"-c", `n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done`, "printer"}}
	task.Resources = &api.Resources{CPU: ptr(20), MemoryMB: ptr(20)}
	return job.AddTaskGroup(group.AddTask(task))
}

// printing are the tasks' own processes: what their loops start isn't among them.
func (a *agent) printing() []process.Identity {
	a.t.Helper()
	var out []process.Identity
	for _, pid := range processes(a.t, a.dir, "/bin/sh -c n=0", "printer") {
		if id, err := process.Of(pid); err == nil && !isForkOfPrinter(pid) {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(x, y process.Identity) int { return x.PID - y.PID })
	return out
}

// isForkOfPrinter reports whether a shell is what another one has forked and not
// yet become: it looks the same.
func isForkOfPrinter(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true // it was one, and has ended
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fields[3] != strconv.Itoa(pid) // the task leads a session
}

// TestTasksOutliveEveryKill kills the agent again and again, every second time
// together with its plugins: the same processes run on, no line of theirs is lost or
// doubled, and in the end nothing is left.
func TestTasksOutliveEveryKill(t *testing.T) {
	const count = 10
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything).start()
	a.awaitLeader()
	a.awaitNodes(1)
	register(t, a, printers(count))
	var allocs []string
	for _, alloc := range awaitRunning(t, a, "print", count, 30*time.Second) {
		allocs = append(allocs, alloc.ID)
	}
	before := a.printing()
	if len(before) != count {
		t.Fatalf("%d processes run for %d tasks", len(before), count)
	}
	for cycle := range cycles(t) {
		if cycle%2 == 1 {
			for _, pid := range childrenOf(t, a.cmd.Process.Pid, "plugin") {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it dies by itself otherwise
			}
		}
		a.kill()
		a.start()
		a.awaitLeader()
		a.awaitNodes(1)
		awaitRunning(t, a, "print", count, 30*time.Second)
		if after := a.printing(); !slices.Equal(before, after) {
			t.Fatalf("cycle %d: %v ran, and %v do now", cycle, before, after)
		}
	}
	for _, id := range allocs {
		info, _, err := a.client().Allocations().Info(id, nil)
		if err != nil || info.TaskStates["count"].Restarts != 0 {
			t.Errorf("allocation %s: %v %+v", id, err, info.TaskStates)
		}
	}
	if _, _, err := a.client().Jobs().Deregister("print", false, nil); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, 30*time.Second, "the tasks have ended", func() bool { return len(a.printing()) == 0 })
	for _, id := range allocs {
		a.assertNumbered(id)
	}
	if _, _, err := a.client().Jobs().Deregister("print", true, nil); err != nil {
		t.Fatal(err)
	}
	a.awaitTasksGone(allocs)
}

// assertNumbered fails unless a task's log holds every number, once.
func (a *agent) assertNumbered(alloc string) {
	a.t.Helper()
	data, err := os.ReadFile(filepath.Join(a.dir, "data", "alloc", alloc, "alloc", "logs", "count.stdout.0"))
	if err != nil {
		a.t.Fatal(err)
	}
	lines := strings.Fields(string(data))
	if len(lines) < 20 {
		a.t.Errorf("allocation %s has printed %d lines: the test shows little", alloc, len(lines))
	}
	for i, line := range lines {
		if line != strconv.Itoa(i+1) {
			a.t.Fatalf("allocation %s: line %d is %q", alloc, i+1, line)
		}
	}
}
