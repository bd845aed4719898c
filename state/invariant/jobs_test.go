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
