package alloc

import (
	"context"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// previousPatience bounds how long a new allocation waits for the one it
// replaces.
const previousPatience = 10 * time.Minute

// awaitPrevious waits for the allocation that this one replaces, if it is on
// this node and is to end: its ports and its data are wanted.
func (r *Runner) awaitPrevious(ctx context.Context) error {
	previous := r.previous()
	if previous == nil || !previous.isStopping() {
		return nil
	}
	timer := r.host.Task.Clock.NewTimer(previousPatience)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-previous.Done():
			return nil
		case <-timer.C():
			r.logger.Warn("the replaced allocation has not ended; its replacement starts all the same")
			return nil
		case <-r.wake:
			if r.isStopping() {
				r.poke()
				return nil
			}
		}
	}
}

// adoptDisk takes over the data of a previous allocation on this node, when
// the group's ephemeral disk is sticky.
func (r *Runner) adoptDisk() error {
	group := r.group()
	previous := r.previous()
	if previous == nil || !previous.Finished() || group.EphemeralDisk == nil || !structs.Value(group.EphemeralDisk.Sticky) {
		return nil
	}
	names := make([]string, 0, len(group.Tasks))
	for _, t := range group.Tasks {
		names = append(names, t.Name)
	}
	return r.dir.Move(previous.dir, names)
}

func (r *Runner) previous() *Runner {
	id := r.Alloc().PreviousAllocation
	if id == "" || r.host.Previous == nil {
		return nil
	}
	return r.host.Previous(id)
}
