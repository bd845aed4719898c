package alloc

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/structs"
)

func testShared() *Shared {
	id, version, index := "web", uint64(0), uint64(1)
	return &Shared{
		Namespace: "default", JobID: id, Group: "g", EvalID: "e", Ask: structs.Comparable{CPU: 10}, CreateIndex: 1,
		Job: &structs.Job{ID: &id, Version: &version, CreateIndex: &index},
	}
}

func testRows(t *Table, n int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = Row{Node: t.NodeRef(fmt.Sprintf("node%d", i%3), "n"), NameIndex: uint32(i)}
	}
	return rows
}

func idsOf(t *Table) []string {
	var out []string
	for v := range t.All() {
		out = append(out, v.ID())
	}
	return out
}

func TestIDsOfSlicesOfASeed(t *testing.T) {
	table := New()
	seed := ids.NewSeed()
	for _, first := range []uint32{0, 1000, 5000} {
		if _, ok := table.Add(seed, first, testShared(), testRows(table, 1000)); !ok {
			t.Fatalf("slice at %d was not taken", first)
		}
	}
	other := ids.NewSeed()
	table.Add(other, 7, testShared(), testRows(table, 3))
	if table.Count() != 3003 || len(idsOf(table)) != 3003 {
		t.Fatalf("%d counted, %d listed", table.Count(), len(idsOf(table)))
	}
	for _, id := range idsOf(table) {
		if v := table.Find(id); !v.Valid() || v.ID() != id {
			t.Fatalf("%s isn't found", id)
		}
	}
	for _, id := range []string{
		ids.Derive(seed, 2000), ids.Derive(seed, 4999), ids.Derive(seed, 6000), ids.Derive(other, 6), ids.Derive(other, 10),
		ids.New(), "", "x", ids.Derive(seed, 0)[:35],
	} {
		if v := table.Find(id); v.Valid() {
			t.Errorf("%q was found as %s", id, v.ID())
		}
	}
	for _, n := range []int{1, 4, 8, 9, 13, 36} {
		want := ids.Derive(seed, 5123)
		found := false
		for v := range table.ByPrefix(want[:n]) {
			if v.ID()[:n] != want[:n] {
				t.Fatalf("%s has not the prefix %s", v.ID(), want[:n])
			}
			found = found || v.ID() == want
		}
		if !found {
			t.Errorf("%s isn't found by its first %d characters", want, n)
		}
	}
}

func TestIDsAreGivenOnce(t *testing.T) {
	table := New()
	seed := ids.NewSeed()
	table.Add(seed, 100, testShared(), testRows(table, 50))
	reserved := seed
	reserved[6] ^= 0xf0 // not part of the IDs
	middle := seed
	middle[0] ^= 1
	for name, c := range map[string]struct {
		seed  ids.Seed
		first uint32
		rows  int
		want  bool
	}{
		"the same":           {seed, 100, 50, false},
		"overlap below":      {seed, 60, 41, false},
		"overlap above":      {seed, 149, 1, false},
		"within":             {seed, 110, 5, false},
		"the same IDs":       {reserved, 120, 1, false},
		"the same middle":    {middle, 0, 1, false},
		"beyond all numbers": {ids.NewSeed(), 1<<32 - 3, 5, false},
		"too many":           {ids.NewSeed(), 0, MaxRows + 1, false},
		"none":               {ids.NewSeed(), 0, 0, false},
		"below":              {seed, 50, 50, true},
		"above":              {seed, 150, 1, true},
	} {
		next := table.Begin()
		if _, ok := next.Add(c.seed, c.first, testShared(), testRows(next, c.rows)); ok != c.want {
			t.Errorf("%s: taken %v", name, ok)
		}
	}
	if table.Count() != 50 {
		t.Errorf("the table that was given away has %d allocations now", table.Count())
	}
}

func TestRemovedBatchesLeaveNothing(t *testing.T) {
	table := New()
	views, _ := table.Add(ids.NewSeed(), 0, testShared(), testRows(table, 40))
	over := *testShared()
	over.EvalID, over.DeploymentID = "e2", "d2"
	row := *views[3].Row()
	row.Over = &over
	table.Set(views[3].Ref(), row)
	table.Finish()
	table = table.Begin()
	if n := len(slices.Collect(table.ByEval("e2"))); n != 1 {
		t.Fatalf("%d moved to the other evaluation", n)
	}
	var refs []Ref
	for _, v := range views {
		refs = append(refs, v.Ref())
	}
	table.Remove(append(refs, refs[0]))
	table.Finish()
	for name, n := range map[string]int{
		"batches": table.batches.Len(), "seeds": table.bySeed.Len(), "jobs": table.byJob.Len(),
		"evals": table.byEval.Len(), "deployments": table.byDeployment.Len(), "uses": table.uses.Len(), "count": table.Count(),
	} {
		if n != 0 {
			t.Errorf("%d %s are left", n, name)
		}
	}
}

// Each version stays as it was, whatever is done to later ones; a version that
// was never finished leaves no trace.
func TestVersionsDontSeeEachOther(t *testing.T) {
	type frozen struct {
		table *Table
		want  []*structs.Allocation
		used  map[string]structs.Comparable
	}
	contents := func(table *Table) frozen {
		f := frozen{table: table, used: map[string]structs.Comparable{}}
		for v := range table.All() {
			f.want = append(f.want, v.Allocation())
			f.used[v.Row().Node.ID] = table.Used(v.Row().Node.ID)
		}
		return f
	}
	rapid.Check(t, func(rt *rapid.T) {
		table, serial := New(), byte(0)
		var versions []frozen
		for range rapid.IntRange(1, 15).Draw(rt, "versions") {
			versions = append(versions, contents(table))
			next := table.Begin()
			for range rapid.IntRange(1, 6).Draw(rt, "steps") {
				all := slices.Collect(next.All())
				if len(all) == 0 || rapid.IntRange(0, 3).Draw(rt, "step") == 0 {
					serial++
					next.Add(ids.Seed{8: serial}, 0, testShared(), testRows(next, rapid.IntRange(1, 70).Draw(rt, "rows")))
					continue
				}
				v := all[rapid.IntRange(0, len(all)-1).Draw(rt, "which")]
				if rapid.Bool().Draw(rt, "remove") {
					next.Remove([]Ref{v.Ref()})
					continue
				}
				row := *v.Row()
				row.Client = Client(rapid.IntRange(0, 5).Draw(rt, "status"))
				next.Set(v.Ref(), row)
			}
			next.Finish()
			if rapid.IntRange(0, 3).Draw(rt, "undo") > 0 {
				table = next
			}
		}
		for i, f := range versions {
			now := contents(f.table)
			if diff := cmp.Diff(f.want, now.want); diff != "" {
				rt.Fatalf("version %d changed:\n%s", i, diff)
			}
			if diff := cmp.Diff(f.used, now.used); diff != "" {
				rt.Fatalf("usage of version %d changed:\n%s", i, diff)
			}
		}
	})
}
