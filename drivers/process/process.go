//go:build linux

// Package process is what drivers have in common whose tasks are processes of
// this machine under a supervisor: all but what is started and how.
//
// It must not know any of those drivers. Begin reading at Core.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/supervise"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
)

// stateVersion is that of state; fields are only ever added.
const stateVersion = 1

// abandonTimeout bounds how long a task is being destroyed whose start failed.
const abandonTimeout = 10 * time.Second

// Core runs and finds supervised tasks. Drivers embed it.
type Core struct {
	drivers.NoNetwork
	logger   *slog.Logger
	clock    clock.Clock
	launcher *supervise.Launcher
	program  Program

	mu    sync.Mutex
	tasks map[string]*task
}

// Program finds the program that a command beside a task names.
type Program func(t *drivers.TaskConfig, command string) (string, error)

// task is one task that runs or has ended and isn't destroyed.
type task struct {
	config    *drivers.TaskConfig
	state     state
	supervise *supervise.Task
}

// state is what a handle carries.
type state struct {
	Dir string `codec:"dir"`
	PID int    `codec:"pid"`
	// StartedAt is in nanoseconds since 1970.
	StartedAt int64  `codec:"started_at"`
	Cgroup    string `codec:"cgroup"`
}

// New returns a core that finds programs as told.
func New(program Program, logger *slog.Logger) *Core {
	return &Core{logger: logger, clock: clock.Real{}, launcher: supervise.NewLauncher(supervise.Image()), program: program, tasks: map[string]*task{}}
}

// Run implements drivers.Service.
func (c *Core) Run(ctx context.Context) error {
	sweepCgroups(c.clock.Now())
	return c.launcher.Run(ctx)
}

// Info describes the driver of that name.
func Info(name string) *drivers.Info {
	return &drivers.Info{Name: name, Version: "0.1.0", APIVersions: []string{drivers.APIVersion}}
}

// Begin starts a task as the spec says. One that an earlier plugin process
// started with the same id is taken over.
func (c *Core) Begin(ctx context.Context, t *drivers.TaskConfig, spec *keeper.Spec) (*drivers.Started, error) {
	if _, err := c.find(t.ID); err == nil {
		return nil, fmt.Errorf("start task: %s is started already", t.ID)
	}
	dir := SupervisionDir(t)
	status, err := c.launcher.Start(ctx, dir, spec)
	var notFound *supervise.NotFoundError
	if errors.As(err, &notFound) {
		return nil, fmt.Errorf("%s: check the task's command", notFound.Text)
	}
	if err != nil {
		return nil, drivers.Recoverable(err)
	}
	s := state{Dir: dir, PID: status.Task.PID, StartedAt: status.StartedAt.UnixNano(), Cgroup: status.Cgroup}
	encoded, err := drivers.EncodeState(&s)
	c.keep(&task{config: t, state: s, supervise: supervise.At(dir)})
	if err := errors.Join(err, ctx.Err()); err != nil {
		// Whoever gave it up may have asked to destroy it before it was known.
		return nil, c.abandon(ctx, t.ID, err)
	}
	return &drivers.Started{Handle: &drivers.Handle{Version: stateVersion, Config: t, State: drivers.TaskRunning, DriverState: encoded}}, nil
}

// abandon destroys a task whose start failed in the end, and returns why.
func (c *Core) abandon(ctx context.Context, taskID string, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
	defer cancel()
	if err := c.Destroy(ctx, taskID, true); err != nil && !errors.Is(err, drivers.ErrTaskNotFound) {
		why = errors.Join(why, err)
	}
	return fmt.Errorf("start task: %w", why)
}

// Recover implements drivers.Runner.
func (c *Core) Recover(ctx context.Context, handle *drivers.Handle) error {
	if _, err := c.find(handle.Config.ID); err == nil {
		return nil
	}
	if handle.Version > stateVersion {
		return fmt.Errorf("recover task: its handle has version %d, this driver knows %d", handle.Version, stateVersion)
	}
	var s state
	if err := drivers.DecodeConfig(handle.DriverState, &s); err != nil {
		return err
	}
	if s.Dir == "" {
		return errors.New("recover task: its handle names no supervision directory")
	}
	t := &task{config: handle.Config, state: s, supervise: supervise.At(s.Dir)}
	if _, err := t.supervise.Status(ctx); err != nil {
		if errors.Is(err, supervise.ErrLost) {
			// Nothing of it may go on unseen: it will be started anew.
			if err := t.supervise.Remove(ctx); err != nil {
				c.logger.Warn("the rest of a lost task can't be removed", logx.KeyTask, handle.Config.ID, logx.KeyError, err)
			}
		}
		return fmt.Errorf("recover task: %w", err)
	}
	c.keep(t)
	return nil
}

func (c *Core) keep(t *task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tasks[t.config.ID] = t
}

func (c *Core) find(taskID string) (*task, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.tasks[taskID]
	if !ok {
		return nil, drivers.ErrTaskNotFound
	}
	return t, nil
}

// Wait implements drivers.Runner.
func (c *Core) Wait(ctx context.Context, taskID string) (*drivers.ExitResult, error) {
	t, err := c.find(taskID)
	if err != nil {
		return nil, err
	}
	exit, err := t.supervise.Wait(ctx)
	if err != nil {
		return nil, err
	}
	return result(exit), nil
}

func result(exit *keeper.Exit) *drivers.ExitResult {
	return &drivers.ExitResult{ExitCode: exit.Code, Signal: exit.Signal, OOMKilled: exit.OOM}
}

// Stop implements drivers.Runner.
func (c *Core) Stop(ctx context.Context, taskID string, timeout time.Duration, signal string) error {
	t, err := c.find(taskID)
	if err != nil {
		return err
	}
	sig := syscall.SIGINT
	if signal != "" {
		if sig, err = drivers.ParseSignal(signal); err != nil {
			return err
		}
	}
	return t.supervise.Stop(ctx, sig, timeout)
}

// Destroy implements drivers.Runner.
func (c *Core) Destroy(ctx context.Context, taskID string, force bool) error {
	t, err := c.find(taskID)
	if err != nil {
		return err
	}
	if status, err := t.supervise.Status(ctx); err == nil && status.Exit == nil && !force {
		return errors.New("destroy task: it still runs; stop it first or force")
	}
	if err := t.supervise.Remove(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tasks, taskID)
	return nil
}

// Inspect implements drivers.Observer.
func (c *Core) Inspect(ctx context.Context, taskID string) (*drivers.TaskStatus, error) {
	t, err := c.find(taskID)
	if err != nil {
		return nil, err
	}
	out := &drivers.TaskStatus{
		ID: taskID, Name: t.config.Name, State: drivers.TaskRunning, StartedAt: time.Unix(0, t.state.StartedAt),
		Attributes: map[string]string{"pid": strconv.Itoa(t.state.PID)},
	}
	status, err := t.supervise.Status(ctx)
	switch {
	case errors.Is(err, supervise.ErrLost):
		out.State = drivers.TaskUnknown
	case err != nil:
		return nil, err
	case status.Exit != nil:
		out.State, out.CompletedAt, out.Exit = drivers.TaskExited, status.Exit.At, result(status.Exit)
	}
	return out, nil
}

// Events implements drivers.Observer: the driver has nothing to tell.
func (c *Core) Events(ctx context.Context, _ func(*drivers.Event) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// Signal implements drivers.Commander.
func (c *Core) Signal(ctx context.Context, taskID, signal string) error {
	t, err := c.find(taskID)
	if err != nil {
		return err
	}
	sig, err := drivers.ParseSignal(signal)
	if err != nil {
		return err
	}
	return t.supervise.Signal(ctx, sig)
}

// Exec implements drivers.Commander.
func (c *Core) Exec(ctx context.Context, taskID string, command []string, timeout time.Duration) (*drivers.ExecResult, error) {
	return drivers.Collect(ctx, command, timeout, func(ctx context.Context, req *drivers.ExecRequest) (*drivers.ExitResult, error) {
		return c.ExecStreaming(ctx, taskID, req)
	})
}

// ExecStreaming implements drivers.Commander.
func (c *Core) ExecStreaming(ctx context.Context, taskID string, req *drivers.ExecRequest) (*drivers.ExitResult, error) {
	t, err := c.find(taskID)
	if err != nil {
		return nil, err
	}
	if len(req.Command) == 0 {
		return nil, errors.New("exec: the command is empty")
	}
	path, err := c.program(t.config, req.Command[0])
	if err != nil {
		return nil, err
	}
	exit, err := t.supervise.Exec(ctx, path, req)
	if err != nil {
		return nil, err
	}
	return result(exit), nil
}

// SupervisionDir is the task's directory for its supervisor: inside what the
// task's file system isolation, if it has any, hides.
func SupervisionDir(t *drivers.TaskConfig) string {
	suffix := t.ID[strings.LastIndexByte(t.ID, '/')+1:]
	return filepath.Join(t.TaskDir(), "private", "supervisor-"+suffix)
}

// Environment is the task's, as the kernel wants it, without the denied
// variables.
func Environment(t *drivers.TaskConfig, denied []string) []string {
	all := maps.Clone(t.Env)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, t.DeviceEnv)
	var out []string
	for key, value := range all {
		if !matchesAny(denied, key) {
			out = append(out, key+"="+value)
		}
	}
	return out
}

func matchesAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if ok, err := filepath.Match(p, name); err == nil && ok {
			return true
		}
	}
	return false
}

// PlaceLogs says where the task's output goes: by our own rotation where the
// client asks for it, else into the client's FIFOs.
func PlaceLogs(spec *keeper.Spec, t *drivers.TaskConfig) error {
	if t.Logs == nil {
		spec.Logs = keeper.Logs{Stdout: t.StdoutPath, Stderr: t.StderrPath}
		return nil
	}
	if t.Logs.Disabled {
		return nil
	}
	if err := os.MkdirAll(t.LogDir(), 0o755); err != nil {
		return fmt.Errorf("make log directory: %w", err)
	}
	spec.Logs = keeper.Logs{Dir: t.LogDir(), MaxFiles: t.Logs.MaxFiles, MaxBytes: int64(t.Logs.MaxFileSizeMB) << 20}
	return nil
}
