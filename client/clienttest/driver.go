// Package clienttest is what the tests of the client's rooms share: a driver
// whose tasks live in memory and do what the test says, also across "restarts"
// of the agent under test.
//
// It must not be imported by anything but tests. Begin reading at Driver.
package clienttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/structs"
)

// Name under which the driver is found.
const Name = "fake"

// Driver runs tasks in memory. The zero value is not usable; see New.
type Driver struct {
	mu     sync.Mutex
	tasks  map[string]*task
	calls  []string
	starts []*drivers.TaskConfig
	// guarded by mu, set by the methods below
	startErr  []error
	holdStart chan struct{}
	deaf      bool
	modes     []drivers.NetworkMode
	joins     []drivers.NetworkMode
	networks  map[string]bool
	hanging   int
	told      func(call string)
	slow      map[string]time.Duration
}

type task struct {
	config *drivers.TaskConfig
	done   chan struct{}
	exit   *drivers.ExitResult
}

// New makes a driver without tasks.
func New() *Driver { return &Driver{tasks: map[string]*task{}} }

// FailStart makes the next starts fail, one error each.
func (d *Driver) FailStart(errs ...error) {
	d.mu.Lock()
	d.startErr = append(d.startErr, errs...)
	d.mu.Unlock()
}

// HoldStart makes starts wait until the returned function is called.
func (d *Driver) HoldStart() (release func()) {
	hold := make(chan struct{})
	d.mu.Lock()
	d.holdStart = hold
	d.mu.Unlock()
	return sync.OnceFunc(func() {
		d.mu.Lock()
		d.holdStart = nil
		d.mu.Unlock()
		close(hold)
	})
}

// Deaf makes tasks survive Stop, until Exit is called.
func (d *Driver) Deaf(deaf bool) {
	d.mu.Lock()
	d.deaf = deaf
	d.mu.Unlock()
}

// Tell has f hear of each call, as Calls lists it, and of the end of tasks that
// were stopped.
func (d *Driver) Tell(f func(call string)) {
	d.mu.Lock()
	d.told = f
	d.mu.Unlock()
}

// Slow makes a task take so long to end after its signal; it is killed when the
// time that it is given is over.
func (d *Driver) Slow(task string, takes time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.slow == nil {
		d.slow = map[string]time.Duration{}
	}
	d.slow[task] = takes
}

// note remembers a call; the caller holds mu.
func (d *Driver) note(call string) {
	d.calls = append(d.calls, call)
	if d.told != nil {
		d.told(call)
	}
}

// MakeNetworks has the driver say that it makes networks of these modes.
func (d *Driver) MakeNetworks(modes ...drivers.NetworkMode) {
	d.mu.Lock()
	d.modes = modes
	d.mu.Unlock()
}

// Joins has the driver say that its tasks can be in networks of these modes,
// which others make.
func (d *Driver) Joins(modes ...drivers.NetworkMode) {
	d.mu.Lock()
	d.joins = modes
	d.mu.Unlock()
}

// Networks lists the allocations for which there is a network.
func (d *Driver) Networks() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.networks))
}

// CreateNetwork implements drivers.Networker.
func (d *Driver) CreateNetwork(_ context.Context, allocID, hostname string) (*drivers.NetworkIsolation, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note("network " + allocID)
	created := !d.networks[allocID]
	if d.networks == nil {
		d.networks = map[string]bool{}
	}
	d.networks[allocID] = true
	return &drivers.NetworkIsolation{
		Mode: d.modes[0], Path: "/netns/" + allocID, Hosts: &drivers.HostsConfig{Hostname: hostname, Address: "172.26.0.2"},
	}, created, nil
}

// DestroyNetwork implements drivers.Networker.
func (d *Driver) DestroyNetwork(_ context.Context, allocID string, network *drivers.NetworkIsolation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note("unnetwork " + allocID)
	if network != nil && network.Path != "/netns/"+allocID {
		return errors.New("this network is another's")
	}
	delete(d.networks, allocID)
	return nil
}

// Exit ends the running start of the named task of an allocation.
func (d *Driver) Exit(allocID, name string, code int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.tasks {
		if t.config.AllocID == allocID && t.config.Name == name && t.exit == nil {
			t.end(&drivers.ExitResult{ExitCode: code})
			return true
		}
	}
	return false
}

// Lose forgets every task, as a machine that was restarted does.
func (d *Driver) Lose() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, t := range d.tasks {
		if t.exit == nil {
			t.end(&drivers.ExitResult{Signal: 9})
		}
		delete(d.tasks, id)
	}
}

// Running lists the ids of running tasks.
func (d *Driver) Running() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for id, t := range d.tasks {
		if t.exit == nil {
			out = append(out, id)
		}
	}
	return out
}

// Calls lists what was asked of the driver: "start web", "stop web 5s SIGINT"…
func (d *Driver) Calls() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.calls...)
}

// Starts lists the configurations that tasks were started with.
func (d *Driver) Starts() []*drivers.TaskConfig {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]*drivers.TaskConfig(nil), d.starts...)
}

func (t *task) end(exit *drivers.ExitResult) {
	t.exit = exit
	close(t.done)
}

// Info implements drivers.Describer.
func (d *Driver) Info(context.Context) (*drivers.Info, error) {
	return &drivers.Info{Name: Name, Version: "0.0.1", APIVersions: []string{drivers.APIVersion}}, nil
}

// Schema implements drivers.Describer.
func (d *Driver) Schema(context.Context) (*drivers.Schema, error) { return &drivers.Schema{}, nil }

// Configure implements drivers.Describer.
func (d *Driver) Configure(context.Context, []byte, *drivers.NodeConfig) error { return nil }

// Capabilities implements drivers.Describer.
func (d *Driver) Capabilities(context.Context) (*drivers.Capabilities, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &drivers.Capabilities{
		SendSignals: true, Exec: true, FSIsolation: drivers.FSNone, DisableLogCollection: true,
		NetworkModes: slices.Concat(d.modes, d.joins), MustCreateNetwork: len(d.modes) > 0,
	}, nil
}

// Fingerprint implements drivers.Describer.
func (d *Driver) Fingerprint(ctx context.Context, emit func(*drivers.Fingerprint) error) error {
	if err := emit(&drivers.Fingerprint{Health: drivers.Healthy, Description: "Healthy"}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// Start implements drivers.Runner.
func (d *Driver) Start(ctx context.Context, config *drivers.TaskConfig) (*drivers.Started, error) {
	d.mu.Lock()
	d.note("start " + config.Name)
	hold := d.holdStart
	d.mu.Unlock()
	if hold != nil {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-hold:
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.startErr) > 0 {
		err := d.startErr[0]
		d.startErr = d.startErr[1:]
		return nil, err
	}
	handle := &drivers.Handle{Version: 1, Config: config, State: drivers.TaskRunning, DriverState: []byte(config.ID)}
	if d.tasks[config.ID] != nil {
		return &drivers.Started{Handle: handle}, nil // it was started before
	}
	d.tasks[config.ID] = &task{config: config, done: make(chan struct{})}
	d.starts = append(d.starts, config)
	return &drivers.Started{Handle: handle}, nil
}

// Wait implements drivers.Runner.
func (d *Driver) Wait(ctx context.Context, id string) (*drivers.ExitResult, error) {
	t, err := d.find(id)
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-t.done:
		return t.exit, nil
	}
}

// Stop implements drivers.Runner.
func (d *Driver) Stop(ctx context.Context, id string, timeout time.Duration, signal string) error {
	t, err := d.find(id)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.note(strings.TrimSpace(fmt.Sprintf("stop %s %s %s", t.config.Name, timeout, signal)))
	deaf, takes := d.deaf, d.slow[t.config.Name]
	d.mu.Unlock()
	if !deaf {
		d.await(ctx, t, min(takes, timeout))
		d.mu.Lock()
		if t.exit == nil && ctx.Err() == nil {
			exit := &drivers.ExitResult{ExitCode: 130, Signal: 2}
			if takes > timeout {
				exit = &drivers.ExitResult{ExitCode: 137, Signal: 9}
			}
			t.end(exit)
		}
		d.mu.Unlock()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.done:
		return nil
	}
}

// await waits while a task ends by itself.
func (d *Driver) await(ctx context.Context, t *task, takes time.Duration) {
	if takes <= 0 {
		return
	}
	timer := clock.Real{}.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-t.done:
	case <-timer.C():
	}
}

// Destroy implements drivers.Runner.
func (d *Driver) Destroy(_ context.Context, id string, force bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tasks[id]
	if t == nil {
		return drivers.ErrTaskNotFound
	}
	d.note("destroy " + t.config.Name)
	if t.exit == nil {
		if !force {
			return errors.New("task is running")
		}
		t.end(&drivers.ExitResult{Signal: 9})
	}
	delete(d.tasks, id)
	return nil
}

// Recover implements drivers.Runner.
func (d *Driver) Recover(_ context.Context, handle *drivers.Handle) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note("recover " + handle.Config.Name)
	if d.tasks[string(handle.DriverState)] == nil {
		return drivers.ErrTaskNotFound
	}
	return nil
}

// Inspect implements drivers.Observer.
func (d *Driver) Inspect(_ context.Context, id string) (*drivers.TaskStatus, error) {
	t, err := d.find(id)
	if err != nil {
		return nil, err
	}
	return &drivers.TaskStatus{ID: id, Name: t.config.Name, State: drivers.TaskRunning}, nil
}

// Stats implements drivers.Observer.
func (d *Driver) Stats(_ context.Context, id string, _ time.Duration, emit func(*structs.TaskResourceUsage) error) error {
	if _, err := d.find(id); err != nil {
		return err
	}
	return emit(&structs.TaskResourceUsage{ResourceUsage: &structs.ResourceUsage{
		MemoryStats: &structs.MemoryStats{RSS: 1 << 20, Measured: []string{"RSS"}},
		CpuStats:    &structs.CpuStats{Percent: 5, Measured: []string{"Percent"}},
	}})
}

// Events implements drivers.Observer.
func (d *Driver) Events(ctx context.Context, _ func(*drivers.Event) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// Signal implements drivers.Commander.
func (d *Driver) Signal(_ context.Context, id, signal string) error {
	t, err := d.find(id)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.note("signal " + t.config.Name + " " + signal)
	d.mu.Unlock()
	return nil
}

// Exec implements drivers.Commander.
func (d *Driver) Exec(context.Context, string, []string, time.Duration) (*drivers.ExecResult, error) {
	return nil, drivers.ErrUnsupported
}

// ExecStreaming implements drivers.Commander: "cat" returns its input, "exit
// N" ends with a code, "hang" waits for the caller to go.
func (d *Driver) ExecStreaming(ctx context.Context, id string, req *drivers.ExecRequest) (*drivers.ExitResult, error) {
	if _, err := d.find(id); err != nil {
		return nil, err
	}
	switch req.Command[0] {
	case "cat":
		_, err := io.Copy(req.Stdout, req.Stdin)
		return &drivers.ExitResult{}, err
	case "exit":
		var code int
		if _, err := fmt.Sscan(req.Command[1], &code); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(req.Stderr, "bye\n"); err != nil {
			return nil, err
		}
		return &drivers.ExitResult{ExitCode: code}, nil
	case "size":
		size := <-req.Resize
		_, err := fmt.Fprintf(req.Stdout, "%dx%d", size.Height, size.Width)
		return &drivers.ExitResult{}, err
	case "hang":
		d.hang(1)
		defer d.hang(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, errors.New("command not found")
}

func (d *Driver) hang(change int) {
	d.mu.Lock()
	d.hanging += change
	d.mu.Unlock()
}

// Hanging counts the "hang" commands that run.
func (d *Driver) Hanging() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hanging
}

func (d *Driver) find(id string) (*task, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tasks[id]
	if t == nil {
		return nil, drivers.ErrTaskNotFound
	}
	return t, nil
}
