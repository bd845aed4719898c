//go:build linux

package docker_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
)

// loadImage gives an engine an image of the tests.
func loadImage(t *testing.T, engine *client.Client, data []byte) {
	t.Helper()
	answer, err := engine.ImageLoad(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer)
	_ = answer.Close()
}

func TestTheImagesCheckIsShown(t *testing.T) {
	const checked = "steppe-driver-test:checked"
	w := newWorld(t, pluginBlock())
	layer, err := layerArchive("", "")
	if err != nil {
		t.Fatal(err)
	}
	data, err := imageArchive(layer, checked, map[string]any{"Healthcheck": map[string]any{
		"Test": []string{"CMD-SHELL", "echo looked; test -e /tmp/fine"}, "Interval": 300 * time.Millisecond, "Retries": 1,
	}})
	if err != nil {
		t.Fatal(err)
	}
	loadImage(t, w.engine, data)
	t.Cleanup(func() {
		_, _ = w.engine.ImageRemove(context.Background(), checked, client.ImageRemoveOptions{Force: true})
	})
	task := w.task(with(map[string]any{"image": checked}))
	w.start(task)
	heard := func(want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		seen := errors.New("seen")
		if err := w.driver.Events(ctx, func(e *drivers.Event) error {
			if e.TaskID == task.ID && e.Message == want {
				return seen
			}
			return nil
		}); !errors.Is(err, seen) {
			t.Errorf("no event says %q: %v", want, err)
		}
	}
	heard("Container is unhealthy: its check ended with code 1: looked")
	if status, err := w.driver.Inspect(t.Context(), task.ID); err != nil || status.Attributes["health"] != "unhealthy" {
		t.Errorf("status = %+v, %v", status, err)
	}
	if _, err := w.driver.Exec(t.Context(), task.ID, []string{"sh", "-c", "echo > /tmp/fine"}, patience); err != nil {
		t.Fatal(err)
	}
	heard("Container is healthy")
	quiet := w.task(with(map[string]any{"image": checked, "healthchecks": map[string]any{"disable": true}}))
	if c := w.runs(quiet); c.State.Health != nil && c.State.Health.Status != "none" {
		t.Errorf("a check that is switched off says %+v", c.State.Health)
	}
}

// daemon is an engine of a test's own, which may be hurt.
type daemon struct {
	t    *testing.T
	dir  string
	args []string
	cmd  *exec.Cmd
	done chan error
	out  *os.File
}

func newDaemon(t *testing.T, args ...string) *daemon {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, an engine of the test's own needs root")
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		t.Skip("SKIPPED, dockerd is not installed (package docker.io)")
	}
	d := &daemon{t: t, dir: t.TempDir()}
	d.args = append([]string{
		"--host=unix://" + d.socket(), "--data-root=" + filepath.Join(d.dir, "data"), "--exec-root=" + filepath.Join(d.dir, "exec"),
		"--pidfile=" + filepath.Join(d.dir, "pid"), "--bridge=none", "--iptables=false", "--ip-masq=false",
	}, args...)
	var err error
	if d.out, err = os.Create(filepath.Join(d.dir, "log")); err != nil {
		t.Fatal(err)
	}
	d.launch()
	t.Cleanup(func() {
		d.end(syscall.SIGTERM)
		_ = d.out.Close()
		d.clear()
	})
	return d
}

func (d *daemon) socket() string { return filepath.Join(d.dir, "d.sock") }

func (d *daemon) launch() {
	d.t.Helper()
	d.cmd = exec.Command("dockerd", d.args...)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	// In a network of its own: an engine takes away the bridge of another.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.done = make(chan error, 1)
	group, cmd, done := loop.New(context.Background()), d.cmd, d.done
	group.Go("dockerd", func(context.Context) error { done <- cmd.Wait(); return nil })
	engine := d.client()
	defer func() { _ = engine.Close() }()
	ready := func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := engine.Ping(ctx, client.PingOptions{})
		return err == nil || len(done) > 0
	}
	testx.Eventually(d.t, 2*patience, "the engine answers", ready)
	if len(done) > 0 {
		log, _ := os.ReadFile(filepath.Join(d.dir, "log"))
		d.t.Skipf("SKIPPED, an engine of the test's own doesn't start here: %s", log[max(0, len(log)-500):])
	}
}

// clear takes away what engine or test have left mounted.
func (d *daemon) clear() {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		d.t.Error(err)
	}
	for _, line := range slices.Backward(strings.Split(string(data), "\n")) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], d.dir+"/") {
			_ = syscall.Unmount(fields[4], syscall.MNT_DETACH)
		}
	}
}

func (d *daemon) client() *client.Client {
	d.t.Helper()
	engine, err := client.New(client.WithHost("unix://" + d.socket()))
	if err != nil {
		d.t.Fatal(err)
	}
	return engine
}

func (d *daemon) signal(sig syscall.Signal) { _ = d.cmd.Process.Signal(sig) }

func (d *daemon) end(sig syscall.Signal) {
	d.t.Helper()
	d.signal(syscall.SIGCONT)
	d.signal(sig)
	select {
	case err := <-d.done:
		d.done <- err
	case <-time.After(patience):
		d.t.Error("the engine doesn't end")
		d.signal(syscall.SIGKILL)
	}
}

// healthOf follows a driver's health until it is as wanted.
func healthOf(t *testing.T, d drivers.Driver, want drivers.Health, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	seen := errors.New("seen")
	var last *drivers.Fingerprint
	err := d.Fingerprint(ctx, func(fp *drivers.Fingerprint) error {
		if last = fp; fp.Health == want {
			return seen
		}
		return nil
	})
	if !errors.Is(err, seen) {
		t.Errorf("the driver isn't %s within %s: %+v, %v", want, within, last, err)
	}
}

func TestTasksOutliveTheirEngine(t *testing.T) {
	data, err := archive()
	if err != nil {
		t.Skipf("SKIPPED, no image for the tests: %v", err)
	}
	d := newDaemon(t, "--live-restore")
	w := &world{t: t, engine: d.client()}
	t.Cleanup(func() { _ = w.engine.Close() })
	block := pluginBlock()
	block["endpoint"] = "unix://" + d.socket()
	w.driver, w.schema, w.stop = open(t, block)
	t.Cleanup(w.stop)
	loadImage(t, w.engine, data)
	config := sh("trap 'echo over; exit 7' TERM; echo up; while :; do busybox usleep 50000; done")
	config["network_mode"] = "none"
	task := w.task(config)
	w.start(task)
	waitFor(t, task, "up\n")
	before := w.inspect(task)

	d.signal(syscall.SIGSTOP)
	begun := time.Now()
	if _, err := w.driver.Capabilities(t.Context()); err != nil || time.Since(begun) > time.Second {
		t.Errorf("a hung engine holds up what doesn't need it: %v after %s", err, time.Since(begun))
	}
	healthOf(t, w.driver, drivers.HealthUndetected, 30*time.Second)
	d.signal(syscall.SIGCONT)
	healthOf(t, w.driver, drivers.Healthy, 30*time.Second)

	d.end(syscall.SIGTERM)
	healthOf(t, w.driver, drivers.HealthUndetected, 30*time.Second)
	d.launch()
	healthOf(t, w.driver, drivers.Healthy, 30*time.Second)
	if after := w.inspect(task); after.Attributes["container_id"] != before.Attributes["container_id"] || after.State != drivers.TaskRunning || !after.StartedAt.Equal(before.StartedAt) {
		t.Errorf("after its engine was restarted the task is %+v, it was %+v", after, before)
	}
	if err := w.driver.Stop(t.Context(), task.ID, patience, ""); err != nil {
		t.Error(err)
	}
	if exit := w.wait(task); exit.ExitCode != 7 {
		t.Errorf("exit = %+v", exit)
	}
	waitFor(t, task, "over\n")

	// What an engine ends when it ends is told as ended.
	other := w.task(config)
	w.start(other)
	waitFor(t, other, "up\n")
	pid, err := w.engine.ContainerInspect(t.Context(), containerOf(t, w, other), client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.end(syscall.SIGTERM)
	if err := syscall.Kill(pid.Container.State.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.launch()
	if exit := w.wait(other); exit.Successful() {
		t.Errorf("what died while its engine was away ended with %+v", exit)
	}
	if log := readLog(t, other, "stdout"); strings.Count(log, "up\n") != 1 {
		t.Errorf("its output is %q", log)
	}
}

// inspect asks for a task until its engine answers.
func (w *world) inspect(task *drivers.TaskConfig) *drivers.TaskStatus {
	w.t.Helper()
	var out *drivers.TaskStatus
	testx.Eventually(w.t, patience, "the task is found", func() bool {
		var err error
		out, err = w.driver.Inspect(w.t.Context(), task.ID)
		return err == nil
	})
	return out
}
