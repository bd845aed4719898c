//go:build linux

package mock_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/drivertest"
	"github.com/steppe-run/steppe/drivers/mock"
	"github.com/steppe-run/steppe/drivers/plugin/config"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
)

func TestMain(m *testing.M) {
	os.Exit(drivertest.Main(m, map[string]func(*slog.Logger) drivers.Driver{mock.Name: mock.New}))
}

func harness() drivertest.Harness {
	return drivertest.Harness{
		New: mock.New, Survives: true,
		MissingCommand: map[string]any{"start_error": "no such thing"},
		Tasks: drivertest.Tasks{
			Forever: func() map[string]any { return map[string]any{"stdout_string": "ready\n"} },
			Exit: func(code int, after time.Duration) map[string]any {
				return map[string]any{"run_for": after.String(), "exit_code": code}
			},
			Print: func(stdout, stderr string) map[string]any {
				return map[string]any{"stdout_string": stdout, "stderr_string": stderr}
			},
			Stubborn: func() map[string]any { return map[string]any{"kill_after": "1h", "stdout_string": "stubborn\n"} },
		},
		Commands: drivertest.Commands{
			Echo: func(w string) []string { return []string{"echo", w} },
			Warn: func(w string) []string { return []string{"warn", w} },
			Cat:  []string{"cat"}, Sleep: []string{"sleep", "60s"},
			Exit: func(code int) []string { return []string{"exit", string(rune('0' + code))} },
		},
	}
}

func TestConformance(t *testing.T) {
	drivertest.Run(t, harness())
	drivertest.RunPlugin(t, harness())
}

func TestConfiguredBehaviour(t *testing.T) {
	clk := clock.NewManual(time.Unix(1000, 0))
	d := mock.NewAt(logx.Discard(), clk)
	schema, err := d.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	task := func(id string, block map[string]any) *drivers.TaskConfig {
		encoded, err := config.Encode(schema.Task, block, nil)
		if err != nil {
			t.Fatal(err)
		}
		return &drivers.TaskConfig{ID: id, Name: "web", AllocDir: t.TempDir(), Config: encoded}
	}
	if _, err := d.Start(t.Context(), task("a", map[string]any{"start_error": "busy", "start_error_recoverable": true})); !drivers.IsRecoverable(err) {
		t.Errorf("start_error_recoverable gives %v", err)
	}
	if _, err := d.Start(t.Context(), task("b", map[string]any{"run_for": "soon"})); err == nil {
		t.Error("a duration that is none is taken")
	}
	started, err := d.Start(t.Context(), task("c", map[string]any{
		"run_for": "1m", "exit_signal": 11, "oom_killed": true, "driver_ip": "10.0.0.1", "driver_port_map": map[string]any{"http": 80},
		"exec_command": map[string]any{"stdout_string": "out", "exit_code": 3},
	}))
	if err != nil {
		t.Fatal(err)
	}
	if n := started.Network; n == nil || n.Addr != "10.0.0.1" || n.PortMap["http"] != 80 {
		t.Errorf("network = %+v", n)
	}
	got, err := d.Exec(t.Context(), "c", []string{"anything"}, time.Minute)
	if err != nil || string(got.Stdout) != "out" || got.Exit.ExitCode != 3 {
		t.Errorf("exec_command gives %+v, %v", got, err)
	}
	clk.Advance(time.Minute)
	exit, err := d.Wait(t.Context(), "c")
	if err != nil || exit.Signal != 11 || !exit.OOMKilled {
		t.Errorf("exit = %+v, %v", exit, err)
	}
	if _, err := d.Start(t.Context(), task("d", map[string]any{"run_for": "0s", "exit_err_msg": "lost it"})); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Wait(t.Context(), "d"); err == nil || err.Error() != "lost it" {
		t.Errorf("exit_err_msg gives %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Start(ctx, task("e", map[string]any{"start_block_for": "1h"})); !errors.Is(err, context.Canceled) {
		t.Errorf("a blocked start that is cancelled gives %v", err)
	}
	for _, id := range []string{"c", "d"} {
		if err := d.Destroy(t.Context(), id, false); err != nil {
			t.Error(err)
		}
	}
}

// Whoever gives a start up has the task destroyed, and is told that there is none if
// the driver doesn't know it yet.
func TestAStartThatIsGivenUpLastLeavesNoTask(t *testing.T) {
	d := mock.New(logx.Discard())
	known, began := func() bool {
		_, err := d.Inspect(context.Background(), "a/web/1")
		return err == nil
	}, false
	task := &drivers.TaskConfig{ID: "a/web/1", Name: "web"}
	if _, err := d.Start(drivertest.OverOnce(t.Context(), func() bool { began = began || known(); return began }), task); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if !began || known() {
		t.Error("the task goes on")
		_ = d.Destroy(t.Context(), task.ID, true)
	}
}
