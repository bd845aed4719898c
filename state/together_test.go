package state

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
)

// Commands that are applied together end as they do one after the other,
// refused ones among them too; what was shown before stays as it was.
func TestTogetherIsAsOneAfterTheOther(t *testing.T) {
	rounds := 600
	if testing.Short() {
		rounds = 60
	}
	base := sample(t)
	names := []string{"", "default", "web", "cron", "main", "http", "all", "running", "failed", "pending", "ready", "down", "stop", "complete", "x", ids.Derive(ids.Seed{1}, 1)}
	for a := range base.snap().Allocs("*", "") {
		names = append(names, a.ID, a.NodeID, a.DeploymentID, a.EvalID)
	}
	var mixed int
	for n := range rounds {
		r := rand.New(rand.NewPCG(uint64(n), 7))
		entries := randomEntries(r, names, base.index)
		if len(entries) == 0 {
			continue
		}
		single, together := copyOf(t, base), copyOf(t, base)
		before := together.Snapshot()
		hash := before.StateHash()
		feeds := [2]*feed.Subscription{follow(t, single), follow(t, together)}

		var want []any
		for _, e := range entries {
			want = append(want, single.Apply(e.Index, e.Command))
		}
		got := together.ApplyAll(entries)

		succeeded := 0
		for _, result := range want {
			if _, refused := result.(error); !refused {
				succeeded++
			} else if succeeded > 0 {
				mixed++
				break
			}
		}
		byText := cmp.Comparer(func(a, b error) bool { return a.Error() == b.Error() })
		if diff := cmp.Diff(want, got, byText); diff != "" {
			t.Fatalf("round %d: results (-single +together):\n%s", n, diff)
		}
		if single.Snapshot().StateHash() != together.Snapshot().StateHash() || single.Index() != together.Index() {
			t.Fatalf("round %d: another state", n)
		}
		if before.StateHash() != hash {
			t.Fatalf("round %d: the snapshot from before changed", n)
		}
		if diff := cmp.Diff(changesOf(t, feeds[0]), changesOf(t, feeds[1])); diff != "" {
			t.Fatalf("round %d: the feed (-single +together):\n%s", n, diff)
		}
	}
	if mixed < rounds/10 {
		t.Errorf("only %d of %d rounds had a command refused after one that was not", mixed, rounds)
	}
}

func randomEntries(r *rand.Rand, names []string, index uint64) (entries []Entry) {
	for range 1 + r.IntN(12) {
		a := &anything{r, names}
		all := commands()
		c := all[r.IntN(len(all))]
		a.fill(reflect.ValueOf(c).Elem(), 0)
		data, err := command.Encode(c)
		if err != nil {
			continue
		}
		if c, err = command.Decode(data); err == nil {
			index++
			entries = append(entries, Entry{index, c})
		}
	}
	return entries
}

func copyOf(t *testing.T, w *world) *Store {
	t.Helper()
	s, err := restored(w.snap())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func follow(t *testing.T, s *Store) *feed.Subscription {
	t.Helper()
	sub, err := s.Subscribe(s.Index())
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

func changesOf(t *testing.T, sub *feed.Subscription) (told []any) {
	t.Helper()
	for sub.Waiting() {
		c, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, c.Index, c.Time)
		for i := range c.Events {
			e := &c.Events[i]
			told = append(told, e.Topic(), e.Namespace(), e.Key(), e.Old(), e.New())
		}
	}
	return told
}
