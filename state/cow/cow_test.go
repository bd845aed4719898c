package cow

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestCopiesDontSeeLaterChanges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		live := New(cmp.Less[int])
		model := map[int]bool{}
		type frozen struct {
			tree Tree[int]
			want []int
		}
		var copies []frozen
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			key := rapid.IntRange(0, 100).Draw(rt, "key")
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0, 1:
				live.Set(key)
				model[key] = true
			case 2:
				if live.Delete(key) != model[key] {
					rt.Fatalf("Delete(%d) disagrees with the model", key)
				}
				delete(model, key)
			case 3:
				copies = append(copies, frozen{live, slices.Collect(live.All())})
				live.Share()
			}
		}
		if live.Len() != len(model) {
			rt.Fatalf("Len is %d, want %d", live.Len(), len(model))
		}
		for i, c := range copies {
			if got := slices.Collect(c.tree.All()); !slices.Equal(got, c.want) {
				rt.Fatalf("copy %d is now %v, was %v", i, got, c.want)
			}
		}
	})
}

func TestOrderedWalks(t *testing.T) {
	tree := New(cmp.Less[int])
	for _, n := range []int{5, 1, 3, 9, 7} {
		tree.Set(n)
	}
	if got := slices.Collect(tree.From(4)); !slices.Equal(got, []int{5, 7, 9}) {
		t.Errorf("From(4) = %v", got)
	}
	if got := slices.Collect(tree.Down(4)); !slices.Equal(got, []int{3, 1}) {
		t.Errorf("Down(4) = %v", got)
	}
	if _, ok := tree.Get(4); ok {
		t.Error("Get(4) found what isn't there")
	}
}
