package history

import (
	"context"
	"fmt"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// Applied takes in what left the state by entries that were applied, in their
// order. It never waits; if too much waits for the disk already, it drops and
// counts. It is called before others can see that the objects are gone, so that
// each is found in one place or the other.
func (h *History) Applied(changes []*feed.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	had := len(h.queue)
	for _, c := range changes {
		h.take(c)
	}
	if had == 0 && len(h.queue) > 0 {
		h.waiting = h.cfg.Clock.Now()
	}
	if len(h.queue) > had {
		h.ring()
	}
}

// take puts what one entry removed into the queue. What was seen is left out:
// the log is replayed after a start.
func (h *History) take(c *feed.Change) {
	if c.Index < h.seen.Index || h.seen == after(c.Index) {
		return
	}
	var seq uint32
	for i := range c.Events {
		if !leaves(&c.Events[i]) {
			continue
		}
		at := Position{c.Index, seq}
		seq++
		if !h.seen.before(at) {
			continue
		}
		h.put(item{at: at, time: c.Time, event: c.Events[i], gone: goes(c, &c.Events[i])})
	}
	if seq > 0 {
		h.seen = later(h.seen, after(c.Index))
	}
}

// leaves reports whether an event says that an object which is kept here left
// the state.
func leaves(e *feed.Event) bool {
	switch e.Kind() {
	case feed.JobVersionRemoved, feed.EvalRemoved, feed.AllocRemoved, feed.DeploymentRemoved:
		return true
	}
	return false
}

// goes reports whether a version of a job left together with the job, as its
// newest one.
func goes(c *feed.Change, e *feed.Event) bool {
	version, ok := e.Old().(*structs.Job)
	if e.Kind() != feed.JobVersionRemoved || !ok {
		return false
	}
	for i := range c.Events {
		o := &c.Events[i]
		if o.Kind() != feed.JobDeregistered || o.New() != nil {
			continue
		}
		if job, ok := o.Old().(*structs.Job); ok && job.NamespacedID() == version.NamespacedID() && job.GetVersion() == version.GetVersion() {
			return true
		}
	}
	return false
}

// put adds an item to the queue, or drops it.
func (h *History) put(it item) {
	switch {
	case h.dropping && len(h.queue) > h.cfg.Queue/2, len(h.queue) >= h.cfg.Queue:
		if !h.dropping {
			h.dropping = true
			h.log.Error("the disk can't take the history as fast as it comes: a part of it is dropped", logx.KeyIndex, it.at.Index)
		}
		h.counts.Dropped++
		h.jump(Range{it.at.prev(), it.at})
	default:
		h.dropping = false
		h.queue = append(h.queue, it)
	}
	h.seen = it.at
}

// jump notes that positions are missed. They are joined to the last ones if
// nothing was kept in between.
func (h *History) jump(r Range) {
	if n := len(h.jumps); n > 0 {
		last := &h.jumps[n-1]
		if q := len(h.queue); q == 0 || h.queue[q-1].at.before(last.UpTo) {
			last.UpTo = later(last.UpTo, r.UpTo)
			return
		}
	}
	h.jumps = append(h.jumps, r)
}

// Restored notes that the state was replaced by a snapshot as of index: what left
// the state before that, and wasn't seen, is missed.
func (h *History) Restored(index uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if index <= h.seen.Index {
		return
	}
	h.log.Warn("the state was replaced by a snapshot: what left it in the meantime is missing from this server's history",
		logx.KeyIndex, h.seen.Index, logx.KeyUpTo, index)
	h.jump(Range{h.seen, after(index)})
	h.seen = after(index)
	h.ring()
}

// ring wakes the writer.
func (h *History) ring() {
	select {
	case h.bell <- struct{}{}:
	default: // it rings already
	}
}

// Sync returns once all that left the state up to an index is on disk. Before it
// does, the log up to there must not be given up.
func (h *History) Sync(ctx context.Context, index uint64) error {
	return h.await(ctx, func() bool {
		want := after(index)
		if !h.mark.before(want) {
			return true
		}
		h.wanted = later(h.wanted, want)
		h.seen = later(h.seen, want)
		return false
	})
}

// Room returns once the queue is at most half full, so that who removes much
// doesn't outrun the disk.
func (h *History) Room(ctx context.Context) error {
	return h.await(ctx, func() bool { return len(h.queue) <= h.cfg.Queue/2 })
}

// await returns once a condition holds; it is asked whenever the queue got
// shorter.
func (h *History) await(ctx context.Context, done func() bool) error {
	for {
		h.mu.Lock()
		ok, drained := done(), h.drained
		h.mu.Unlock()
		if ok {
			return nil
		}
		h.ring()
		if _, err := loop.Await(ctx, drained); err != nil {
			return fmt.Errorf("wait for the history to get to the disk: %w", context.Cause(ctx))
		}
	}
}
