package task

import (
	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/structs"
)

// Renew brings a dead task back to its beginning, as if it had never run; only
// its events and the number of its restarts tell. Whoever runs the task has to
// call Run again. A task that isn't dead is left as it is. An error says that
// the next agent would still find it dead.
func (r *Runner) Renew() error {
	r.mu.Lock()
	if r.phase != PhaseDead {
		r.mu.Unlock()
		return nil
	}
	now := r.host.Clock.Now()
	// What the driver was asked to start may have run, also if it was broken off
	// before the driver had answered.
	begun := r.memory.TaskID != ""
	r.desired, r.kill, r.restart = Desired{}, Kill{}, ""
	r.phase, r.cause, r.exit, r.interrupt, r.restored = PhaseNew, "", nil, nil, false
	r.memory.Intent, r.memory.TaskID, r.memory.Handle, r.memory.Network = local.IntentNone, "", nil, nil
	r.memory.Fail, r.memory.NoDelay = false, false
	r.memory.Window = structs.RestartWindow{}
	events, restarts := r.state.Events, r.state.Restarts
	r.state = structs.TaskState{State: structs.TaskStatePending, Events: events, Restarts: restarts}
	if begun {
		r.state.Restarts++
		r.state.LastRestart = now.UTC()
		r.emitLocked(restartingEvent("Restart of all tasks", 0))
	}
	r.mu.Unlock()
	err := r.save()
	select {
	case r.renewed <- struct{}{}:
	default:
	}
	r.poke()
	r.watcher.Changed(r.name)
	return err
}

// Renewed delivers a token when the task has been renewed.
func (r *Runner) Renewed() <-chan struct{} { return r.renewed }
