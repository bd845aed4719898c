package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

// eventHeartbeat is how often a silent stream shows that it lives.
const eventHeartbeat = 10 * time.Second

// topics are what a listener asked for: the keys it wants of each topic.
type topics map[string][]string

// parseTopics reads Topic or Topic:Key; nothing means everything.
func parseTopics(texts []string) (topics, error) {
	if len(texts) == 0 {
		return topics{structs.TopicAll: {"*"}}, nil
	}
	out := topics{}
	for _, text := range texts {
		topic, key, cut := strings.Cut(text, ":")
		if topic == "" || cut && key == "" {
			return nil, refuse(http.StatusBadRequest, "Invalid topic %q: use Topic or Topic:Key", text)
		}
		if !cut {
			key = "*"
		}
		out[topic] = append(out[topic], key)
	}
	return out, nil
}

// wants reports whether a listener asked for an event.
func (t topics) wants(e *structs.Event) bool {
	for _, topic := range []string{e.Topic, structs.TopicAll} {
		for _, key := range t[topic] {
			if key == "*" || key == e.Key || slices.Contains(e.FilterKeys, key) {
				return true
			}
		}
	}
	return false
}

// eventStream tells what changes, as it happens.
func eventStream(c *call) (reply, error) {
	wanted, err := parseTopics(c.query["topic"])
	if err != nil {
		return reply{}, err
	}
	store := c.api.cfg.Server.Store()
	from := store.Index()
	if c.index > 0 {
		from = c.index - 1
	}
	feed, err := store.Subscribe(from)
	var lagged *server.LaggedError
	if errors.As(err, &lagged) {
		// What is gone is gone; the caller sees by the first index that it
		// missed something.
		feed, err = store.Subscribe(lagged.ResumeFrom)
	}
	if err != nil {
		return reply{}, err
	}
	out := newStream(c, "application/json")
	changes := make(chan *server.Change)
	return reply{sent: true}, out.run(
		func(stop stopper) error {
			for {
				change, err := feed.Next(stop.ctx)
				if err != nil {
					return err
				}
				select {
				case changes <- change:
				case <-stop.ctx.Done():
					return stop.ctx.Err()
				}
			}
		},
		func(stop stopper) error { return tellChanges(c, out, wanted, changes, stop) },
	)
}

// tellChanges writes the wanted part of each change, and heartbeats between.
func tellChanges(c *call, out *stream, wanted topics, changes <-chan *server.Change, stop stopper) error {
	beat := c.api.clock.NewTimer(eventHeartbeat)
	defer func() { beat.Stop() }()
	for {
		var line any = struct{}{}
		select {
		case <-stop.ctx.Done():
			return stop.ctx.Err()
		case <-c.draining():
			return nil
		case change := <-changes:
			events := wantedEvents(c, wanted, change)
			if len(events) == 0 {
				continue
			}
			line = structs.Events{Index: change.Index, Events: events}
		case <-beat.C():
		}
		text, err := json.Marshal(line)
		if err != nil {
			return err
		}
		if err := out.write(append(text, '\n')); err != nil {
			return err
		}
		beat.Stop()
		beat = c.api.clock.NewTimer(eventHeartbeat)
	}
}

// wantedEvents shows what a listener may and wants to see of a change.
func wantedEvents(c *call, wanted topics, change *server.Change) []structs.Event {
	var out []structs.Event
	for i := range change.Events {
		from := &change.Events[i]
		e := structs.Event{
			Topic: from.Topic(), Type: from.Type(), Key: from.Key(), Namespace: from.Namespace(),
			FilterKeys: from.FilterKeys(), Index: change.Index,
		}
		if c.namespace != anyNamespace && e.Namespace != "" && e.Namespace != c.namespace || e.Type == "" || !wanted.wants(&e) {
			continue
		}
		e.Payload = map[string]any{e.Topic: eventPayload(from.Payload())}
		out = append(out, e)
	}
	return out
}

// eventPayload is what listeners see of an object: no secrets, and no copy of
// the job with each allocation.
func eventPayload(object any) any {
	switch o := object.(type) {
	case *structs.Node:
		return wholeNode(o)
	case *structs.Allocation:
		shown := wholeAlloc(o)
		shown.Job = nil
		return shown
	}
	return object
}
