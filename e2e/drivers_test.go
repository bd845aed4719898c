package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/steppe-run/steppe/internal/testx"
)

// batchOf runs one task of a driver to its end, and returns its allocation.
func batchOf(t *testing.T, a *agent, id, driver string, config map[string]any) *api.Allocation {
	t.Helper()
	job := api.NewBatchJob(id, id, "global", 50)
	group := api.NewTaskGroup("main", 1)
	group.RestartPolicy = &api.RestartPolicy{Attempts: ptr(0), Interval: ptr(time.Minute), Delay: ptr(time.Second), Mode: ptr("fail")}
	group.ReschedulePolicy = &api.ReschedulePolicy{Attempts: ptr(0), Unlimited: ptr(false), Interval: ptr(time.Hour), Delay: ptr(time.Minute), DelayFunction: ptr("constant"), MaxDelay: ptr(time.Hour)}
	task := api.NewTask("main", driver)
	task.Config = config
	task.Resources = &api.Resources{CPU: ptr(20), MemoryMB: ptr(64)}
	job.AddTaskGroup(group.AddTask(task))
	register(t, a, job)
	var alloc *api.Allocation
	testx.Eventually(t, 60*time.Second, id+" has ended", func() bool {
		allocs, _, err := a.client().Jobs().Allocations(id, false, nil)
		if err != nil || len(allocs) != 1 {
			return false
		}
		alloc, _, err = a.client().Allocations().Info(allocs[0].ID, nil)
		return err == nil && (alloc.ClientStatus == "complete" || alloc.ClientStatus == "failed")
	})
	return alloc
}

// exitCodeOf is what the task's last end told.
func exitCodeOf(alloc *api.Allocation) string {
	code := "none"
	for _, e := range alloc.TaskStates["main"].Events {
		if c, ok := e.Details["exit_code"]; ok && e.Type == api.TaskTerminated {
			code = c
		}
	}
	return code
}

func TestMockTasksRunThroughTheAgent(t *testing.T) {
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything+`
plugin "mock_driver" {}
`).start()
	a.awaitLeader()
	a.awaitNodes(1)
	for id, c := range map[string]struct {
		config       map[string]any
		status, code string
	}{
		"good": {map[string]any{"run_for": "100ms", "stdout_string": "hello"}, "complete", "0"},
		"bad":  {map[string]any{"run_for": "100ms", "exit_code": 3}, "failed", "3"},
	} {
		alloc := batchOf(t, a, id, "mock_driver", c.config)
		if alloc.ClientStatus != c.status || exitCodeOf(alloc) != c.code {
			t.Errorf("%s: %s with exit code %s, want %s with %s", id, alloc.ClientStatus, exitCodeOf(alloc), c.status, c.code)
		}
		if out, code := a.cli("alloc", "logs", alloc.ID); id == "good" && (code != 0 || strings.TrimSpace(out) != "hello") {
			t.Errorf("logs of %s: %d %q", id, code, out)
		}
	}
	never := batchOf(t, a, "never", "mock_driver", map[string]any{"start_error": "no such thing"})
	events := fmt.Sprint(len(never.TaskStates["main"].Events))
	for _, e := range never.TaskStates["main"].Events {
		events += "; " + e.DisplayMessage
	}
	if never.ClientStatus != "failed" || !strings.Contains(events, "no such thing") {
		t.Errorf("a task that can't be started is %s: %s", never.ClientStatus, events)
	}
}

// TestDockerTasksRunThroughTheAgent needs an engine that answers; the image is
// made here, of the program under test.
func TestDockerTasksRunThroughTheAgent(t *testing.T) {
	if err := exec.Command("docker", "info").Run(); err != nil {
		t.Skip("no Docker engine answers: ", err)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	var image bytes.Buffer
	w := tar.NewWriter(&image)
	if err := w.WriteHeader(&tar.Header{Name: "steppe", Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const name = "steppe-e2e-drivers:local"
	load := exec.Command("docker", "import", "-", name)
	load.Stdin = &image
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("import image: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("docker", "rmi", "-f", name).CombinedOutput(); err != nil {
			t.Logf("remove image: %v\n%s", err, out)
		}
	})
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything).start()
	a.awaitLeader()
	a.awaitNodes(1)
	alloc := batchOf(t, a, "version", "docker", map[string]any{"image": name, "command": "/steppe", "args": []string{"version"}})
	if alloc.ClientStatus != "complete" || exitCodeOf(alloc) != "0" {
		t.Errorf("%s with exit code %s", alloc.ClientStatus, exitCodeOf(alloc))
	}
	if out, code := a.cli("alloc", "logs", alloc.ID); code != 0 || !strings.HasPrefix(out, "Steppe ") {
		t.Errorf("logs: %d %q", code, out)
	}
}

func TestRestartOfAllTasksRunsEndedOnesAgain(t *testing.T) {
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything).start()
	a.awaitLeader()
	a.awaitNodes(1)
	job := sleepJob("sleep", 1)
	first := api.NewTask("first", "raw_exec")
	first.Lifecycle = &api.TaskLifecycle{Hook: api.TaskLifecycleHookPrestart}
	first.Config = map[string]any{"command": "/bin/sh", "args": []string{"-c", "echo begun >> $NOMAD_ALLOC_DIR/data/begun"}}
	first.Resources = &api.Resources{CPU: ptr(20), MemoryMB: ptr(20)}
	job.TaskGroups[0].AddTask(first)
	register(t, a, job)
	alloc := awaitRunning(t, a, "sleep", 1, 20*time.Second)[0]
	testx.Eventually(t, 20*time.Second, "the main task runs", func() bool { // not only its process: the agent knows
		info, _, err := a.client().Allocations().Info(alloc.ID, nil)
		return err == nil && info.TaskStates["sleep"] != nil && info.TaskStates["sleep"].State == "running"
	})
	before := taskPID(t, alloc.ID)
	if out, code := a.cli("alloc", "restart", "-all-tasks", alloc.ID); code != 0 {
		t.Fatalf("restart ended with %d: %s", code, out)
	}
	var info *api.Allocation
	t.Cleanup(func() {
		if t.Failed() && info != nil {
			for name, s := range info.TaskStates {
				t.Logf("%s: allocation %s, task %s, restarts %d, failed %v", name, info.ClientStatus, s.State, s.Restarts, s.Failed)
				for _, e := range s.Events {
					t.Logf("  %s %s", e.Type, e.DisplayMessage)
				}
			}
		}
	})
	testx.Eventually(t, 30*time.Second, "both tasks were run again", func() bool {
		var err error
		if info, _, err = a.client().Allocations().Info(alloc.ID, nil); err != nil || info.ClientStatus != "running" {
			return false
		}
		main, first := info.TaskStates["sleep"], info.TaskStates["first"]
		return main.Restarts == 1 && main.State == "running" && first.Restarts == 1 && first.State == "dead" && !first.Failed
	})
	if after := taskPID(t, alloc.ID); after == before {
		t.Errorf("process %d again", after)
	}
	if out, code := a.cli("alloc", "fs", alloc.ID, "alloc/data/begun"); code != 0 || out != "begun\nbegun\n" {
		t.Errorf("the prestart task left %d %q", code, out)
	}
}
