//go:build linux

package supervise

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
)

// deaf starts supervisors whose reports never arrive: they go into a file.
func deaf(t *testing.T) (string, []string) {
	self, err := os.Executable()
	must(t, err)
	return "/bin/sh", []string{"sh", "-c", `exec "$0" supervisor "$1" 3>&1 >"$1/report"`, self}
}

// Nobody would know of a task whose start was given up when it had begun already.
func TestAStartThatIsGivenUpLeavesNothingRunning(t *testing.T) {
	dir, l := t.TempDir(), NewLauncher(nil)
	path, args := deaf(t)
	ctx, cancel := context.WithCancel(t.Context())
	group := loop.New(context.Background())
	group.Go("reap", l.Run)
	defer func() { group.Stop(); _ = group.Wait() }()
	answer := make(chan error, 1)
	group.Go("start", func(context.Context) error {
		_, err := l.start(ctx, dir, path, args, &keeper.Spec{Task: "web", Path: "/bin/sleep", Args: []string{"sleep", "300"}, Dir: dir, Env: []string{}})
		answer <- err
		return nil
	})
	var begun *keeper.Status
	testx.Eventually(t, patience, "the task runs", func() bool {
		status, err := At(dir).Status(t.Context())
		begun = status
		return err == nil
	})
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if status, err := At(dir).Status(t.Context()); err != nil || status.Exit == nil || begun.Task.Alive() {
		t.Errorf("the task goes on: %+v, %v", status, err)
		must(t, At(dir).Remove(t.Context()))
	}
}

// A start that comes again after its plugin died, and is given up, knows as little
// of what it began as the plugin that died.
func TestAStartThatIsGivenUpBeforeItBeginsEndsWhatRunsThere(t *testing.T) {
	dir, l := t.TempDir(), NewLauncher(nil)
	group := loop.New(context.Background())
	group.Go("reap", l.Run)
	defer func() { group.Stop(); _ = group.Wait() }()
	spec := &keeper.Spec{Task: "web", Path: "/bin/sleep", Args: []string{"sleep", "300"}, Dir: dir, Env: []string{}}
	first, err := l.Start(t.Context(), dir, spec)
	must(t, err)
	if again, err := l.Start(t.Context(), dir, spec); err != nil || again.Task != first.Task {
		t.Fatalf("started again: %+v, %v", again, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Start(ctx, dir, spec); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if first.Task.Alive() {
		t.Error("the task goes on")
		must(t, At(dir).Remove(t.Context()))
	}
}

// What has begun and can't be written down would be found by nobody.
func TestATaskThatCannotBeWrittenDownLeavesNothing(t *testing.T) {
	dir, l := t.TempDir(), NewLauncher(nil)
	group := loop.New(context.Background())
	group.Go("reap", l.Run)
	defer func() { group.Stop(); _ = group.Wait() }()
	must(t, os.Mkdir(filepath.Join(dir, keeper.StateName), 0o700)) // in the way of the file
	begun := filepath.Join(dir, "begun")
	spec := &keeper.Spec{
		Task: "web", Path: "/bin/sh", Args: []string{"sh", "-c", "sleep 317.5 & echo >" + begun + "; wait"}, Dir: dir, Env: []string{"PATH=/bin:/usr/bin", "LIFE=" + dir},
		Cgroup: testCgroup(t),
	}
	if _, err := l.Start(t.Context(), dir, spec); err == nil {
		t.Error("the task runs, and nobody can find it again")
	}
	if _, err := os.Stat(spec.Cgroup); spec.Cgroup != "" && err == nil {
		procs, _ := os.ReadFile(spec.Cgroup + "/cgroup.procs") // for the message
		t.Errorf("the cgroup %s is left, with processes %q", spec.Cgroup, procs)
	}
	if pids := withEnvironment(t, "LIFE="+dir); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
}

// testCgroup names a cgroup that can be made, or none.
func testCgroup(t *testing.T) string {
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(root + "/cgroup.controllers"); err != nil {
			continue
		}
		dir := filepath.Join(root, "steppe-test-"+filepath.Base(filepath.Dir(t.TempDir())))
		if os.Mkdir(dir, 0o755) != nil {
			return ""
		}
		must(t, os.Remove(dir))
		t.Cleanup(func() { _ = os.Remove(dir) }) // it is gone when all is well
		return dir
	}
	return ""
}

func withEnvironment(t *testing.T, word string) []string {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	var out []string
	for _, dir := range dirs {
		vars, _ := os.ReadFile(dir + "/environ") // gone meanwhile
		if bytes.Contains(vars, []byte(word)) {
			out = append(out, filepath.Base(dir))
		}
	}
	return out
}

// A supervisor that is killed before it has written anything leaves a cgroup, and
// maybe what the task has started.
func TestWhatAKilledSupervisorHadBegunIsEnded(t *testing.T) {
	dir, l := filepath.Join(t.TempDir(), "s"), NewLauncher(nil)
	spec := &keeper.Spec{Task: "web", Path: "/bin/sleep", Args: []string{"sleep", "300"}, Dir: "/", Env: []string{}, Cgroup: testCgroup(t)}
	if spec.Cgroup == "" {
		t.Skip("SKIPPED, no cgroup can be made here")
	}
	must(t, intend(dir, spec))
	must(t, os.Mkdir(spec.Cgroup, 0o755))
	begun := exec.Command("/bin/sh", "-c", `echo $$ > "$0/cgroup.procs"; exec sleep 300`, spec.Cgroup)
	must(t, begun.Start())
	testx.Eventually(t, patience, "it is in the cgroup", func() bool {
		data, _ := os.ReadFile(spec.Cgroup + "/cgroup.procs")
		return len(data) > 0
	})
	group := loop.New(context.Background())
	group.Go("reap", l.Run)
	group.Go("wait", func(context.Context) error { _ = begun.Wait(); return nil })
	defer func() { group.Stop(); _ = group.Wait() }()
	status, err := l.Start(t.Context(), dir, spec)
	must(t, err)
	data, err := os.ReadFile(spec.Cgroup + "/cgroup.procs")
	must(t, err)
	if got := strings.TrimSpace(string(data)); got != strconv.Itoa(status.Task.PID) {
		t.Errorf("the cgroup holds %q, the task is %d", got, status.Task.PID)
	}
	must(t, At(dir).Remove(t.Context()))
	testx.Eventually(t, patience, "the cgroup is gone", func() bool { _, err := os.Stat(spec.Cgroup); return err != nil })
}

// A supervisor that is killed when it has recorded the task's end can't take the
// cgroup away any more.
func TestTheLastWorkOfAKilledSupervisorIsDone(t *testing.T) {
	dir, cgroup := t.TempDir(), testCgroup(t)
	if cgroup == "" {
		t.Skip("SKIPPED, no cgroup can be made here")
	}
	must(t, os.Mkdir(cgroup, 0o755))
	for name, v := range map[string]any{
		keeper.StateName: keeper.Status{Version: keeper.Version, Cgroup: cgroup, Owned: true},
		keeper.ExitName:  keeper.Exit{Code: 7},
	} {
		data, err := json.Marshal(v)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	must(t, At(dir).Remove(t.Context()))
	if _, err := os.Stat(cgroup); err == nil {
		t.Error("the cgroup is left")
	}
}
