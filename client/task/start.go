package task

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"time"

	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/failpoint"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/squeeze"
	"github.com/steppe-run/steppe/structs"
)

// waitRetries is how often waiting for a task is tried again after its
// driver's process was lost.
const waitRetries = 5

// waitRetryDelay is the pause between two such attempts.
const waitRetryDelay = time.Second

// prepare makes everything that a first start needs and goes to
// PhasePrepared, or ends the task with an event that says why not.
func (r *Runner) prepare(ctx context.Context) {
	r.emit(&structs.TaskEvent{Type: structs.TaskSetup, DisplayMessage: "Building Task Directory", Message: "Building Task Directory"})
	task := r.current()
	if err := unbuilt(task); err != nil {
		r.fail(ctx, failureEvent(structs.TaskSetupFailure, err))
		return
	}
	if err := r.resolveDriver(ctx); err != nil {
		if ctx.Err() == nil {
			r.fail(ctx, failureEvent(structs.TaskDriverFailure, err))
		}
		return
	}
	if err := r.buildDir(task); err != nil {
		r.fail(ctx, failureEvent(structs.TaskSetupFailure, err))
		return
	}
	if err := r.writePayload(task); err != nil {
		r.fail(ctx, failureEvent(structs.TaskSetupFailure, err))
		return
	}
	r.change(func() { r.phase = PhasePrepared })
}

// buildDir makes the task's directory; what is there already stays.
func (r *Runner) buildDir(task *structs.Task) error {
	uid, gid := owner(task.User)
	return r.dir.BuildTask(allocdir.TaskOptions{Name: task.Name, SecretsMB: allocdir.SecretsMB(task), UID: uid, GID: gid})
}

// writePayload puts what the job was dispatched with where the task wants it.
func (r *Runner) writePayload(task *structs.Task) error {
	r.mu.Lock()
	packed := r.alloc.Job.Payload
	r.mu.Unlock()
	if task.DispatchPayload == nil || task.DispatchPayload.File == "" || len(packed) == 0 {
		return nil
	}
	payload, err := squeeze.Unpack(packed, structs.MaxDispatchPayload)
	if err != nil {
		return fmt.Errorf("read the dispatch's payload: %w", err)
	}
	return r.dir.WriteLocal(task.Name, task.DispatchPayload.File, payload)
}

// resolveDriver finds the driver and what it can do.
func (r *Runner) resolveDriver(ctx context.Context) error {
	driver, err := r.host.Drivers.Driver(r.current().Driver)
	if err != nil {
		return err
	}
	caps, err := driver.Capabilities(ctx)
	if err != nil {
		return fmt.Errorf("ask driver for its capabilities: %w", err)
	}
	r.mu.Lock()
	r.driver, r.caps = driver, caps
	r.mu.Unlock()
	return nil
}

// start asks the driver to run the task once.
func (r *Runner) start(ctx context.Context, group *loop.Group) {
	r.mu.Lock()
	r.desired.Restart = false
	startCtx, cancel := context.WithCancel(ctx)
	r.interrupt = cancel
	stopped := r.desired.Stop
	r.mu.Unlock()
	defer cancel()
	if stopped {
		return
	}
	config, err := r.taskConfig(startCtx)
	switch {
	case err != nil && startCtx.Err() != nil:
		return // what is wanted has changed
	case errors.Is(err, drivers.ErrPluginGone):
		r.startFailed(ctx, false, err)
		return
	case err != nil:
		r.fail(ctx, failureEvent(structs.TaskFailedValidation, err))
		return
	}
	r.mu.Lock()
	r.memory.Intent, r.memory.TaskID, r.memory.Network = local.IntentStart, config.ID, nil
	// Without the driver's state, which comes with the start, the handle says
	// at least what may have been started.
	r.memory.Handle = &drivers.Handle{Config: config, State: drivers.TaskUnknown}
	r.mu.Unlock()
	if err := r.save(); err != nil {
		// A start that is written nowhere is a second copy after the next one.
		r.startFailed(ctx, false, drivers.Recoverable(err))
		return
	}
	failpoint.Here(failpoint.TaskIntended)
	r.launch(ctx, startCtx, group, config)
}

// launch asks the driver for a start that is written down.
func (r *Runner) launch(ctx, startCtx context.Context, group *loop.Group, config *drivers.TaskConfig) {
	if err := r.collect(startCtx, config); err != nil {
		r.startFailed(ctx, startCtx.Err() != nil, drivers.Recoverable(err))
		return
	}
	started, err := r.driver.Start(startCtx, config)
	if err != nil {
		r.startFailed(ctx, startCtx.Err() != nil, err)
		return
	}
	failpoint.Here(failpoint.TaskStarted)
	r.running(started)
	r.note() // the intent to start it, which leads to it as well, is on disk
	failpoint.Here(failpoint.TaskNoted)
	r.leave(r.current().Driver, started.Handle)
	failpoint.Here(failpoint.TaskLeft)
	r.watch(group, config.ID)
	r.watcher.Up(ctx, r.name, r.env, started.Network)
	r.watcher.Changed(r.name)
}

// startFailed sorts out why a start didn't come about.
func (r *Runner) startFailed(ctx context.Context, interrupted bool, err error) {
	if ctx.Err() != nil {
		return // the agent ends; the intent is written, the next one looks after it
	}
	if interrupted || errors.Is(err, drivers.ErrPluginGone) {
		// It may have come about all the same: make sure that it hasn't.
		r.discard(ctx)
	}
	cause := CauseFatal
	if drivers.IsRecoverable(err) || errors.Is(err, drivers.ErrPluginGone) {
		cause = CauseRecoverable
	}
	event := failureEvent(structs.TaskDriverFailure, err)
	event.FailsTask = cause == CauseFatal
	r.change(func() {
		r.memory.Intent = local.IntentNone
		r.phase, r.cause = PhaseExited, cause
		if !interrupted {
			r.emitLocked(event)
		}
	})
	r.watcher.Changed(r.name)
}

// running records a start that came about.
func (r *Runner) running(started *drivers.Started) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.host.Clock.Now().UTC()
	r.memory.Intent, r.memory.Handle, r.memory.Network = local.IntentRun, started.Handle, started.Network
	r.phase, r.exit, r.interrupt = PhaseRunning, nil, nil
	r.state.State = structs.TaskStateRunning
	r.state.StartedAt = now
	r.emitLocked(startedEvent())
}

// watch waits for the end of one start of the task, in a goroutine of group.
func (r *Runner) watch(group *loop.Group, taskID string) {
	driver := r.driver
	group.Go("wait", func(ctx context.Context) error {
		result, err := r.wait(ctx, driver, taskID)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.change(func() { r.exit = &exit{taskID: taskID, result: result, err: err} })
		return nil
	})
}

// wait asks again when the driver's process was lost meanwhile: the next one
// takes its tasks back.
func (r *Runner) wait(ctx context.Context, driver drivers.Driver, taskID string) (*drivers.ExitResult, error) {
	for try := 0; ; try++ {
		result, err := driver.Wait(ctx, taskID)
		if err == nil || try == waitRetries || !errors.Is(err, drivers.ErrPluginGone) {
			return result, err
		}
		if err := loop.Sleep(ctx, r.host.Clock, waitRetryDelay); err != nil {
			return nil, err
		}
	}
}

// exitedLocked takes in that the running task has ended by itself.
func (r *Runner) exitedLocked() {
	r.phase = PhaseExited
	r.cause = CauseFailure
	switch {
	case r.desired.Restart:
		r.cause = r.restart
	case errors.Is(r.exit.err, drivers.ErrTaskLost):
		r.cause = CauseLost
	case r.exit.err == nil && r.exit.result.Successful():
		r.cause = CauseSuccess
	}
	r.memory.Intent = local.IntentNone
	r.emitLocked(terminatedEvent(r.exit.result, r.exit.err))
}

func (r *Runner) current() *structs.Task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.task
}

// newTaskID names one start of a task.
func (r *Runner) newTaskID(allocID, task string) string {
	name := r.host.NewID
	if name == nil {
		name = ids.New
	}
	return allocID + "/" + task + "/" + name()[:8]
}

// owner finds the ids of a user of this host; -1 where there is none.
func owner(name string) (uid, gid int) {
	if name == "" {
		return -1, -1
	}
	u, err := user.Lookup(name)
	if err != nil {
		return -1, -1
	}
	uid, err = strconv.Atoi(u.Uid)
	if err != nil {
		return -1, -1
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		gid = -1
	}
	return uid, gid
}
