package task

import (
	"context"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/structs"
)

// Signal sends a signal to the running task. A signal that doesn't exist leaves
// no trace in the task's history.
func (r *Runner) Signal(ctx context.Context, signal, reason string) error {
	driver, id, err := r.live("signal")
	if err != nil {
		return err
	}
	if _, err := drivers.ParseSignal(signal); err != nil {
		return fmt.Errorf("signal task %q: %w", r.name, err)
	}
	r.emit(signalEvent(signal, reason))
	if err := driver.Signal(ctx, id, signal); err != nil {
		return fmt.Errorf("signal task %q: %w", r.name, err)
	}
	return nil
}

// Exec runs a command inside the running task.
func (r *Runner) Exec(ctx context.Context, req *drivers.ExecRequest) (*drivers.ExitResult, error) {
	driver, id, err := r.live("exec into")
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	able := r.caps != nil && r.caps.Exec
	name := r.task.Driver
	r.mu.Unlock()
	if !able {
		return nil, fmt.Errorf("exec into task %q: driver %q can't do that", r.name, name)
	}
	return driver.ExecStreaming(ctx, id, req)
}

// Stats follows the usage of the running task until it ends or emit fails.
func (r *Runner) Stats(ctx context.Context, interval time.Duration, emit func(*structs.TaskResourceUsage) error) error {
	driver, id, err := r.live("measure")
	if err != nil {
		return err
	}
	return driver.Stats(ctx, id, interval, emit)
}

// live returns the driver and the id of a task that runs.
func (r *Runner) live(verb string) (drivers.Driver, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != PhaseRunning || r.driver == nil {
		return nil, "", fmt.Errorf("%s task %q: %w", verb, r.name, ErrNotRunning)
	}
	return r.driver, r.memory.TaskID, nil
}
