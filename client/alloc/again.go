package alloc

import (
	"context"
	"errors"
	"fmt"

	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
)

// RestartAll ends every task and begins the group again from its prestart
// tasks on, also with tasks that had already ended. A group that is ending is
// not begun again.
func (r *Runner) RestartAll(reason string) error {
	already, err := r.wishAgain(survey(r.Views()))
	if already || err != nil {
		return err
	}
	for _, t := range r.tasks {
		t.Emit(task.RestartSignal(reason))
	}
	r.poke()
	return nil
}

// wishAgain takes in the wish to begin the group again, unless somebody had it
// already. It is written down before anything is ended for it: an agent that
// dies meanwhile must not take the tasks' end for the allocation's.
func (r *Runner) wishAgain(f facts) (already bool, err error) {
	r.saving.Lock() // nobody acts on the wish before it is written: see aim
	defer r.saving.Unlock()
	r.mu.Lock()
	already = r.again
	over := r.over || r.stopping || !already && (r.late || r.cleaning || f.restDead || f.failed != "")
	r.again = already || !over
	r.mu.Unlock()
	switch {
	case over:
		return false, fmt.Errorf("restart allocation %s: its tasks have ended or are about to: %w", r.id, task.ErrNotRunning)
	case already:
		return true, nil
	}
	if err = r.write(); err != nil {
		r.mu.Lock()
		r.again = false
		r.mu.Unlock()
		r.poke() // they may have ended meanwhile
		return false, fmt.Errorf("restart allocation %s: %w", r.id, err)
	}
	return false, nil
}

// renew begins the group again, once all but the poststop tasks have ended.
func (r *Runner) renew() {
	var errs []error
	for _, t := range r.tasks {
		errs = append(errs, t.Renew())
	}
	r.mu.Lock()
	r.again, r.late = false, false
	r.mu.Unlock()
	err := errors.Join(errs...)
	if err == nil {
		// Not before: dead tasks that are not to begin again are the end.
		err = r.remember()
	}
	if err != nil {
		r.logger.Error("allocation could not be written down", logx.KeyError, err)
	}
	r.poke()
}

// lives runs a task, and runs it again for each time that it is renewed, until
// the allocation is done.
func (r *Runner) lives(ctx context.Context, t *task.Runner) error {
	for {
		if err := t.Run(ctx); err != nil {
			return err
		}
		const over = 0
		if n, err := loop.Await(ctx, r.done, t.Renewed()); err != nil || n == over {
			return err
		}
	}
}
