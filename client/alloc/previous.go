package alloc

import (
	"context"
	"slices"
	"time"

	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// previousPatience bounds how long a new allocation waits for the one it
// replaces.
const previousPatience = 10 * time.Minute

// awaitPrevious waits for the allocation that this one replaces, if it is on
// this node and ends: its ports and its data are wanted.
func (r *Runner) awaitPrevious(ctx context.Context) error {
	previous := r.previous()
	if previous == nil || !previous.ends() {
		return nil
	}
	late := r.host.Task.Clock.Now().Add(previousPatience)
	for !r.isStopping() {
		const ended = 0
		n, err := loop.Until(ctx, r.host.Task.Clock, late, previous.Done(), r.wake)
		switch {
		case err != nil || n == ended:
			return err
		case n == loop.Elapsed:
			r.logger.Warn("the replaced allocation has not ended; its replacement starts all the same")
			return nil
		}
	}
	r.poke()
	return nil
}

// ends reports whether the allocation is to end, or only has to notice that all
// of its tasks have.
func (r *Runner) ends() bool {
	dead := r.finished()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopping || dead && !r.again
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

// PredecessorsFirst orders what is remembered such that a replacement finds the
// allocation that it waits for.
func PredecessorsFirst(records []*local.Alloc) []*local.Alloc {
	byID := make(map[string]*local.Alloc, len(records))
	for _, record := range records {
		byID[record.Alloc.ID] = record
	}
	out := make([]*local.Alloc, 0, len(records))
	for _, record := range records {
		var line []*local.Alloc // this one, its predecessor, and so on
		for record != nil && byID[record.Alloc.ID] != nil {
			delete(byID, record.Alloc.ID)
			line = append(line, record)
			record = byID[record.Alloc.PreviousAllocation]
		}
		slices.Reverse(line)
		out = append(out, line...)
	}
	return out
}
