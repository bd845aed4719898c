//go:build linux

package supervise

import (
	"context"
	"errors"
	"os"
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
