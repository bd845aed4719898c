//go:build linux

// Package mock is the driver mock_driver, for tests: a task is nothing but
// time that passes, told by its configuration how to start, print, answer,
// die or make the plugin die. Since there is no process behind a task, any
// instance of the driver can take one back: Recover goes on where the start
// time says the task must be.
//
// It must not know the agent or gRPC. Begin reading at config.go, then task.go.
package mock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/structs"
)

// Name is what jobs call the driver.
const Name = "mock_driver"

// Driver pretends to run tasks.
type Driver struct {
	logger *slog.Logger
	clock  clock.Clock

	mu     sync.Mutex
	config pluginConfig
	tasks  map[string]*task
	events []*drivers.Event
	// posted is closed and replaced when an event is added.
	posted chan struct{}
}

var _ drivers.Driver = (*Driver)(nil)

// New returns the driver on the machine's clock.
func New(logger *slog.Logger) drivers.Driver { return NewAt(logger, clock.Real{}) }

// NewAt returns the driver on a clock of one's own.
func NewAt(logger *slog.Logger, clk clock.Clock) *Driver {
	return &Driver{logger: logger, clock: clk, tasks: map[string]*task{}, posted: make(chan struct{})}
}

// Info implements drivers.Describer.
func (d *Driver) Info(context.Context) (*drivers.Info, error) {
	return &drivers.Info{Name: Name, Version: "0.1.0", APIVersions: []string{drivers.APIVersion}}, nil
}

// Capabilities implements drivers.Describer.
func (d *Driver) Capabilities(context.Context) (*drivers.Capabilities, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &drivers.Capabilities{
		SendSignals: true, Exec: true, FSIsolation: d.config.isolation(), NoMounts: true, DisableLogCollection: true,
		NetworkModes: []drivers.NetworkMode{drivers.NetworkHost, drivers.NetworkGroup},
	}, nil
}

// Fingerprint implements drivers.Describer. With shutdown_periodic_after the
// driver turns undetected after that time.
func (d *Driver) Fingerprint(ctx context.Context, emit func(*drivers.Fingerprint) error) error {
	d.mu.Lock()
	after := d.config.ShutdownPeriodicAfter
	d.mu.Unlock()
	if err := emit(&drivers.Fingerprint{Health: drivers.Healthy, Description: "Healthy"}); err != nil {
		return err
	}
	limit, err := duration("shutdown_periodic_after", after)
	if err != nil || limit == 0 {
		<-ctx.Done()
		return errors.Join(err, ctx.Err())
	}
	timer := d.clock.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
	}
	if err := emit(&drivers.Fingerprint{Health: drivers.HealthUndetected, Description: "shut down by shutdown_periodic_after"}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
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
	select {
	case <-t.done:
		return t.result()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Stop implements drivers.Runner.
func (d *Driver) Stop(ctx context.Context, taskID string, timeout time.Duration, signal string) error {
	t, err := d.find(taskID)
	if err != nil {
		return err
	}
	if signal == "" {
		signal = "SIGTERM"
	}
	sig, err := drivers.ParseSignal(signal)
	if err != nil {
		return err
	}
	t.stop(stopRequest{signal: int(sig), timeout: timeout})
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Destroy implements drivers.Runner.
func (d *Driver) Destroy(_ context.Context, taskID string, force bool) error {
	t, err := d.find(taskID)
	if err != nil {
		return err
	}
	if t.running() && !force {
		return errors.New("destroy task: it still runs; stop it first or force")
	}
	t.end()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tasks, taskID)
	return nil
}

// Inspect implements drivers.Observer.
func (d *Driver) Inspect(_ context.Context, taskID string) (*drivers.TaskStatus, error) {
	t, err := d.find(taskID)
	if err != nil {
		return nil, err
	}
	return t.status(), nil
}

// Stats implements drivers.Observer.
func (d *Driver) Stats(ctx context.Context, taskID string, interval time.Duration, emit func(*structs.TaskResourceUsage) error) error {
	t, err := d.find(taskID)
	if err != nil {
		return err
	}
	if interval <= 0 {
		interval = time.Second
	}
	for t.running() {
		usage := &structs.TaskResourceUsage{Timestamp: d.clock.Now().UnixNano(), ResourceUsage: &structs.ResourceUsage{
			CpuStats:    &structs.CpuStats{Percent: 1, Measured: []string{"Percent"}},
			MemoryStats: &structs.MemoryStats{RSS: 1 << 20, Measured: []string{"RSS"}},
		}}
		if err := emit(usage); err != nil {
			return err
		}
		timer := d.clock.NewTimer(interval)
		select {
		case <-t.done:
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
	return nil
}

// Events implements drivers.Observer: it tells of each start and signal.
func (d *Driver) Events(ctx context.Context, emit func(*drivers.Event) error) error {
	next := 0
	for {
		d.mu.Lock()
		news, posted := d.events[next:len(d.events):len(d.events)], d.posted
		next = len(d.events)
		d.mu.Unlock()
		for _, e := range news {
			if err := emit(e); err != nil {
				return err
			}
		}
		select {
		case <-posted:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *Driver) tell(t *drivers.TaskConfig, message string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, &drivers.Event{
		TaskID: t.ID, AllocID: t.AllocID, TaskName: t.Name, Time: d.clock.Now(), Message: message,
		Annotations: map[string]string{"driver": Name},
	})
	close(d.posted)
	d.posted = make(chan struct{})
}

// Signal implements drivers.Commander.
func (d *Driver) Signal(_ context.Context, taskID, signal string) error {
	t, err := d.find(taskID)
	if err != nil {
		return err
	}
	if _, err := drivers.ParseSignal(signal); err != nil {
		return err
	}
	if t.spec.SignalErr != "" {
		return errors.New(t.spec.SignalErr)
	}
	if !t.running() {
		return errors.New("send signal: the task has ended")
	}
	d.tell(t.config, fmt.Sprintf("received signal %s", signal))
	return nil
}

// CreateNetwork implements drivers.Networker.
func (d *Driver) CreateNetwork(_ context.Context, allocID, hostname string) (*drivers.NetworkIsolation, bool, error) {
	return &drivers.NetworkIsolation{
		Mode: drivers.NetworkGroup, Labels: map[string]string{"alloc": allocID},
		Hosts: &drivers.HostsConfig{Hostname: hostname, Address: "127.0.0.1"},
	}, true, nil
}

// DestroyNetwork implements drivers.Networker.
func (d *Driver) DestroyNetwork(context.Context, string, *drivers.NetworkIsolation) error { return nil }
