package state

import (
	"bytes"
	"slices"
	"testing"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// everyNodeJob registers a job of one task that runs on every node.
func (w *world) everyNodeJob(id, kind string, change func(*structs.Job)) {
	j := testJob(id, 1)
	j.Type = &kind
	if change != nil {
		change(j)
	}
	w.must(&command.RegisterJob{Job: j, Now: w.now})
}

// pending lists the jobs that have an evaluation of a trigger which isn't done.
func (w *world) pending(trigger string) (jobs []string) {
	for e := range w.snap().Evals("*", "") {
		if e.TriggeredBy == trigger && !e.Terminal() {
			jobs = append(jobs, e.JobID)
		}
	}
	return jobs
}

func TestANodeThatComesHasJobsOnEveryNodeEvaluated(t *testing.T) {
	w := newWorld(t)
	w.everyNodeJob("agent", "system", nil)
	w.everyNodeJob("web", "service", nil)
	w.everyNodeJob("elsewhere", "system", func(j *structs.Job) { j.Datacenters = []string{"eu-*"} })
	w.must(&command.UpsertNodePools{Pools: []*structs.NodePool{{Name: "gpu"}}})
	w.everyNodeJob("pool", "system", func(j *structs.Job) { j.NodePool = ptr("gpu") })
	w.everyNodeJob("stopped", "sysbatch", func(j *structs.Job) { j.Stop = ptr(true) })
	w.everyNodeJob("parent", "sysbatch", func(j *structs.Job) { j.ParameterizedJob = &structs.ParameterizedJobConfig{} })
	w.everyNodeJob("turned", "system", nil)
	w.everyNodeJob("turned", "batch", nil)

	var data bytes.Buffer
	if err := w.store.Persist(&data); err != nil {
		t.Fatal(err)
	}
	w.store = New(Options{})
	if err := w.store.Restore(&data); err != nil {
		t.Fatal(err)
	}

	w.everyNodeJob("turns", "system", nil)
	w.everyNodeJob("turns", "batch", nil)

	id := ids.New()
	w.must(&command.RegisterNode{Node: testNode(id), Now: w.now})
	equal(t, "without a seed", w.pending(structs.TriggerNodeUpdate), []string(nil))
	w.must(&command.SetNodeStatus{EvalSeed: ids.New(), Nodes: []command.NodeStatus{{NodeID: id, Status: "down"}}, Now: w.now})
	equal(t, "a node that goes", w.pending(structs.TriggerNodeUpdate), []string(nil))
	r := w.must(&command.SetNodeStatus{EvalSeed: ids.New(), Nodes: []command.NodeStatus{{NodeID: id, Status: "ready"}}, Now: w.now}).(*NodeResult)
	equal(t, "a node that comes back", w.pending(structs.TriggerNodeUpdate), []string{"agent"})
	equal(t, "what it is told", len(r.EvalIDs), 1)
	e := w.snap().Eval(r.EvalIDs[0])
	equal(t, "its evaluation", []any{e.Type, e.NodeID, e.Status, e.CreateTime}, []any{"system", id, "pending", w.now - 1e9})

	again := w.must(&command.SetNodeStatus{EvalSeed: ids.New(), Nodes: []command.NodeStatus{{NodeID: id, Status: "ready"}}, Now: w.now}).(*NodeResult)
	equal(t, "nothing has changed", len(again.EvalIDs), 0)
	brought := &structs.Evaluation{ID: ids.New(), Namespace: "default", JobID: "agent", Type: "system", Status: "pending", TriggeredBy: "node-update"}
	r = w.must(&command.SetNodeEligibility{NodeID: id, Eligibility: "ineligible", EvalSeed: ids.New(), Now: w.now}).(*NodeResult)
	equal(t, "ineligible", len(r.EvalIDs), 0)
	r = w.must(&command.SetNodeEligibility{NodeID: id, Eligibility: "eligible", EvalSeed: ids.New(), Evals: []*structs.Evaluation{brought}, Now: w.now}).(*NodeResult)
	equal(t, "one was brought", len(r.EvalIDs), 0)
}

// TestWhoIsEvaluatedWhenANodeChanges has one job of each kind on a node: what goes
// on there is evaluated, each job once, and what has ended isn't.
func TestWhoIsEvaluatedWhenANodeChanges(t *testing.T) {
	w := newWorld(t)
	id := w.addNode()
	on := func(job, status string) {
		placed := w.place(w.register(testJob(job, 1)), rowsOn(id)...)
		w.report(placed[0], status)
	}
	on("web", structs.AllocClientRunning)
	on("purged", structs.AllocClientRunning)
	on("done", structs.AllocClientComplete)
	w.everyNodeJob("agent", "system", nil)
	w.place(w.register(w.snap().Job("default", "agent")), rowsOn(id)...)
	w.must(&command.DeregisterJob{Namespace: "default", JobID: "purged", Purge: true, Now: w.now})
	w.must(&command.RegisterNode{Node: testNode(ids.New()), Now: w.now}) // another, with nothing on it

	evaluated := func(result any) []string {
		t.Helper()
		var jobs []string
		for _, id := range result.(*NodeResult).EvalIDs {
			e := w.snap().Eval(id)
			if e.NodeModifyIndex != w.index || e.TriggeredBy != structs.TriggerNodeUpdate && e.TriggeredBy != structs.TriggerReconnect {
				t.Errorf("%+v", e)
			}
			jobs = append(jobs, e.JobID+" "+e.TriggeredBy)
		}
		slices.Sort(jobs)
		return jobs
	}
	status := func(to string) any {
		return w.must(&command.SetNodeStatus{EvalSeed: ids.New(), Nodes: []command.NodeStatus{{NodeID: id, Status: to}}, Now: w.now})
	}
	eligible := func(to string) any {
		return w.must(&command.SetNodeEligibility{NodeID: id, Eligibility: to, EvalSeed: ids.New(), Now: w.now})
	}
	all := []string{"agent node-update", "purged node-update", "web node-update"}
	equal(t, "down", evaluated(status("down")), all)
	equal(t, "down as before", evaluated(status("down")), []string(nil))
	equal(t, "ready", evaluated(status("ready")), all)
	equal(t, "ineligible", evaluated(eligible("ineligible")), all)
	equal(t, "eligible", evaluated(eligible("eligible")), all)
	equal(t, "disconnected", evaluated(status("disconnected")), all)
	equal(t, "back", evaluated(status("ready")), []string{"agent reconnect", "purged reconnect", "web reconnect"})
	moved := testNode(id)
	moved.Meta = map[string]string{"rack": "b"}
	equal(t, "changed", evaluated(w.must(&command.RegisterNode{Node: moved, EvalSeed: ids.New(), Now: w.now})), all)
	equal(t, "registered as it was", evaluated(w.must(&command.RegisterNode{Node: moved, EvalSeed: ids.New(), Now: w.now})), []string(nil))
	equal(t, "gone", evaluated(w.must(&command.DeleteNodes{NodeIDs: []string{id}, EvalSeed: ids.New(), Now: w.now})), all)
}

func TestAPlanResizesTheDeploymentThatIsThere(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 2))
	job := w.snap().Job("default", "web")
	d := &structs.Deployment{
		ID: ids.New(), Namespace: "default", JobID: "web", JobCreateIndex: job.GetCreateIndex(), Status: "running",
		TaskGroups: map[string]*structs.DeploymentState{"web": {DesiredTotal: 1, DesiredCanaries: 1}},
	}
	p := w.plan(e, structs.Placement{NodeID: node})
	p.Deployment, p.Groups[0].DeploymentID = d, d.ID
	w.must(&command.ApplyPlans{Plans: []*structs.Plan{p}, Now: w.now})
	next := *d
	next.TaskGroups = map[string]*structs.DeploymentState{"web": {DesiredTotal: 3, DesiredCanaries: 2}, "other": {DesiredTotal: 7}}
	w.must(&command.ApplyPlans{Plans: []*structs.Plan{{EvalID: e.ID, Namespace: "default", JobID: "web", Deployment: &next}}, Now: w.now})
	equal(t, "resized", w.snap().Deployment(d.ID).TaskGroups, map[string]*structs.DeploymentState{
		"web": {DesiredTotal: 3, DesiredCanaries: 2, PlacedAllocs: 1},
	})
}
