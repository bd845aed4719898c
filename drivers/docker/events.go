//go:build linux

package docker

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/logx"
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

// watchEngine passes on what the engine tells of our containers, and has its
// health looked at whenever it begins or ceases to talk.
func (d *Driver) watchEngine(ctx context.Context) error {
	for ctx.Err() == nil {
		if engine, _, err := d.api(); err == nil {
			d.listen(ctx, engine)
			d.look()
		}
		pause(ctx, d.clock, engineRetry)
	}
	return nil
}

// listen returns when the engine ceases to talk.
func (d *Driver) listen(ctx context.Context, engine *client.Client) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	filters := client.Filters{}.Add("type", "container").Add("label", labelTask).Add("event", "health_status").Add("event", "oom")
	stream := engine.Events(ctx, client.EventsListOptions{Filters: filters})
	for first := true; ; first = false {
		if first {
			d.look()
		}
		select {
		case m := <-stream.Messages:
			d.hear(ctx, engine, &m)
		case err := <-stream.Err:
			if ctx.Err() == nil {
				d.logger.Debug("the engine ceased to tell what happens", logx.KeyError, err)
			}
			return
		}
	}
}

// look has the engine's health looked at now.
func (d *Driver) look() {
	select {
	case d.poke <- struct{}{}:
	default: // it will be
	}
}

// hear passes on what the engine tells of one container.
func (d *Driver) hear(ctx context.Context, engine *client.Client, m *events.Message) {
	t, _, err := d.find(m.Actor.Attributes[labelTask])
	if err != nil || t.state.Container != m.Actor.ID {
		return
	}
	annotations := map[string]string{"container_id": m.Actor.ID}
	health, ok := strings.CutPrefix(string(m.Action), "health_status: ")
	switch {
	case ok:
		message := "Container is " + health
		if c, err := inspect(ctx, engine, m.Actor.ID); err == nil && health == string(container.Unhealthy) {
			message += lastCheck(c.State.Health)
		}
		d.tell(t.config, message, annotations)
	case m.Action == events.ActionOOM:
		d.tell(t.config, "Out of memory: a process of the container was killed", annotations)
	}
}

// lastCheck is what the newest check printed.
func lastCheck(h *container.Health) string {
	if h == nil || len(h.Log) == 0 || h.Log[len(h.Log)-1] == nil {
		return ""
	}
	last := h.Log[len(h.Log)-1]
	text := strings.Join(strings.Fields(strings.ToValidUTF8(last.Output, "")), " ")
	return fmt.Sprintf(": its check ended with code %d: %s", last.ExitCode, shortened(text))
}
