package control

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

func TestRegisteringTheSameAgainEvaluatesWithoutANewVersion(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		first := w.register(servertest.Job("web", "service", 1))
		again := w.register(servertest.Job("web", "service", 1))
		if again.EvalID == "" || again.EvalID == first.EvalID {
			t.Errorf("evaluations %q and %q", first.EvalID, again.EvalID)
		}
		if again.JobModifyIndex != first.JobModifyIndex {
			t.Errorf("the job changed from %d to %d", first.JobModifyIndex, again.JobModifyIndex)
		}
		if v := w.s.store.Snapshot().Job("default", "web").GetVersion(); v != 0 {
			t.Errorf("version %d", v)
		}
	})
}

func TestTheExpectedIndexIsEnforced(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		req := &structs.JobRegisterRequest{Job: servertest.Job("web", "service", 1), EnforceIndex: true, JobModifyIndex: 99}
		_, err := w.s.RegisterJob(t.Context(), req)
		var conflict *structs.EnforceIndexError
		if !errors.As(err, &conflict) {
			t.Fatalf("a job that doesn't exist was registered at index 99: %v", err)
		}
		req.JobModifyIndex = 0
		resp, err := w.s.RegisterJob(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		req.Job = with(req.Job, version("2"))
		if _, err = w.s.RegisterJob(t.Context(), req); !errors.As(err, &conflict) || conflict.Have != resp.JobModifyIndex {
			t.Fatalf("an existing job was registered as new: %v", err)
		}
		req.JobModifyIndex = resp.JobModifyIndex
		if _, err = w.s.RegisterJob(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBadJobsAreRefusedWithAllTheirFaults(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		job := servertest.Job("web", "service", -1)
		job.NodePool, job.Namespace = ptr("nowhere"), ptr("nobody")
		_, err := w.s.RegisterJob(t.Context(), &structs.JobRegisterRequest{Job: job})
		var invalid *structs.ValidationError
		if !errors.As(err, &invalid) || len(invalid.Faults) < 3 {
			t.Fatalf("got %v", err)
		}
		if w.s.store.Snapshot().Job("nobody", "web") != nil {
			t.Error("it was stored all the same")
		}
	})
}

func TestBlocksThatAreNotBuiltAreSaidToBe(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		block := func(id string, change func(g *structs.TaskGroup)) *structs.Job {
			job := servertest.Job(id, "service", 1)
			change(job.TaskGroups[0])
			return job
		}
		volume := func(v *structs.VolumeRequest) func(*structs.TaskGroup) {
			return func(g *structs.TaskGroup) { g.Volumes = map[string]*structs.VolumeRequest{"data": v} }
		}
		blocks := map[string]*structs.Job{
			"template blocks (group \"web\", task": block("t", func(g *structs.TaskGroup) {
				g.Tasks[0].Templates = []*structs.Template{{EmbeddedTmpl: ptr("x"), DestPath: ptr("local/x")}}
			}),
			"artifact blocks (group \"web\", task": block("a", func(g *structs.TaskGroup) {
				g.Tasks[0].Artifacts = []*structs.TaskArtifact{{GetterSource: ptr("https://example.com/x")}}
			}),
			"identity blocks (group \"web\", task": block("i", func(g *structs.TaskGroup) { g.Tasks[0].Identity = &structs.WorkloadIdentity{Env: true} }),
			"CSI volumes (group \"web\", volume \"data\")": block("c", volume(&structs.VolumeRequest{
				Name: "data", Type: "csi", Source: "x", AccessMode: "single-node-writer", AttachmentMode: "file-system",
			})),
			"(per_alloc) (group \"web\", volume \"data\")":    block("v", volume(&structs.VolumeRequest{Name: "data", Type: "host", Source: "x", PerAlloc: true})),
			"sticky volumes (group \"web\", volume \"data\")": block("k", volume(&structs.VolumeRequest{Name: "data", Type: "host", Source: "x", Sticky: true})),
			"networks of mode \"cni/blue\" (group \"web\")":   block("n", func(g *structs.TaskGroup) { g.Networks = []*structs.NetworkResource{{Mode: "cni/blue"}} }),
		}
		for want, job := range blocks {
			_, err := w.s.RegisterJob(t.Context(), &structs.JobRegisterRequest{Job: job})
			var e *structs.Error
			if !errors.As(err, &e) || e.Kind != structs.KindNotBuilt || !strings.Contains(e.Text, want) {
				t.Errorf("job %s: %v", job.GetID(), err)
			}
			if w.s.store.Snapshot().Job("default", job.GetID()) != nil {
				t.Errorf("job %s was stored all the same", job.GetID())
			}
		}
	})
}

func TestAPlanTellsWhatWouldHappenAndStoresNothing(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		job := servertest.Job("web", "service", 3)
		w.settled(job)
		w.pass(5 * time.Second) // what follows a deployment is over
		before := w.s.store.Snapshot().Index()
		next := with(job, func(g *structs.TaskGroup) {
			version("2")(g)
			g.Count = ptr(20)
		})
		plan, err := w.s.PlanJob(t.Context(), &structs.JobPlanRequest{Job: next, Diff: true})
		if err != nil {
			t.Fatal(err)
		}
		u := plan.Annotations.DesiredTGUpdates["web"]
		if u == nil || u.DestructiveUpdate+u.Ignore != 3 || u.Place != 17 {
			t.Errorf("updates %+v", u)
		}
		if m := plan.FailedTGAllocs["web"]; m == nil || m.NodesExhausted != 1 {
			t.Errorf("failed placements %+v", m)
		}
		if plan.Diff == nil || plan.Diff.Type != structs.DiffEdited {
			t.Errorf("diff %+v", plan.Diff)
		}
		if len(plan.CreatedEvals) != 1 || plan.CreatedEvals[0].Status != structs.EvalStatusBlocked {
			t.Errorf("evaluations %+v", plan.CreatedEvals)
		}
		if now := w.s.store.Snapshot().Index(); now != before {
			t.Errorf("the state went from index %d to %d", before, now)
		}
		if plan.JobModifyIndex == 0 {
			t.Error("no index to check against")
		}
	})
}

func TestAStoppedAllocationIsReplaced(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.settled(servertest.Job("web", "service", 2))
		victim := w.live(w.s.store.Snapshot(), "web")[0].ID
		resp, err := w.s.StopAlloc(t.Context(), &AllocStopRequest{AllocID: victim})
		if err != nil || resp.EvalID == "" {
			t.Fatalf("%+v, %v", resp, err)
		}
		w.until(5*time.Second, "another one runs in its place", func(snap *state.Snapshot) bool {
			return w.running("web", 2)(snap) && snap.Alloc(victim).ClientStatus == structs.AllocClientComplete
		})
	})
}

func TestRevertScaleAndTag(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.addNode("a")
		job := servertest.Job("web", "service", 2)
		w.settled(job)
		w.register(with(job, version("2")))
		w.until(5*time.Second, "the second deployment runs", deployed("web", structs.DeploymentStatusRunning))
		scale := &structs.ScalingRequest{Count: ptr(int64(4)), Target: map[string]string{"Group": "web"}}
		scale.Namespace = "default"
		if _, err := w.s.ScaleJob(ctx, "web", scale); err == nil {
			t.Error("a job was scaled during its deployment")
		}
		w.until(time.Minute, "the second version is deployed", w.atVersion("web", 2, 1))
		w.until(time.Minute, "the second version is deployed", deployed("web", structs.DeploymentStatusSuccessful))
		if _, err := w.s.TagJobVersion(ctx, &JobTagRequest{Namespace: "default", JobID: "web", Name: "good", Version: ptr(uint64(0))}); err != nil {
			t.Fatal(err)
		}
		revert := &structs.JobRevertRequest{JobID: "web", JobVersion: 0, EnforcePriorVersion: ptr(uint64(7))}
		revert.Namespace = "default"
		if _, err := w.s.RevertJob(ctx, revert); err == nil {
			t.Error("reverted though the current version is not the one demanded")
		}
		revert.EnforcePriorVersion = nil
		if _, err := w.s.RevertJob(ctx, revert); err != nil {
			t.Fatal(err)
		}
		w.until(time.Minute, "version 2 is what version 0 was", w.atVersion("web", 2, 2))
		w.until(time.Minute, "the revert is deployed", deployed("web", structs.DeploymentStatusSuccessful))
		resp, err := w.s.ScaleJob(ctx, "web", scale)
		if err != nil || resp.EvalID == "" {
			t.Fatalf("%+v, %v", resp, err)
		}
		w.until(time.Minute, "four run", w.running("web", 4))
		if tagged := w.s.store.Snapshot().JobVersionByTag("default", "web", "good"); tagged == nil || tagged.GetVersion() != 0 {
			t.Error("the tag is lost")
		}
	})
}

func TestADrainMovesEverythingAwayBitByBit(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.settled(servertest.Job("web", "service", 4))
		w.addNode("b")
		from := w.nodes["a"].id
		_, err := w.s.DrainNode(t.Context(), &structs.NodeUpdateDrainRequest{NodeID: from, DrainSpec: &structs.DrainSpec{Deadline: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		fewest := 4
		took := w.until(5*time.Minute, "the node is empty and its drain complete", func(snap *state.Snapshot) bool {
			n := 0
			for _, a := range w.live(snap, "web") {
				if a.ClientStatus == structs.AllocClientRunning && a.DesiredStatus == structs.AllocDesiredRun {
					n++
				}
			}
			fewest = min(fewest, n)
			node := snap.Node(from)
			return node.DrainStrategy == nil && node.LastDrain != nil && node.LastDrain.Status == structs.DrainStatusComplete
		})
		if fewest < 3 {
			t.Errorf("at one time %d of 4 ran, migrate max_parallel 1 allows 3", fewest)
		}
		if took > 35*time.Second { // three rounds of min_healthy_time, without a poll in between
			t.Errorf("it took %s", took)
		}
		for _, a := range w.live(w.s.store.Snapshot(), "web") {
			if a.NodeID == from {
				t.Errorf("%s is still on the drained node", a.Name)
			}
		}
		if n := w.s.store.Snapshot().Node(from); n.SchedulingEligibility != structs.NodeIneligible {
			t.Error("the drained node takes placements")
		}
	})
}

// The only allocation of a group waits for its replacement, for which there is no
// room; who stops it by hand doesn't wait.
func TestAStopDoesntWaitForAReplacement(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.settled(servertest.Job("web", "service", 1))
		only := w.live(w.s.store.Snapshot(), "web")[0].ID
		_, err := w.s.DrainNode(t.Context(), &structs.NodeUpdateDrainRequest{NodeID: w.nodes["a"].id, DrainSpec: &structs.DrainSpec{Deadline: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		w.pass(5 * time.Minute)
		if a := w.s.store.Snapshot().Alloc(only); a.TerminalStatus() || !a.DesiredTransition.Lasts() {
			t.Fatalf("the drain left the group without any: %s/%s, %+v", a.DesiredStatus, a.ClientStatus, a.DesiredTransition)
		}
		if _, err := w.s.StopAlloc(t.Context(), &AllocStopRequest{AllocID: only}); err != nil {
			t.Fatal(err)
		}
		w.until(time.Minute, "it is stopped", func(snap *state.Snapshot) bool { return snap.Alloc(only).ClientTerminal() })
	})
}

func TestGarbageIsCollectedAndWhatLivesStays(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.settled(servertest.Job("web", "service", 2))
		w.register(servertest.Job("sum", "batch", 2))
		w.until(30*time.Second, "the batch job is dead", func(snap *state.Snapshot) bool {
			return snap.Job("default", "sum").GetStatus() == structs.JobStatusDead
		})
		if err := w.s.GC(t.Context()); err != nil {
			t.Fatal(err)
		}
		snap := w.s.store.Snapshot()
		if snap.Job("default", "sum") != nil {
			t.Error("the dead job stayed")
		}
		if snap.Job("default", "web") == nil || len(w.live(snap, "web")) != 2 {
			t.Error("the living job suffered")
		}
		for a := range snap.Allocs("*", "") {
			if a.JobID == "sum" {
				t.Errorf("allocation %s stayed", a.Name)
			}
		}
		w.pass(10 * time.Minute)
		if err := w.s.GC(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !w.running("web", 2)(w.s.store.Snapshot()) {
			t.Error(w.describe())
		}
	})
}

func TestAPurgedNodesWorkIsReplaced(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.settled(servertest.Job("web", "service", 2))
		gone := w.nodes["a"]
		gone.set(func(n *fakeNode) { n.silent = true })
		w.addNode("b")
		if _, err := w.s.PurgeNode(t.Context(), gone.id); err != nil {
			t.Fatal(err)
		}
		w.until(10*time.Second, "the other node runs all", func(snap *state.Snapshot) bool {
			for _, a := range w.live(snap, "web") {
				if a.NodeID == gone.id {
					return false
				}
			}
			return w.running("web", 2)(snap)
		})
	})
}

func TestAnEvaluationThatCannotBeCommittedIsGivenUpAndFollowedUp(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.s.term.Load().broker.SetPaused(true)
		resp := w.register(servertest.Job("web", "service", 1))
		w.pass(time.Second)
		journal := w.s.journal.(*memoryJournal)
		journal.set(errors.New("the disk is full"))
		w.s.term.Load().broker.SetPaused(false)
		w.pass(time.Minute)
		journal.set(nil)
		w.until(10*time.Second, "the evaluation failed", func(snap *state.Snapshot) bool {
			return snap.Eval(resp.EvalID).Status == structs.EvalStatusFailed
		})
		follow := w.s.store.Snapshot().Eval(w.s.store.Snapshot().Eval(resp.EvalID).NextEval)
		if follow == nil || follow.TriggeredBy != structs.TriggerFailedFollowUp || time.Until(follow.WaitUntil) < 50*time.Second {
			t.Fatalf("follow-up %+v", follow)
		}
		w.until(7*time.Minute, "the follow-up places it", w.running("web", 1))
	})
}

func TestNodesReportOnlyAboutTheirOwnAllocations(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.settled(servertest.Job("web", "service", 1))
		other := w.addNode("b")
		victim := w.live(w.s.store.Snapshot(), "web")[0]
		owner := victim.NodeID
		thief := other.id
		if thief == owner {
			thief = w.nodes["a"].id
		}
		_, err := w.s.UpdateAllocs(t.Context(), thief, []*structs.AllocUpdate{{ID: victim.ID, ClientStatus: structs.AllocClientFailed}})
		if err != nil {
			t.Fatal(err)
		}
		if got := w.s.store.Snapshot().Alloc(victim.ID).ClientStatus; got != structs.AllocClientRunning {
			t.Errorf("a foreign node made the allocation %s", got)
		}
	})
}

func TestAPausedBrokerHoldsBackAndGoesOn(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		pause := func(on bool) {
			cfg := *w.s.store.Snapshot().SchedulerConfig()
			cfg.PauseEvalBroker = on
			if _, err := w.s.SetSchedulerConfig(t.Context(), &SchedulerConfigRequest{Config: &cfg}); err != nil {
				t.Fatal(err)
			}
		}
		pause(true)
		w.register(servertest.Job("web", "service", 1))
		w.pass(time.Minute)
		if n := len(w.live(w.s.store.Snapshot(), "web")); n != 0 {
			t.Errorf("%d allocations were placed", n)
		}
		pause(false)
		w.until(5*time.Second, "it runs", w.running("web", 1))
	})
}

func TestValidationSaysWhatIsWrongWithoutStoring(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		resp, err := w.s.ValidateJob(t.Context(), &structs.JobValidateRequest{Job: servertest.Job("web", "service", -1)})
		if err != nil || len(resp.ValidationErrors) == 0 || !strings.Contains(resp.Error, resp.ValidationErrors[0]) {
			t.Fatalf("%+v, %v", resp, err)
		}
		resp, err = w.s.ValidateJob(t.Context(), &structs.JobValidateRequest{Job: servertest.Job("web", "service", 1)})
		if err != nil || resp.Error != "" {
			t.Fatalf("%+v, %v", resp, err)
		}
	})
}
