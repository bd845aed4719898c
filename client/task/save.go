package task

import (
	"context"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
)

// saveRetry is the pause before what couldn't be written down is tried again.
const saveRetry = 5 * time.Second

// save writes everything down. Whoever is about to do what must be found again
// doesn't do it when there is an error.
func (r *Runner) save() error {
	r.saving.Lock()
	defer r.saving.Unlock()
	r.mu.Lock()
	record := r.memory
	record.State = r.state.Clone()
	r.mu.Unlock()
	err := r.host.Memory.PutTask(r.allocID, r.name, &record)
	r.mu.Lock()
	r.unsaved = err != nil
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("write down task %q: %w", r.name, err)
	}
	return nil
}

// note writes down what has happened already, or what is to happen even if it
// can't be written: then what stands there is older, and it is tried again
// until it is done. An agent that dies meanwhile may start a task again that
// has ended, never a second one beside one that runs.
func (r *Runner) note() {
	if err := r.save(); err != nil {
		r.logger.Error("task could not be written down and will be again", logx.KeyError, err)
	}
}

func (r *Runner) isUnsaved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unsaved
}

// awaitSave is await, for a task of which something may still have to be
// written down.
func (r *Runner) awaitSave(ctx context.Context, wait time.Duration) {
	if !r.isUnsaved() {
		r.await(ctx, wait)
		return
	}
	if wait <= 0 || wait > saveRetry {
		wait = saveRetry
	}
	r.await(ctx, wait)
	if ctx.Err() == nil {
		r.note()
	}
}
