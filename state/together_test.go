package state

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
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

// Whoever waits for a table that any of the commands changes is woken. A feed
// that is smaller than what comes at once tells its readers that they lag.
func TestTogetherIsToldToAll(t *testing.T) {
	s := New(Options{FeedSize: 2})
	pool := func(index uint64, name string) Entry {
		return Entry{index, &command.UpsertNodePools{Pools: []*structs.NodePool{{Name: name}}}}
	}
	node := Entry{11, &command.RegisterNode{Node: testNode(ids.New()), Now: 1}}
	refused := Entry{13, &command.DeregisterJob{Namespace: "default", JobID: "nope"}}
	nodes, pools, jobs := s.Changed(feed.TableNodes), s.Changed(feed.TableNodePools), s.Changed(feed.TableJobs)
	sub := follow(t, s)
	for i, result := range s.ApplyAll([]Entry{node, pool(12, "cpu"), refused, pool(14, "gpu")}) {
		if _, failed := result.(error); failed != (i == 2) {
			t.Errorf("result %d: %v", i, result)
		}
	}
	if !closed(nodes) || !closed(pools) || closed(jobs) {
		t.Errorf("woken: nodes %v, pools %v, jobs %v", closed(nodes), closed(pools), closed(jobs))
	}
	var lagged *feed.LaggedError
	if _, err := sub.Next(t.Context()); !errors.As(err, &lagged) || lagged.ResumeFrom != 14 {
		t.Errorf("a reader for whom a change is gone got %v", err)
	}
	sub, err := s.Subscribe(11)
	if err != nil {
		t.Fatal(err)
	}
	var read []uint64
	for sub.Waiting() {
		c, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		read = append(read, c.Index)
	}
	if !slices.Equal(read, []uint64{12, 14}) {
		t.Errorf("the changes at %v are left, want those at 12 and 14", read)
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
