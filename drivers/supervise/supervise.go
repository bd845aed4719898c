//go:build linux

// Package supervise starts supervisors and talks to them: the driver's side
// of package keeper. A supervised task is found again by its directory alone.
//
// It must not know what kind of driver uses it. Begin reading at Launcher,
// then Task.
package supervise

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/internal/failpoint"
)

// reportTimeout bounds how long a supervisor may take to start its task.
const reportTimeout = 30 * time.Second

// intentName holds a Status that has only the cgroup; it is written before there
// is a supervisor.
const intentName = "intent.json"

// abandonTimeout bounds how long a task is being stopped whose start was given up.
const abandonTimeout = 10 * time.Second

// unheardError says that a supervisor was started and not heard of: its task may run.
type unheardError struct{ err error }

func (e *unheardError) Error() string { return e.err.Error() }
func (e *unheardError) Unwrap() error { return e.err }

// NotFoundError says that the task's program doesn't exist or can't be run.
type NotFoundError struct{ Text string }

// Error implements error.
func (e *NotFoundError) Error() string { return e.Text }

// Launcher starts supervisors. Its Run must run beside it.
type Launcher struct {
	// image is the supervisor's program, empty to use this very program's
	// `supervisor` command.
	image []byte

	mu       sync.Mutex
	file     *os.File
	children map[int]bool
}

// Image is the small supervisor's program, empty in a plain build.
func Image() []byte { return supervisorImage }

// NewLauncher returns a launcher for a supervisor's program; an empty image
// means this very program with the argument `supervisor`.
func NewLauncher(image []byte) *Launcher {
	return &Launcher{image: image, children: map[int]bool{}}
}

// Run takes the exit status of supervisors that have ended, until ctx ends.
// Supervisors go on.
func (l *Launcher) Run(ctx context.Context) error {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGCHLD)
	defer signal.Stop(told)
	for {
		l.reap()
		select {
		case <-told:
		case <-ctx.Done():
			return nil
		}
	}
}

// reap asks for each of our children only: others' aren't ours to take.
func (l *Launcher) reap() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for pid := range l.children {
		got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		if got == pid || errors.Is(err, syscall.ECHILD) {
			delete(l.children, pid)
		}
	}
}

// program returns what to execute. All supervisors of one launcher run from
// one sealed file in memory, so they share its pages and nobody can change it.
func (l *Launcher) program() (string, []string, error) {
	if len(l.image) == 0 {
		return "/proc/self/exe", []string{"steppe", "supervisor"}, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		f, err := seal(l.image)
		if err != nil {
			return "", nil, err
		}
		l.file = f
	}
	return fmt.Sprintf("/proc/self/fd/%d", l.file.Fd()), []string{"steppe-task"}, nil
}

func seal(image []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("steppe-supervisor", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "steppe-supervisor")
	if _, err := f.Write(image); err != nil {
		return nil, errors.Join(fmt.Errorf("write supervisor: %w", err), f.Close())
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, errors.Join(fmt.Errorf("seal supervisor: %w", err), f.Close())
	}
	return f, nil
}

// Start starts a supervisor in dir, which it makes, and with it the task. A
// task that runs there already is left as it is, but for a start that is given up:
// after that nothing runs there.
func (l *Launcher) Start(ctx context.Context, dir string, spec *keeper.Spec) (*keeper.Status, error) {
	status, err := At(dir).Status(ctx)
	if err == nil {
		return status, nil
	}
	if ctx.Err() != nil {
		return nil, abandon(ctx, dir, ctx.Err())
	}
	if errors.Is(err, ErrLost) {
		// A supervisor that was killed here leaves nothing for the next one.
		if err := At(dir).Remove(ctx); err != nil {
			return nil, err
		}
	}
	if err := intend(dir, spec); err != nil {
		return nil, err
	}
	failpoint.Here(failpoint.PluginStarting)
	path, args, err := l.program()
	if err != nil {
		return nil, err
	}
	return l.start(ctx, dir, path, args, spec)
}

// intend makes the directory and writes down what a supervisor is about to make
// that outlives it: one that is killed before it has written its state leaves no
// other trace of that.
func intend(dir string, spec *keeper.Spec) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make supervision directory: %w", err)
	}
	status := keeper.Status{Version: keeper.Version, Cgroup: spec.Cgroup, Owned: spec.Cgroup != "" && !spec.CgroupForeign}
	for _, g := range spec.Groups {
		status.Groups = append(status.Groups, g.Dir)
	}
	data, err := json.Marshal(status)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, intentName), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write down what is to be supervised: %w", err)
	}
	return nil
}

// start has a program be the supervisor in dir. One that isn't heard of is not left
// to itself.
func (l *Launcher) start(ctx context.Context, dir, path string, args []string, spec *keeper.Spec) (*keeper.Status, error) {
	spec.Version = keeper.Version
	input, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode supervisor spec: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	status, err := l.launch(limited, path, append(args, dir), input, namespaces(spec))
	if unheard := (*unheardError)(nil); errors.As(err, &unheard) {
		return nil, abandon(ctx, dir, err)
	}
	return status, err
}

// namespaces are those that the supervisor is the first process of.
func namespaces(spec *keeper.Spec) uintptr {
	if spec.Box != nil && spec.Box.PID {
		return syscall.CLONE_NEWPID
	}
	return 0
}

// abandon stops what runs in dir, of which nobody will know, and returns why.
func abandon(ctx context.Context, dir string, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
	defer cancel()
	if err := At(dir).Stop(ctx, syscall.SIGKILL, 0); err != nil {
		return errors.Join(why, fmt.Errorf("stop what was started: %w", err))
	}
	return why
}

// launch runs the program and reads its report. When it gives up the report can't be
// written any more, and a supervisor that can't report ends its task: one whose report
// was written before answers in its directory already.
func (l *Launcher) launch(ctx context.Context, path string, args []string, input []byte, flags uintptr) (*keeper.Status, error) {
	stdinRead, stdinWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start supervisor: %w", err)
	}
	defer closeAll(stdinRead, stdinWrite)
	reportRead, reportWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start supervisor: %w", err)
	}
	defer func() {
		// No child that is just being made holds it either.
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		closeAll(reportRead, reportWrite)
	}()
	cmd := exec.Command(path)
	cmd.Args = args
	cmd.Env = append([]string{"GOMAXPROCS=1", "GOTRACEBACK=none"}, failpoint.Environ()...)
	cmd.Stdin, cmd.Stdout = stdinRead, reportWrite
	// A session of its own: it outlives the plugin and its terminal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: flags}
	if err := l.fork(cmd); err != nil {
		return nil, err
	}
	failpoint.Here(failpoint.PluginForked)
	closeAll(stdinRead, reportWrite)
	stop := context.AfterFunc(ctx, func() { _ = reportRead.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = stdinWrite.SetWriteDeadline(deadlineOf(ctx))
	if _, err := stdinWrite.Write(input); err != nil {
		return nil, &unheardError{fmt.Errorf("tell supervisor its task: %w", err)}
	}
	closeAll(stdinWrite)
	failpoint.Here(failpoint.PluginTold)
	var report keeper.Report
	if err := json.NewDecoder(reportRead).Decode(&report); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &unheardError{fmt.Errorf("wait for supervisor: %w", err)}
	}
	failpoint.Here(failpoint.PluginReported)
	switch {
	case report.NotFound:
		return nil, &NotFoundError{Text: report.Error}
	case report.Error != "":
		return nil, errors.New(report.Error)
	case report.Status == nil:
		return nil, errors.New("wait for supervisor: it reported nothing")
	}
	return report.Status, nil
}

// fork starts cmd and notes it for reaping, before it can be reaped.
func (l *Launcher) fork(cmd *exec.Cmd) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	l.children[cmd.Process.Pid] = true
	_ = cmd.Process.Release()
	return nil
}

func deadlineOf(ctx context.Context) time.Time {
	deadline, _ := ctx.Deadline()
	return deadline
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// isTorn reports whether a file was not written whole.
func isTorn(err error) bool {
	var syntax *json.SyntaxError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &syntax)
}

// readJSON reads a file that a supervisor wrote whole.
func readJSON(dir, name string, into any) error {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(into); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}
