package alloc

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// previousPatience bounds how long a new allocation waits for the one it
// replaces.
const previousPatience = 10 * time.Minute

// maxMoved is how many files, directories and links a disk that comes from
// another node may hold.
const maxMoved = 1_000_000

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
	return r.dir.Move(previous.dir, taskNames(group))
}

// Elsewhere brings what allocations left on other nodes.
type Elsewhere interface {
	// Fetch waits until the allocation that next replaces has ended, and hands
	// its ephemeral disk, as an archive, to unpack.
	Fetch(ctx context.Context, next *structs.Allocation, unpack func(io.Reader) error) error
}

// fetchDisk brings the data of the replaced allocation from another node, where
// the group's ephemeral disk migrates. Without it the tasks start all the same,
// with an empty disk: the node it was on may be gone for good.
func (r *Runner) fetchDisk(ctx context.Context) error {
	group := r.group()
	next := r.Alloc()
	if r.host.Elsewhere == nil || next.PreviousAllocation == "" || r.previous() != nil ||
		group.EphemeralDisk == nil || !structs.Value(group.EphemeralDisk.Migrate) {
		return nil
	}
	most := allocdir.Limits{Bytes: int64(structs.Value(group.EphemeralDisk.SizeMB)) << 20, Entries: maxMoved}
	var failed error
	over := make(chan struct{})
	work := loop.New(ctx)
	work.Go("fetch ephemeral disk", func(ctx context.Context) error {
		defer close(over)
		failed = r.host.Elsewhere.Fetch(ctx, next, func(archive io.Reader) error {
			return r.dir.Unpack(archive, taskNames(group), most)
		})
		return nil
	})
	for !r.isStopping() {
		const ended = 0
		if n, err := loop.Await(ctx, over, r.wake); err != nil || n == ended {
			break
		}
	}
	work.Stop()
	_ = work.Wait() // its function returns none
	r.poke()        // what woke us is looked at again
	if err := ctx.Err(); err != nil {
		return err
	}
	if failed != nil && !r.isStopping() {
		r.logger.Warn("the ephemeral disk of the replaced allocation could not be brought here", logx.KeyError, failed)
		for _, t := range r.tasks {
			t.Emit(task.Message(structs.TaskHookMessage, "The ephemeral disk of allocation %s could not be brought here, the task starts without its data: %v", next.PreviousAllocation, failed))
		}
	}
	return nil
}

func taskNames(group *structs.TaskGroup) []string {
	names := make([]string, 0, len(group.Tasks))
	for _, t := range group.Tasks {
		names = append(names, t.Name)
	}
	return names
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
