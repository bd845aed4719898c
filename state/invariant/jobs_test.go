package invariant

import (
	"slices"
	"testing"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func TestWhatIsDoneIsNotDoneAgain(t *testing.T) {
	for _, tc := range []struct {
		name, kind string
		index      uint32 // of the name of what is placed
		ended      string
		want       []string
	}{
		{name: "its part of a batch job", kind: "batch", ended: "complete", want: []string{"batch"}},
		{name: "another part", kind: "batch", ended: "complete", index: 1},
		{name: "it failed", kind: "batch", ended: "failed"},
		{name: "on its node", kind: "sysbatch", ended: "complete", index: 1, want: []string{"batch"}},
		{name: "it failed on its node", kind: "sysbatch", ended: "failed"},
		{name: "a service runs again", kind: "service", ended: "complete"},
	} {
		w := newWorld(t)
		job := service(2, 1)
		job.Type = &tc.kind
		node, allocs := w.running(job, 1)
		w.must(&command.UpdateAllocs{Updates: []*structs.AllocUpdate{{ID: allocs[0], ClientStatus: tc.ended}}})
		e := eval(ids.New(), "web", structs.TriggerJobRegister)
		w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{e}})
		got := w.apply(&command.ApplyPlans{Plans: []*structs.Plan{{
			EvalID: e.ID, Namespace: "default", JobID: "web",
			Groups: []structs.PlacementGroup{{
				TaskGroup: "g", Seed: ids.NewSeed(), Rows: []structs.Placement{{NodeID: node, NameIndex: tc.index}}, Resources: &structs.AllocatedResources{},
			}},
		}}})
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

// One that is back after it was replaced counts as one with its replacement: what
// replaces another one meanwhile isn't one too many.
func TestWhatIsBackCountsAsOneWithItsReplacement(t *testing.T) {
	w := newWorld(t)
	node, allocs := w.running(service(2, 2), 2)
	replace := func(what structs.Plan, previous string) []string {
		e := eval(ids.New(), "web", structs.TriggerNodeUpdate)
		w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{e}})
		what.EvalID, what.Namespace, what.JobID = e.ID, "default", "web"
		what.Groups = []structs.PlacementGroup{{
			TaskGroup: "g", Seed: ids.NewSeed(), Resources: &structs.AllocatedResources{},
			Rows: []structs.Placement{{NodeID: node, PreviousAllocation: previous, NameIndex: uint32(slices.Index(allocs, previous))}},
		}}
		return w.apply(&command.ApplyPlans{Plans: []*structs.Plan{&what}})
	}
	w.must(&command.UpdateAllocs{Updates: []*structs.AllocUpdate{{ID: allocs[1], ClientStatus: structs.AllocClientFailed}}})
	silent := node
	node = w.node()
	w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: silent, Status: structs.NodeStatusDisconnected}}})
	if got := replace(structs.Plan{Marks: []structs.AllocMark{{AllocID: allocs[0], ClientStatus: structs.AllocClientUnknown}}}, allocs[0]); len(got) > 0 {
		t.Fatalf("replaced: %v", got)
	}
	w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: silent, Status: structs.NodeStatusReady}}})
	w.must(&command.UpdateAllocs{Updates: []*structs.AllocUpdate{{ID: allocs[0], ClientStatus: structs.AllocClientRunning}}})
	if got := replace(structs.Plan{Stops: []structs.AllocStop{{AllocID: allocs[1], DesiredStatus: structs.AllocDesiredStop}}}, allocs[1]); len(got) > 0 {
		t.Errorf("the other one is replaced: %v", got)
	}
}
