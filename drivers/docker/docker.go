//go:build linux

// Package docker is the driver docker: a task is a container of the node's
// Docker engine. It is the only room that knows the engine's client. Every
// question to the engine has a time limit, so one that hangs costs its own
// tasks time and nobody else's; container logs are followed from the engine
// into the task's log files, by position.
//
// It must not know the agent or gRPC. Begin reading at Driver and start.go.
package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/docker/pull"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
)

// Name is what jobs call the driver.
const Name = "docker"

// stateVersion is that of state; fields are only ever added.
const stateVersion = 1

const (
	// quick bounds questions that an engine answers from memory.
	quick = 15 * time.Second
	// slow bounds what makes it work: create, start, remove.
	slow = 2 * time.Minute
	// engineRetry is the pause between questions to an engine that is away.
	engineRetry = 2 * time.Second
)

// Driver runs tasks as containers.
type Driver struct {
	logger *slog.Logger
	clock  clock.Clock
	// group owns what runs beside the calls: log followers, image downloads
	// and removals.
	group  *loop.Group
	feed   *feed
	puller *pull.Puller
	// poke has the fingerprint taken anew.
	poke chan struct{}

	mu     sync.Mutex
	config *pluginConfig
	engine *client.Client
	tasks  map[string]*task
	images *images
}

var (
	_ drivers.Driver  = (*Driver)(nil)
	_ drivers.Service = (*Driver)(nil)
)

// task is one container, running or not, that isn't destroyed.
type task struct {
	config *drivers.TaskConfig
	state  state
	logs   *follower
}

// state is what a handle carries.
type state struct {
	Container string `codec:"container"`
	Image     string `codec:"image"`
	// TTY says that the container's output is one stream.
	TTY bool `codec:"tty"`
	// Logs says that the engine keeps output that can be followed.
	Logs bool `codec:"logs"`
	// Network is where the task is reached.
	Network *drivers.Network `codec:"network"`
}

// New returns the driver.
func New(logger *slog.Logger) drivers.Driver {
	d := &Driver{
		logger: logger, clock: clock.Real{}, group: loop.New(context.Background()), feed: newFeed(), poke: make(chan struct{}, 1),
		tasks: map[string]*task{}, config: &pluginConfig{}, images: newImages(),
	}
	d.puller = pull.New(d.group, d.clock, progressFirst, progressMost)
	return d
}

// Run implements drivers.Service. Containers go on.
func (d *Driver) Run(ctx context.Context) error {
	d.group.Go("dangling", d.removeDangling)
	d.group.Go("engine", d.watchEngine)
	<-ctx.Done()
	d.group.Stop()
	return d.group.Wait()
}

// Info implements drivers.Describer.
func (d *Driver) Info(context.Context) (*drivers.Info, error) {
	return &drivers.Info{Name: Name, Version: "0.1.0", APIVersions: []string{drivers.APIVersion}}, nil
}

// Capabilities implements drivers.Describer.
func (d *Driver) Capabilities(context.Context) (*drivers.Capabilities, error) {
	return &drivers.Capabilities{
		SendSignals: true, Exec: true, FSIsolation: drivers.FSImage, DisableLogCollection: true,
		NetworkModes:      []drivers.NetworkMode{drivers.NetworkHost, drivers.NetworkGroup, drivers.NetworkTask, drivers.NetworkNone},
		MustCreateNetwork: true,
	}, nil
}

// api returns the engine's client and the configuration it was made by.
func (d *Driver) api() (*client.Client, *pluginConfig, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.engine == nil {
		return nil, nil, errors.New("the docker driver isn't configured yet")
	}
	return d.engine, d.config, nil
}

func (d *Driver) find(taskID string) (*task, *client.Client, error) {
	engine, _, err := d.api()
	if err != nil {
		return nil, nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t, ok := d.tasks[taskID]
	if !ok {
		return nil, nil, drivers.ErrTaskNotFound
	}
	return t, engine, nil
}

func (d *Driver) keep(t *task) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.tasks[t.config.ID]; known {
		return
	}
	d.tasks[t.config.ID] = t
	t.logs = d.follow(t)
}

// Recover implements drivers.Runner.
func (d *Driver) Recover(ctx context.Context, handle *drivers.Handle) error {
	engine, _, err := d.api()
	if err != nil {
		return err
	}
	if _, _, err := d.find(handle.Config.ID); err == nil {
		return nil
	}
	if handle.Version > stateVersion {
		return fmt.Errorf("recover task: its handle has version %d, this driver knows %d", handle.Version, stateVersion)
	}
	var s state
	if err := drivers.DecodeConfig(handle.DriverState, &s); err != nil {
		return err
	}
	if s.Container == "" {
		return errors.New("recover task: its handle names no container")
	}
	_, err = inspect(ctx, engine, s.Container)
	switch {
	case errdefs.IsNotFound(err):
		return fmt.Errorf("recover task: its container is gone: %w", err)
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		// The engine is away, which says nothing about the container: Wait
		// finds out once it is back.
		d.logger.Warn("a task is recovered without its engine", logx.KeyTask, handle.Config.ID, logx.KeyError, err)
	}
	d.images.use(s.Image)
	d.keep(&task{config: handle.Config, state: s})
	return nil
}

func inspect(ctx context.Context, engine *client.Client, id string) (*container.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	r, err := engine.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return nil, err
	}
	if r.Container.State == nil || r.Container.Config == nil {
		return nil, fmt.Errorf("inspect container %s: the engine's answer is incomplete", id)
	}
	return &r.Container, nil
}

// Wait implements drivers.Runner. It outlasts the engine's absence.
func (d *Driver) Wait(ctx context.Context, taskID string) (*drivers.ExitResult, error) {
	t, engine, err := d.find(taskID)
	if err != nil {
		return nil, err
	}
	for {
		exit, err := waitOnce(ctx, engine, t.state.Container)
		if err == nil && exit != nil {
			return exit, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errdefs.IsNotFound(err) {
			return nil, errors.New("the task's container was removed from the engine")
		}
		pause(ctx, d.clock, engineRetry)
	}
}

// waitOnce waits for the container's end; nil means that it isn't known.
func waitOnce(ctx context.Context, engine *client.Client, id string) (*drivers.ExitResult, error) {
	waiting := engine.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case <-waiting.Result:
	case err := <-waiting.Error:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := inspect(ctx, engine, id)
	if err != nil || c.State.Running {
		return nil, err
	}
	return exitOf(c.State), nil
}

func exitOf(s *container.State) *drivers.ExitResult {
	return &drivers.ExitResult{ExitCode: s.ExitCode, OOMKilled: s.OOMKilled}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, clk clock.Clock, d time.Duration) {
	timer := clk.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}

// Stop implements drivers.Runner.
func (d *Driver) Stop(ctx context.Context, taskID string, timeout time.Duration, signal string) error {
	t, engine, err := d.find(taskID)
	if err != nil {
		return err
	}
	if signal == "" {
		signal = "SIGTERM"
	}
	if _, err := drivers.ParseSignal(signal); err != nil {
		return err
	}
	if timeout > 0 {
		if err := kill(ctx, engine, t.state.Container, signal); err != nil || d.ends(ctx, engine, t, timeout) {
			return ignoreEnded(err)
		}
	}
	if err := kill(ctx, engine, t.state.Container, "SIGKILL"); err != nil {
		return ignoreEnded(err)
	}
	if !d.ends(ctx, engine, t, slow) {
		return errors.Join(ctx.Err(), fmt.Errorf("container %.12s doesn't end although it was killed", t.state.Container))
	}
	return nil
}

// ends reports whether the container ends within a time.
func (d *Driver) ends(ctx context.Context, engine *client.Client, t *task, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for ctx.Err() == nil {
		exit, err := waitOnce(ctx, engine, t.state.Container)
		if exit != nil || errdefs.IsNotFound(err) {
			return true
		}
		pause(ctx, d.clock, 100*time.Millisecond)
	}
	return false
}

func kill(ctx context.Context, engine *client.Client, id, signal string) error {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	_, err := engine.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: signal})
	if err != nil {
		return fmt.Errorf("signal container: %w", err)
	}
	return nil
}

// ignoreEnded drops the error of signalling what has ended or is gone.
func ignoreEnded(err error) error {
	if errdefs.IsConflict(err) || errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// Destroy implements drivers.Runner.
func (d *Driver) Destroy(ctx context.Context, taskID string, force bool) error {
	t, engine, err := d.find(taskID)
	if err != nil {
		return err
	}
	c, err := inspect(ctx, engine, t.state.Container)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("destroy task: %w", err)
	}
	if err == nil {
		if c.State.Running && !force {
			return errors.New("destroy task: its container still runs; stop it first or force")
		}
		if c.State.Running {
			if err := ignoreEnded(kill(ctx, engine, t.state.Container, "SIGKILL")); err != nil {
				return err
			}
			d.ends(ctx, engine, t, slow)
		}
		// What the container said last is still on its way to the files.
		t.logs.finish(ctx, d.clock)
		if d.gc().Container {
			if err := remove(ctx, engine, t.state.Container); err != nil {
				return err
			}
		}
	}
	t.logs.stop()
	clearStaging(t.config)
	d.mu.Lock()
	delete(d.tasks, taskID)
	d.mu.Unlock()
	d.release(t.state.Image)
	return nil
}

func remove(ctx context.Context, engine *client.Client, id string) error {
	ctx, cancel := context.WithTimeout(ctx, slow)
	defer cancel()
	_, err := engine.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove container: %w", err)
	}
	return nil
}

// Inspect implements drivers.Observer.
func (d *Driver) Inspect(ctx context.Context, taskID string) (*drivers.TaskStatus, error) {
	t, engine, err := d.find(taskID)
	if err != nil {
		return nil, err
	}
	c, err := inspect(ctx, engine, t.state.Container)
	if err != nil {
		return nil, fmt.Errorf("inspect task: %w", err)
	}
	out := &drivers.TaskStatus{
		ID: taskID, Name: t.config.Name, State: drivers.TaskRunning, Network: t.state.Network,
		StartedAt: parseTime(c.State.StartedAt), Attributes: map[string]string{"container_id": c.ID},
	}
	if h := c.State.Health; h != nil && h.Status != "" && h.Status != container.NoHealthcheck {
		out.Attributes["health"] = string(h.Status)
	}
	if !c.State.Running {
		out.State, out.Exit, out.CompletedAt = drivers.TaskExited, exitOf(c.State), parseTime(c.State.FinishedAt)
	}
	return out, nil
}

// parseTime reads the engine's times; its "never" is year one.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// Signal implements drivers.Commander.
func (d *Driver) Signal(ctx context.Context, taskID, signal string) error {
	t, engine, err := d.find(taskID)
	if err != nil {
		return err
	}
	if _, err := drivers.ParseSignal(signal); err != nil {
		return err
	}
	return kill(ctx, engine, t.state.Container, signal)
}
