package state

import (
	"errors"
	"testing"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// FuzzApply feeds bytes to a store as if they were an entry of the log: no
// panic, not even a caught one, and no invariant broken.
func FuzzApply(f *testing.F) {
	w := sample(f)
	node := ""
	for n := range w.snap().Nodes("") {
		node = n.ID
	}
	e := testEval(testJob("cron", 1))
	for _, c := range []command.Command{
		&command.ApplyPlans{Plans: []*structs.Plan{w.plan(e, rowsOn(node, node)...)}, Evals: []*structs.Evaluation{e}},
		&command.RegisterJob{Job: testJob("cron", 1), Eval: e},
		&command.RegisterNode{Node: testNode(node), CreatePool: true},
		&command.UpdateAllocs{Updates: []*structs.AllocUpdate{{ID: e.ID, ClientStatus: "running"}}},
		&command.Sweep{NodeIDs: []string{node}},
		&command.DeregisterJob{Namespace: "default", JobID: "cron", Purge: true},
		&command.DispatchJob{Job: testJob("cron/dispatch-1", 1), ParentModifyIndex: 1, Eval: e},
		&command.LaunchJobs{Launches: []command.Launch{{Namespace: "default", JobID: "cron", ParentModifyIndex: w.snap().Job("default", "cron").GetJobModifyIndex(),
			Instant: 60, Job: testJob("cron/periodic-60", 1), Eval: e, Note: "n"}}},
	} {
		entry, err := command.Encode(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(entry)
	}
	base := w.snap()
	f.Fuzz(func(t *testing.T, entry []byte) {
		c, err := command.Decode(entry)
		if err != nil {
			return
		}
		tx := begin(base.t, base.Index()+1)
		_, err = tx.perform(c)
		var panicked *PanicError
		if errors.As(err, &panicked) {
			t.Fatal(panicked)
		}
	})
}
