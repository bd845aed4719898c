//go:build linux

package drivertest

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/process"
	"github.com/steppe-run/steppe/internal/testx"
)

// plugins reads which plugin processes a host has recorded.
func plugins(t *testing.T, state string) []process.Identity {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(state, "plugins.json"))
	if err != nil {
		t.Fatal(err)
	}
	var out []process.Identity
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// survivesKill kills the plugin's process under a running task: who waits goes
// on waiting, and the task is the same afterwards.
func (s *suite) survivesKill(t *testing.T) {
	b := s.open(t)
	h := s.start(t, b, s.h.Tasks.Exit(8, 3*time.Second))
	before, err := b.driver.Inspect(t.Context(), h.Config.ID)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	waiting := loop.New(ctx)
	var exit *drivers.ExitResult
	waiting.Go("wait", func(ctx context.Context) (err error) {
		exit, err = b.driver.Wait(ctx, h.Config.ID)
		return err
	})
	for _, id := range plugins(t, b.state) {
		if err := id.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	var after *drivers.TaskStatus
	testx.Eventually(t, patience, "the plugin is back", func() bool {
		after, err = b.driver.Inspect(ctx, h.Config.ID)
		return err == nil
	})
	if after.State != drivers.TaskRunning || after.Attributes["pid"] != before.Attributes["pid"] || !after.StartedAt.Equal(before.StartedAt) {
		t.Errorf("before the plugin's death: %+v, after: %+v", before, after)
	}
	if err := waiting.Wait(); err != nil {
		t.Fatalf("Wait across the plugin's death: %v", err)
	}
	if exit.ExitCode != 8 {
		t.Errorf("exit = %+v", exit)
	}
}

// endedByNextAgent leaves a plugin behind, as a killed agent does, and opens
// another host on the same state.
func (s *suite) endedByNextAgent(t *testing.T) {
	first := s.open(t)
	if _, err := first.driver.Capabilities(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := plugins(t, first.state)
	if len(left) != 1 || !left[0].Alive() {
		t.Fatalf("recorded plugins: %+v", left)
	}
	second := s.h.hosted(t, first.state)
	if left[0].Alive() {
		t.Error("the earlier agent's plugin lives")
	}
	if _, err := second.driver.Capabilities(t.Context()); err != nil {
		t.Error(err)
	}
}
