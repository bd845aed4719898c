package control

import (
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAServiceIsDeployed(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.addNode("b")
		resp := w.register(servertest.Job("web", "service", 3))
		w.until(2*time.Second, "3 allocations run", w.running("web", 3))
		w.until(15*time.Second, "the deployment succeeds", deployed("web", structs.DeploymentStatusSuccessful))
		snap := w.s.store.Snapshot()
		if e := snap.Eval(resp.EvalID); e.Status != structs.EvalStatusComplete {
			t.Errorf("the evaluation is %s", e.Status)
		}
		if job := snap.Job("default", "web"); !job.IsStable() || job.GetStatus() != structs.JobStatusRunning {
			t.Errorf("the job is %s, stable: %v", job.GetStatus(), job.IsStable())
		}
	})
}

func TestABatchJobRunsToCompletionOnce(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.register(servertest.Job("sum", "batch", 4))
		w.until(20*time.Second, "the job is dead", func(snap *state.Snapshot) bool {
			return snap.Job("default", "sum").GetStatus() == structs.JobStatusDead
		})
		w.pass(time.Minute)
		n := 0
		for a := range w.s.store.Snapshot().AllocsByJob("default", "sum") {
			n++
			if a.ClientStatus != structs.AllocClientComplete {
				t.Errorf("allocation %s is %s", a.Name, a.ClientStatus)
			}
		}
		if n != 4 {
			t.Errorf("%d allocations ran, want 4", n)
		}
	})
}

func TestAFailedAllocationIsRescheduled(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.addNode("b")
		w.register(servertest.Job("web", "service", 2))
		w.until(20*time.Second, "the deployment succeeds", deployed("web", structs.DeploymentStatusSuccessful))
		victim := w.live(w.s.store.Snapshot(), "web")[0].ID
		for _, n := range w.nodes {
			n.set(func(n *fakeNode) {
				n.fails = func(a *structs.Allocation) (time.Duration, bool) { return 0, a.ID == victim }
			})
		}
		w.until(time.Second, "the allocation fails", func(snap *state.Snapshot) bool {
			return snap.Alloc(victim).ClientStatus == structs.AllocClientFailed
		})
		took := w.until(time.Minute, "it is replaced", w.running("web", 2))
		if took < 25*time.Second || took > 40*time.Second {
			t.Errorf("replaced after %s, the policy says 30s", took)
		}
		if next := w.s.store.Snapshot().Alloc(victim).NextAllocation; next == "" {
			t.Error("the failed allocation doesn't name its successor")
		}
	})
}

func TestTheWorkOfASilentNodeIsReplaced(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.addNode("b")
		w.register(servertest.Job("web", "service", 4))
		w.until(20*time.Second, "the deployment succeeds", deployed("web", structs.DeploymentStatusSuccessful))
		home := w.live(w.s.store.Snapshot(), "web")[0].NodeID
		for _, n := range w.nodes {
			n.set(func(n *fakeNode) { n.silent = n.id == home })
		}
		took := w.until(time.Minute, "the others run all", func(snap *state.Snapshot) bool {
			for _, a := range w.live(snap, "web") {
				if a.NodeID == home {
					return false
				}
			}
			return w.running("web", 4)(snap)
		})
		if took > 25*time.Second {
			t.Errorf("it took %s", took)
		}
		if n := w.s.store.Snapshot().Node(home); n.Status != structs.NodeStatusDown {
			t.Errorf("the silent node is %s", n.Status)
		}
		for _, n := range w.nodes {
			n.set(func(n *fakeNode) { n.silent = false })
		}
		w.until(10*time.Second, "the node is back", func(snap *state.Snapshot) bool {
			return snap.Node(home).Status == structs.NodeStatusReady
		})
	})
}

func TestWhatDoesntFitWaitsForCapacity(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.register(servertest.Job("big", "service", 15)) // a node has room for 10
		w.until(5*time.Second, "what fits runs", w.running("big", 10))
		blocked := 0
		for e := range w.s.store.Snapshot().EvalsByStatus(structs.EvalStatusBlocked) {
			blocked++
			if e.TriggeredBy != structs.TriggerQueuedAllocs {
				t.Errorf("blocked evaluation by %s", e.TriggeredBy)
			}
		}
		if blocked != 1 {
			t.Fatalf("%d blocked evaluations\n%s", blocked, w.describe())
		}
		w.addNode("b")
		w.until(5*time.Second, "all run", w.running("big", 15))
	})
}

func TestRoomThatIsFreedIsUsed(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.register(servertest.Job("first", "service", 10))
		w.until(5*time.Second, "the first runs", w.running("first", 10))
		w.register(servertest.Job("second", "service", 4))
		w.pass(3 * time.Second)
		if live := w.live(w.s.store.Snapshot(), "second"); len(live) != 0 {
			t.Fatalf("%d allocations found room on a full node", len(live))
		}
		if _, err := w.s.DeregisterJob(t.Context(), &JobDeregisterRequest{Namespace: "default", JobID: "first"}); err != nil {
			t.Fatal(err)
		}
		w.until(5*time.Second, "the second runs", w.running("second", 4))
		w.until(5*time.Second, "the first is dead", func(snap *state.Snapshot) bool {
			return snap.Job("default", "first").GetStatus() == structs.JobStatusDead
		})
	})
}

// tolerant lets the allocations of a silent node go on for an hour.
func tolerant(g *structs.TaskGroup) {
	g.Disconnect = &structs.DisconnectStrategy{LostAfter: ptr(time.Hour), Replace: ptr(true)}
}

func TestADisconnectedNodeKeepsItsWorkWhenItReturnsInTime(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.addNode("b")
		w.settled(with(servertest.Job("web", "service", 1), tolerant))
		home := w.live(w.s.store.Snapshot(), "web")[0]
		for _, n := range w.nodes {
			n.set(func(n *fakeNode) { n.silent = n.id == home.NodeID })
		}
		w.until(time.Minute, "it is unknown and another one runs", func(snap *state.Snapshot) bool {
			running := 0
			for _, a := range w.live(snap, "web") {
				if a.ClientStatus == structs.AllocClientRunning && a.NodeID != home.NodeID {
					running++
				}
			}
			return running == 1 && snap.Alloc(home.ID).ClientStatus == structs.AllocClientUnknown &&
				snap.Node(home.NodeID).Status == structs.NodeStatusDisconnected
		})
		w.pass(10 * time.Minute)
		if got := w.s.store.Snapshot().Node(home.NodeID).Status; got != structs.NodeStatusDisconnected {
			t.Errorf("after ten minutes the node is %s", got)
		}
		for _, n := range w.nodes {
			n.set(func(n *fakeNode) { n.silent = false })
		}
		w.until(time.Minute, "one is left", func(snap *state.Snapshot) bool {
			return snap.Node(home.NodeID).Status == structs.NodeStatusReady && w.running("web", 1)(snap)
		})
	})
}

func TestADisconnectedNodeIsDownAfterItsTime(t *testing.T) {
	for name, meanwhile := range map[string]func(w *world){
		"one leader":  func(w *world) { w.pass(time.Minute) },
		"two leaders": func(w *world) { w.lead() },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world) {
				w.addNode("a")
				w.settled(with(servertest.Job("web", "service", 1), tolerant))
				w.nodes["a"].set(func(n *fakeNode) { n.silent = true })
				id := w.nodes["a"].id
				took := w.until(time.Minute, "the node is disconnected", func(snap *state.Snapshot) bool {
					return snap.Node(id).Status == structs.NodeStatusDisconnected
				})
				meanwhile(w)
				took += w.until(2*time.Hour, "the node is down", func(snap *state.Snapshot) bool {
					return snap.Node(id).Status == structs.NodeStatusDown
				})
				if took < time.Hour-time.Minute {
					t.Errorf("it was given up after %s, lost_after is 1h", took)
				}
				w.until(time.Minute, "none is neither lost nor running", func(snap *state.Snapshot) bool { return len(w.live(snap, "web")) == 0 })
			})
		})
	}
}

// TestANodeWhoseWorkIsNotReplacedIsDownAfterItsTimeToo has what runs there stay
// unknown until it returns, and the node not be waited for for ever.
func TestANodeWhoseWorkIsNotReplacedIsDownAfterItsTimeToo(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		a := w.addNode("a")
		w.settled(with(servertest.Job("web", "service", 1), func(g *structs.TaskGroup) {
			g.Disconnect = &structs.DisconnectStrategy{LostAfter: ptr(time.Hour), Replace: ptr(false)}
		}))
		a.set(func(n *fakeNode) { n.silent = true })
		w.until(time.Minute, "the node is disconnected", func(snap *state.Snapshot) bool {
			return snap.Node(a.id).Status == structs.NodeStatusDisconnected
		})
		took := w.until(2*time.Hour, "the node is down", func(snap *state.Snapshot) bool { return snap.Node(a.id).Status == structs.NodeStatusDown })
		if took < time.Hour-time.Minute || took > time.Hour+time.Minute {
			t.Errorf("it was given up after %s", took)
		}
		w.pass(time.Minute)
		live := w.live(w.s.store.Snapshot(), "web")
		if len(live) != 1 || live[0].ClientStatus != structs.AllocClientUnknown || live[0].DesiredDescription != structs.DescAllocUnknown {
			t.Fatalf("what ran there is not unknown: %s", w.describe())
		}
		a.set(func(n *fakeNode) { n.silent = false })
		w.until(time.Minute, "it runs on", w.running("web", 1))
		w.pass(time.Second)
		back := w.live(w.s.store.Snapshot(), "web")[0]
		if back.ID != live[0].ID || back.DesiredDescription != "" {
			t.Errorf("%s, %q", back.ID, back.DesiredDescription)
		}
		reconnects := 0
		for e := range w.s.store.Snapshot().Evals("*", "") {
			if e.TriggeredBy == structs.TriggerReconnect {
				reconnects++
			}
		}
		if reconnects == 0 {
			t.Error("no evaluation says that it is back")
		}
	})
}

func TestAStopWithRescheduleRecordsIt(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.addNode("b")
		w.settled(servertest.Job("web", "service", 1))
		victim := w.live(w.s.store.Snapshot(), "web")[0]
		if _, err := w.s.StopAlloc(t.Context(), &AllocStopRequest{AllocID: victim.ID, Reschedule: true}); err != nil {
			t.Fatal(err)
		}
		w.until(10*time.Second, "another one runs", func(snap *state.Snapshot) bool {
			return w.running("web", 1)(snap) && snap.Alloc(victim.ID).ClientTerminal()
		})
		next := w.live(w.s.store.Snapshot(), "web")[0]
		if next.PreviousAllocation != victim.ID || next.RescheduleTracker == nil || next.NodeID == victim.NodeID {
			t.Errorf("the replacement of %s on %s: after %s, tracker %+v, on %s", victim.ID, victim.NodeID,
				next.PreviousAllocation, next.RescheduleTracker, next.NodeID)
		}
	})
}

// TestANodeThatReportsIsHeard has a node that was out of sight report what runs there
// before its heart beats again.
func TestANodeThatReportsIsHeard(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		a := w.addNode("a")
		w.settled(with(servertest.Job("web", "service", 1), tolerant))
		a.set(func(n *fakeNode) { n.silent = true })
		w.until(time.Minute, "it is out of sight", func(snap *state.Snapshot) bool {
			return snap.Node(a.id).Status == structs.NodeStatusDisconnected && w.live(snap, "web")[0].ClientStatus == structs.AllocClientUnknown
		})
		evals := len(slices.Collect(w.s.store.Snapshot().Evals("*", "")))
		for range 20 {
			a.set(func(n *fakeNode) { n.report(t.Context()) })
			w.pass(50 * time.Millisecond)
		}
		snap := w.s.store.Snapshot()
		if status := snap.Node(a.id).Status; status != structs.NodeStatusReady || !w.running("web", 1)(snap) {
			t.Errorf("the node is %s: %s", status, w.describe())
		}
		if n := len(slices.Collect(snap.Evals("*", ""))) - evals; n > 3 {
			t.Errorf("%d evaluations follow", n)
		}
	})
}
