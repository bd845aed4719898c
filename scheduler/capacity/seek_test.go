package capacity

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/structs"
)

// TestSeekFindsWhatLookingAtAllFinds places at random, and asks after each step
// for the best nodes: packing and spreading, with and without exclusions.
func TestSeekFindsWhatLookingAtAllFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := New()
		n := rapid.IntRange(1, 200).Draw(t, "nodes")
		sizes := rapid.IntRange(1, 4).Draw(t, "sizes")
		for i := range n {
			x.UpsertNode(sized(i, int64(1000*(1+i%sizes)), int64(2000*(1+i%sizes))))
		}
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			ask := Amount{CPU: rapid.Int64Range(0, 700).Draw(t, "cpu"), Memory: rapid.Int64Range(0, 1500).Draw(t, "memory")}
			s := Search{Ask: ask, Seed: rapid.Uint64().Draw(t, "seed")}
			keep := rapid.IntRange(1, 20).Draw(t, "keep")
			spread, skip := rapid.Bool().Draw(t, "spread"), rapid.IntRange(2, 9).Draw(t, "skip")
			s.Fit = func(least, most Pow) float64 {
				if spread {
					return most.CPU + most.Memory
				}
				return -(least.CPU + least.Memory)
			}
			s.Accept = func(i int32) bool { return int(i)%skip != 0 }
			got, want := first(x.Seek(s), keep), all(x, s, keep)
			if !slices.Equal(got, want) {
				t.Fatalf("step %d: %+v\nfound %v\nwant  %v", step, s.Ask, got, want)
			}
			if len(got) > 0 {
				for i := range rapid.IntRange(1, MaxStarting).Draw(t, "starts") {
					x.put(keyOf(fmt.Sprint("a", step, "-", i)), x.entryOf(got[0].Node, Amount{CPU: ask.CPU / int64(i+1)}, i > 0), nil)
				}
			}
			switch rapid.IntRange(0, 5).Draw(t, "then") {
			case 0:
				x.RemoveAlloc(fmt.Sprint("a", rapid.IntRange(0, step).Draw(t, "gone"), "-", rapid.IntRange(0, 3).Draw(t, "of")))
			case 1:
				x.RemoveNode(sized(rapid.IntRange(0, n-1).Draw(t, "down"), 0, 0).ID)
			case 2:
				i := rapid.IntRange(0, n-1).Draw(t, "up")
				x.UpsertNode(sized(i, int64(1000*(1+(i+1)%sizes)), 2000))
			}
		}
	})
}

// A number that a node gave back goes to the next one, perhaps before anybody
// has looked: nothing of the first may be left.
func TestSeekAfterANumberWentToAnotherNode(t *testing.T) {
	for _, size := range []int64{1000, 2000} { // of the second node: the same, another
		x := New()
		search := Search{Accept: func(int32) bool { return true }, Fit: func(least, _ Pow) float64 { return -least.CPU - least.Memory }}
		x.UpsertNode(sized(1, 1000, 1000))
		first(x.Seek(search), 1)
		x.RemoveNode(sized(1, 0, 0).ID)
		x.UpsertNode(sized(2, size, size))
		if got, want := first(x.Seek(search), 9), all(x, search, 9); !slices.Equal(got, want) {
			t.Errorf("found %v, want %v", got, want)
		}
		x.RemoveNode(sized(2, 0, 0).ID)
		if got := first(x.Seek(search), 9); len(got) > 0 {
			t.Errorf("found %v after all have gone", got)
		}
	}
}

func sized(i int, cpu, memory int64) *structs.Node {
	return &structs.Node{
		ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Status: structs.NodeStatusReady, SchedulingEligibility: structs.NodeEligible,
		NodeResources: &structs.NodeResources{
			Cpu: structs.NodeCpuResources{CpuShares: cpu}, Memory: structs.NodeMemoryResources{MemoryMB: memory},
			Disk: structs.NodeDiskResources{DiskMB: 1000},
		},
	}
}

func first(t *Stream, n int) []Found {
	var out []Found
	for len(out) < n {
		f, ok := t.Next()
		if !ok {
			break
		}
		out = append(out, f)
	}
	return out
}

// all is Seek without the trees.
func all(x *Index, s Search, keep int) []Found {
	var out []Found
	x.Ready().Each(func(i int32) {
		free := x.Total(i).Minus(x.Used(i))
		if !s.Accept(i) || free.CPU < s.Ask.CPU || free.Memory < s.Ask.Memory {
			return
		}
		f := FactorOf(s.Ask, x.Total(i))
		left := Pow{x.Pow(i).CPU * f.CPU, x.Pow(i).Memory * f.Memory}
		out = append(out, Found{Node: i, Score: s.Fit(left, left), Tie: Tie(x.Hash(i), s.Seed), Busy: x.Busy(i)})
	})
	slices.SortFunc(out, func(a, b Found) int {
		if a.Before(&b) {
			return -1
		}
		return 1
	})
	return out[:min(len(out), keep)]
}
