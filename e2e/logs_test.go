package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/steppe-run/steppe/internal/testx"
)

// fifoAgent is an agent with a driver of a third party, which leaves log files
// to the agent.
func fifoAgent(t *testing.T) *agent {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "fifo"), "./fifodriver")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the driver: %v\n%s", err, out)
	}
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything+fmt.Sprintf(`
plugin_dir = %q
plugin "fifo" {
  config { enabled = true }
}
`, dir))
	a.start()
	a.awaitLeader()
	a.awaitNodes(1)
	return a
}

// counter runs a task that prints a growing number and never pauses for long.
func counter(t *testing.T, a *agent) string {
	t.Helper()
	job := api.NewServiceJob("count", "count", "global", 50)
	group := api.NewTaskGroup("main", 1)
	group.RestartPolicy = &api.RestartPolicy{Attempts: ptr(0), Interval: ptr(time.Minute), Delay: ptr(time.Second), Mode: ptr("fail")}
	task := api.NewTask("count", "fifo")
	task.Config = map[string]any{"command": "/bin/sh", "args": []string{"-c",
		`trap 'echo bye; exit 0' INT; n=0; while :; do n=$((n+1)); echo $n; echo err $n >&2; sleep 0.02; done`}}
	task.Resources = &api.Resources{CPU: ptr(20), MemoryMB: ptr(20)}
	job.AddTaskGroup(group.AddTask(task))
	register(t, a, job)
	return awaitRunning(t, a, "count", 1, 20*time.Second)[0].ID
}

// lines reads the task's output from the disk: there may be no agent to ask.
func (a *agent) lines(alloc, stream string) []string {
	a.t.Helper()
	data, err := os.ReadFile(filepath.Join(a.dir, "data", "alloc", alloc, "alloc", "logs", "count."+stream+".0"))
	if err != nil {
		a.t.Log(err)
	}
	return strings.Fields(strings.ReplaceAll(string(data), "err ", "err-"))
}

func (a *agent) awaitMore(alloc string) {
	a.t.Helper()
	before, errors := len(a.lines(alloc, "stdout")), len(a.lines(alloc, "stderr"))
	testx.Eventually(a.t, 20*time.Second, "the task's output is written on", func() bool {
		return len(a.lines(alloc, "stdout")) > before+5 && len(a.lines(alloc, "stderr")) > errors+5
	})
}

// TestOutputOfThirdPartyDriversIsKept kills whatever stands between the task
// and its log files, one after the other: no line may be missing.
func TestOutputOfThirdPartyDriversIsKept(t *testing.T) {
	a := fifoAgent(t)
	alloc := counter(t, a)
	a.awaitMore(alloc)
	a.kill()
	a.awaitMore(alloc) // the agent is away
	a.start()
	a.awaitLeader()
	a.awaitNodes(1)
	awaitRunning(t, a, "count", 1, 20*time.Second)
	a.awaitMore(alloc)
	collectors := processes(t, "", "logs", a.dir)
	if len(collectors) != 1 {
		t.Fatalf("log collectors %v, want one", collectors)
	}
	if err := syscall.Kill(collectors[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, 20*time.Second, "there is a new collector", func() bool {
		now := processes(t, "", "logs", a.dir)
		return len(now) == 1 && now[0] != collectors[0]
	})
	a.awaitMore(alloc)
	if out, code := a.cli("alloc", "logs", alloc); code != 0 || !strings.HasPrefix(out, "1\n2\n3\n") {
		t.Errorf("alloc logs ended with %d: %.80q", code, out)
	}
	if out, code := a.cli("job", "stop", "-detach", "count"); code != 0 {
		t.Fatalf("job stop ended with %d: %s", code, out)
	}
	testx.Eventually(t, 20*time.Second, "the collector has ended with the last task", func() bool {
		return len(processes(t, "", "logs", a.dir)) == 0
	})
	lines := a.lines(alloc, "stdout")
	for i, line := range lines[:len(lines)-1] {
		if line != strconv.Itoa(i+1) {
			t.Fatalf("line %d is %q", i+1, line)
		}
	}
	if last := lines[len(lines)-1]; last != "bye" {
		t.Errorf("the last line is %q", last)
	}
	testx.Eventually(t, 20*time.Second, "no FIFO is left", func() bool {
		fifos, err := filepath.Glob(filepath.Join(a.dir, "data", "alloc", alloc, "alloc", "logs", ".*"))
		return err == nil && len(fifos) == 0
	})
}
