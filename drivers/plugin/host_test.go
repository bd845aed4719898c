//go:build linux

package plugin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/drivertest"
	"github.com/steppe-run/steppe/drivers/mock"
	"github.com/steppe-run/steppe/drivers/plugin"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/process"
	"github.com/steppe-run/steppe/internal/testx"
)

const patience = 20 * time.Second

// agentEnv makes the test binary play an agent: it runs a host on the state
// directory it names and waits to be killed.
const agentEnv = "STEPPE_TEST_AGENT_STATE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(agentEnv); dir != "" && len(os.Args) < 3 {
		os.Exit(playAgent(dir))
	}
	code := drivertest.Main(m, mockOnly())
	if code == 0 && len(os.Args) > 1 && os.Args[1] != "plugin" {
		// The library lets go of its broker's stream a moment after a process.
		if err := goleak.Find(goleak.IgnoreTopFunction("github.com/hashicorp/go-plugin.(*gRPCBrokerClientImpl).Recv")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func mockOnly() map[string]func(*slog.Logger) drivers.Driver {
	return map[string]func(*slog.Logger) drivers.Driver{mock.Name: mock.New}
}

func playAgent(dir string) int {
	host, err := plugin.Open(context.Background(), plugin.Config{Builtins: mockOnly(), StateDir: dir, Logger: logx.Discard()})
	if err != nil {
		return 1
	}
	_ = host.Run(context.Background())
	return 0
}

// runHost opens a host and runs it until the test's end.
func runHost(t *testing.T, cfg plugin.Config) *plugin.Host {
	t.Helper()
	if cfg.StateDir == "" {
		cfg.StateDir = t.TempDir()
	}
	if cfg.Logger == nil {
		cfg.Logger = logx.Discard()
	}
	host, err := plugin.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	group := loop.New(context.Background())
	group.Go("host", host.Run)
	t.Cleanup(func() {
		group.Stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	return host
}

// pluginDir is a directory that holds this very test binary as a plugin.
func pluginDir(t *testing.T, name string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(exe, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func script(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestExternalPlugin(t *testing.T) {
	dir := pluginDir(t, "theirs")
	script(t, dir, "not-named", "exit 1")
	if err := os.WriteFile(filepath.Join(dir, "readme"), []byte("not executable"), 0o644); err != nil {
		t.Fatal(err)
	}
	host := runHost(t, plugin.Config{PluginDir: dir, Blocks: map[string]plugin.Block{
		"theirs": {Args: []string{"plugin", mock.Name}, Config: map[string]any{"fs_isolation": "chroot"}}, "readme": {},
	}})
	// It is known by the name it tells, not by its file's.
	if got := host.Names(); !slices.Equal(got, []string{mock.Name}) {
		t.Fatalf("Names = %v", got)
	}
	d, err := host.Driver(mock.Name)
	if err != nil {
		t.Fatal(err)
	}
	caps, err := d.Capabilities(t.Context())
	if err != nil || caps.FSIsolation != drivers.FSChroot {
		t.Errorf("the plugin's block didn't arrive: %+v, %v", caps, err)
	}
	var unknown *drivers.UnknownDriverError
	if _, err := host.Driver("theirs"); !errors.As(err, &unknown) {
		t.Errorf("an unknown driver gives %v", err)
	}
}

func TestBadPluginsStopTheAgent(t *testing.T) {
	for want, config := range map[string]func(t *testing.T) plugin.Config{
		"no_such_key": func(t *testing.T) plugin.Config {
			return plugin.Config{PluginDir: pluginDir(t, "theirs"), Blocks: map[string]plugin.Block{
				"theirs": {Args: []string{"plugin", mock.Name}, Config: map[string]any{"no_such_key": 1}},
			}}
		},
		"shutdown_periodic_after": func(t *testing.T) plugin.Config {
			return plugin.Config{PluginDir: pluginDir(t, "theirs"), Blocks: map[string]plugin.Block{
				"theirs": {Args: []string{"plugin", mock.Name}, Config: map[string]any{"shutdown_periodic_after": "soon"}},
			}}
		},
		`plugin "mock_driver"`: func(*testing.T) plugin.Config {
			return plugin.Config{Builtins: mockOnly(), Blocks: map[string]plugin.Block{mock.Name: {Config: map[string]any{"fs_isolatoin": "x"}}}}
		},
		"Unrecognized remote plugin message": func(t *testing.T) plugin.Config {
			dir := t.TempDir()
			script(t, dir, "noise", "echo hello; sleep 60")
			return plugin.Config{PluginDir: dir, Blocks: map[string]plugin.Block{"noise": {}}}
		},
		"start plugin": func(t *testing.T) plugin.Config {
			dir := t.TempDir()
			script(t, dir, "dies", "exit 3")
			return plugin.Config{PluginDir: dir, Blocks: map[string]plugin.Block{"dies": {}}}
		},
	} {
		cfg := config(t)
		cfg.StateDir, cfg.Logger = t.TempDir(), logx.Discard()
		if _, err := plugin.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want %q", err, want)
		}
	}
}

func TestExternalWinsOverEqualBuiltin(t *testing.T) {
	host := runHost(t, plugin.Config{
		Builtins: mockOnly(), PluginDir: pluginDir(t, "theirs"),
		Blocks: map[string]plugin.Block{"theirs": {Args: []string{"plugin", mock.Name}, Config: map[string]any{"fs_isolation": "image"}}},
	})
	d, err := host.Driver(mock.Name)
	if err != nil {
		t.Fatal(err)
	}
	caps, err := d.Capabilities(t.Context())
	if err != nil || caps.FSIsolation != drivers.FSImage {
		t.Errorf("the built-in driver serves: %+v, %v", caps, err)
	}
}

// TestPluginEndsWithItsAgent kills an agent that never comes back.
func TestPluginEndsWithItsAgent(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	agent := exec.Command(exe)
	agent.Env = append(os.Environ(), agentEnv+"="+dir)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	var left []process.Identity
	testx.Eventually(t, patience, "the plugin runs", func() bool {
		data, err := os.ReadFile(filepath.Join(dir, "plugins.json"))
		return err == nil && json.Unmarshal(data, &left) == nil && len(left) == 1 && left[0].Alive()
	})
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait()
	testx.Eventually(t, patience, "the plugin ends with its agent", func() bool { return !left[0].Alive() })
}

func TestFingerprintsAndEventsReachTheCatalog(t *testing.T) {
	host := runHost(t, plugin.Config{Builtins: mockOnly()})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watching, healthy := loop.New(ctx), make(chan struct{})
	var once sync.Once
	watching.Go("fingerprints", func(ctx context.Context) error {
		return host.WatchFingerprints(ctx, func(name string, fp *drivers.Fingerprint) {
			if name == mock.Name && fp.Healthy() {
				once.Do(func() { close(healthy) })
			}
		})
	})
	select {
	case <-healthy:
	case <-ctx.Done():
		t.Fatal("no fingerprint arrives")
	}
	d, err := host.Driver(mock.Name)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := host.EncodeConfig(ctx, mock.Name, map[string]any{"run_for": "${NOMAD_META_LENGTH}"}, map[string]string{"NOMAD_META_LENGTH": "0s"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Start(ctx, &drivers.TaskConfig{ID: "a/web/1", Name: "web", AllocID: "a", AllocDir: t.TempDir(), Config: encoded}); err != nil {
		t.Fatal(err)
	}
	told := make(chan *drivers.Event, 1)
	watching.Go("events", func(ctx context.Context) error {
		return host.WatchEvents(ctx, func(_ string, e *drivers.Event) { told <- e })
	})
	select {
	case e := <-told:
		if e.TaskName != "web" || e.AllocID != "a" || e.Message != "started" || e.Time.IsZero() {
			t.Errorf("event = %+v", e)
		}
	case <-ctx.Done():
		t.Error("no event arrives")
	}
	watching.Stop()
	_ = watching.Wait()
}

func TestStartFailuresCrossTheBoundary(t *testing.T) {
	host := runHost(t, plugin.Config{Builtins: mockOnly()})
	d, err := host.Driver(mock.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, recoverable := range []bool{true, false} {
		encoded, err := host.EncodeConfig(t.Context(), mock.Name, map[string]any{"start_error": "busy", "start_error_recoverable": recoverable}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Start(t.Context(), &drivers.TaskConfig{ID: "a/web/1", Name: "web", Config: encoded})
		if err == nil || err.Error() != "busy" || drivers.IsRecoverable(err) != recoverable {
			t.Errorf("Start = %v, recoverable %v, want %v", err, drivers.IsRecoverable(err), recoverable)
		}
	}
}

// TestDeathDuringStart lets the plugin die under a blocked start: the call is
// repeated with the next process, once.
func TestDeathDuringStart(t *testing.T) {
	state := t.TempDir()
	host := runHost(t, plugin.Config{Builtins: mockOnly(), StateDir: state})
	d, err := host.Driver(mock.Name)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := host.EncodeConfig(t.Context(), mock.Name, map[string]any{"start_block_for": "1s"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	killing := loop.New(ctx)
	killing.Go("kill", func(context.Context) error {
		data, err := os.ReadFile(filepath.Join(state, "plugins.json"))
		if err != nil {
			return err
		}
		var live []process.Identity
		if err := json.Unmarshal(data, &live); err != nil {
			return err
		}
		<-time.After(300 * time.Millisecond)
		return live[0].Signal(syscall.SIGKILL)
	})
	if _, err := d.Start(ctx, &drivers.TaskConfig{ID: "a/web/1", Name: "web", Config: encoded}); err != nil {
		t.Fatalf("Start across the plugin's death: %v", err)
	}
	if err := killing.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := d.Destroy(ctx, "a/web/1", true); err != nil {
		t.Error(err)
	}
}

func TestPluginsLogsKeepTheirLevel(t *testing.T) {
	var sent bytes.Buffer
	logger := plugin.Logger(&sent, "web")
	logger.Warn("disk is full", "path", "/x")
	var record map[string]any
	if err := json.Unmarshal(sent.Bytes(), &record); err != nil {
		t.Fatal(err)
	}
	if record["@level"] != "warn" || record["@message"] != "disk is full" || record["@module"] != "web" || record["path"] != "/x" || record["@timestamp"] == nil {
		t.Fatalf("record = %v", record)
	}
	var got bytes.Buffer
	lines := plugin.LogLines(slog.New(slog.NewTextHandler(&got, &slog.HandlerOptions{Level: logx.LevelTrace})))
	for _, part := range []string{sent.String()[:10], sent.String()[10:], "plain words\npanic: oh\n\n", strings.Repeat("x", 200<<10)} {
		if _, err := lines.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{`level=WARN msg="driver plugin logged" text="disk is full" path=/x`, `level=DEBUG msg="driver plugin printed" text="plain words"`, `level=ERROR msg="driver plugin printed" text="panic: oh"`, "text=xxxx"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("the log lacks %q:\n%.2000s", want, got.String())
		}
	}
}

func TestNotStartedByHand(t *testing.T) {
	if err := plugin.Serve(t.Context(), mock.New(logx.Discard())); !errors.Is(err, plugin.ErrNotAPlugin) {
		t.Errorf("Serve by hand = %v", err)
	}
}
