package state

import (
	"context"
	"errors"
	"io"

	"github.com/steppe-run/steppe/state/command"
)

// Options bounds what a Store keeps in memory for its followers.
type Options struct {
	// FeedSize is how many changes the feed keeps for slow or late
	// subscribers. Default 1024.
	FeedSize int
}

// Store holds the replicated state. One goroutine applies; any number reads.
type Store struct{ opts Options }

var errNotYet = errors.New("apply command: not written yet")

// New returns an empty store: the built-in namespace and node pools, and the
// default scheduler configuration.
func New(opts Options) *Store { return &Store{opts: opts} }

// Apply performs one command. It returns a result (see the Result types) or an
// error, after which nothing has changed but the index. It never panics.
func (s *Store) Apply(index uint64, c command.Command) any { return errNotYet }

// Index returns the index of the last entry applied.
func (s *Store) Index() uint64 { return 0 }

// Snapshot returns the state as it is now. It costs nothing and never changes.
func (s *Store) Snapshot() *Snapshot { return &Snapshot{} }

// SnapshotAt waits until the store has applied index and returns a snapshot.
func (s *Store) SnapshotAt(ctx context.Context, index uint64) (*Snapshot, error) {
	return nil, errNotYet
}

// Changed returns a channel that is closed by the next entry that changes one
// of the tables. For a blocking query: take the channel, then a snapshot, and
// wait if the snapshot has nothing new.
func (s *Store) Changed(tables ...Table) <-chan struct{} { return nil }

// Subscribe returns a feed of the changes after index from. If some of them
// are no longer kept it returns a *LaggedError.
func (s *Store) Subscribe(from uint64) (*Subscription, error) { return nil, errNotYet }

// Subscription is one reader's place in the feed of changes. It holds no
// resources: to end it, forget it.
type Subscription struct{}

// Next waits for the next change. It returns a *LaggedError, and will do so
// forever, once changes were dropped before they were read.
func (s *Subscription) Next(ctx context.Context) (*Change, error) { return nil, errNotYet }

// Persist writes the state as it is now; see Snapshot.Persist.
func (s *Store) Persist(w io.Writer) error { return s.Snapshot().Persist(w) }

// Restore replaces the state by what Persist wrote. On an error the state is
// unchanged. Subscriptions lag and watchers wake.
func (s *Store) Restore(r io.Reader) error { return errNotYet }
