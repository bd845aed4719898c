//go:build linux

// Package drivertest is the suite that every driver passes: what the contract
// in package drivers says, as tests, run against the driver in this process
// and again across the plugin boundary, where its process is also killed.
//
// It must not know any particular driver. Begin reading at Harness and Run.
package drivertest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/plugin"
	"github.com/steppe-run/steppe/drivers/plugin/config"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/loop"
)

// patience bounds every wait of the suite.
const patience = 30 * time.Second

// Harness says how to ask one driver for what the suite needs.
type Harness struct {
	New func(*slog.Logger) drivers.Driver
	// Config is the plugin's block.
	Config map[string]any
	// Tasks are the `config` blocks of tasks.
	Tasks Tasks
	// Commands run inside a task.
	Commands Commands
	// Env is every task's environment.
	Env map[string]string
	// TTY says that exec gives terminals.
	TTY bool
	// Survives says that tasks go on without their driver.
	Survives bool
	// MissingCommand is a start that must fail for good; nil skips that.
	MissingCommand map[string]any
}

// Tasks are what tasks do.
type Tasks struct {
	// Forever runs until it is stopped, and ends on the default stop signal. It
	// prints a line once it does.
	Forever func() map[string]any
	// Exit ends with a code after a moment.
	Exit func(code int, after time.Duration) map[string]any
	// Print prints both texts and stays.
	Print func(stdout, stderr string) map[string]any
	// Stubborn ignores the stop signal, and prints a line once it does.
	Stubborn func() map[string]any
}

// Commands are what exec runs.
type Commands struct {
	Echo func(word string) []string
	Warn func(word string) []string
	Cat  []string
	Exit func(code int) []string
	// Sleep runs for a minute.
	Sleep []string
}

// Main is the TestMain of a package that uses the suite: the test binary also
// serves as plugin and supervisor.
func Main(m *testing.M, builtins map[string]func(*slog.Logger) drivers.Driver) int {
	if len(os.Args) > 2 && os.Args[1] == "supervisor" {
		return keeper.Main(os.Args[2:])
	}
	if len(os.Args) > 2 && os.Args[1] == "plugin" {
		name := os.Args[2]
		if err := plugin.Serve(context.Background(), builtins[name](plugin.Logger(os.Stderr, name))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	return m.Run()
}

// Run runs the suite against the driver in this process.
func Run(t *testing.T, h Harness) {
	t.Run("in process", func(t *testing.T) {
		s := &suite{h: h, open: func(t *testing.T) *bed { return h.local(t) }}
		s.run(t)
	})
}

// RunPlugin runs the suite across the plugin boundary, and the tests of that
// boundary. The package's TestMain must call Main.
func RunPlugin(t *testing.T, h Harness) {
	t.Run("plugin", func(t *testing.T) {
		s := &suite{h: h, open: func(t *testing.T) *bed { return h.hosted(t, t.TempDir()) }}
		s.run(t)
		t.Run("survives its process", s.survivesKill)
		t.Run("is ended by the next agent", s.endedByNextAgent)
	})
}

// suite is one run against one way to open the driver.
type suite struct {
	h    Harness
	open func(t *testing.T) *bed
}

// bed is a driver ready for tasks.
type bed struct {
	driver drivers.Driver
	encode func(block map[string]any) ([]byte, error)
	state  string
	host   *plugin.Host
	stop   func()
}

// local opens the driver in this process.
func (h Harness) local(t *testing.T) *bed {
	d := h.New(testLogger(t))
	ctx := context.Background()
	schema, err := d.Schema(ctx)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := config.Encode(schema.Plugin, h.Config, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Configure(ctx, encoded, &drivers.NodeConfig{}); err != nil {
		t.Fatal(err)
	}
	group := loop.New(ctx)
	if s, ok := d.(drivers.Service); ok {
		group.Go("service", s.Run)
	}
	b := &bed{driver: d, encode: func(block map[string]any) ([]byte, error) { return config.Encode(schema.Task, block, h.Env) }}
	b.stop = func() {
		group.Stop()
		if err := group.Wait(); err != nil {
			t.Errorf("the driver's service failed: %v", err)
		}
	}
	t.Cleanup(b.stop)
	return b
}

// hosted opens the driver behind a host whose state lies in dir.
func (h Harness) hosted(t *testing.T, dir string) *bed {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	logger := testLogger(t)
	info, err := h.New(logger).Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	host, err := plugin.Open(ctx, plugin.Config{
		Builtins: map[string]func(*slog.Logger) drivers.Driver{info.Name: h.New},
		Blocks:   map[string]plugin.Block{info.Name: {Config: h.Config}},
		StateDir: dir, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	group := loop.New(context.Background())
	group.Go("host", host.Run)
	d, err := host.Driver(info.Name)
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{driver: d, state: dir, host: host}
	b.encode = func(block map[string]any) ([]byte, error) {
		return host.EncodeConfig(context.Background(), info.Name, block, h.Env)
	}
	b.stop = func() {
		group.Stop()
		if err := group.Wait(); err != nil {
			t.Errorf("the host failed: %v", err)
		}
	}
	t.Cleanup(b.stop)
	return b
}

// testLogger logs warnings into the test's output.
func testLogger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// start starts a task that is destroyed at the test's end.
func (s *suite) start(t *testing.T, b *bed, block map[string]any) *drivers.Handle {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	started, err := b.driver.Start(ctx, s.task(t, b, block))
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	if started.Handle == nil || started.Handle.Config == nil || started.Handle.State != drivers.TaskRunning {
		t.Fatalf("Start returned an incomplete handle: %+v", started.Handle)
	}
	id := started.Handle.Config.ID
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = b.driver.Destroy(ctx, id, true) // often destroyed already
	})
	return started.Handle
}

// task makes a task's configuration with directories of its own.
func (s *suite) task(t *testing.T, b *bed, block map[string]any) *drivers.TaskConfig {
	t.Helper()
	encoded, err := b.encode(block)
	if err != nil {
		t.Fatalf("encode config: %v", err)
	}
	alloc := ids.New()
	task := &drivers.TaskConfig{
		ID: alloc + "/web/" + ids.New()[:8], Name: "web", AllocID: alloc, TaskGroup: "group", JobID: "job", JobName: "job",
		Namespace: "default", NodeID: ids.New(), NodeName: "node", Config: encoded, Env: s.h.Env, AllocDir: t.TempDir(),
		Resources: &drivers.Resources{Linux: drivers.LinuxResources{CPUShares: 500, PercentTicks: 0.1, MemoryLimitBytes: 64 << 20}},
		Logs:      &drivers.LogPolicy{MaxFiles: 2, MaxFileSizeMB: 1},
	}
	for _, dir := range []string{task.LogDir(), filepath.Join(task.TaskDir(), "local"), filepath.Join(task.TaskDir(), "secrets"), filepath.Join(task.TaskDir(), "private"), filepath.Join(task.TaskDir(), "tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return task
}

// wait waits for a task's end.
func wait(t *testing.T, b *bed, id string) *drivers.ExitResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	exit, err := b.driver.Wait(ctx, id)
	if err != nil {
		t.Fatalf("Wait: %v", err)
	}
	return exit
}

// readLog reads one stream's files in order.
func readLog(task *drivers.TaskConfig, stream string) string {
	var out strings.Builder
	for i := range 100 {
		data, err := os.ReadFile(filepath.Join(task.LogDir(), fmt.Sprintf("%s.%s.%d", task.Name, stream, i)))
		if err == nil {
			out.Write(data)
		}
	}
	return out.String()
}
