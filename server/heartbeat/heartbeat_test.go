package heartbeat

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	start = time.Unix(1_700_000_000, 0)
	opts  = Options{MinTTL: 10 * time.Second, PerSecond: 50, Grace: 10 * time.Second}
)

func TestASilentNodeExpiresOnceAfterTTLAndGrace(t *testing.T) {
	tr := New(opts)
	if ttl := tr.Beat("n", start); ttl != 10*time.Second {
		t.Fatalf("ttl %s", ttl)
	}
	if got := tr.Expired(start.Add(20*time.Second - 1)); got != nil {
		t.Fatalf("expired early: %v", got)
	}
	if got := tr.Expired(start.Add(20 * time.Second)); len(got) != 1 || got[0] != "n" {
		t.Fatalf("expired: %v", got)
	}
	if got := tr.Expired(start.Add(time.Hour)); got != nil {
		t.Fatalf("expired twice: %v", got)
	}
}

func TestTTLGrowsWithTheNumberOfNodes(t *testing.T) {
	tr := New(opts)
	var ttl time.Duration
	for i := range 5000 {
		ttl = tr.Beat(fmt.Sprint(i), start)
	}
	if ttl != 100*time.Second {
		t.Fatalf("5,000 nodes at 50 a second have a ttl of %s", ttl)
	}
}

func TestANewLeaderGivesEveryNodeAFullTTL(t *testing.T) {
	tr := New(opts)
	tr.Beat("gone", start.Add(-time.Minute))
	tr.Reset([]string{"a", "b"}, 2, start)
	if at, ok := tr.Next(); !ok || !at.Equal(start.Add(20*time.Second)) {
		t.Fatalf("next deadline %v", at)
	}
	if got := tr.Expired(start.Add(20 * time.Second)); fmt.Sprint(got) != "[a b]" {
		t.Fatalf("expired: %v", got)
	}
}

// TestDeadlinesAgainstAModel compares with a map that is searched.
func TestDeadlinesAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := New(opts)
		model := map[string]time.Time{}
		now := start
		node := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint("n", rapid.IntRange(0, 8).Draw(t, "node")) })
		t.Repeat(map[string]func(*rapid.T){
			"beat": func(t *rapid.T) {
				id := node.Draw(t, "id")
				model[id] = now.Add(tr.Beat(id, now) + opts.Grace)
			},
			"forget": func(t *rapid.T) {
				id := node.Draw(t, "id")
				delete(model, id)
				tr.Forget(id)
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 15).Draw(t, "s")) * time.Second)
				for _, id := range tr.Expired(now) {
					if at, ok := model[id]; !ok || at.After(now) {
						t.Fatalf("%s expired without cause", id)
					}
					delete(model, id)
				}
				for id, at := range model {
					if !at.After(now) {
						t.Fatalf("%s did not expire", id)
					}
				}
			},
			"": func(t *rapid.T) {
				if tr.Len() != len(model) {
					t.Fatalf("%d watched, want %d", tr.Len(), len(model))
				}
			},
		})
	})
}
