package blocked

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/structs"
)

func blockedEval(id, job string, create, snapshot uint64, classes map[string]bool) *structs.Evaluation {
	return &structs.Evaluation{
		ID: id, Namespace: "default", JobID: job, Status: structs.EvalStatusBlocked,
		CreateIndex: create, SnapshotIndex: snapshot, ClassEligibility: classes,
	}
}

func ids(evals []*structs.Evaluation) string {
	var out []string
	for _, e := range evals {
		out = append(out, e.ID)
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

func TestWhoIsWokenByAChange(t *testing.T) {
	roomy, tight := &structs.Comparable{CPU: 1000, MemoryMB: 1000, DiskMB: 1000}, &structs.Comparable{CPU: 100, MemoryMB: 1000, DiskMB: 1000}
	cases := []struct {
		name   string
		need   Need
		change Change
		woken  bool
	}{
		{"class it may use", Need{}, Change{Class: "good"}, true},
		{"class it may not use", Need{}, Change{Class: "bad"}, false},
		{"class it has not seen", Need{}, Change{Class: "new"}, true},
		{"another pool", Need{Pool: "gpu"}, Change{Class: "good", Pool: "default"}, false},
		{"its pool", Need{Pool: "gpu"}, Change{Class: "good", Pool: "gpu"}, true},
		{"any pool", Need{Pool: structs.NodePoolAll}, Change{Class: "good", Pool: "gpu"}, true},
		{"enough room", Need{Ask: structs.Comparable{CPU: 500}}, Change{Class: "good", Free: roomy}, true},
		{"too little room", Need{Ask: structs.Comparable{CPU: 500}}, Change{Class: "good", Free: tight}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tr := New(0)
			tr.Block(blockedEval("e", "job", 5, 5, map[string]bool{"good": true, "bad": false}), c.need)
			c.change.Index = 6
			tr.Note(c.change)
			if got := len(tr.Woken()) == 1; got != c.woken {
				t.Fatalf("woken %v, want %v", got, c.woken)
			}
		})
	}
}

func TestNoWakeUpIsLost(t *testing.T) {
	tr := New(10)
	tr.Note(Change{Index: 20, Class: "c"})
	tr.Block(blockedEval("before", "a", 21, 19, nil), Need{})
	tr.Block(blockedEval("after", "b", 21, 20, nil), Need{})
	tr.Block(blockedEval("unknown", "c", 9, 9, nil), Need{})
	if got := ids(tr.Woken()); got != "[before unknown]" {
		t.Fatalf("woken %s", got)
	}
}

func TestOfTwoForOneJobTheLaterStays(t *testing.T) {
	tr := New(0)
	tr.Block(blockedEval("old", "job", 5, 5, nil), Need{})
	tr.Block(blockedEval("new", "job", 8, 8, nil), Need{})
	tr.Block(blockedEval("stale", "job", 6, 6, nil), Need{})
	if tr.Len() != 1 {
		t.Fatalf("%d evaluations of one job wait", tr.Len())
	}
	tr.Forget(blockedEval("old", "job", 5, 5, nil)) // the state has canceled it
	tr.Note(Change{Index: 9, Class: "c"})
	if got := ids(tr.Woken()); got != "[new]" {
		t.Fatalf("woken %s", got)
	}
}

func TestOnlyOutrunEvaluationsAreWokenByTime(t *testing.T) {
	tr := New(0)
	outrun := blockedEval("outrun", "a", 1, 1, nil)
	outrun.TriggeredBy = structs.TriggerMaxPlans
	tr.Block(outrun, Need{})
	tr.Block(blockedEval("full", "b", 1, 1, nil), Need{})
	tr.WakeOutrun()
	if got := ids(tr.Woken()); got != "[outrun]" {
		t.Fatalf("woken %s", got)
	}
}

// TestEveryHelpfulChangeWakes replays random changes and blocks, with
// evaluations that arrive late, and checks that none sleeps through a change
// that could help it, however many changes there were.
func TestEveryHelpfulChangeWakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := New(0)
		var history []Change
		asleep := map[string]*entry{}
		drain := func() {
			for _, e := range tr.Woken() {
				delete(asleep, e.ID)
			}
		}
		index := uint64(0)
		n := rapid.IntRange(1, 60).Draw(t, "steps")
		for i := range n {
			index++
			if rapid.Bool().Draw(t, "change") {
				burst := rapid.SampledFrom([]int{1, 1, 1, recentChanges + 1}).Draw(t, "burst")
				for range burst {
					index++
					c := Change{Index: index, Class: fmt.Sprint("c", rapid.IntRange(0, 2).Draw(t, "class"))}
					history = append(history, c)
					tr.Note(c)
				}
				drain()
				continue
			}
			classes := map[string]bool{}
			for _, c := range []string{"c0", "c1", "c2"} {
				classes[c] = rapid.Bool().Draw(t, c)
			}
			seen := index - uint64(rapid.IntRange(0, int(min(index, 50))).Draw(t, "lag"))
			e := blockedEval(fmt.Sprint("e", i), fmt.Sprint("j", rapid.IntRange(0, 3).Draw(t, "job")), index, seen, classes)
			for id, other := range asleep {
				if other.eval.JobID == e.JobID {
					delete(asleep, id) // the state cancels it
				}
			}
			asleep[e.ID] = &entry{eval: e}
			tr.Block(e, Need{})
			drain()
		}
		for id, e := range asleep {
			for _, c := range history {
				if c.Index > e.eval.SnapshotIndex && e.helpedBy(c) {
					t.Fatalf("%s sleeps through the change at %d", id, c.Index)
				}
			}
		}
	})
}
