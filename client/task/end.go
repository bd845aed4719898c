package task

import (
	"context"
	"errors"
	"time"

	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/failpoint"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

const (
	// stopTries is how often a driver is asked to end a task.
	stopTries = 5
	// stopBackoff is the first pause between two tries; each next one is four
	// times as long, up to stopBackoffMax.
	stopBackoff    = 5 * time.Second
	stopBackoffMax = 2 * time.Minute
	// exitPatience is how long a stopped task's exit result may take.
	exitPatience = 5 * time.Second
	// discardPatience bounds clearing away what a driver may have left.
	discardPatience = 30 * time.Second
)

// end stops the running task and goes to PhaseExited. If the task can't be
// ended it stays in PhaseRunning and is tried again.
func (r *Runner) end(ctx context.Context) {
	r.mu.Lock()
	task, kill, stopping, id := r.task, r.kill, r.desired.Stop, r.memory.TaskID
	if stopping {
		r.memory.Intent, r.memory.Fail, r.memory.NoDelay = local.IntentStop, kill.Fail, kill.NoDelay
	}
	r.mu.Unlock()
	if stopping {
		r.note() // it is ended all the same: a full disk must not keep it running
		failpoint.Here(failpoint.TaskStopIntended)
	}
	r.watcher.Down(ctx, r.name)
	if stopping && !kill.NoDelay && task.ShutdownDelay > 0 {
		r.emit(delayEvent(task.ShutdownDelay))
		if r.linger(ctx, task.ShutdownDelay); ctx.Err() != nil {
			return
		}
	}
	timeout := min(task.GetKillTimeout(), r.host.MaxKillTimeout)
	if stopping {
		r.emit(killingEvent(timeout, kill.Reason))
		r.mu.Lock()
		r.memory.NoDelay = true // it is over, also for the next agent
		r.mu.Unlock()
		r.note()
	}
	err := r.stop(ctx, id, timeout, task.KillSignal)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r.emit(killedEvent(err))
		r.logger.Error("task could not be ended", logx.KeyError, err)
		r.await(ctx, stopBackoffMax)
		return
	}
	r.awaitExit(ctx)
	failpoint.Here(failpoint.TaskStopped)
	r.mu.Lock()
	r.phase = PhaseExited
	r.cause = r.restart
	if r.exit != nil {
		r.emitLocked(terminatedEvent(r.exit.result, r.exit.err))
	}
	if stopping {
		r.emitLocked(killedEvent(nil))
	}
	r.mu.Unlock()
	r.watcher.Changed(r.name)
}

// linger waits for the shutdown delay, which a later Kill may cut short.
func (r *Runner) linger(ctx context.Context, delay time.Duration) {
	over := r.host.Clock.Now().Add(delay)
	for {
		if n, err := loop.Until(ctx, r.host.Clock, over, r.wake); err != nil || n == loop.Elapsed {
			return
		}
		r.mu.Lock()
		done := r.kill.NoDelay || r.exit != nil
		r.mu.Unlock()
		if done {
			return
		}
	}
}

// stop asks the driver to end the task, several times if need be.
func (r *Runner) stop(ctx context.Context, id string, timeout time.Duration, signal string) error {
	pause := stopBackoff
	for try := 1; ; try++ {
		err := r.driver.Stop(ctx, id, timeout, signal)
		if err == nil || errors.Is(err, drivers.ErrTaskNotFound) {
			return nil
		}
		if try == stopTries || ctx.Err() != nil {
			return err
		}
		r.logger.Warn("ending the task failed and is tried again", logx.KeyError, err)
		if err := loop.Sleep(ctx, r.host.Clock, pause); err != nil {
			return err
		}
		pause = min(pause*4, stopBackoffMax)
	}
}

// awaitExit gives the watcher of the task a moment to learn how it ended.
func (r *Runner) awaitExit(ctx context.Context) {
	late := r.host.Clock.Now().Add(exitPatience)
	for {
		r.mu.Lock()
		known := r.exit != nil
		r.mu.Unlock()
		if known {
			return
		}
		if n, err := loop.Until(ctx, r.host.Clock, late, r.wake); err != nil || n == loop.Elapsed {
			return
		}
	}
}

// decide asks the restart policy, after an exit that nobody asked for or one
// on the way to a restart.
func (r *Runner) decide(ctx context.Context) {
	r.forget(ctx)
	failpoint.Here(failpoint.TaskDecided)
	r.mu.Lock()
	now := r.host.Clock.Now()
	cause := r.cause
	rules := Rules{
		Policy:    r.restartPolicyLocked(),
		OnSuccess: restartsOnSuccess(r.alloc.Job.GetType(), r.task),
		Jitter:    r.host.Random(),
	}
	window, verdict := Decide(r.memory.Window, now, cause, rules)
	r.memory.Window = window
	r.desired.Restart = false
	if verdict.Again {
		r.phase = PhaseBackoff
		r.dueAt = now.Add(verdict.Delay)
		r.state.State = structs.TaskStatePending
		r.state.Restarts++
		r.state.LastRestart = now.UTC()
		r.emitLocked(restartingEvent(verdict.Reason, verdict.Delay))
	} else if cause != CauseSuccess || verdict.Failed {
		r.emitLocked(notRestartingEvent(verdict.Reason, verdict.Failed))
	}
	r.mu.Unlock()
	if !verdict.Again {
		r.dead(ctx, verdict.Failed)
		return
	}
	r.note()
	failpoint.Here(failpoint.TaskBackoff)
	r.watcher.Changed(r.name)
}

func (r *Runner) restartPolicyLocked() *structs.RestartPolicy {
	if r.task.RestartPolicy != nil {
		return r.task.RestartPolicy
	}
	if group := r.alloc.Job.LookupTaskGroup(r.alloc.TaskGroup); group != nil && group.RestartPolicy != nil {
		return group.RestartPolicy
	}
	return &structs.RestartPolicy{}
}

// forget tells the outside that the task is gone and lets the driver drop it.
func (r *Runner) forget(ctx context.Context) {
	ctx, cancel := loop.WithTimeout(context.WithoutCancel(ctx), discardPatience)
	defer cancel()
	r.watcher.Down(ctx, r.name)
	r.discard(ctx)
}

// discard has the driver remove whatever is left of the last start.
func (r *Runner) discard(ctx context.Context) {
	r.mu.Lock()
	id, driver := r.memory.TaskID, r.driver
	r.mu.Unlock()
	if id == "" || driver == nil {
		return
	}
	err := driver.Destroy(ctx, id, true)
	if err != nil && !errors.Is(err, drivers.ErrTaskNotFound) && ctx.Err() == nil {
		r.logger.Warn("driver could not clear the task away", logx.KeyError, err)
	}
	r.mu.Lock()
	r.memory.Handle = nil
	r.mu.Unlock()
}

// Discard has the driver end the task by force and forget it, for an agent that
// has no more time.
func (r *Runner) Discard(ctx context.Context) { r.discard(ctx) }

// finish ends a task that was asked to end and isn't running.
func (r *Runner) finish(ctx context.Context, failed bool) {
	r.mu.Lock()
	failed = failed || r.kill.Fail
	r.mu.Unlock()
	if ctx.Err() == nil {
		r.forget(ctx)
	}
	r.dead(ctx, failed)
}

// fail ends a task that can't be run.
func (r *Runner) fail(ctx context.Context, event *structs.TaskEvent) {
	r.mu.Lock()
	r.emitLocked(event)
	r.emitLocked(notRestartingEvent("Error was unrecoverable", true))
	r.mu.Unlock()
	r.dead(ctx, true)
}

// dead is the end.
func (r *Runner) dead(ctx context.Context, failed bool) {
	r.release(ctx)
	failpoint.Here(failpoint.TaskReleased)
	r.mu.Lock()
	r.phase = PhaseDead
	r.state.State = structs.TaskStateDead
	r.state.Failed = r.state.Failed || failed
	r.state.FinishedAt = r.host.Clock.Now().UTC()
	r.memory.Intent, r.memory.Handle = local.IntentNone, nil
	r.mu.Unlock()
	r.note()
	failpoint.Here(failpoint.TaskBuried)
	r.watcher.Changed(r.name)
}
