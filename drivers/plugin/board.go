package plugin

import (
	"context"
	"sync"

	"github.com/steppe-run/steppe/drivers"
)

// keptEvents bounds the events kept for a watcher that is slow or not yet
// there.
const keptEvents = 1024

// board is where instances post what their drivers tell, for any number of
// watchers. Of fingerprints the newest counts; events are kept in order.
type board struct {
	mu      sync.Mutex
	changed chan struct{}
	// version counts posts; prints holds the newest of each driver with it.
	version uint64
	prints  map[string]posted
	events  []postedEvent
	// dropped is the number of events before events[0].
	dropped int
}

type posted struct {
	version uint64
	fp      *drivers.Fingerprint
}

type postedEvent struct {
	driver string
	event  *drivers.Event
}

func newBoard() *board {
	return &board{changed: make(chan struct{}), prints: map[string]posted{}}
}

// announce wakes the watchers. The caller holds mu.
func (b *board) announce() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *board) put(driver string, fp *drivers.Fingerprint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.version++
	b.prints[driver] = posted{b.version, fp}
	b.announce()
}

// broken posts that a driver can't tell how it is. What it was known to be is
// kept, so that a moment's failure doesn't take attributes from the node.
func (b *board) broken(driver string, err error) {
	reason := "failed to fingerprint driver"
	if err != nil {
		reason += ": " + err.Error()
	}
	b.mu.Lock()
	known := b.prints[driver].fp
	b.mu.Unlock()
	fp := &drivers.Fingerprint{Health: drivers.HealthUndetected, Description: reason}
	if known != nil && known.Detected() {
		fp.Health, fp.Attributes = drivers.HealthUnhealthy, known.Attributes
	}
	b.put(driver, fp)
}

func (b *board) event(driver string, e *drivers.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, postedEvent{driver, e})
	if over := len(b.events) - keptEvents; over > 0 {
		b.events = append([]postedEvent(nil), b.events[over:]...)
		b.dropped += over
	}
	b.announce()
}

// watchFingerprints hands over the newest fingerprints until ctx ends.
func (b *board) watchFingerprints(ctx context.Context, emit func(string, *drivers.Fingerprint)) error {
	seen := map[string]uint64{}
	for {
		b.mu.Lock()
		changed := b.changed
		news := map[string]*drivers.Fingerprint{}
		for driver, p := range b.prints {
			if p.version > seen[driver] {
				seen[driver], news[driver] = p.version, p.fp
			}
		}
		b.mu.Unlock()
		for driver, fp := range news {
			emit(driver, fp)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watchEvents hands over all kept and coming events until ctx ends.
func (b *board) watchEvents(ctx context.Context, emit func(string, *drivers.Event)) error {
	next := 0
	for {
		b.mu.Lock()
		changed := b.changed
		next = max(next, b.dropped)
		news := append([]postedEvent(nil), b.events[next-b.dropped:]...)
		next += len(news)
		b.mu.Unlock()
		for _, e := range news {
			emit(e.driver, e.event)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
