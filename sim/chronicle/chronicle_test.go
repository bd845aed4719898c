package chronicle

import (
	"context"
	"slices"
	"testing"

	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// changes are those of evaluations that come, and are swept.
func changes(t *testing.T) []*feed.Change {
	t.Helper()
	store := state.New(state.Options{})
	sub, err := store.Subscribe(0)
	if err != nil {
		t.Fatal(err)
	}
	eval := func(id string) *structs.Evaluation {
		return &structs.Evaluation{ID: id, Namespace: "default", JobID: "web", Type: "service", Status: structs.EvalStatusComplete}
	}
	for i, c := range []command.Command{
		&command.UpsertEvals{Evals: []*structs.Evaluation{eval("aaaa0001"), eval("aaaa0002"), eval("aaaa0003")}, Now: 1},
		&command.Sweep{EvalIDs: []string{"aaaa0001"}, Now: 2},
		&command.Sweep{EvalIDs: []string{"aaaa0002"}, Now: 3},
	} {
		if err, failed := store.Apply(uint64(i+1), c).(error); failed {
			t.Fatal(err)
		}
	}
	var out []*feed.Change
	for sub.Waiting() {
		c, err := sub.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func TestWhatLeftIsFound(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changes(t) {
		c.Follow(change)
	}
	if missing, err := c.Missing(t.Context()); err != nil || len(missing) > 0 {
		t.Errorf("missing %q, %v", missing, err)
	}
	if len(c.left) != 2 {
		t.Errorf("%d left, not 2", len(c.left))
	}
}

func TestWhatTheHistoryLacksOrMakesUpIsTold(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	all := changes(t)
	c.Follow(all[1])
	c.left["evaluation aaaa0009"]++
	delete(c.left, "evaluation aaaa0001")
	missing, err := c.Missing(t.Context())
	want := []string{
		"evaluation aaaa0009 left the state 1 times, the history has it 0 times",
		"the history has evaluation aaaa0001, which hasn't left the state",
	}
	if err != nil || !slices.Equal(missing, want) {
		t.Errorf("%q, %v", missing, err)
	}
}
