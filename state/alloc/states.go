package alloc

import (
	"reflect"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/steppe-run/steppe/structs"
)

// States are the task states of an allocation, in a form that takes a fraction
// of the memory: a cluster has millions of events that say the same few things.
// The zero value holds none. States are immutable.
type States struct {
	tasks []taskState // in the order of their names; nil: nothing was reported
}

type taskState struct {
	name, state                      unique.Handle[string]
	failed                           bool
	restarts                         uint64
	lastRestart, startedAt, finished time.Time
	events                           []taskEvent
}

// taskEvent holds what most events have; the others are kept whole.
type taskEvent struct {
	kind, display, message unique.Handle[string]
	time                   int64
	details                map[string]string
	whole                  *structs.TaskEvent
}

// StatesOf takes over task states, which must not be changed any more. States
// and events that are nil say nothing and are left out.
func StatesOf(all map[string]*structs.TaskState) States {
	if all == nil {
		return States{}
	}
	s := States{tasks: make([]taskState, 0, len(all))}
	for name, ts := range all {
		if ts == nil {
			continue
		}
		packed := taskState{
			name: unique.Make(name), state: unique.Make(ts.State), failed: ts.Failed, restarts: ts.Restarts,
			lastRestart: ts.LastRestart, startedAt: ts.StartedAt, finished: ts.FinishedAt,
		}
		if ts.Events != nil {
			packed.events = make([]taskEvent, 0, len(ts.Events))
		}
		for _, e := range ts.Events {
			if e != nil {
				packed.events = append(packed.events, packEvent(e))
			}
		}
		s.tasks = append(s.tasks, packed)
	}
	slices.SortFunc(s.tasks, func(a, b taskState) int { return strings.Compare(a.name.Value(), b.name.Value()) })
	return s
}

func packEvent(e *structs.TaskEvent) taskEvent {
	rest := *e
	rest.Type, rest.DisplayMessage, rest.Message, rest.Time, rest.Details = "", "", "", 0, nil
	if !reflect.ValueOf(rest).IsZero() {
		return taskEvent{whole: e}
	}
	return taskEvent{
		kind: unique.Make(e.Type), display: unique.Make(e.DisplayMessage), message: unique.Make(e.Message),
		time: e.Time, details: e.Details,
	}
}

// Map returns the task states as the API knows them.
func (s States) Map() map[string]*structs.TaskState {
	if s.tasks == nil {
		return nil
	}
	out := make(map[string]*structs.TaskState, len(s.tasks))
	for i := range s.tasks {
		t := &s.tasks[i]
		ts := &structs.TaskState{
			State: t.state.Value(), Failed: t.failed, Restarts: t.restarts,
			LastRestart: t.lastRestart, StartedAt: t.startedAt, FinishedAt: t.finished,
		}
		if t.events != nil {
			ts.Events = unpackEvents(t.events)
		}
		out[t.name.Value()] = ts
	}
	return out
}

func unpackEvents(events []taskEvent) []*structs.TaskEvent {
	out := make([]*structs.TaskEvent, len(events))
	room := make([]structs.TaskEvent, len(events)) // one piece of memory for all
	for i := range events {
		e := &events[i]
		if out[i] = e.whole; e.whole != nil {
			continue
		}
		room[i] = structs.TaskEvent{
			Type: e.kind.Value(), DisplayMessage: e.display.Value(), Message: e.message.Value(), Time: e.time, Details: e.details,
		}
		out[i] = &room[i]
	}
	return out
}
