// Package feed keeps the last changes of the state for those who follow it:
// each applied entry is one Change, made of Events, read in order through a
// Subscription that is resumed by index. It also names the tables that change.
//
// It must not know how a command changes the state, nor who listens. A reader
// that is too slow is told from where to resume; it never holds up the writer.
//
// Begin reading at Feed, then Event.
package feed

import (
	"context"
	"fmt"
	"sort"
	"sync"

	"github.com/steppe-run/steppe/internal/loop"
)

// Feed keeps the last changes for those who follow the store.
type Feed struct {
	mu    sync.Mutex
	size  int
	kept  []*Change // in order of index
	floor uint64    // changes up to this index are gone
	epoch uint64    // counts restores: positions of older epochs mean nothing
	last  uint64
	grown chan struct{} // closed by the next change
}

// New returns a feed that keeps so many changes.
func New(size int) *Feed { return &Feed{size: size, grown: make(chan struct{})} }

// Publish adds changes. It has the new state shown at the same moment: who has
// seen a snapshot finds its changes in the feed, and who has seen a change finds
// it in the next snapshot.
func (f *Feed) Publish(changes []*Change, show func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	show()
	if len(changes) == 0 {
		return
	}
	for _, c := range changes {
		if len(f.kept) >= f.size {
			f.floor = f.kept[0].Index
			f.kept[0] = nil
			f.kept = f.kept[1:]
		}
		f.kept = append(f.kept, c)
		f.last = c.Index
	}
	close(f.grown)
	f.grown = make(chan struct{})
}

// Reset drops everything, after the store was restored at index.
func (f *Feed) Reset(index uint64, show func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	show()
	f.kept = nil
	f.floor, f.last = index, index
	f.epoch++
	close(f.grown)
	f.grown = make(chan struct{})
}

// Subscribe returns the changes after index from; now is the state's index.
func (f *Feed) Subscribe(from, now uint64) (*Subscription, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if from < f.floor {
		return nil, &LaggedError{ResumeFrom: max(now, f.floor)}
	}
	return &Subscription{feed: f, at: from, epoch: f.epoch}, nil
}

// Subscription is one reader's place in the feed of changes. It holds no
// resources: to end it, forget it. It is for one goroutine.
type Subscription struct {
	feed  *Feed
	at    uint64
	epoch uint64
}

// Next waits for the next change. It returns a *LaggedError, and will do so
// forever, once changes were dropped before they were read.
func (s *Subscription) Next(ctx context.Context) (*Change, error) {
	for {
		c, grown, err := s.take()
		if c != nil || err != nil {
			return c, err
		}
		if _, err := loop.Await(ctx, grown); err != nil {
			return nil, fmt.Errorf("wait for changes after index %d: %w", s.at, context.Cause(ctx))
		}
	}
}

// Waiting reports whether Next would return at once.
func (s *Subscription) Waiting() bool {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.epoch != f.epoch || s.at < f.last
}

func (s *Subscription) take() (*Change, <-chan struct{}, error) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.epoch != f.epoch || s.at < f.floor {
		return nil, nil, &LaggedError{ResumeFrom: f.last}
	}
	i := sort.Search(len(f.kept), func(i int) bool { return f.kept[i].Index > s.at })
	if i == len(f.kept) {
		return nil, f.grown, nil
	}
	s.at = f.kept[i].Index
	return f.kept[i], nil, nil
}

// LaggedError ends a subscription that fell behind: events were dropped.
type LaggedError struct {
	// ResumeFrom is the store's index at that moment: take a snapshot at least
	// as new, then subscribe from the snapshot's index.
	ResumeFrom uint64
}

// Error implements error.
func (e *LaggedError) Error() string {
	return fmt.Sprintf("fell behind the feed of changes: take a snapshot and resume from index %d", e.ResumeFrom)
}
