package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/testx"
)

// leftovers is what an agent and its tasks occupy beyond plain files.
type leftovers struct {
	mounts, cgroups, allocDirs []string
	processes                  []int
}

func (l leftovers) tasksGone() bool {
	return len(l.mounts)+len(l.cgroups)+len(l.allocDirs) == 0
}

// look lists what is there of the agent and of the allocations.
func (a *agent) look(allocs []string) leftovers {
	a.t.Helper()
	var l leftovers
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		a.t.Fatal(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if strings.Contains(line, a.dir+"/") {
			l.mounts = append(l.mounts, line)
		}
	}
	for _, id := range allocs {
		for _, pattern := range []string{"/sys/fs/cgroup/steppe/*", "/sys/fs/cgroup/*/steppe/*"} {
			found, err := filepath.Glob(pattern + id + "*")
			if err != nil {
				a.t.Fatal(err)
			}
			l.cgroups = append(l.cgroups, found...)
		}
	}
	l.allocDirs, err = filepath.Glob(filepath.Join(a.dir, "data", "alloc", "*"))
	if err != nil {
		a.t.Fatal(err)
	}
	l.processes = append(processes(a.t, "", a.dir), processes(a.t, a.dir)...)
	return l
}

// awaitTasksGone waits until nothing is left of the allocations, and only the
// agent and its plugins run.
func (a *agent) awaitTasksGone(allocs []string) {
	a.t.Helper()
	var l leftovers
	defer func() {
		if a.t.Failed() {
			a.t.Logf("left: %+v", l)
		}
	}()
	testx.Eventually(a.t, 20*time.Second, "nothing is mounted, no cgroup and no task is left", func() bool {
		l = a.look(allocs)
		tasks := 0
		for _, id := range allocs {
			tasks += len(processes(a.t, "NOMAD_ALLOC_ID="+id))
		}
		return len(l.mounts)+len(l.cgroups)+tasks == 0
	})
	testx.Eventually(a.t, 20*time.Second, "the directories of the allocations are gone", func() bool {
		// What has not been reported as ended yet is for the next collection.
		if err := a.client().System().GarbageCollect(); err != nil {
			a.t.Logf("collect garbage: %v", err)
		}
		l = a.look(allocs)
		return l.tasksGone()
	})
}

// runThree starts three tasks and returns the ids of their allocations, once
// they occupy something.
func (a *agent) runThree() []string {
	a.t.Helper()
	register(a.t, a, sleepJob("sleep", 3))
	var ids []string
	for _, alloc := range awaitRunning(a.t, a, "sleep", 3, 20*time.Second) {
		ids = append(ids, alloc.ID)
		taskPID(a.t, alloc.ID)
	}
	if l := a.look(ids); len(l.allocDirs) != 3 || len(l.processes) < 4 {
		a.t.Fatalf("three tasks occupy only %+v: the test would show nothing", l)
	}
	return ids
}

func (a *agent) purge() {
	a.t.Helper()
	if out, code := a.cli("job", "stop", "-purge", "-detach", "sleep"); code != 0 {
		a.t.Fatalf("job stop ended with %d: %s", code, out)
	}
}

// assertGone fails unless every process of the agent has ended.
func (a *agent) assertGone(allocs []string) {
	a.t.Helper()
	testx.Eventually(a.t, 10*time.Second, "every process of the agent has ended", func() bool {
		return len(a.look(nil).processes) == 0
	})
	if l := a.look(allocs); !l.tasksGone() {
		a.t.Errorf("left: %+v", l)
	}
}

func TestNothingIsLeftAfterAPurge(t *testing.T) {
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything).start()
	a.awaitLeader()
	a.awaitNodes(1)
	allocs := a.runThree()
	if l := a.look(allocs); os.Geteuid() == 0 && len(l.mounts) == 0 {
		t.Log("secrets are not in memory on this machine")
	}
	a.purge()
	a.awaitTasksGone(allocs)
	if err := a.stop(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	a.assertGone(allocs)
}

func TestNothingIsLeftAfterACrashAndAPurge(t *testing.T) {
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything).start()
	a.awaitLeader()
	a.awaitNodes(1)
	allocs := a.runThree()
	a.kill()
	// One task ends while nobody looks.
	if err := syscall.Kill(taskPID(t, allocs[0]), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	a.start()
	a.awaitLeader()
	a.awaitNodes(1)
	awaitRunning(t, a, "sleep", 3, 20*time.Second)
	a.purge()
	a.awaitTasksGone(allocs)
	if err := a.stop(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	a.assertGone(allocs)
}

func TestNothingIsLeftOfADevelopmentAgent(t *testing.T) {
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", "")
	a.args = []string{"-dev", "-data-dir", filepath.Join(a.dir, "data")}
	a.start()
	a.awaitLeader()
	a.awaitNodes(1)
	allocs := a.runThree()
	if err := a.stop(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	a.assertGone(allocs)
}
