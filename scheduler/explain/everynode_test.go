package explain

import (
	"testing"

	"github.com/steppe-run/steppe/structs"
)

func TestWhyOfAJobOnEveryNode(t *testing.T) {
	w := &world{job: newJob(1, 400, 600)}
	w.job.Type = ptr("system")
	w.node("one", "a", 1000, 1000)
	w.node("two", "b", 300, 1000)
	w.node("three", "b", 1000, 1000)
	w.nodes[2].NodePool = "gpu"
	w.run("web.web[0]", "one", 0)
	summary := func() string {
		why, err := WhyJob(w.input(), w.job)
		if err != nil {
			t.Fatal(err)
		}
		return why.Groups[0].Summary
	}
	const short = "1 of 2 placed; 1 can't be placed: of 3 nodes, 1 is in another node pool, 1 fails once per node and 1 has no room: cpu (two comes nearest, it lacks 100 MHz)."
	if got := summary(); got != short {
		t.Errorf("a node without room: %s", got)
	}
	on := WhyNot(w.input(), w.nodes[0], w.job).Groups[0]
	if len(on.Conditions) != 1 || on.Conditions[0].Wanted != "at most 1 allocation of the group a node" {
		t.Errorf("a node that has one: %+v", on.Conditions)
	}
	w.node("four", "a", 1000, 1000)
	if got, want := summary(), "1 of 3 placed; 1 would be placed by an evaluation now: none is under way, steppe job eval makes one; the other 1 can't be placed then."; got != want {
		t.Errorf("a node that has come: %s", got)
	}
	w.nodes = w.nodes[:1]
	if got, want := summary(), "1 of 1 placed; it runs once on every node that suits it, and none is left that does."; got != want {
		t.Errorf("all is well: %s", got)
	}
	w.nodes, w.allocs = nil, nil
	if got, want := summary(), "no node is to run it; it runs once on every node that suits it, and none is left that does."; got != want {
		t.Errorf("no nodes: %s", got)
	}
}

func TestWhatReplacesWhatOnItsNode(t *testing.T) {
	w := &world{job: newJob(1, 400, 600)}
	w.job.Type = ptr("system")
	w.node("one", "a", 1000, 1000)
	w.node("two", "a", 1000, 1000)
	w.run("web.web[0]", "one", 0)
	w.run("web.web[0] of two", "two", 0)
	stop := func(id string) structs.AllocStop {
		return structs.AllocStop{AllocID: id, DesiredStatus: structs.AllocDesiredStop, DesiredDescription: structs.DescAllocUpdating}
	}
	out, _ := Outcome(w, w.job, &structs.Plan{
		JobID: "web", Stops: []structs.AllocStop{stop("web.web[0]"), stop("web.web[0] of two")},
		Groups: []structs.PlacementGroup{{TaskGroup: "web", Metrics: &structs.AllocationMetric{}, Rows: []structs.Placement{{NodeID: "one"}}}},
	})
	for _, s := range out.Stops {
		if s.Replaced != (s.NodeID == "one") {
			t.Errorf("%s on %s: replaced %t", s.AllocID, s.NodeID, s.Replaced)
		}
	}
}
