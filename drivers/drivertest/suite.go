//go:build linux

package drivertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-version"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/structs"
)

// errSeen ends a stream that has shown enough.
var errSeen = errors.New("seen")

// run runs the tests that hold on both sides of the plugin boundary. Those of
// one driver share it, as tasks of a node do.
func (s *suite) run(t *testing.T) {
	b := s.open(t)
	tests := []struct {
		name string
		test func(*testing.T, *bed)
	}{
		{"describes itself", s.describes}, {"fingerprints at once", s.fingerprints},
		{"exit codes", s.exitCodes}, {"waiting", s.waiting},
		{"stop", s.stops}, {"stop kills the stubborn", s.kills}, {"destroy", s.destroys},
		{"unknown tasks", s.unknown}, {"inspect", s.inspects}, {"stats", s.stats},
		{"signals", s.signals}, {"exec", s.exec}, {"exec streams", s.execStreams}, {"exec is cancelled", s.execCancelled},
		{"exec terminal", s.execTerminal}, {"logs", s.logs}, {"recover what is known", s.recoverKnown},
		{"recover nonsense", s.recoverNonsense}, {"a start that can't be", s.badStart},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.test(t, b) })
	}
	if s.h.Survives {
		t.Run("recover in another instance", s.recoverElsewhere)
	}
}

func (s *suite) describes(t *testing.T, b *bed) {
	ctx := t.Context()
	info, err := b.driver.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := version.NewVersion(info.Version); err != nil || info.Name == "" || len(info.APIVersions) == 0 {
		t.Errorf("Info = %+v, version: %v", info, err)
	}
	schema, err := b.driver.Schema(ctx)
	if err != nil || schema.Task == nil {
		t.Errorf("Schema = %+v, %v", schema, err)
	}
	caps, err := b.driver.Capabilities(ctx)
	if err != nil || len(caps.NetworkModes) == 0 || caps.FSIsolation == "" {
		t.Errorf("Capabilities = %+v, %v", caps, err)
	}
	if _, err := b.encode(map[string]any{"no_such_key": 1}); err == nil || !strings.Contains(err.Error(), "no_such_key") {
		t.Errorf("an unknown key gives %v", err)
	}
}

func (s *suite) fingerprints(t *testing.T, b *bed) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := b.driver.Fingerprint(ctx, func(fp *drivers.Fingerprint) error {
		if !fp.Healthy() || !fp.Detected() {
			t.Errorf("fingerprint = %+v", fp)
		}
		return errSeen
	})
	if !errors.Is(err, errSeen) {
		t.Fatalf("Fingerprint = %v", err)
	}
}

func (s *suite) exitCodes(t *testing.T, b *bed) {
	for _, code := range []int{0, 7} {
		h := s.start(t, b, s.h.Tasks.Exit(code, 50*time.Millisecond))
		exit := wait(t, b, h.Config.ID)
		if exit.ExitCode != code || exit.Signal != 0 || exit.OOMKilled || exit.Successful() != (code == 0) {
			t.Errorf("exit = %+v, want code %d", exit, code)
		}
		if again := wait(t, b, h.Config.ID); *again != *exit {
			t.Errorf("a second Wait gives %+v, the first gave %+v", again, exit)
		}
	}
}

func (s *suite) waiting(t *testing.T, b *bed) {
	h := s.start(t, b, s.h.Tasks.Forever())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.driver.Wait(ctx, h.Config.ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a Wait that is cut short gives %v", err)
	}
	status, err := b.driver.Inspect(t.Context(), h.Config.ID)
	if err != nil || status.State != drivers.TaskRunning {
		t.Fatalf("cancelling Wait harmed the task: %+v, %v", status, err)
	}
	waiters := loop.New(t.Context())
	for range 5 {
		waiters.Go("wait", func(ctx context.Context) error {
			_, err := b.driver.Wait(ctx, h.Config.ID)
			return err
		})
	}
	if err := b.driver.Stop(t.Context(), h.Config.ID, 10*time.Second, ""); err != nil {
		t.Fatal(err)
	}
	if err := waiters.Wait(); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) stops(t *testing.T, b *bed) {
	h := s.start(t, b, s.h.Tasks.Forever())
	testx.Eventually(t, patience, "the task heeds signals", func() bool { return readLog(h.Config, "stdout") == "ready\n" })
	begun := now()
	if err := b.driver.Stop(t.Context(), h.Config.ID, 20*time.Second, ""); err != nil {
		t.Fatal(err)
	}
	if took := since(begun); took > 15*time.Second {
		t.Errorf("a task that ends on the signal took %s to stop", took)
	}
	status, err := b.driver.Inspect(t.Context(), h.Config.ID)
	if err != nil || status.State != drivers.TaskExited {
		t.Fatalf("after Stop the task is %+v, %v", status, err)
	}
	if exit := wait(t, b, h.Config.ID); exit.Successful() && exit.Signal == 0 && exit.ExitCode != 0 {
		t.Errorf("exit = %+v", exit)
	}
	if err := b.driver.Stop(t.Context(), h.Config.ID, time.Second, "SIGTERM"); err != nil {
		t.Errorf("stopping a stopped task: %v", err)
	}
	if err := b.driver.Stop(t.Context(), h.Config.ID, time.Second, "SIGNONSENSE"); err == nil {
		t.Errorf("an unknown signal is taken")
	}
}

func (s *suite) kills(t *testing.T, b *bed) {
	h := s.start(t, b, s.h.Tasks.Stubborn())
	testx.Eventually(t, patience, "the task is stubborn", func() bool { return readLog(h.Config, "stdout") == "stubborn\n" })
	begun := now()
	if err := b.driver.Stop(t.Context(), h.Config.ID, time.Second, ""); err != nil {
		t.Fatal(err)
	}
	if took := since(begun); took < time.Second || took > 15*time.Second {
		t.Errorf("the stubborn task was killed after %s, want 1s", took)
	}
	if exit := wait(t, b, h.Config.ID); exit.ExitCode != 137 {
		t.Errorf("exit = %+v, want that of a killed process", exit)
	}
}

func (s *suite) destroys(t *testing.T, b *bed) {
	h := s.start(t, b, s.h.Tasks.Forever())
	if err := b.driver.Destroy(t.Context(), h.Config.ID, false); err == nil {
		t.Fatal("a running task is destroyed without force")
	}
	if err := b.driver.Destroy(t.Context(), h.Config.ID, true); err != nil {
		t.Fatal(err)
	}
	if _, err := b.driver.Inspect(t.Context(), h.Config.ID); !errors.Is(err, drivers.ErrTaskNotFound) {
		t.Errorf("a destroyed task is still known: %v", err)
	}
	if err := b.driver.Destroy(t.Context(), h.Config.ID, true); !errors.Is(err, drivers.ErrTaskNotFound) {
		t.Errorf("destroying it again gives %v", err)
	}
	ended := s.start(t, b, s.h.Tasks.Exit(0, 0))
	wait(t, b, ended.Config.ID)
	if err := b.driver.Destroy(t.Context(), ended.Config.ID, false); err != nil {
		t.Errorf("destroying an ended task: %v", err)
	}
}

func (s *suite) unknown(t *testing.T, b *bed) {
	ctx, id := t.Context(), "no/such/task"
	_, waitErr := b.driver.Wait(ctx, id)
	_, inspectErr := b.driver.Inspect(ctx, id)
	_, execErr := b.driver.Exec(ctx, id, []string{"true"}, time.Second)
	_, streamErr := b.driver.ExecStreaming(ctx, id, &drivers.ExecRequest{Command: []string{"true"}})
	for name, err := range map[string]error{
		"Wait": waitErr, "Inspect": inspectErr, "Exec": execErr, "ExecStreaming": streamErr,
		"Stop": b.driver.Stop(ctx, id, time.Second, ""), "Destroy": b.driver.Destroy(ctx, id, true),
		"Signal": b.driver.Signal(ctx, id, "SIGHUP"),
		"Stats":  b.driver.Stats(ctx, id, time.Second, func(*structs.TaskResourceUsage) error { return nil }),
	} {
		if !errors.Is(err, drivers.ErrTaskNotFound) {
			t.Errorf("%s of an unknown task gives %v", name, err)
		}
	}
}

func (s *suite) inspects(t *testing.T, b *bed) {
	before := now().Add(-2 * time.Second)
	h := s.start(t, b, s.h.Tasks.Exit(3, 300*time.Millisecond))
	status, err := b.driver.Inspect(t.Context(), h.Config.ID)
	if err != nil {
		t.Fatal(err)
	}
	if status.State != drivers.TaskRunning || status.ID != h.Config.ID || status.Name != "web" || status.StartedAt.Before(before) || !status.CompletedAt.IsZero() {
		t.Errorf("running: %+v", status)
	}
	wait(t, b, h.Config.ID)
	status, err = b.driver.Inspect(t.Context(), h.Config.ID)
	if err != nil {
		t.Fatal(err)
	}
	if status.State != drivers.TaskExited || status.Exit == nil || status.Exit.ExitCode != 3 || status.CompletedAt.Before(status.StartedAt) {
		t.Errorf("exited: %+v, exit %+v", status, status.Exit)
	}
}

func (s *suite) stats(t *testing.T, b *bed) {
	h := s.start(t, b, s.h.Tasks.Forever())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	count := 0
	err := b.driver.Stats(ctx, h.Config.ID, 50*time.Millisecond, func(u *structs.TaskResourceUsage) error {
		if u.ResourceUsage == nil || u.ResourceUsage.MemoryStats == nil || u.ResourceUsage.CpuStats == nil || u.Timestamp == 0 {
			t.Errorf("usage = %+v", u)
			return errSeen
		}
		if count++; count < 2 {
			return nil
		}
		if m := u.ResourceUsage.MemoryStats; m.RSS+m.Usage == 0 || len(m.Measured) == 0 {
			t.Errorf("memory = %+v", m)
		}
		return errSeen
	})
	if !errors.Is(err, errSeen) {
		t.Fatalf("Stats = %v", err)
	}
	group := loop.New(ctx)
	group.Go("stats", func(ctx context.Context) error {
		return b.driver.Stats(ctx, h.Config.ID, 50*time.Millisecond, func(*structs.TaskResourceUsage) error { return nil })
	})
	if err := b.driver.Destroy(ctx, h.Config.ID, true); err != nil {
		t.Fatal(err)
	}
	if err := group.Wait(); err != nil && !errors.Is(err, drivers.ErrTaskNotFound) {
		t.Errorf("Stats of a task that ends gives %v", err)
	}
}

func (s *suite) signals(t *testing.T, b *bed) {
	caps, err := b.driver.Capabilities(t.Context())
	if err != nil || !caps.SendSignals {
		t.Skipf("the driver sends no signals: %v", err)
	}
	h := s.start(t, b, s.h.Tasks.Forever())
	if err := b.driver.Signal(t.Context(), h.Config.ID, "SIGNONSENSE"); err == nil {
		t.Error("an unknown signal is taken")
	}
	if err := b.driver.Signal(t.Context(), h.Config.ID, "SIGCONT"); err != nil {
		t.Error(err)
	}
}

func (s *suite) exec(t *testing.T, b *bed) {
	h := s.start(t, b, s.h.Tasks.Forever())
	c := s.h.Commands
	for _, tc := range []struct {
		command        []string
		stdout, stderr string
		code           int
	}{{c.Echo("hello"), "hello\n", "", 0}, {c.Warn("beware"), "", "beware\n", 0}, {c.Exit(5), "", "", 5}} {
		got, err := b.driver.Exec(t.Context(), h.Config.ID, tc.command, patience)
		if err != nil {
			t.Errorf("Exec %v: %v", tc.command, err)
			continue
		}
		if string(got.Stdout) != tc.stdout || string(got.Stderr) != tc.stderr || got.Exit.ExitCode != tc.code {
			t.Errorf("Exec %v = %q, %q, %+v", tc.command, got.Stdout, got.Stderr, got.Exit)
		}
	}
	if got, err := b.driver.Exec(t.Context(), h.Config.ID, []string{"/no/such/program"}, patience); err == nil && got.Exit.ExitCode == 0 {
		t.Error("a program that isn't there runs")
	}
	if _, err := b.driver.Exec(t.Context(), h.Config.ID, nil, patience); err == nil {
		t.Error("an empty command runs")
	}
	begun := now()
	if _, err := b.driver.Exec(t.Context(), h.Config.ID, c.Sleep, 300*time.Millisecond); err == nil {
		t.Error("a command outlives its timeout")
	}
	if took := since(begun); took > 10*time.Second {
		t.Errorf("a command with a timeout of 300ms took %s", took)
	}
}

func (s *suite) execStreams(t *testing.T, b *bed) {
	h := s.start(t, b, s.h.Tasks.Forever())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	input := strings.Repeat("0123456789abcde\n", 1<<16) // 1 MiB
	var stdout bytes.Buffer
	exit, err := b.driver.ExecStreaming(ctx, h.Config.ID, &drivers.ExecRequest{Command: s.h.Commands.Cat, Stdin: strings.NewReader(input), Stdout: &stdout, Stderr: io.Discard})
	if err != nil || !exit.Successful() {
		t.Fatalf("ExecStreaming = %+v, %v", exit, err)
	}
	if stdout.String() != input {
		t.Errorf("cat gave %d bytes of %d back, or others", stdout.Len(), len(input))
	}
	// A reader that waits for more must not keep an ended command alive.
	blocked, writer := io.Pipe()
	defer func() { _ = writer.Close() }()
	exit, err = b.driver.ExecStreaming(ctx, h.Config.ID, &drivers.ExecRequest{Command: s.h.Commands.Exit(4), Stdin: blocked, Stdout: io.Discard, Stderr: io.Discard})
	if err != nil || exit.ExitCode != 4 {
		t.Errorf("ExecStreaming with silent input = %+v, %v", exit, err)
	}
}

func (s *suite) execCancelled(t *testing.T, b *bed) {
	h := s.start(t, b, s.h.Tasks.Forever())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	blocked, writer := io.Pipe()
	defer func() { _ = writer.Close() }()
	_, err := b.driver.ExecStreaming(ctx, h.Config.ID, &drivers.ExecRequest{Command: s.h.Commands.Sleep, Stdin: blocked, Stdout: io.Discard, Stderr: io.Discard})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a command that is cut short gives %v", err)
	}
	if status, err := b.driver.Inspect(t.Context(), h.Config.ID); err != nil || status.State != drivers.TaskRunning {
		t.Errorf("cutting a command short harmed the task: %+v, %v", status, err)
	}
}

func (s *suite) execTerminal(t *testing.T, b *bed) {
	if !s.h.TTY {
		t.Skip("the driver gives no terminals")
	}
	h := s.start(t, b, s.h.Tasks.Forever())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sizes := make(chan drivers.TerminalSize, 1)
	sizes <- drivers.TerminalSize{Height: 33, Width: 77}
	stdin, typist := io.Pipe()
	var screen drivers.Capture
	typing := loop.New(ctx)
	typing.Go("type", func(ctx context.Context) error {
		// The size is asked for until it has arrived: it travels beside the input.
		for !strings.Contains(string(screen.Bytes()), "33 77") && ctx.Err() == nil {
			if _, err := io.WriteString(typist, "stty size; sleep 0.1\n"); err != nil {
				return err
			}
			timer := clock.Real{}.NewTimer(150 * time.Millisecond)
			<-timer.C()
		}
		_, err := io.WriteString(typist, "test -t 0 && exit 9\n")
		return err
	})
	exit, err := b.driver.ExecStreaming(ctx, h.Config.ID, &drivers.ExecRequest{Command: []string{"sh"}, TTY: true, Stdin: stdin, Stdout: &screen, Resize: sizes})
	if err != nil || exit.ExitCode != 9 {
		t.Errorf("terminal session = %+v, %v; screen:\n%s", exit, err, screen.Bytes())
	}
	_ = stdin.Close()
	typing.Stop()
	if err := typing.Wait(); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func (s *suite) logs(t *testing.T, b *bed) {
	h := s.start(t, b, s.h.Tasks.Print("to stdout\n", "to stderr\n"))
	testx.Eventually(t, patience, "the task's output is in its log files", func() bool {
		return readLog(h.Config, "stdout") == "to stdout\n" && readLog(h.Config, "stderr") == "to stderr\n"
	})
}

func (s *suite) recoverKnown(t *testing.T, b *bed) {
	h := s.start(t, b, s.h.Tasks.Forever())
	if err := b.driver.Recover(t.Context(), h); err != nil {
		t.Fatalf("recovering a known task: %v", err)
	}
}

func (s *suite) recoverNonsense(t *testing.T, b *bed) {
	task := s.task(t, b, s.h.Tasks.Forever())
	if err := b.driver.Recover(t.Context(), &drivers.Handle{Version: 1, Config: task, State: drivers.TaskRunning, DriverState: []byte{0x80}}); err == nil {
		t.Fatal("a handle that names nothing is recovered")
	}
}

func (s *suite) recoverElsewhere(t *testing.T) {
	first := s.open(t)
	running := s.start(t, first, s.h.Tasks.Forever())
	ended := s.start(t, first, s.h.Tasks.Exit(6, 0))
	wait(t, first, ended.Config.ID)
	first.stop()
	second := s.open(t)
	for _, h := range []*drivers.Handle{running, ended} {
		if err := second.driver.Recover(t.Context(), h); err != nil {
			t.Fatalf("Recover: %v", err)
		}
	}
	if exit := wait(t, second, ended.Config.ID); exit.ExitCode != 6 {
		t.Errorf("the ended task's exit is %+v", exit)
	}
	status, err := second.driver.Inspect(t.Context(), running.Config.ID)
	if err != nil || status.State != drivers.TaskRunning {
		t.Fatalf("the running task is %+v, %v", status, err)
	}
	if err := second.driver.Stop(t.Context(), running.Config.ID, 10*time.Second, ""); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*drivers.Handle{running, ended} {
		if err := second.driver.Destroy(t.Context(), h.Config.ID, false); err != nil {
			t.Error(err)
		}
	}
}

func (s *suite) badStart(t *testing.T, b *bed) {
	if s.h.MissingCommand == nil {
		t.Skip("the driver can't fail to start")
	}
	_, err := b.driver.Start(t.Context(), s.task(t, b, s.h.MissingCommand))
	if err == nil {
		t.Fatal("a task that can't be started is")
	}
	if drivers.IsRecoverable(err) {
		t.Errorf("trying %q again can't help", err)
	}
}

func now() time.Time                      { return clock.Real{}.Now() }
func since(begun time.Time) time.Duration { return now().Sub(begun) }
