package reconcile

import (
	"testing"

	"github.com/steppe-run/steppe/structs"
)

// TestWhichVersionsMayStillBePlaced asks for older versions of the same job that
// are surely kept and have the group.
func TestWhichVersionsMayStillBePlaced(t *testing.T) {
	version := func(created, n uint64, group string) *structs.Job {
		return &structs.Job{CreateIndex: &created, Version: &n, TaskGroups: []*structs.TaskGroup{{Name: &group}}}
	}
	g := &group{name: "g", run: &run{Input: Input{Job: version(7, 20, "g")}}}
	for name, c := range map[string]struct {
		job  *structs.Job
		want bool
	}{
		"none":                   {nil, false},
		"the one before":         {version(7, 19, "g"), true},
		"the oldest that's kept": {version(7, 15, "g"), true},
		"too old":                {version(7, 14, "g"), false},
		"the newest":             {version(7, 20, "g"), false},
		"a newer one":            {version(7, 21, "g"), false},
		"of an earlier job":      {version(3, 19, "g"), false},
		"without the group":      {version(7, 19, "other"), false},
	} {
		if got := g.placeable(c.job); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// readyNodes are nodes that take allocations.
type readyNodes map[string]bool

func (n readyNodes) Has(id string) bool { return n[id] }

func (n readyNodes) Each(yield func(id string)) {
	for id := range n {
		yield(id)
	}
}

// TestWhatMayStayOnItsNode has nodes that take allocations, that would if they were
// ready, and that don't suit.
func TestWhatMayStayOnItsNode(t *testing.T) {
	ready := func(id string) *structs.Node {
		return &structs.Node{ID: id, Status: structs.NodeStatusReady, SchedulingEligibility: structs.NodeEligible}
	}
	ineligible := func(id string) *structs.Node {
		n := ready(id)
		n.SchedulingEligibility = structs.NodeIneligible
		return n
	}
	nodes := map[string]*structs.Node{
		"takes": ready("takes"), "unsuitable": ready("unsuitable"), "closed": ineligible("closed"), "closed and unsuitable": ineligible("closed and unsuitable"),
	}
	e := &everywhere{nodes: readyNodes{"takes": true}, group: group{run: &run{Input: Input{
		Node: func(id string) *structs.Node { return nodes[id] },
		Fits: func(_ *structs.TaskGroup, n *structs.Node) bool { return n.ID == "takes" || n.ID == "closed" },
	}}}}
	for id, want := range map[string]bool{"takes": true, "unsuitable": false, "closed": true, "closed and unsuitable": false, "gone": false} {
		if got := e.suits(&structs.Allocation{NodeID: id}); got != want {
			t.Errorf("%s: %v", id, got)
		}
	}
}
