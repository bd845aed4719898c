//go:build linux

package rawexec_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/drivertest"
	"github.com/steppe-run/steppe/drivers/plugin/config"
	"github.com/steppe-run/steppe/drivers/rawexec"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/process"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/structs"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) {
	os.Exit(drivertest.Main(m, map[string]func(*slog.Logger) drivers.Driver{rawexec.Name: rawexec.New}))
}

// sh is the config block of a task that is a shell script.
func sh(script string, args ...any) map[string]any {
	return map[string]any{"command": "sh", "args": []any{"-c", fmt.Sprintf(script, args...)}}
}

func shell(script string) []string { return []string{"sh", "-c", script} }

func TestConformance(t *testing.T) {
	h := drivertest.Harness{
		New: rawexec.New, Survives: true, TTY: true,
		Config:         map[string]any{"enabled": true},
		Env:            map[string]string{"PATH": os.Getenv("PATH")},
		MissingCommand: map[string]any{"command": "/no/such/program"},
		Tasks: drivertest.Tasks{
			Forever: func() map[string]any { return sh("echo ready; exec sleep 300") },
			Exit: func(code int, after time.Duration) map[string]any {
				return sh("sleep %g; exit %d", after.Seconds(), code)
			},
			Print: func(stdout, stderr string) map[string]any {
				return sh("printf %%s '%s'; printf %%s '%s' >&2; sleep 300", stdout, stderr)
			},
			Stubborn: func() map[string]any { return sh("trap '' INT TERM; echo stubborn; while :; do sleep 1; done") },
		},
		Commands: drivertest.Commands{
			Echo: func(w string) []string { return []string{"echo", w} },
			Warn: func(w string) []string { return shell("echo " + w + " >&2") },
			Exit: func(code int) []string { return shell("exit " + strconv.Itoa(code)) },
			Cat:  []string{"cat"}, Sleep: []string{"sleep", "60"},
		},
	}
	drivertest.Run(t, h)
	drivertest.RunPlugin(t, h)
}

// world is an enabled driver in this process.
type world struct {
	t      *testing.T
	driver drivers.Driver
	schema *drivers.Schema
	next   int
}

func newWorld(t *testing.T, block map[string]any) *world {
	d := rawexec.New(logx.Discard())
	schema, err := d.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := config.Encode(schema.Plugin, block, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Configure(t.Context(), encoded, nil); err != nil {
		t.Fatal(err)
	}
	group := loop.New(context.Background())
	group.Go("service", d.(drivers.Service).Run)
	t.Cleanup(func() { group.Stop(); _ = group.Wait() })
	return &world{t: t, driver: d, schema: schema}
}

func enabled(t *testing.T) *world { return newWorld(t, map[string]any{"enabled": true}) }

func (w *world) task(block map[string]any) *drivers.TaskConfig {
	w.t.Helper()
	encoded, err := config.Encode(w.schema.Task, block, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.next++
	task := &drivers.TaskConfig{
		ID: fmt.Sprintf("%s/web/%08x", ids.New(), w.next), Name: "web", AllocDir: w.t.TempDir(), Config: encoded,
		Env: map[string]string{"PATH": os.Getenv("PATH")}, Logs: &drivers.LogPolicy{MaxFiles: 2, MaxFileSizeMB: 1},
	}
	if err := os.MkdirAll(task.TaskDir(), 0o755); err != nil {
		w.t.Fatal(err)
	}
	return task
}

func (w *world) start(task *drivers.TaskConfig) *drivers.Handle {
	w.t.Helper()
	started, err := w.driver.Start(w.t.Context(), task)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.driver.Destroy(context.Background(), task.ID, true) })
	return started.Handle
}

func (w *world) wait(task *drivers.TaskConfig) *drivers.ExitResult {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	exit, err := w.driver.Wait(ctx, task.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return exit
}

func stdout(t *testing.T, task *drivers.TaskConfig) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(task.LogDir(), "web.stdout.0"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDisabledUnlessEnabled(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.driver.Start(t.Context(), w.task(sh("true"))); err == nil || !strings.Contains(err.Error(), "enabled = true") {
		t.Errorf("Start = %v", err)
	}
	seen := errors.New("seen")
	err := w.driver.Fingerprint(t.Context(), func(fp *drivers.Fingerprint) error {
		if fp.Detected() {
			t.Errorf("fingerprint = %+v", fp)
		}
		return seen
	})
	if !errors.Is(err, seen) {
		t.Error(err)
	}
}

func TestBadTasksSayWhatToDo(t *testing.T) {
	w := enabled(t)
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, block := range map[string]map[string]any{
		"is not found":         {"command": "no-such-program-anywhere"},
		"does not exist":       {"command": "/no/such/program"},
		"is not executable":    {"command": plain},
		"is a directory":       {"command": "/tmp"},
		"must be an absolute":  {"command": "true", "work_dir": "here"},
		"no such file":         {"command": "true", "work_dir": "/no/such/dir"},
		"between 0 and 1000":   {"command": "true", "oom_score_adj": -1},
		"not a version 1":      {"command": "true", "cgroup_v1_override": map[string]any{"memory": "no/such"}},
		"command is empty":     {"command": ""},
		"cgroup_v2_override: ": {"command": "true", "cgroup_v2_override": "no/such"},
	} {
		_, err := w.driver.Start(t.Context(), w.task(block))
		if err == nil || !strings.Contains(err.Error(), want) || drivers.IsRecoverable(err) {
			t.Errorf("%v: %v, want %q", block, err, want)
		}
	}
	task := w.task(sh("true"))
	task.User = "no-such-user"
	if _, err := w.driver.Start(t.Context(), task); err == nil || !strings.Contains(err.Error(), "no such user") {
		t.Errorf("unknown user: %v", err)
	}
}

func TestEnvironmentAndDirectory(t *testing.T) {
	w := newWorld(t, map[string]any{"enabled": true, "denied_envvars": []any{"AWS_*"}})
	block := sh(`echo "$KEPT|$AWS_KEY|$TOKEN|$DEV"; pwd`)
	block["denied_envvars"] = []any{"TOKEN"}
	task := w.task(block)
	task.Env["KEPT"], task.Env["AWS_KEY"], task.Env["TOKEN"] = "kept", "secret", "secret"
	task.DeviceEnv = map[string]string{"DEV": "dev"}
	w.start(task)
	w.wait(task)
	if got, want := stdout(t, task), "kept|||dev\n"+task.TaskDir()+"\n"; got != want {
		t.Errorf("the task printed %q, want %q", got, want)
	}
}

func TestRunsAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run tasks as another user")
	}
	w := enabled(t)
	task := w.task(map[string]any{"command": "id", "args": []any{"-un"}, "work_dir": "/"})
	task.User = "nobody"
	w.start(task)
	if exit := w.wait(task); !exit.Successful() {
		t.Errorf("exit = %+v", exit)
	}
	if got := stdout(t, task); got != "nobody\n" {
		t.Errorf("the task ran as %q", got)
	}
	denied := newWorld(t, map[string]any{"enabled": true, "denied_host_uids": "0,100-70000"})
	task = denied.task(sh("true"))
	task.User = "nobody"
	if _, err := denied.driver.Start(t.Context(), task); err == nil || !strings.Contains(err.Error(), "denied_host_uids") {
		t.Errorf("a denied user: %v", err)
	}
}

func TestACommandRunsInTheNetworkOfItsTask(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces take root")
	}
	// A process that holds a network namespace.
	holder := exec.Command("sleep", "60")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		t.Skip("no network namespaces here:", err)
	}
	t.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
	path := fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid)
	want, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	w := enabled(t)
	task := w.task(sh("readlink /proc/self/ns/net; exec sleep 60"))
	task.Network = &drivers.NetworkIsolation{Mode: drivers.NetworkGroup, Path: path}
	w.start(task)
	for range 5 { // the supervisor has several threads
		got, err := w.driver.Exec(t.Context(), task.ID, []string{"readlink", "/proc/self/ns/net"}, patience)
		if err != nil || strings.TrimSpace(string(got.Stdout)) != want {
			t.Errorf("the command is in %s %v, want %s", got.Stdout, err, want)
		}
	}
	if got := strings.TrimSpace(stdout(t, task)); got != want {
		t.Errorf("the task is in %s, want %s", got, want)
	}
}

func TestLogsRotate(t *testing.T) {
	w := enabled(t)
	// 3.5 MB in lines of 100 bytes; two files of 1 MiB are kept.
	task := w.task(sh(`i=0; while [ $i -lt 35000 ]; do printf '%%099d\n' $i; i=$((i+1)); done`))
	w.start(task)
	w.wait(task)
	entries, err := os.ReadDir(task.LogDir())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "web.stdout.") {
			names = append(names, e.Name())
			data, err := os.ReadFile(filepath.Join(task.LogDir(), e.Name()))
			if err != nil || len(data) > 1<<20 || len(data)%100 != 0 {
				t.Errorf("%s has %d bytes, lines must stay whole: %v", e.Name(), len(data), err)
			}
		}
	}
	if strings.Join(names, " ") != "web.stdout.2 web.stdout.3" {
		t.Errorf("log files are %v", names)
	}
	tail, err := os.ReadFile(filepath.Join(task.LogDir(), "web.stdout.3"))
	if err != nil || !strings.HasSuffix(string(tail), "34999\n") {
		t.Errorf("the newest file doesn't end with the last line: %v", err)
	}
}

func TestLogsIntoFIFOs(t *testing.T) {
	w := enabled(t)
	task := w.task(sh("echo out; echo err >&2"))
	task.Logs = nil
	dir := t.TempDir()
	task.StdoutPath, task.StderrPath = filepath.Join(dir, "out"), filepath.Join(dir, "err")
	var readers []*os.File
	for _, path := range []string{task.StdoutPath, task.StderrPath} {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		readers = append(readers, f)
	}
	w.start(task)
	w.wait(task)
	for i, want := range []string{"out\n", "err\n"} {
		buf := make([]byte, 100)
		n, err := readers[i].Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("FIFO %d gave %q, %v", i, buf[:n], err)
		}
	}
}

func TestNothingOfATaskIsLeft(t *testing.T) {
	w := enabled(t)
	// Grandchildren that left their group and session, and one whose parent died.
	task := w.task(sh(`setsid sleep 301 & (setsid sleep 302 &) ; sleep 303 & echo ready; wait`))
	w.start(task)
	testx.Eventually(t, patience, "the task is up", func() bool { return strings.Contains(stdout(t, task), "ready") })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.driver.Stop(ctx, task.ID, 0, ""); err != nil {
		t.Fatal(err)
	}
	for _, seconds := range []string{"301", "302", "303"} {
		if out, _ := exec.Command("pgrep", "-fx", "sleep "+seconds).Output(); len(out) > 0 {
			t.Errorf("sleep %s lives on as %s", seconds, out)
		}
	}
}

func TestKilledSupervisorTakesItsTaskAlong(t *testing.T) {
	w := enabled(t)
	task := w.task(sh("sleep 304 & sleep 305"))
	h := w.start(task)
	status := supervisorOf(t, task)
	if err := status.Supervisor.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "the task's process is dead", func() bool { return !status.Task.Alive() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if exit, err := w.driver.Wait(ctx, task.ID); err == nil {
		t.Errorf("Wait = %+v although nobody knows how the task ended", exit)
	}
	other := enabled(t)
	if err := other.driver.Recover(ctx, h); err == nil {
		t.Error("a lost task is recovered")
	}
	if out, _ := exec.Command("pgrep", "-fx", "sleep 304").Output(); len(out) > 0 && status.Owned {
		t.Errorf("a child of the lost task lives on as %s", out)
	}
}

func supervisorOf(t *testing.T, task *drivers.TaskConfig) *keeper.Status {
	t.Helper()
	matches, err := filepath.Glob(filepath.Join(task.TaskDir(), "private", "supervisor-*"))
	if err != nil || len(matches) != 1 {
		t.Fatalf("supervision directories: %v, %v", matches, err)
	}
	data, err := os.ReadFile(filepath.Join(matches[0], keeper.StateName))
	if err != nil {
		t.Fatal(err)
	}
	return decodeStatus(t, data)
}

func TestStartIsTakenOver(t *testing.T) {
	first, second := enabled(t), enabled(t)
	task := first.task(sh("sleep 306"))
	a := first.start(task)
	b, err := second.driver.Start(t.Context(), task)
	if err != nil {
		t.Fatal(err)
	}
	if string(a.DriverState) != string(b.Handle.DriverState) {
		t.Error("the same start, asked of the next process, runs a second task")
	}
	if _, err := first.driver.Start(t.Context(), task); err == nil {
		t.Error("one process starts the same task twice")
	}
}

func TestSignalsReachTheTask(t *testing.T) {
	w := enabled(t)
	task := w.task(sh(`trap 'echo hup' HUP; trap 'echo bye; exit 3' INT; echo ready; while :; do sleep 0.05; done`))
	w.start(task)
	testx.Eventually(t, patience, "the traps are set", func() bool { return strings.Contains(stdout(t, task), "ready") })
	if err := w.driver.Signal(t.Context(), task.ID, "SIGHUP"); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "the signal arrived", func() bool { return strings.Contains(stdout(t, task), "hup") })
	// The default stop signal is SIGINT.
	if err := w.driver.Stop(t.Context(), task.ID, patience, ""); err != nil {
		t.Fatal(err)
	}
	if exit := w.wait(task); exit.ExitCode != 3 {
		t.Errorf("exit = %+v", exit)
	}
}

func TestStatsMeasureWork(t *testing.T) {
	w := enabled(t)
	task := w.task(sh("while :; do :; done"))
	task.Resources = &drivers.Resources{Linux: drivers.LinuxResources{CPUShares: 1000, PercentTicks: 0.25}}
	w.start(task)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := errors.New("seen")
	err := w.driver.Stats(ctx, task.ID, 200*time.Millisecond, func(u *structs.TaskResourceUsage) error {
		c := u.ResourceUsage.CpuStats
		if c.Percent > 5 && c.TotalTicks > 0 && len(u.Pids) > 0 && u.ResourceUsage.MemoryStats.RSS > 0 {
			return seen
		}
		return nil
	})
	if !errors.Is(err, seen) {
		t.Errorf("a busy task shows no use: %v", err)
	}
}

func decodeStatus(t *testing.T, data []byte) *keeper.Status {
	t.Helper()
	var status keeper.Status
	if err := json.Unmarshal(data, &status); err != nil {
		t.Fatal(err)
	}
	if status.Task == (process.Identity{}) {
		t.Fatal("the state names no process")
	}
	return &status
}

func BenchmarkStart(b *testing.B) {
	d := rawexec.New(logx.Discard())
	schema, err := d.Schema(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	on, err := config.Encode(schema.Plugin, map[string]any{"enabled": true}, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := d.Configure(b.Context(), on, nil); err != nil {
		b.Fatal(err)
	}
	encoded, err := config.Encode(schema.Task, map[string]any{"command": "/bin/sleep", "args": []any{"300"}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	group := loop.New(b.Context())
	group.Go("service", d.(drivers.Service).Run)
	dir := b.TempDir()
	var started []string
	for b.Loop() {
		task := &drivers.TaskConfig{
			ID: ids.New() + "/t/00000000", Name: "t", AllocDir: dir, Config: encoded,
			Logs: &drivers.LogPolicy{MaxFiles: 2, MaxFileSizeMB: 1},
		}
		_ = os.MkdirAll(task.TaskDir(), 0o755)
		if _, err := d.Start(b.Context(), task); err != nil {
			b.Fatal(err)
		}
		started = append(started, task.ID)
	}
	b.StopTimer()
	for _, id := range started {
		if err := d.Destroy(b.Context(), id, true); err != nil {
			b.Error(err)
		}
	}
	group.Stop()
	_ = group.Wait()
}

// Whoever gives a start up has the task destroyed, and is told that there is none if
// the driver doesn't know it yet.
func TestAStartThatIsGivenUpLastLeavesNoTask(t *testing.T) {
	w := enabled(t)
	task := w.task(sh("exec sleep 300"))
	var s keeper.Status
	ctx := drivertest.OverOnce(t.Context(), func() bool {
		found, _ := filepath.Glob(filepath.Join(task.TaskDir(), "private", "*", keeper.StateName))
		if s.Task.PID == 0 && len(found) > 0 {
			data, _ := os.ReadFile(found[0])
			_ = json.Unmarshal(data, &s)
		}
		return s.Task.PID != 0
	})
	if _, err := w.driver.Start(ctx, task); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if _, err := w.driver.Inspect(t.Context(), task.ID); !errors.Is(err, drivers.ErrTaskNotFound) {
		t.Errorf("the driver knows it: %v", err)
	}
	if s.Task.PID == 0 || s.Task.Alive() {
		t.Errorf("its process: %+v", s.Task)
		_ = w.driver.Destroy(context.Background(), task.ID, true)
	}
}
