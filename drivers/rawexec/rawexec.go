//go:build linux

// Package rawexec is the driver raw_exec: a task is a process of the node,
// without isolation, under a supervisor that owns it while agent and plugin
// are away.
//
// It must not know the agent, gRPC or how supervision works inside. Begin
// reading at Driver and start.go.
package rawexec

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

// Name is what jobs call the driver.
const Name = "raw_exec"

// stateVersion is that of state; fields are only ever added.
const stateVersion = 1

// Driver runs tasks as plain processes.
type Driver struct {
	drivers.NoNetwork
	logger   *slog.Logger
	clock    clock.Clock
	launcher *supervise.Launcher

	mu     sync.Mutex
	config pluginConfig
	tasks  map[string]*task
}

var (
	_ drivers.Driver  = (*Driver)(nil)
	_ drivers.Service = (*Driver)(nil)
)

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

// Supervisor is the small supervisor's program, empty in a plain build.
func Supervisor() []byte { return supervisorImage }

// New returns the driver. It is off until its configuration enables it.
func New(logger *slog.Logger) drivers.Driver {
	return &Driver{logger: logger, clock: clock.Real{}, launcher: supervise.NewLauncher(supervisorImage), tasks: map[string]*task{}}
}

// Run implements drivers.Service.
func (d *Driver) Run(ctx context.Context) error {
	sweepCgroups(unified(), d.clock.Now())
	return d.launcher.Run(ctx)
}

// Info implements drivers.Describer.
func (d *Driver) Info(context.Context) (*drivers.Info, error) {
	return &drivers.Info{Name: Name, Version: "0.1.0", APIVersions: []string{drivers.APIVersion}}, nil
}

// Capabilities implements drivers.Describer.
func (d *Driver) Capabilities(context.Context) (*drivers.Capabilities, error) {
	return &drivers.Capabilities{
		SendSignals: true, Exec: true, FSIsolation: drivers.FSNone, NoMounts: true, DisableLogCollection: true,
		NetworkModes: []drivers.NetworkMode{drivers.NetworkHost, drivers.NetworkGroup},
	}, nil
}

// Fingerprint implements drivers.Describer. Nothing about it ever changes.
func (d *Driver) Fingerprint(ctx context.Context, emit func(*drivers.Fingerprint) error) error {
	d.mu.Lock()
	enabled := d.config.Enabled
	d.mu.Unlock()
	fp := &drivers.Fingerprint{Health: drivers.Healthy, Description: "Healthy"}
	if !enabled {
		fp = &drivers.Fingerprint{Health: drivers.HealthUndetected, Description: `disabled: set enabled = true in the config block of plugin "raw_exec" of the agent's configuration`}
	}
	if err := emit(fp); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// Recover implements drivers.Runner.
func (d *Driver) Recover(ctx context.Context, handle *drivers.Handle) error {
	if _, err := d.find(handle.Config.ID); err == nil {
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
				d.logger.Warn("the rest of a lost task can't be removed", logx.KeyTask, handle.Config.ID, logx.KeyError, err)
			}
		}
		return fmt.Errorf("recover task: %w", err)
	}
	d.keep(t)
	return nil
}

func (d *Driver) keep(t *task) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tasks[t.config.ID] = t
}

func (d *Driver) find(taskID string) (*task, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, ok := d.tasks[taskID]
	if !ok {
		return nil, drivers.ErrTaskNotFound
	}
	return t, nil
}

// Wait implements drivers.Runner.
func (d *Driver) Wait(ctx context.Context, taskID string) (*drivers.ExitResult, error) {
	t, err := d.find(taskID)
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
func (d *Driver) Stop(ctx context.Context, taskID string, timeout time.Duration, signal string) error {
	t, err := d.find(taskID)
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
func (d *Driver) Destroy(ctx context.Context, taskID string, force bool) error {
	t, err := d.find(taskID)
	if err != nil {
		return err
	}
	if status, err := t.supervise.Status(ctx); err == nil && status.Exit == nil && !force {
		return errors.New("destroy task: it still runs; stop it first or force")
	}
	if err := t.supervise.Remove(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tasks, taskID)
	return nil
}

// Inspect implements drivers.Observer.
func (d *Driver) Inspect(ctx context.Context, taskID string) (*drivers.TaskStatus, error) {
	t, err := d.find(taskID)
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
func (d *Driver) Events(ctx context.Context, _ func(*drivers.Event) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// Signal implements drivers.Commander.
func (d *Driver) Signal(ctx context.Context, taskID, signal string) error {
	t, err := d.find(taskID)
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
func (d *Driver) Exec(ctx context.Context, taskID string, command []string, timeout time.Duration) (*drivers.ExecResult, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	var stdout, stderr drivers.Capture
	exit, err := d.ExecStreaming(ctx, taskID, &drivers.ExecRequest{Command: command, Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		return nil, err
	}
	return &drivers.ExecResult{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Exit: *exit}, nil
}

// ExecStreaming implements drivers.Commander.
func (d *Driver) ExecStreaming(ctx context.Context, taskID string, req *drivers.ExecRequest) (*drivers.ExitResult, error) {
	t, err := d.find(taskID)
	if err != nil {
		return nil, err
	}
	if len(req.Command) == 0 {
		return nil, errors.New("exec: the command is empty")
	}
	config, err := decodeTask(t.config)
	if err != nil {
		return nil, err
	}
	path, err := lookup(req.Command[0], t.config, config.workDir(t.config))
	if err != nil {
		return nil, err
	}
	exit, err := t.supervise.Exec(ctx, path, req)
	if err != nil {
		return nil, err
	}
	return result(exit), nil
}

// supervisionDir is the task's directory for its supervisor: inside what the
// task's file system isolation, if it had any, would hide.
func supervisionDir(t *drivers.TaskConfig) string {
	suffix := t.ID[strings.LastIndexByte(t.ID, '/')+1:]
	return filepath.Join(t.TaskDir(), "private", "supervisor-"+suffix)
}

// environment is the task's, as the kernel wants it.
func environment(t *drivers.TaskConfig, denied []string) []string {
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

// isRoot reports whether the driver may become other users.
func isRoot() bool { return os.Geteuid() == 0 }
