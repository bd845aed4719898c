package state

import (
	"context"
	"fmt"
	"sort"
	"sync"
)

// feed keeps the last changes for those who follow the store.
type feed struct {
	mu    sync.Mutex
	size  int
	kept  []*Change // in order of index
	floor uint64    // changes up to this index are gone
	epoch uint64    // counts restores: positions of older epochs mean nothing
	last  uint64
	grown chan struct{} // closed by the next change
}

func newFeed(size int) *feed { return &feed{size: size, grown: make(chan struct{})} }

// publish adds a change, if not nil. It has the new state shown at the same
// moment: who has seen a snapshot finds its changes in the feed, and who has
// seen a change finds it in the next snapshot.
func (f *feed) publish(c *Change, show func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	show()
	if c == nil {
		return
	}
	if len(f.kept) >= f.size {
		f.floor = f.kept[0].Index
		f.kept[0] = nil
		f.kept = f.kept[1:]
	}
	f.kept = append(f.kept, c)
	f.last = c.Index
	close(f.grown)
	f.grown = make(chan struct{})
}

// reset drops everything, after the store was restored at index.
func (f *feed) reset(index uint64, show func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	show()
	f.kept = nil
	f.floor, f.last = index, index
	f.epoch++
	close(f.grown)
	f.grown = make(chan struct{})
}

func (f *feed) subscribe(from, now uint64) (*Subscription, error) {
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
	feed  *feed
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
		select {
		case <-grown:
		case <-ctx.Done():
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
