package cluster

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/httpapi/show"
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
		if topic == "" || cut && key == "" || strings.Contains(key, ":") {
			return nil, door.Refuse(http.StatusBadRequest, "Invalid topic %q: use Topic or Topic:Key", text)
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

// EventStream tells what changes, as it happens.
func EventStream(c *door.Call) (door.Reply, error) {
	wanted, err := parseTopics(c.Query["topic"])
	if err != nil {
		return door.Reply{}, err
	}
	store := c.Server().Store()
	from := store.Index()
	if c.Index > 0 {
		from = c.Index - 1
	}
	feed, err := store.Subscribe(from)
	var lagged *server.LaggedError
	if errors.As(err, &lagged) {
		// What is gone is gone; the caller sees by the first index that it
		// missed something.
		feed, err = store.Subscribe(lagged.ResumeFrom)
	}
	if err != nil {
		return door.Reply{}, err
	}
	out := door.NewStream(c, "application/json")
	changes := make(chan *server.Change)
	return door.Reply{Sent: true}, out.Run(
		func(stop door.Stopper) error {
			for {
				change, err := feed.Next(stop.Ctx)
				if err != nil {
					return err
				}
				select {
				case changes <- change:
				case <-stop.Ctx.Done():
					return stop.Ctx.Err()
				}
			}
		},
		func(stop door.Stopper) error { return tellChanges(c, out, wanted, changes, stop) },
	)
}

// tellChanges writes the wanted part of each change, and heartbeats between.
func tellChanges(c *door.Call, out *door.Stream, wanted topics, changes <-chan *server.Change, stop door.Stopper) error {
	beat := c.Clock().NewTimer(eventHeartbeat)
	defer func() { beat.Stop() }()
	for {
		var line any = struct{}{}
		select {
		case <-stop.Ctx.Done():
			return stop.Ctx.Err()
		case <-c.Draining():
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
		if err := out.Write(append(text, '\n')); err != nil {
			return err
		}
		beat.Stop()
		beat = c.Clock().NewTimer(eventHeartbeat)
	}
}

// wantedEvents shows what a listener may and wants to see of a change.
func wantedEvents(c *door.Call, wanted topics, change *server.Change) []structs.Event {
	var out []structs.Event
	for i := range change.Events {
		from := &change.Events[i]
		e := structs.Event{
			Topic: from.Topic(), Type: from.Type(), Key: from.Key(), Namespace: from.Namespace(),
			FilterKeys: from.FilterKeys(), Index: change.Index,
		}
		if c.Namespace != door.AnyNamespace && e.Namespace != "" && e.Namespace != c.Namespace || e.Type == "" || !wanted.wants(&e) {
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
		return show.WholeNode(o)
	case *structs.Allocation:
		shown := show.WholeAlloc(o)
		shown.Job = nil
		return shown
	}
	return object
}
