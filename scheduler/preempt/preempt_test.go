package preempt

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/scheduler/capacity"
)

// drawNode draws a node that lacks something, and what could go.
func drawNode(t *rapid.T) *Node {
	total := capacity.Amount{CPU: 1000, Memory: 1000, Disk: 1000}
	n := &Node{
		Total: total,
		Over: capacity.Amount{
			CPU:    rapid.Int64Range(-100, 300).Draw(t, "cpu over"),
			Memory: rapid.Int64Range(-100, 300).Draw(t, "memory over"),
			Disk:   rapid.Int64Range(-100, 300).Draw(t, "disk over"),
		},
		Slots: rapid.IntRange(-2, 3).Draw(t, "slots"),
	}
	groups := []*Group{{}, {Gone: 1}, {}}
	for range rapid.IntRange(0, 7).Draw(t, "candidates") {
		n.Candidates = append(n.Candidates, Candidate{
			Priority:    rapid.SampledFrom([]int{10, 20, 30}).Draw(t, "priority"),
			Group:       rapid.SampledFrom(groups).Draw(t, "group"),
			MaxParallel: rapid.IntRange(0, 2).Draw(t, "max_parallel"),
			Amount: capacity.Amount{
				CPU:    rapid.Int64Range(0, 3).Draw(t, "cpu") * 50,
				Memory: rapid.Int64Range(0, 3).Draw(t, "memory") * 50,
				Disk:   rapid.Int64Range(0, 3).Draw(t, "disk") * 50,
			},
		})
	}
	slices.SortStableFunc(n.Candidates, func(a, b Candidate) int { return a.Priority - b.Priority })
	return n
}

// lacks reports whether a node still lacks anything once some are gone.
func lacks(n *Node, gone []int) bool {
	over := n.Over
	for _, at := range gone {
		over = over.Minus(n.Candidates[at].Amount)
	}
	return over.CPU > 0 || over.Memory > 0 || over.Disk > 0 || n.Slots > len(gone)
}

// costs adds up what it costs to let some go, in the words of the package's
// promises: each its priority, and a penalty beyond max_parallel.
func costs(n *Node, gone []int) float64 {
	cost, moving := 0.0, map[*Group]int{}
	for _, at := range gone {
		c := n.Candidates[at]
		moving[c.Group]++
		cost += float64(c.Priority)
		if beyond := c.Group.Gone + moving[c.Group] - c.MaxParallel; c.MaxParallel > 0 && beyond > 0 {
			cost += float64(crowded * beyond)
		}
	}
	return cost
}

// TestChoice wants of every choice that there is room afterwards, that none
// could be spared, that its figures are right, and that there is a choice if
// all together suffice.
func TestChoice(t *testing.T) {
	var h Chooser
	rapid.Check(t, func(t *rapid.T) {
		n := drawNode(t)
		var all []int
		for at := range n.Candidates {
			all = append(all, at)
		}
		choice, ok := h.Choose(n)
		if ok == lacks(n, all) {
			t.Fatalf("a choice is found: %v, all of %+v together suffice: %v", ok, n, !ok)
		}
		if !ok {
			return
		}
		if lacks(n, choice.Gone) {
			t.Fatalf("%+v lacks something although %v are gone", n, choice.Gone)
		}
		for i, at := range choice.Gone {
			if !lacks(n, slices.Delete(slices.Clone(choice.Gone), i, i+1)) {
				t.Fatalf("%d of %v could be spared of %+v", at, choice.Gone, n)
			}
		}
		if want := costs(n, choice.Gone); choice.Cost != want {
			t.Fatalf("%v cost %v, not %v", choice.Gone, choice.Cost, want)
		}
		left := capacity.Amount{}.Minus(n.Over)
		for _, at := range choice.Gone {
			left = left.Plus(n.Candidates[at].Amount)
		}
		if choice.Left != left {
			t.Fatalf("%+v is left, not %+v", choice.Left, left)
		}
	})
}

// TestLowestFirst wants nobody evicted for whom somebody of a lower priority
// would do.
func TestLowestFirst(t *testing.T) {
	var h Chooser
	size := func(cpu int64) capacity.Amount { return capacity.Amount{CPU: cpu, Memory: 1, Disk: 1} }
	n := &Node{Total: size(1000), Over: capacity.Amount{CPU: 100}, Candidates: []Candidate{
		{Priority: 10, Group: &Group{}, Amount: size(50)},
		{Priority: 10, Group: &Group{}, Amount: size(300)},
		{Priority: 10, Group: &Group{}, Amount: size(120)},
		{Priority: 20, Group: &Group{}, Amount: size(100)},
	}}
	if choice, ok := h.Choose(n); !ok || !slices.Equal(choice.Gone, []int{2}) {
		t.Errorf("%v go, not the one of the lowest priority that comes closest", choice.Gone)
	}
	n.Candidates = n.Candidates[:0]
	if _, ok := h.Choose(n); ok {
		t.Error("nobody can go, and that is said to be enough")
	}
}

// TestMaxParallelIsSpared wants that a group that moves as many as it may is
// left alone while another one will do.
func TestMaxParallelIsSpared(t *testing.T) {
	var h Chooser
	one := capacity.Amount{CPU: 100, Memory: 100, Disk: 100}
	busy := &Group{Gone: 1}
	n := &Node{Total: capacity.Amount{CPU: 1000, Memory: 1000, Disk: 1000}, Over: one, Candidates: []Candidate{
		{Priority: 10, Group: busy, MaxParallel: 1, Amount: one},
		{Priority: 10, Group: &Group{}, MaxParallel: 1, Amount: one},
	}}
	if choice, ok := h.Choose(n); !ok || !slices.Equal(choice.Gone, []int{1}) {
		t.Errorf("%v go, not the one whose group holds still", choice.Gone)
	}
}

// TestPromise wants that no choice is better than what was promised of the
// crowd.
func TestPromise(t *testing.T) {
	var h Chooser
	rapid.Check(t, func(t *rapid.T) {
		n := drawNode(t)
		if len(n.Candidates) == 0 {
			return
		}
		crowd := crowdOf(n)
		promise, possible := n.Promise(&crowd)
		choice, ok := h.Choose(n)
		if ok && !possible {
			t.Fatalf("%v suffice of %+v, which is said to be impossible", choice.Gone, n)
		}
		if !ok || len(choice.Gone) == 0 {
			return
		}
		if choice.Cost < promise.Cost || len(choice.Gone) < promise.Number {
			t.Fatalf("%v cost %v, less than promised: %+v", choice.Gone, choice.Cost, promise)
		}
		if below(choice.Left, promise.Least) || below(promise.Most, choice.Left) {
			t.Fatalf("%+v is left, beyond what was promised: %+v", choice.Left, promise)
		}
	})
}

func below(a, b capacity.Amount) bool { return a.CPU < b.CPU || a.Memory < b.Memory || a.Disk < b.Disk }

func crowdOf(n *Node) capacity.Crowd {
	first := &n.Candidates[0]
	crowd := capacity.Crowd{N: int32(len(n.Candidates)), Lowest: int32(first.Priority), Highest: int32(first.Priority), Least: first.Amount, Most: first.Amount}
	for i := range n.Candidates {
		c := &n.Candidates[i]
		a := c.Amount
		crowd.Sum = crowd.Sum.Plus(a)
		crowd.Highest = max(crowd.Highest, int32(c.Priority))
		crowd.Least = capacity.Amount{CPU: min(crowd.Least.CPU, a.CPU), Memory: min(crowd.Least.Memory, a.Memory), Disk: min(crowd.Least.Disk, a.Disk)}
		crowd.Most = capacity.Amount{CPU: max(crowd.Most.CPU, a.CPU), Memory: max(crowd.Most.Memory, a.Memory), Disk: max(crowd.Most.Disk, a.Disk)}
	}
	return crowd
}
