package placer

import (
	"context"
	"errors"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// Follower is what nodes have left by the committed state, followed change by
// change. It is for one goroutine at a time.
type Follower struct {
	store    Store
	capacity *scheduler.Capacity
	sub      *feed.Subscription
	// index is the last change that capacity has seen.
	index uint64
}

// NewFollower returns a follower that reads nothing before it is asked to
// advance.
func NewFollower(store Store) *Follower { return &Follower{store: store} }

// Capacity is the index of what nodes have left, as of the last Advance; nil
// before the first.
func (f *Follower) Capacity() *scheduler.Capacity { return f.capacity }

// Drop gives the index up; the next Advance makes it anew from the state.
func (f *Follower) Drop() { f.capacity, f.sub = nil, nil }

// Advance brings the index up to the newest snapshot and returns that.
func (f *Follower) Advance(ctx context.Context) (*state.Snapshot, error) {
	snap, _, err := f.advance(ctx)
	return snap, err
}

// advance is Advance; anew says that the index was made from the state, so that
// what it counted beyond that is gone.
func (f *Follower) advance(ctx context.Context) (snap *state.Snapshot, anew bool, err error) {
	snap = f.store.Snapshot()
	if f.capacity == nil {
		return snap, true, f.rebuild(snap)
	}
	for f.index < snap.Index() && f.sub.Waiting() {
		change, err := f.sub.Next(ctx)
		var lagged *feed.LaggedError
		switch {
		case errors.As(err, &lagged):
			snap = f.store.Snapshot()
			return snap, true, f.rebuild(snap)
		case err != nil:
			return nil, false, err
		}
		f.apply(change)
	}
	// An entry without changes is not in the feed.
	f.index = max(f.index, snap.Index())
	return snap, false, nil
}

func (f *Follower) rebuild(snap *state.Snapshot) error {
	sub, err := f.store.Subscribe(snap.Index())
	if err != nil {
		return err
	}
	f.sub, f.index = sub, snap.Index()
	f.capacity = scheduler.NewCapacity()
	for n := range snap.Nodes("") {
		f.capacity.UpsertNode(n)
	}
	for v := range snap.AllocViews() {
		if !v.Row().Terminal() {
			f.capacity.SetAlloc(v.Allocation())
		}
	}
	return nil
}

func (f *Follower) apply(c *feed.Change) {
	f.index = c.Index
	for i := range c.Events {
		ev := &c.Events[i]
		switch ev.Table() {
		case feed.TableNodes:
			if n, ok := ev.New().(*structs.Node); ok {
				f.capacity.UpsertNode(n)
			} else {
				f.capacity.RemoveNode(ev.Key())
			}
		case feed.TableAllocs:
			f.applyAlloc(ev)
		}
	}
}

// applyAlloc counts what an allocation takes by now. Most changes are reports
// that don't change it, so it looks at columns first.
func (f *Follower) applyAlloc(ev *feed.Event) {
	old, fresh := ev.OldAlloc(), ev.NewAlloc()
	switch {
	case !fresh.Valid():
		f.capacity.RemoveAlloc(ev.Key())
	case !takesTheSame(old, fresh):
		f.capacity.SetAlloc(fresh.Allocation())
	case starting(old) != starting(fresh):
		f.capacity.SetStarting(ev.Key(), starting(fresh))
	}
}

func starting(v alloc.View) bool { return v.Row().Client == alloc.Pending }

// takesTheSame tells whether an allocation lives on and takes what it took.
func takesTheSame(old, fresh alloc.View) bool {
	if !old.Valid() || old.Row().Terminal() || fresh.Row().Terminal() {
		return false
	}
	return old.Shared() == fresh.Shared() && old.Row().Placed == fresh.Row().Placed
}
