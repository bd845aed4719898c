//go:build linux

// Package probes runs a program that tries to get out of its sandbox through
// the real driver: as the default user, as root, and with each capability that
// a node allows, as a task and beside one.
//
// Begin reading at TestNoProbeGetsOut; the tries are in probe.
package probes

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/drivertest"
	sandbox "github.com/steppe-run/steppe/drivers/exec"
	"github.com/steppe-run/steppe/drivers/plugin/config"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
)

const patience = 60 * time.Second

func TestMain(m *testing.M) {
	os.Exit(drivertest.Main(m, map[string]func(*slog.Logger) drivers.Driver{sandbox.Name: sandbox.New}))
}

// bench is a node with a driver and what the probes are after.
type bench struct {
	t      *testing.T
	driver drivers.Driver
	schema *drivers.Schema
	probe  string
	env    map[string]string
	// network is a namespace with nothing in it.
	network string
}

func newBench(t *testing.T) *bench {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, only root can make sandboxes")
	}
	b := &bench{t: t, driver: sandbox.New(logx.Discard()), probe: filepath.Join(t.TempDir(), "probe")}
	build := exec.Command("go", "build", "-o", b.probe, "./probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the probe: %v: %s", err, out)
	}
	var err error
	b.schema, err = b.driver.Schema(t.Context())
	must(t, err)
	plugin, err := config.Encode(b.schema.Plugin, nil, nil)
	must(t, err)
	must(t, b.driver.Configure(t.Context(), plugin, nil))
	group := loop.New(context.Background())
	group.Go("service", b.driver.(drivers.Service).Run)
	t.Cleanup(func() { group.Stop(); _ = group.Wait() })
	b.network = emptyNetwork(t)
	b.bait()
	return b
}

// bait is what a probe that gets out finds.
func (b *bench) bait() {
	api, err := net.Listen("tcp", "127.0.0.1:0")
	must(b.t, err)
	b.t.Cleanup(func() { _ = api.Close() })
	abstract := "steppe-probe-" + ids.New()
	socket, err := net.Listen("unix", "@"+abstract)
	must(b.t, err)
	b.t.Cleanup(func() { _ = socket.Close() })
	mark, err := filepath.Rel("/", b.probe)
	must(b.t, err)
	b.env = map[string]string{
		"PROBE": "sandbox", "AGENT": strconv.Itoa(os.Getpid()), "API": api.Addr().String(), "ABSTRACT": abstract, "HOST_MARK": mark, "OTHER": "other/secrets",
		"OWN_NETWORK": "1", "PATH": "/usr/bin:/bin",
	}
}

// emptyNetwork makes a network namespace that lives as long as the test.
func emptyNetwork(t *testing.T) string {
	made := make(chan *os.File)
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with it
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			failed <- err
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			failed <- err
			return
		}
		made <- f
	}()
	select {
	case f := <-made:
		t.Cleanup(func() { _ = f.Close() })
		return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
	case err := <-failed:
		t.Fatal(err)
	}
	return ""
}

func (b *bench) task(t *testing.T, user string, block map[string]any) *drivers.TaskConfig {
	t.Helper()
	dir := t.TempDir()
	for at := dir; at != "/tmp" && at != "/"; at = filepath.Dir(at) {
		must(t, os.Chmod(at, 0o755))
	}
	block["command"] = "/local/probe"
	encoded, err := config.Encode(b.schema.Task, block, b.env)
	must(t, err)
	task := &drivers.TaskConfig{
		ID: ids.New() + "/probe/" + ids.New()[:8], Name: "probe", AllocDir: dir, Config: encoded, Env: b.env, User: user,
		Logs: &drivers.LogPolicy{MaxFiles: 1, MaxFileSizeMB: 1}, Resources: &drivers.Resources{Linux: drivers.LinuxResources{CPUShares: 100, MemoryLimitBytes: 128 << 20}},
		Network: &drivers.NetworkIsolation{Mode: drivers.NetworkGroup, Path: b.network},
	}
	for _, sub := range []string{"alloc/data", "alloc/logs", "probe/local", "probe/secrets", "probe/tmp", "probe/private", "other/secrets"} {
		must(t, os.MkdirAll(filepath.Join(dir, sub), 0o777))
		must(t, os.Chmod(filepath.Join(dir, sub), 0o777))
	}
	must(t, os.WriteFile(filepath.Join(dir, "other/secrets/key"), []byte("x"), 0o644))
	must(t, os.Chmod(filepath.Join(dir, "alloc/logs"), 0o755))
	program, err := os.ReadFile(b.probe)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(task.TaskDir(), "local", "probe"), program, 0o755))
	return task
}

// run runs a task to its end and returns what it printed.
func (b *bench) run(t *testing.T, task *drivers.TaskConfig) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := b.driver.Start(ctx, task)
	must(t, err)
	defer func() { must(t, b.driver.Destroy(context.Background(), task.ID, true)) }()
	exit, err := b.driver.Wait(ctx, task.ID)
	must(t, err)
	stderr, _ := os.ReadFile(filepath.Join(task.LogDir(), "probe.stderr.0")) // only for the message
	if !exit.Successful() {
		t.Errorf("the probe ended with %+v: %s", exit, stderr)
	}
	out, err := os.ReadFile(filepath.Join(task.LogDir(), "probe.stdout.0"))
	must(t, err)
	return string(out)
}

// judge counts what was allowed.
func judge(t *testing.T, out string, open ...string) {
	t.Helper()
	tries := 0
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		verdict, name, _ := strings.Cut(line, ": ")
		number, _, _ := strings.Cut(name, " ")
		tries++
		isOpen := false
		for _, o := range open {
			isOpen = isOpen || o == number
		}
		if verdict != "denied" && !isOpen {
			t.Errorf("allowed: %s", name)
		}
	}
	if tries < 45 {
		t.Errorf("only %d probes ran:\n%s", tries, out)
	}
}

func TestNoProbeGetsOut(t *testing.T) {
	b := newBench(t)
	for _, user := range []string{"", "root"} {
		t.Run("as "+user, func(t *testing.T) { judge(t, b.run(t, b.task(t, user, map[string]any{}))) })
	}
	t.Run("image", func(t *testing.T) {
		task := b.task(t, "root", map[string]any{"rootfs": "local/image"})
		for _, dir := range []string{"etc", "usr", "bin", "lib"} {
			must(t, os.MkdirAll(filepath.Join(task.TaskDir(), "local", "image", dir), 0o755))
		}
		// The image is the task's own: it may write there.
		judge(t, b.run(t, task), "E47")
	})
	for _, name := range []string{"all", "audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "mknod", "net_bind_service", "setfcap", "setgid", "setpcap", "setuid", "sys_chroot"} {
		t.Run("with "+name, func(t *testing.T) {
			if testing.Short() && name != "all" {
				t.Skip("SKIPPED in the short form")
			}
			judge(t, b.run(t, b.task(t, "root", map[string]any{"cap_add": []any{name}})))
		})
	}
}

// What runs beside a task has its rights, and no others.
func TestNoProbeBesideATaskGetsOut(t *testing.T) {
	b := newBench(t)
	for _, user := range []string{"", "root"} {
		task := b.task(t, user, map[string]any{})
		encoded, err := config.Encode(b.schema.Task, map[string]any{"command": "/bin/sleep", "args": []any{"300"}}, b.env)
		must(t, err)
		task.Config = encoded
		_, err = b.driver.Start(t.Context(), task)
		must(t, err)
		got, err := b.driver.Exec(t.Context(), task.ID, []string{"/local/probe"}, patience)
		must(t, err)
		judge(t, string(got.Stdout))
		if got.Exit.ExitCode != 0 {
			t.Errorf("exit = %+v: %s", got.Exit, got.Stderr)
		}
		must(t, b.driver.Destroy(t.Context(), task.ID, true))
	}
}

// On the node's own network a task reaches what the node reaches, as
// docs/isolation.md says; all else holds.
func TestOnTheHostsNetworkOnlyTheNetworkIsOpen(t *testing.T) {
	b := newBench(t)
	for _, user := range []string{"", "root"} {
		task := b.task(t, user, map[string]any{})
		task.Network = nil
		judge(t, b.run(t, task), "E42")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
