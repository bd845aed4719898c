package capacity

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/structs"
)

// counted makes ids that are the seed with the row's number in the last byte.
func counted() IDs {
	return IDs{
		Derive: func(seed [16]byte, row uint32) [16]byte {
			seed[15] = byte(row)
			return seed
		},
		Row: func(seed, id [16]byte) (uint32, bool) {
			seed[15] = id[15]
			return uint32(id[15]), seed == id
		},
	}
}

// TestHoldIsSetAlloc: however plans and allocations are told, the nodes carry
// what a count of them one by one says.
func TestHoldIsSetAlloc(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, model := New(), map[key]*structs.Allocation{}
		for i := range 3 {
			x.UpsertNode(node(i, 1_000_000))
		}
		t.Repeat(map[string]func(*rapid.T){
			"hold": func(t *rapid.T) { holdSome(t, x, model) },
			"told": func(t *rapid.T) {
				a := someAlloc(t)
				model[keyOf(a.ID)] = a
				x.SetAlloc(a)
			},
			"gone": func(t *rapid.T) {
				a := someAlloc(t)
				delete(model, keyOf(a.ID))
				x.RemoveAlloc(a.ID)
			},
			"": func(t *rapid.T) {
				var used, allocs [3]int64
				for _, a := range model {
					i, _ := x.Number(a.NodeID)
					used[i] += AmountOf(a.AllocatedResources).CPU
					allocs[i]++
				}
				live := len(x.ledger.singles)
				for _, b := range x.ledger.batches {
					live += b.live
				}
				if len(model) == 0 && len(x.ledger.batches) > 0 {
					t.Fatalf("%d batches of nothing", len(x.ledger.batches))
				}
				if live != len(model) {
					t.Fatalf("%d entries for %d allocations", live, len(model))
				}
				for i := range int32(3) {
					if x.Used(i).CPU != used[i] || int64(x.Allocs(i)) != allocs[i] {
						t.Fatalf("node %d carries %d in %d, not %d in %d", i, x.Used(i).CPU, x.Allocs(i), used[i], allocs[i])
					}
				}
			},
		})
	})
}

// seedOf draws a seed: its second byte tells batches apart, its eighth is part of
// what ids have in common.
func seedOf(t *rapid.T) (seed [16]byte) {
	seed[1], seed[7] = byte(rapid.IntRange(0, 2).Draw(t, "batch")), byte(rapid.IntRange(0, 1).Draw(t, "common"))
	return seed
}

func textOf(seed [16]byte, row uint32) string {
	const hex = "0123456789abcdef"
	out := []byte(nil)
	for i, b := range counted().Derive(seed, row) {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out = append(out, '-')
		}
		out = append(out, hex[b>>4], hex[b&15])
	}
	return string(out)
}

func someAlloc(t *rapid.T) *structs.Allocation {
	a := alloc("", rapid.IntRange(0, 2).Draw(t, "node"), int64(rapid.IntRange(1, 3).Draw(t, "cpu")), rapid.SampledFrom([]int{0, 80, 81}).Draw(t, "port"))
	a.ID = textOf(seedOf(t), uint32(rapid.IntRange(0, 5).Draw(t, "row")))
	return a
}

// holdSome holds a plan: as new if it is, else again.
func holdSome(t *rapid.T, x *Index, model map[key]*structs.Allocation) {
	g := structs.PlacementGroup{Seed: seedOf(t), FirstRow: uint32(rapid.IntRange(0, 2).Draw(t, "first"))}
	first := alloc("", 0, int64(rapid.IntRange(1, 3).Draw(t, "cpu")))
	g.Resources = first.AllocatedResources
	fresh := true
	for r := range rapid.IntRange(1, 3).Draw(t, "rows") {
		a := *first
		a.ID, a.NodeID = textOf(g.Seed, g.FirstRow+uint32(r)), node(rapid.IntRange(0, 2).Draw(t, "node"), 1).ID
		fresh = fresh && model[keyOf(a.ID)] == nil
		model[keyOf(a.ID)] = &a
		g.Rows = append(g.Rows, structs.Placement{NodeID: a.NodeID})
	}
	plan := &structs.Plan{Groups: []structs.PlacementGroup{g}}
	if fresh {
		x.Hold(plan, counted())
	} else {
		x.HoldAgain(plan, counted())
	}
}
