package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/plugin/rpc"
	"github.com/steppe-run/steppe/structs"
)

// patience is how long a call waits for a plugin that is being launched.
const patience = 20 * time.Second

// answerTimeout bounds the questions that a driver answers by heart. What a
// task needs may take longer: an image has to come from somewhere.
const answerTimeout = 20 * time.Second

// guard is the drivers.Driver that callers hold: it outlives the processes
// behind it.
type guard struct{ in *instance }

var _ drivers.Driver = guard{}

// repeat says what to do with a call that the plugin's death cut short.
type repeat bool

const (
	// once is for calls whose repetition would do something twice.
	once repeat = false
	// again is for calls that may be repeated with the next process.
	again repeat = true
)

// call runs f with a process that is ready. When the process dies meanwhile,
// and the call may be repeated, the next process gets it, once.
func (g guard) call(ctx context.Context, r repeat, f func(*rpc.Driver) error) error {
	var last *child
	for try := 0; ; try++ {
		p, err := g.in.ready(ctx, last, patience)
		if err != nil {
			return err
		}
		err = f(p.driver)
		if !errors.Is(err, drivers.ErrPluginGone) {
			return err
		}
		g.in.mourn(ctx, p)
		if r == once || try > 0 {
			return err
		}
		last = p
	}
}

// ask is call for what must be answered at once.
func (g guard) ask(ctx context.Context, f func(context.Context, *rpc.Driver) error) error {
	answer, cancel := context.WithTimeout(ctx, g.in.answer)
	defer cancel()
	err := g.call(answer, again, func(d *rpc.Driver) error { return f(answer, d) })
	if err != nil && ctx.Err() == nil && errors.Is(answer.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("driver %s doesn't answer: %w", g.in.name, err)
	}
	return err
}

// Info implements drivers.Describer.
func (g guard) Info(ctx context.Context) (out *drivers.Info, err error) {
	err = g.ask(ctx, func(ctx context.Context, d *rpc.Driver) error { out, err = d.Info(ctx); return err })
	return out, err
}

// Schema implements drivers.Describer.
func (g guard) Schema(ctx context.Context) (out *drivers.Schema, err error) {
	err = g.ask(ctx, func(ctx context.Context, d *rpc.Driver) error { out, err = d.Schema(ctx); return err })
	return out, err
}

// Configure implements drivers.Describer: the host alone does that.
func (g guard) Configure(context.Context, []byte, *drivers.NodeConfig) error {
	return fmt.Errorf("configure driver: %w", drivers.ErrUnsupported)
}

// Capabilities implements drivers.Describer.
func (g guard) Capabilities(ctx context.Context) (out *drivers.Capabilities, err error) {
	err = g.ask(ctx, func(ctx context.Context, d *rpc.Driver) error { out, err = d.Capabilities(ctx); return err })
	return out, err
}

// Fingerprint implements drivers.Describer from what the instance posted.
func (g guard) Fingerprint(ctx context.Context, emit func(*drivers.Fingerprint) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := g.in.board.watchFingerprints(ctx, func(driver string, fp *drivers.Fingerprint) {
		if driver != g.in.name {
			return
		}
		if err := emit(fp); err != nil {
			cancel(err)
		}
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// Start implements drivers.Runner.
func (g guard) Start(ctx context.Context, task *drivers.TaskConfig) (out *drivers.Started, err error) {
	err = g.call(ctx, again, func(d *rpc.Driver) error { out, err = d.Start(ctx, task); return err })
	if err != nil {
		return nil, err
	}
	g.in.remember(out.Handle)
	return out, nil
}

// Wait implements drivers.Runner. It outlives any number of processes.
func (g guard) Wait(ctx context.Context, taskID string) (*drivers.ExitResult, error) {
	var last *child
	for {
		p, err := g.in.ready(ctx, last, 0)
		if err != nil {
			return nil, err
		}
		if err := g.in.lostTask(taskID); err != nil {
			return nil, fmt.Errorf("%w: %w", drivers.ErrTaskLost, err)
		}
		exit, err := p.driver.Wait(ctx, taskID)
		if errors.Is(err, drivers.ErrTaskNotFound) && g.in.giveBack(ctx, p, taskID) {
			exit, err = p.driver.Wait(ctx, taskID)
		}
		if !errors.Is(err, drivers.ErrPluginGone) {
			return exit, err
		}
		g.in.mourn(ctx, p)
		last = p
	}
}

// Stop implements drivers.Runner.
func (g guard) Stop(ctx context.Context, taskID string, timeout time.Duration, signal string) error {
	return g.call(ctx, again, func(d *rpc.Driver) error { return d.Stop(ctx, taskID, timeout, signal) })
}

// Destroy implements drivers.Runner.
func (g guard) Destroy(ctx context.Context, taskID string, force bool) error {
	err := g.call(ctx, again, func(d *rpc.Driver) error { return d.Destroy(ctx, taskID, force) })
	if err == nil || errors.Is(err, drivers.ErrTaskNotFound) {
		g.in.forget(taskID)
	}
	return err
}

// Recover implements drivers.Runner.
func (g guard) Recover(ctx context.Context, handle *drivers.Handle) error {
	err := g.call(ctx, again, func(d *rpc.Driver) error { return d.Recover(ctx, handle) })
	if err == nil {
		g.in.remember(handle)
	}
	return err
}

// Inspect implements drivers.Observer.
func (g guard) Inspect(ctx context.Context, taskID string) (out *drivers.TaskStatus, err error) {
	err = g.call(ctx, again, func(d *rpc.Driver) error { out, err = d.Inspect(ctx, taskID); return err })
	return out, err
}

// Stats implements drivers.Observer. It goes on with the next process.
func (g guard) Stats(ctx context.Context, taskID string, interval time.Duration, emit func(*structs.TaskResourceUsage) error) error {
	var last *child
	for {
		p, err := g.in.ready(ctx, last, 0)
		if err != nil {
			return err
		}
		err = p.driver.Stats(ctx, taskID, interval, emit)
		if !errors.Is(err, drivers.ErrPluginGone) {
			return err
		}
		g.in.mourn(ctx, p)
		last = p
	}
}

// Events implements drivers.Observer from what the instance posted.
func (g guard) Events(ctx context.Context, emit func(*drivers.Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := g.in.board.watchEvents(ctx, func(driver string, e *drivers.Event) {
		if driver != g.in.name {
			return
		}
		if err := emit(e); err != nil {
			cancel(err)
		}
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// Signal implements drivers.Commander.
func (g guard) Signal(ctx context.Context, taskID, signal string) error {
	return g.call(ctx, once, func(d *rpc.Driver) error { return d.Signal(ctx, taskID, signal) })
}

// Exec implements drivers.Commander.
func (g guard) Exec(ctx context.Context, taskID string, command []string, timeout time.Duration) (out *drivers.ExecResult, err error) {
	err = g.call(ctx, once, func(d *rpc.Driver) error { out, err = d.Exec(ctx, taskID, command, timeout); return err })
	return out, err
}

// ExecStreaming implements drivers.Commander.
func (g guard) ExecStreaming(ctx context.Context, taskID string, req *drivers.ExecRequest) (out *drivers.ExitResult, err error) {
	err = g.call(ctx, once, func(d *rpc.Driver) error { out, err = d.ExecStreaming(ctx, taskID, req); return err })
	return out, err
}

// CreateNetwork implements drivers.Networker.
func (g guard) CreateNetwork(ctx context.Context, allocID, hostname string) (out *drivers.NetworkIsolation, created bool, err error) {
	err = g.call(ctx, again, func(d *rpc.Driver) error { out, created, err = d.CreateNetwork(ctx, allocID, hostname); return err })
	return out, created, err
}

// DestroyNetwork implements drivers.Networker.
func (g guard) DestroyNetwork(ctx context.Context, allocID string, network *drivers.NetworkIsolation) error {
	return g.call(ctx, again, func(d *rpc.Driver) error { return d.DestroyNetwork(ctx, allocID, network) })
}
