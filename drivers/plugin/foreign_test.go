//go:build linux

package plugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/mock"
	"github.com/steppe-run/steppe/drivers/plugin"
	"github.com/steppe-run/steppe/internal/process"
	"github.com/steppe-run/steppe/internal/testx"
)

// foreign builds the driver of another module, once for all parts of a test.
func foreign(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no Go toolchain builds the driver: ", err)
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "theirs"), "./sample")
	build.Dir = filepath.Join("..", "..", "e2e", "plugins")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the driver of another module: %v\n%s", err, out)
	}
	return dir
}

func TestDriverOfAnotherModule(t *testing.T) {
	dir := foreign(t)
	t.Run("runs tasks", func(t *testing.T) { foreignTasks(t, dir) })
	for mode, f := range map[string]func(*testing.T, *plugin.Host, drivers.Driver){
		"hang": hangs, "huge": hugeFrames, "lie": lies, "flood": floods, "crash": crashes,
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			host := runHost(t, plugin.Config{Builtins: mockOnly(), PluginDir: dir, Blocks: map[string]plugin.Block{"theirs": {Args: []string{mode}}}, Answer: 5 * time.Second})
			d, err := host.Driver("sample")
			if err != nil {
				t.Fatal(err)
			}
			f(t, host, d)
			neighbour(t, host)
		})
	}
	t.Run("another version is skipped", func(t *testing.T) {
		t.Parallel()
		host := runHost(t, plugin.Config{Builtins: mockOnly(), PluginDir: dir, Blocks: map[string]plugin.Block{"theirs": {Args: []string{"version"}}}})
		if _, err := host.Driver("sample"); err == nil {
			t.Error("a driver that speaks another version is offered")
		}
		neighbour(t, host)
	})
	t.Run("mute", func(t *testing.T) {
		t.Parallel()
		_, err := plugin.Open(t.Context(), plugin.Config{
			PluginDir: dir, StateDir: t.TempDir(), Blocks: map[string]plugin.Block{"theirs": {Args: []string{"mute"}}}, Answer: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
		})
		if err == nil || !strings.Contains(err.Error(), `plugin "theirs": it doesn't answer`) {
			t.Errorf("Open = %v", err)
		}
	})
}

// neighbour shows that another driver of the same host is as it was.
func neighbour(t *testing.T, host *plugin.Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := host.Driver(mock.Name)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := host.EncodeConfig(ctx, mock.Name, map[string]any{"run_for": "10ms"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Start(ctx, &drivers.TaskConfig{ID: "n/web/1", Name: "web", AllocID: "n", AllocDir: t.TempDir(), Config: encoded}); err != nil {
		t.Errorf("the neighbour can't start a task: %v", err)
	}
	if exit, err := d.Wait(ctx, "n/web/1"); err != nil || !exit.Successful() {
		t.Errorf("the neighbour's task ended with %+v, %v", exit, err)
	}
}

// foreignTask starts a script.
func foreignTask(ctx context.Context, t *testing.T, host *plugin.Host, id, script string) (*drivers.TaskConfig, error) {
	t.Helper()
	encoded, err := host.EncodeConfig(ctx, "sample", map[string]any{"script": script}, map[string]string{"NOMAD_META_WORD": "hello"})
	if err != nil {
		return nil, err
	}
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	for _, err := range []error{os.Mkdir(filepath.Join(dir, "web"), 0o755), os.WriteFile(out, nil, 0o644)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	config := &drivers.TaskConfig{
		ID: id, Name: "web", AllocID: "a", AllocDir: dir, StdoutPath: out, StderrPath: out, Config: encoded,
		Env: map[string]string{"WORD": "hello", "PATH": os.Getenv("PATH")},
	}
	d, err := host.Driver("sample")
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Start(ctx, config)
	return config, err
}

func foreignTasks(t *testing.T, dir string) {
	state := t.TempDir()
	host := runHost(t, plugin.Config{PluginDir: dir, StateDir: state, Blocks: map[string]plugin.Block{"theirs": {}}})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := host.Driver("sample")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := host.EncodeConfig(ctx, "sample", map[string]any{"skript": "x"}, nil); err == nil || !strings.Contains(err.Error(), "skript") {
		t.Errorf("a key that it doesn't know: %v", err)
	}
	config, err := foreignTask(ctx, t, host, "a/web/1", `echo ${NOMAD_META_WORD} $WORD; exit 3`)
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := d.Wait(ctx, config.ID); err != nil || exit.ExitCode != 3 {
		t.Errorf("it ended with %+v, %v", exit, err)
	}
	if out, err := os.ReadFile(config.StdoutPath); err != nil || string(out) != "hello hello\n" {
		t.Errorf("it printed %q, %v", out, err)
	}
	if status, err := d.Inspect(ctx, config.ID); err != nil || status.State != drivers.TaskExited || status.Exit.ExitCode != 3 {
		t.Errorf("it is %+v, %v", status, err)
	}
	if err := d.Destroy(ctx, config.ID, false); err != nil {
		t.Error(err)
	}
	if _, err := d.Wait(ctx, config.ID); !errors.Is(err, drivers.ErrTaskNotFound) {
		t.Errorf("a task that is forgotten: %v", err)
	}
	foreignSurvives(ctx, t, host, d, state)
}

// foreignSurvives kills the driver's process under a task.
func foreignSurvives(ctx context.Context, t *testing.T, host *plugin.Host, d drivers.Driver, state string) {
	config, err := foreignTask(ctx, t, host, "a/web/2", `trap 'exit 7' USR1; while :; do sleep 0.05; done`)
	if err != nil {
		t.Fatal(err)
	}
	var live []process.Identity
	data, err := os.ReadFile(filepath.Join(state, "plugins.json"))
	if err == nil {
		err = json.Unmarshal(data, &live)
	}
	if err != nil || len(live) != 1 {
		t.Fatalf("plugins %v, %v", live, err)
	}
	if err := live[0].Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "another process knows the task", func() bool {
		status, err := d.Inspect(ctx, config.ID)
		return err == nil && status.State == drivers.TaskRunning && !live[0].Alive()
	})
	if err := d.Destroy(ctx, config.ID, false); err == nil {
		t.Error("a running task is destroyed")
	}
	if err := d.Signal(ctx, config.ID, "SIGUSR1"); err != nil {
		t.Error(err)
	}
	if err := d.Stop(ctx, config.ID, 5*time.Second, ""); err != nil {
		t.Error(err)
	}
	if _, err := d.Wait(ctx, config.ID); err != nil {
		t.Error(err)
	}
	if err := d.Destroy(ctx, config.ID, true); err != nil {
		t.Error(err)
	}
}

func hangs(t *testing.T, _ *plugin.Host, d drivers.Driver) {
	if _, err := d.Capabilities(t.Context()); err == nil || !strings.Contains(err.Error(), "driver sample doesn't answer") {
		t.Errorf("a driver that hangs gives %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := d.Start(ctx, &drivers.TaskConfig{ID: "a/web/1"}); err == nil {
		t.Error("a start that hangs came about")
	}
}

func hugeFrames(t *testing.T, _ *plugin.Host, d drivers.Driver) {
	if _, err := d.Capabilities(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than max") {
		t.Errorf("an endless answer gives %v", err)
	}
	if _, err := d.Start(t.Context(), &drivers.TaskConfig{ID: "a/web/1"}); err == nil || !strings.Contains(err.Error(), "larger than max") {
		t.Errorf("an endless answer gives %v", err)
	}
}

func lies(t *testing.T, host *plugin.Host, d drivers.Driver) {
	started, err := d.Start(t.Context(), &drivers.TaskConfig{ID: "a/web/1", Name: "web"})
	if err != nil || started.Handle.Config.ID != "a/web/1" {
		t.Errorf("it names another task: %+v, %v", started, err)
	}
	if exit, err := d.Wait(t.Context(), "a/web/1"); err == nil {
		t.Errorf("a wait without a result gives %+v", exit)
	}
	fp := printOf(t, host, func(fp *drivers.Fingerprint) bool { return fp.Healthy() })
	if len(fp.Attributes) != 0 || !strings.Contains(fp.Description, "2 attributes are left out") {
		t.Errorf("it tells what the node is: %v, %q", len(fp.Attributes), fp.Description)
	}
}

// printOf waits for a fingerprint of the driver.
func printOf(t *testing.T, host *plugin.Host, wanted func(*drivers.Fingerprint) bool) (found *drivers.Fingerprint) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_ = host.WatchFingerprints(ctx, func(name string, fp *drivers.Fingerprint) {
		if name == "sample" && found == nil && wanted(fp) {
			found = fp
			cancel()
		}
	})
	if found == nil {
		t.Fatal("no such fingerprint comes")
	}
	return found
}

func floods(t *testing.T, host *plugin.Host, _ drivers.Driver) {
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	prints := 0
	_ = host.WatchFingerprints(ctx, func(name string, _ *drivers.Fingerprint) {
		if name == "sample" {
			prints++
		}
	})
	if prints > 3 {
		t.Errorf("%d fingerprints in 1.5 s are passed on", prints)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	events := 0
	_ = host.WatchEvents(ctx, func(_ string, e *drivers.Event) {
		if events++; len(e.Message) > 5000 {
			t.Errorf("an event of %d bytes", len(e.Message))
		}
	})
	if events > 400 {
		t.Errorf("%d events are passed on", events)
	}
}

func crashes(t *testing.T, host *plugin.Host, _ drivers.Driver) {
	fp := printOf(t, host, func(fp *drivers.Fingerprint) bool { return !fp.Healthy() })
	if !strings.Contains(fp.Description, "failed to fingerprint driver: its process keeps dying") {
		t.Errorf("it is told as %q", fp.Description)
	}
}
