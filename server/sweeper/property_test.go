package sweeper

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// needs lists what may not be gone from a later state although it was in an
// earlier one: what is alive, and what that refers to.
func needs(s *state.Snapshot) map[string]string {
	out := map[string]string{}
	job := func(ns, id, why string) {
		if s.Job(ns, id) != nil {
			out["job "+ns+"/"+id] = why
		}
	}
	eval := func(id, why string) {
		if s.Eval(id) != nil {
			out["eval "+id] = why
		}
	}
	for a := range s.Allocs("*", "") {
		n := s.Node(a.NodeID)
		unheard := a.ServerTerminal() && (n == nil || n.Status == structs.NodeStatusDown)
		if a.ClientTerminal() || unheard {
			continue
		}
		why := "for running allocation " + a.ID
		out["alloc "+a.ID] = "it runs"
		job(a.Namespace, a.JobID, why)
		eval(a.EvalID, why)
		if a.DeploymentID != "" && s.Deployment(a.DeploymentID) != nil {
			out["deployment "+a.DeploymentID] = why
		}
		out["node "+a.NodeID] = why
	}
	for e := range s.Evals("*", "") {
		if !e.Terminal() {
			out["eval "+e.ID] = "it is not done"
			job(e.Namespace, e.JobID, "for evaluation "+e.ID)
			eval(e.PreviousEval, "it tells what evaluation "+e.ID+" waits for")
		}
	}
	for d := range s.Deployments("*", "") {
		if d.Active() {
			out["deployment "+d.ID] = "it is active"
			job(d.Namespace, d.JobID, "for deployment "+d.ID)
		}
	}
	for j := range s.Jobs("*", "") {
		if j.GetStatus() != structs.JobStatusDead {
			job(j.GetNamespace(), j.GetID(), "it is not dead")
			job(j.GetNamespace(), j.GetParentID(), "its child "+j.GetID()+" is not dead")
		}
	}
	for n := range s.Nodes("") {
		if n.Status != structs.NodeStatusDown {
			out["node "+n.ID] = "it is not down"
		}
	}
	return out
}

// has says what there is, in the words of needs.
func has(s *state.Snapshot) map[string]bool {
	out := map[string]bool{}
	for a := range s.Allocs("*", "") {
		out["alloc "+a.ID] = true
	}
	for e := range s.Evals("*", "") {
		out["eval "+e.ID] = true
	}
	for d := range s.Deployments("*", "") {
		out["deployment "+d.ID] = true
	}
	for j := range s.Jobs("*", "") {
		out["job "+j.GetNamespace()+"/"+j.GetID()] = true
	}
	for n := range s.Nodes("") {
		out["node "+n.ID] = true
	}
	return out
}

// Whatever has happened: what is alive, and what that refers to, is never swept;
// once everything is stopped and old, nothing is left.
func TestOnlyWhatNothingNeedsGoesAndAllOfItInTheEnd(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		now := start
		kinds := []string{structs.JobTypeService, structs.JobTypeBatch}
		statuses := []string{structs.AllocClientRunning, structs.AllocClientComplete, structs.AllocClientFailed, structs.AllocClientLost, structs.AllocClientPending}
		var allocs []string
		evals := map[string][]string{} // by job
		for i := range rapid.IntRange(1, 25).Draw(rt, "steps") {
			w.register()
			job := fmt.Sprint("job", rapid.IntRange(0, 3).Draw(rt, "job"))
			switch rapid.IntRange(0, 7).Draw(rt, "step") {
			default:
				kind := rapid.SampledFrom(kinds).Draw(rt, "kind")
				e, a := w.run(job, kind, rapid.SampledFrom(statuses).Draw(rt, "status"))
				evals[job], allocs = append(evals[job], e), append(allocs, a)
			case 3:
				if len(allocs) > 0 {
					w.do(&command.UpdateAllocs{Now: now.UnixNano(), Updates: []*structs.AllocUpdate{{
						ID: rapid.SampledFrom(allocs).Draw(rt, "alloc"), ClientStatus: rapid.SampledFrom(statuses).Draw(rt, "status"), ModifyTime: now.UnixNano(),
					}}})
				}
			case 4:
				if w.store.Snapshot().Job("default", job) != nil {
					w.do(&command.DeregisterJob{Namespace: "default", JobID: job, Now: now.UnixNano(), Purge: rapid.Bool().Draw(rt, "purge")})
				}
			case 5:
				e := &structs.Evaluation{ID: ids.New(), Namespace: "default", JobID: job, Type: "service", CreateTime: now.UnixNano(), ModifyTime: now.UnixNano(),
					Status: rapid.SampledFrom([]string{structs.EvalStatusBlocked, structs.EvalStatusPending, structs.EvalStatusFailed}).Draw(rt, "eval")}
				if len(evals[job]) > 0 {
					e.PreviousEval = rapid.SampledFrom(evals[job]).Draw(rt, "previous")
				}
				w.do(&command.UpsertEvals{Evals: []*structs.Evaluation{e}, Now: now.UnixNano()})
			case 6:
				status := rapid.SampledFrom([]string{structs.NodeStatusDown, structs.NodeStatusReady}).Draw(rt, "node")
				w.do(&command.SetNodeStatus{Now: now.UnixNano(), Nodes: []command.NodeStatus{{NodeID: w.node, Status: status}}})
			case 7:
				child, parent := fmt.Sprint("child", i), job
				w.run(child, structs.JobTypeBatch, rapid.SampledFrom(statuses).Draw(rt, "status"))
				j := w.store.Snapshot().Job("default", child).Clone()
				j.ParentID, j.Meta = &parent, map[string]string{"child": "yes"}
				w.do(&command.RegisterJob{Job: j, Now: now.UnixNano()})
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(rt, "minutes")) * time.Minute)
			before := w.store.Snapshot()
			w.sweep(now.Sub(start), rapid.Bool().Draw(rt, "force"))
			after := has(w.store.Snapshot())
			for what, why := range needs(before) {
				if !after[what] {
					rt.Fatalf("%s was swept: %s", what, why)
				}
			}
		}
		w.endAll(now)
		now = now.Add(1000 * time.Hour)
		for range 4 { // what one round sets free goes in the next
			w.sweep(now.Sub(start), false)
		}
		var left []string
		for what := range has(w.store.Snapshot()) {
			left = append(left, what)
		}
		if len(left) > 0 {
			rt.Fatalf("never swept: %s", strings.Join(left, ", "))
		}
	})
}

// endAll stops and ends everything there is.
func (w *world) endAll(now time.Time) {
	w.register()
	nanos := now.UnixNano()
	snap := w.store.Snapshot()
	for j := range snap.Jobs("*", "") {
		w.do(&command.DeregisterJob{Namespace: "default", JobID: j.GetID(), Now: nanos})
	}
	for a := range snap.Allocs("*", "") {
		w.do(&command.UpdateAllocs{Now: nanos, Updates: []*structs.AllocUpdate{{ID: a.ID, ClientStatus: structs.AllocClientComplete, ModifyTime: nanos}}})
	}
	for e := range w.store.Snapshot().Evals("*", "") {
		if !e.Terminal() {
			done := e.Clone()
			done.Status = structs.EvalStatusComplete
			w.do(&command.UpsertEvals{Evals: []*structs.Evaluation{done}, Now: nanos})
		}
	}
	w.do(&command.SetNodeStatus{Now: nanos, Nodes: []command.NodeStatus{{NodeID: w.node, Status: structs.NodeStatusDown}}})
}

// A round over many allocations that may not go yet looks at columns only.
func BenchmarkARoundOverManyAllocations(b *testing.B) {
	w := newWorld(b)
	const batches, rows = 200, 10_000
	w.run("many", "service", structs.AllocClientRunning)
	job := w.store.Snapshot().Job("default", "many")
	small := job.TaskGroups[0].AllocatedResources()
	small.Shared.DiskMB = 0
	for _, task := range small.Tasks {
		task.Cpu.CpuShares, task.Memory.MemoryMB = 0, 0
	}
	for range batches {
		e := &structs.Evaluation{ID: ids.New(), Namespace: "default", JobID: "many", Type: "service", Status: structs.EvalStatusPending}
		w.do(&command.UpsertEvals{Evals: []*structs.Evaluation{e}, Now: start.UnixNano()})
		done := e.Clone()
		done.Status = structs.EvalStatusComplete
		p := structs.PlacementGroup{TaskGroup: "g", Seed: ids.NewSeed(), Resources: small}
		for i := range rows {
			p.Rows = append(p.Rows, structs.Placement{NodeID: w.node, NameIndex: uint32(i)})
		}
		w.do(&command.ApplyPlans{Now: start.UnixNano(), Evals: []*structs.Evaluation{done}, Plans: []*structs.Plan{{
			EvalID: e.ID, Namespace: "default", JobID: "many", Groups: []structs.PlacementGroup{p},
		}}})
	}
	snap := w.store.Snapshot()
	if n := snap.AllocCount(); n < batches*rows {
		b.Fatalf("%d allocations", n)
	}
	b.ReportAllocs()
	for b.Loop() {
		if commands, _ := New(thresholds).Step(snap, start.Add(1000*time.Hour), false); len(commands) != 0 {
			b.Fatal("something that runs may go")
		}
	}
}
