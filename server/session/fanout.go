package session

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/state/feed"
)

// rememberedRemovals is how many removed allocations a node that reconnects
// may have missed before it is sent the full set.
const rememberedRemovals = 4096

// Changes reads the store's changes once and tells each node's watcher which of
// its allocations changed. A watcher holds ids, at most one an allocation, so
// a slow node costs little and loses nothing.
type Changes struct {
	store Store
	clock clock.Clock

	mu       sync.Mutex
	watchers map[string]map[*watcher]struct{}
	removals []removal // in the order of their index
	since    uint64    // removals after this index are all there
	services serviceLog
}

type removal struct {
	index           uint64
	nodeID, allocID string
}

// watcher is one node's stream of allocations.
type watcher struct {
	nodeID string
	wake   chan struct{} // holds a token while there is something to see

	// guarded by the lock of Changes
	dirty  map[string]struct{}
	resync bool // changes were lost: compare everything
}

// NewChanges returns what follows a store once Run runs.
func NewChanges(store Store, c clock.Clock) *Changes {
	f := &Changes{store: store, clock: c, watchers: map[string]map[*watcher]struct{}{}}
	f.services.restart(0)
	f.services.since = math.MaxUint64 // nothing is known until Run follows the store
	return f
}

// Run follows the store until ctx ends.
func (f *Changes) Run(ctx context.Context) error {
	from := f.store.Index()
	for ctx.Err() == nil {
		f.restart(from)
		sub, err := f.store.Subscribe(from)
		for err == nil {
			var change *feed.Change
			if change, err = sub.Next(ctx); err == nil {
				f.note(change)
			}
		}
		var lagged *feed.LaggedError
		if !errors.As(err, &lagged) {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		from = f.store.Index()
	}
	return nil
}

// restart begins after changes were lost: every watcher compares everything.
func (f *Changes) restart(from uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removals, f.since = nil, from
	f.services.restart(from)
	for _, ws := range f.watchers {
		for w := range ws {
			w.resync = true
			w.poke()
		}
	}
}

func (f *Changes) note(c *feed.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	served := false
	defer func() {
		if f.services.covered = c.Index; served {
			f.services.wake()
		}
	}()
	for i := range c.Events {
		e := &c.Events[i]
		if e.Table() == feed.TableServices {
			f.services.add(serviceChange{c.Index, e.Namespace(), e.Key()})
			served = true
		}
		if e.Table() != feed.TableAllocs {
			continue
		}
		nodeID := e.NodeID()
		fresh := e.NewAlloc()
		removed := !fresh.Valid()
		if !removed && (len(f.watchers[nodeID]) == 0 || fresh.Row().ServerModify < c.Index) {
			continue // nobody of ours asks for it (whoever comes reads the state), or only the node reported
		}
		allocID := e.Key()
		if removed {
			f.remember(removal{c.Index, nodeID, allocID})
		}
		for w := range f.watchers[nodeID] {
			w.dirty[allocID] = struct{}{}
			w.poke()
		}
	}
}

func (f *Changes) remember(r removal) {
	if len(f.removals) >= rememberedRemovals {
		half := len(f.removals) / 2
		f.since = f.removals[half-1].index
		f.removals = append([]removal(nil), f.removals[half:]...)
	}
	f.removals = append(f.removals, r)
}

// removedSince returns which allocations of a node were removed after index;
// false if that isn't known any more.
func (f *Changes) removedSince(nodeID string, index uint64) ([]string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if index < f.since {
		return nil, false
	}
	var out []string
	for _, r := range f.removals {
		if r.nodeID == nodeID && r.index > index {
			out = append(out, r.allocID)
		}
	}
	return out, true
}

// watch begins a watcher; forget ends it.
func (f *Changes) watch(nodeID string) *watcher {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &watcher{nodeID: nodeID, wake: make(chan struct{}, 1), dirty: map[string]struct{}{}}
	if f.watchers[nodeID] == nil {
		f.watchers[nodeID] = map[*watcher]struct{}{}
	}
	f.watchers[nodeID][w] = struct{}{}
	return w
}

func (f *Changes) forget(w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watchers[w.nodeID], w)
	if len(f.watchers[w.nodeID]) == 0 {
		delete(f.watchers, w.nodeID)
	}
}

// take returns what has changed for w since the last call.
func (f *Changes) take(w *watcher) (ids []string, resync bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	resync = w.resync
	ids = slices.Sorted(maps.Keys(w.dirty))
	w.resync = false
	clear(w.dirty)
	return ids, resync
}

// poke wakes the watcher; Changes is locked.
func (w *watcher) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
