package task

import (
	"context"
	"errors"

	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// recover brings the machine to where the task really is, after the agent was
// restarted: a task that runs is taken back, one that may have been started
// without our knowing is cleared away.
func (r *Runner) recover(ctx context.Context, group *loop.Group) {
	r.mu.Lock()
	phase, intent, handle := r.phase, r.memory.Intent, r.memory.Handle
	network, begun := r.memory.Network, !r.state.StartedAt.IsZero()
	r.mu.Unlock()
	if phase == PhaseDead {
		return
	}
	if intent == local.IntentNone && !begun {
		return // it was never begun
	}
	if err := r.resolveDriver(ctx); err != nil {
		if ctx.Err() == nil {
			r.notRestored(ctx, err)
		}
		return
	}
	// What was in memory is gone if the machine was restarted meanwhile.
	if err := r.buildDir(r.current()); err != nil {
		r.fail(ctx, failureEvent(structs.TaskSetupFailure, err))
		return
	}
	if intent == local.IntentNone {
		// It waited for its next start; that wait is over.
		r.change(func() { r.phase, r.dueAt = PhaseBackoff, r.host.Clock.Now() })
		return
	}
	switch {
	case handle == nil:
		r.notRestored(ctx, errors.New("its handle is missing"))
		return
	case intent == local.IntentStart:
		r.resume(ctx, group, handle.Config)
		return
	}
	// Its output first: while nobody reads it, the task may be held up.
	if err := r.collect(ctx, handle.Config); err != nil {
		r.logger.Error("the task's output is not collected", logx.KeyError, err)
	}
	if err := r.driver.Recover(ctx, handle); err != nil {
		if ctx.Err() == nil {
			r.notRestored(ctx, err)
		}
		return
	}
	r.taken(ctx, group, network)
}

// resume finishes a start that the agent's end has interrupted. It asks for the
// same start by the same id: a driver that had already done it finds it again.
func (r *Runner) resume(ctx context.Context, group *loop.Group, config *drivers.TaskConfig) {
	r.mu.Lock()
	r.env = r.environment()
	r.mu.Unlock()
	r.launch(ctx, ctx, group, config)
}

// taken goes on with a task that was found again.
func (r *Runner) taken(ctx context.Context, group *loop.Group, network *drivers.Network) {
	r.mu.Lock()
	r.env = r.environment()
	r.phase = PhaseRunning
	env, id, stopping := r.env, r.memory.TaskID, r.desired.Stop
	r.mu.Unlock()
	r.logger.Info("task was found again")
	r.watch(group, id)
	if !stopping {
		r.watcher.Up(ctx, r.name, env, network)
	}
	r.watcher.Changed(r.name)
}

// notRestored clears away what may be left and starts anew.
func (r *Runner) notRestored(ctx context.Context, err error) {
	r.logger.Warn("task could not be found again", logx.KeyError, err)
	r.discard(ctx)
	r.change(func() {
		r.phase, r.cause = PhaseExited, CauseLost
		r.emitLocked(Message(structs.TaskRestoreFailed, "The task could not be found again after the agent's restart: %v", err))
	})
	r.watcher.Changed(r.name)
}
