// Package state is the replicated store: what every server of a region knows.
// Commands of the replicated log go in, one at a time and in order; typed
// tables, snapshots of them and a feed of what changed come out.
//
// Everything that follows from a command is computed while it is applied: the
// status of jobs, their summaries, the counters of deployments, what a node has
// in use. So applying is deterministic: no clock, no random numbers, no
// floating point, and no panic on anything that decodes.
//
// It must not know Raft, HTTP, the scheduler or who asks. Values that it
// returns are shared and immutable: copy before changing one.
//
// Begin reading at Store (store.go), then package tables for what there is, txn.go
// for how a command changes it, and package alloc for how allocations are kept.
package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/state/tables"
)

// Options bounds what a Store keeps in memory for its followers.
type Options struct {
	// FeedSize is how many changes the feed keeps for slow or late
	// subscribers. Default 1024.
	FeedSize int
	// Follower, if not nil, hears of every change before anyone sees the state
	// that it made.
	Follower Follower
}

// Follower hears of changes while they are applied: it must return at once. It
// misses none and is never dropped, unlike a subscription.
type Follower interface {
	// Applied is told what entries changed, in their order.
	Applied(changes []*feed.Change)
	// Restored is told that the state was replaced by the one as of an index.
	Restored(index uint64)
}

// Store holds the replicated state. One goroutine applies; any number reads.
type Store struct {
	current  atomic.Pointer[Snapshot]
	feed     *feed.Feed
	follower Follower

	mu       sync.Mutex
	watchers map[feed.TableSet]chan struct{} // closed by the next change of one of the tables
	applied  chan struct{}                   // closed by the next entry; nil if nobody waits
}

// New returns an empty store: the built-in namespace and node pools, and the
// default scheduler configuration.
func New(opts Options) *Store {
	if opts.FeedSize <= 0 {
		opts.FeedSize = 1024
	}
	s := &Store{feed: feed.New(opts.FeedSize), follower: opts.Follower, watchers: map[feed.TableSet]chan struct{}{}}
	s.current.Store(&Snapshot{tables.New()})
	return s
}

// PanicError is returned by Apply for a command that made it fail: a fault of
// the program. Nothing was changed, on any server.
type PanicError struct{ Value any }

// Error implements error.
func (e *PanicError) Error() string {
	return fmt.Sprintf("command was refused because applying it failed (a fault of Steppe, please report it): %v", e.Value)
}

// Entry is a command at its place in the log.
type Entry struct {
	Index   uint64
	Command command.Command
}

// Apply performs one command. It returns a result (see the Result types) or an
// error, after which nothing has changed but the index. It never panics.
func (s *Store) Apply(index uint64, c command.Command) any {
	return s.ApplyAll([]Entry{{index, c}})[0]
}

// ApplyAll performs commands that were committed together, each as Apply would,
// and shows the state once all of them are done: what several of them change is
// copied once. The results are in the order of the commands.
func (s *Store) ApplyAll(entries []Entry) []any {
	results := make([]any, 0, len(entries))
	for len(results) < len(entries) {
		rest := entries[len(results):]
		done, refusal := s.together(rest)
		if refusal != nil && len(done) > 0 {
			// What the refused command had begun to change is forgotten with all that
			// was changed before it: those commands end as they did.
			done, _ = s.together(rest[:len(done)])
		}
		results = append(results, done...)
		if refusal != nil {
			s.Skip(entries[len(results)].Index)
			results = append(results, refusal)
		}
	}
	return results
}

// together performs commands until one is refused, and shows what they changed
// unless one was.
func (s *Store) together(entries []Entry) (results []any, refusal error) {
	var changes []*feed.Change
	var touched feed.TableSet
	tx := begin(s.current.Load().t, entries[0].Index)
	for i, e := range entries {
		if i > 0 {
			tx = tx.next(e.Index)
		}
		result, err := tx.perform(e.Command)
		if err != nil {
			return results, err
		}
		results = append(results, result)
		touched |= tx.touched
		if len(tx.events) > 0 {
			changes = append(changes, &feed.Change{Index: tx.Index, Time: tx.now, Events: tx.events})
		}
	}
	s.publish(&tx.Tables, changes, touched)
	return results, nil
}

// Skip advances the index past an entry that holds no command for the store.
func (s *Store) Skip(index uint64) { s.publish(&begin(s.current.Load().t, index).Tables, nil, 0) }

func (s *Store) publish(t *tables.Tables, changes []*feed.Change, touched feed.TableSet) {
	if s.follower != nil && len(changes) > 0 {
		s.follower.Applied(changes)
	}
	s.feed.Publish(changes, func() { s.current.Store(&Snapshot{t}) })
	s.wake(touched)
}

// wake closes the channels of those who wait for one of the tables.
func (s *Store) wake(touched feed.TableSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.applied != nil {
		close(s.applied)
		s.applied = nil
	}
	for set, ch := range s.watchers {
		if set&touched != 0 {
			close(ch)
			delete(s.watchers, set)
		}
	}
}

// Index returns the index of the last entry applied.
func (s *Store) Index() uint64 { return s.current.Load().Index() }

// Snapshot returns the state as it is now. It costs nothing and never changes.
func (s *Store) Snapshot() *Snapshot { return s.current.Load() }

// SnapshotAt waits until the store has applied index and returns a snapshot.
func (s *Store) SnapshotAt(ctx context.Context, index uint64) (*Snapshot, error) {
	for {
		s.mu.Lock()
		if s.applied == nil {
			s.applied = make(chan struct{})
		}
		applied := s.applied
		s.mu.Unlock()
		if snap := s.Snapshot(); snap.Index() >= index {
			return snap, nil
		}
		if _, err := loop.Await(ctx, applied); err != nil {
			return nil, fmt.Errorf("wait for state at index %d (now at %d): %w", index, s.Index(), context.Cause(ctx))
		}
	}
}

// Changed returns a channel that is closed by the next entry that changes one
// of the tables. For a blocking query: take the channel, then a snapshot, and
// wait if the snapshot has nothing new.
func (s *Store) Changed(tables ...feed.Table) <-chan struct{} {
	set := feed.SetOf(tables)
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.watchers[set]
	if ch == nil {
		ch = make(chan struct{})
		s.watchers[set] = ch
	}
	return ch
}

// Subscribe returns a feed of the changes after index from. If some of them
// are no longer kept it returns a *feed.LaggedError.
func (s *Store) Subscribe(from uint64) (*feed.Subscription, error) {
	return s.feed.Subscribe(from, s.Index())
}

// Persist writes the state as it is now; see Snapshot.Persist.
func (s *Store) Persist(w io.Writer) error { return s.Snapshot().Persist(w) }

// Restore replaces the state by what Persist wrote. On an error the state is
// unchanged. Subscriptions lag and watchers wake.
func (s *Store) Restore(r io.Reader) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(tables.ErrBadSnapshot, &PanicError{p})
		}
	}()
	t, err := tables.Restore(r)
	if err != nil {
		return err
	}
	if s.follower != nil {
		s.follower.Restored(t.Index)
	}
	s.feed.Reset(t.Index, func() { s.current.Store(&Snapshot{t}) })
	s.wake(^feed.TableSet(0))
	return nil
}
