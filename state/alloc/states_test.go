package alloc

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/structs"
)

func TestTaskStatesComeBackAsTheyWere(t *testing.T) {
	text := rapid.SampledFrom([]string{"", "main", "Started", "Task started by client", "exit 1"})
	at := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "s"), rapid.Int64Range(0, 999).Draw(t, "ns")).UTC()
	})
	event := rapid.Custom(func(t *rapid.T) *structs.TaskEvent {
		e := &structs.TaskEvent{
			Type: text.Draw(t, "type"), DisplayMessage: text.Draw(t, "display"), Message: text.Draw(t, "message"),
			Time: rapid.Int64().Draw(t, "time"),
		}
		if rapid.Bool().Draw(t, "details") {
			e.Details = rapid.MapOfN(text, text, 0, 2).Draw(t, "map")
		}
		switch rapid.IntRange(0, 4).Draw(t, "rest") {
		case 0:
			e.ExitCode = rapid.Int().Draw(t, "code")
		case 1:
			e.KillTimeout, e.FailsTask = time.Second, true
		case 2:
			e.GenericSource = text.Draw(t, "source")
		}
		return e
	})
	state := rapid.Custom(func(t *rapid.T) *structs.TaskState {
		s := &structs.TaskState{
			State: text.Draw(t, "state"), Failed: rapid.Bool().Draw(t, "failed"), Restarts: rapid.Uint64().Draw(t, "restarts"),
			LastRestart: at.Draw(t, "restart"), StartedAt: at.Draw(t, "started"), FinishedAt: at.Draw(t, "finished"),
		}
		if rapid.Bool().Draw(t, "events") {
			s.Events = rapid.SliceOfN(event, 0, 4).Draw(t, "events")
		}
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOfN(text, state, 0, 3).Draw(t, "states")
		if diff := cmp.Diff(want, StatesOf(want).Map()); diff != "" {
			t.Fatal(diff)
		}
	})
	if StatesOf(nil).Map() != nil {
		t.Error("no report became an empty one")
	}
}

func TestTaskStatesThatSayNothingAreLeftOut(t *testing.T) {
	got := StatesOf(map[string]*structs.TaskState{"a": nil, "b": {State: "running", Events: []*structs.TaskEvent{nil, {Type: "Started"}}}}).Map()
	want := map[string]*structs.TaskState{"b": {State: "running", Events: []*structs.TaskEvent{{Type: "Started"}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
