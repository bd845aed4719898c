//go:build linux

package docker

import (
	"context"
	"sync"

	"github.com/steppe-run/steppe/drivers"
)

// keptEvents bounds the events kept for a host that isn't listening yet.
const keptEvents = 256

// feed holds the driver's newest events.
type feed struct {
	mu      sync.Mutex
	events  []*drivers.Event
	dropped int
	posted  chan struct{}
}

func newFeed() *feed { return &feed{posted: make(chan struct{})} }

func (f *feed) put(e *drivers.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
	if over := len(f.events) - keptEvents; over > 0 {
		f.events = append([]*drivers.Event(nil), f.events[over:]...)
		f.dropped += over
	}
	close(f.posted)
	f.posted = make(chan struct{})
}

// tell posts an event of a task.
func (d *Driver) tell(t *drivers.TaskConfig, message string, annotations map[string]string) {
	d.feed.put(&drivers.Event{
		TaskID: t.ID, AllocID: t.AllocID, TaskName: t.Name, Time: d.clock.Now(), Message: message,
		Annotations: annotations,
	})
}

// Events implements drivers.Observer.
func (d *Driver) Events(ctx context.Context, emit func(*drivers.Event) error) error {
	next := 0
	for {
		d.feed.mu.Lock()
		posted := d.feed.posted
		next = max(next, d.feed.dropped)
		news := append([]*drivers.Event(nil), d.feed.events[next-d.feed.dropped:]...)
		next += len(news)
		d.feed.mu.Unlock()
		for _, e := range news {
			if err := emit(e); err != nil {
				return err
			}
		}
		select {
		case <-posted:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
