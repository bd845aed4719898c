package control

import (
	"testing"
	"time"

	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// agents lists the allocations of a job that run or are about to, by the name of
// their node.
func (w *world) agents(snap *state.Snapshot, job string) map[string][]*structs.Allocation {
	out := map[string][]*structs.Allocation{}
	for _, a := range w.live(snap, job) {
		out[a.NodeName] = append(out[a.NodeName], a)
	}
	return out
}

// onEach reports whether a job runs exactly once on each of some nodes, and
// nowhere else.
func (w *world) onEach(job string, nodes ...string) func(*state.Snapshot) bool {
	return func(snap *state.Snapshot) bool {
		if !w.running(job, len(nodes))(snap) {
			return false
		}
		on := w.agents(snap, job)
		for _, n := range nodes {
			if len(on[n]) != 1 {
				return false
			}
		}
		return true
	}
}

func TestASystemJobFollowsTheNodes(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		b := w.addNode("b")
		w.settled(servertest.Job("agent", "system", 1))
		w.until(time.Second, "it runs on both", w.onEach("agent", "a", "b"))

		w.addNode("c")
		w.until(5*time.Second, "a node that joins later gets it", w.onEach("agent", "a", "b", "c"))

		b.set(func(n *fakeNode) { n.silent = true })
		w.until(2*time.Minute, "a node that is down loses it", w.onEach("agent", "a", "c"))
		b.set(func(n *fakeNode) { n.silent = false })
		w.until(time.Minute, "one that returns has exactly one", w.onEach("agent", "a", "b", "c"))

		if _, err := w.s.SetNodeEligibility(t.Context(), &structs.NodeUpdateEligibilityRequest{NodeID: b.id, Eligibility: structs.NodeIneligible}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		w.until(time.Second, "an ineligible node keeps it", w.onEach("agent", "a", "b", "c"))
		for e := range w.s.store.Snapshot().Evals("*", "") {
			if !e.Terminal() {
				t.Errorf("something is left to do: %s", w.describe())
			}
		}
	})
}

func TestASystemJobLeavesADrainedNodeLast(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		a := w.addNode("a")
		w.settled(servertest.Job("agent", "system", 1))
		w.settled(servertest.Job("web", "service", 2))
		drain := func(ignore bool) {
			_, err := w.s.DrainNode(t.Context(), &structs.NodeUpdateDrainRequest{
				NodeID: a.id, DrainSpec: &structs.DrainSpec{Deadline: time.Minute, IgnoreSystemJobs: ignore},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		drain(false)
		w.until(3*time.Minute, "the drain ends", func(snap *state.Snapshot) bool {
			if len(w.live(snap, "web")) > 0 && len(w.live(snap, "agent")) == 0 {
				t.Fatalf("the system job left before the service\n%s", w.describe())
			}
			return snap.Node(a.id).DrainStrategy == nil
		})
		w.until(time.Minute, "nothing runs", w.onEach("agent"))
		if _, err := w.s.SetNodeEligibility(t.Context(), &structs.NodeUpdateEligibilityRequest{NodeID: a.id, Eligibility: structs.NodeEligible}); err != nil {
			t.Fatal(err)
		}
		w.until(time.Minute, "it is back", w.onEach("agent", "a"))
		drain(true)
		w.until(3*time.Minute, "the drain ends", func(snap *state.Snapshot) bool { return snap.Node(a.id).DrainStrategy == nil })
		w.until(time.Second, "it was left alone", w.onEach("agent", "a"))
	})
}

func TestASystemJobIsUpdatedNodeByNode(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		for _, name := range []string{"a", "b", "c", "d"} {
			w.addNode(name)
		}
		job := with(servertest.Job("agent", "system", 1), func(g *structs.TaskGroup) {
			g.Update = &structs.UpdateStrategy{MaxParallel: ptr(2), Stagger: ptr(40 * time.Second)}
		})
		w.settled(job)
		w.register(with(job, version("2")))
		fewest := 4
		took := w.until(3*time.Minute, "the second version is deployed", func(snap *state.Snapshot) bool {
			serving := 0
			for _, a := range w.live(snap, "agent") {
				if a.JobVersion() == 0 || a.DeploymentStatus.IsHealthy() {
					serving++
				}
			}
			fewest = min(fewest, serving)
			return w.atVersion("agent", 4, 1)(snap) && deployed("agent", structs.DeploymentStatusSuccessful)(snap)
		})
		if fewest != 2 {
			t.Errorf("at one time %d of 4 served, max_parallel 2 allows 2", fewest)
		}
		if took < 50*time.Second || took > 60*time.Second {
			t.Errorf("two steps, 40s apart, and 10s until healthy took %s", took)
		}
	})
}

func TestASystemDeploymentFollowsTheNodes(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		b := w.addNode("b")
		w.addNode("c")
		job := with(servertest.Job("agent", "system", 1), func(g *structs.TaskGroup) {
			g.Update = &structs.UpdateStrategy{MaxParallel: ptr(1), Stagger: ptr(30 * time.Second)}
		})
		w.settled(job)
		w.register(with(job, version("2")))
		w.pass(5 * time.Second)
		b.set(func(n *fakeNode) { n.silent = true })
		w.addNode("d")
		w.until(5*time.Minute, "the deployment ends well without the node that went", deployed("agent", structs.DeploymentStatusSuccessful))
		w.until(time.Second, "all run the second version", w.atVersion("agent", 3, 1))
		if total := w.s.store.Snapshot().LatestDeployment("default", "agent").TaskGroups["web"].DesiredTotal; total != 3 {
			t.Errorf("the deployment expected %d allocations at last, there are 3 nodes", total)
		}
		b.set(func(n *fakeNode) { n.silent = false })
		w.until(time.Minute, "the node that returns runs it too", w.atVersion("agent", 4, 1))
	})
}

func TestASystemDeploymentThatFailsIsReverted(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		bad := func(a *structs.Allocation) (time.Duration, bool) {
			return time.Second, a.Job.TaskGroups[0].Tasks[0].Env["VERSION"] == "2"
		}
		for _, name := range []string{"a", "b", "c"} {
			w.addNode(name).set(func(n *fakeNode) { n.fails = bad })
		}
		job := with(servertest.Job("agent", "system", 1), func(g *structs.TaskGroup) {
			g.Update = &structs.UpdateStrategy{
				MaxParallel: ptr(1), Stagger: ptr(time.Second), AutoRevert: ptr(true), Canary: ptr(34), AutoPromote: ptr(true),
				MinHealthyTime: ptr(time.Second), HealthyDeadline: ptr(time.Minute), ProgressDeadline: ptr(2 * time.Minute),
			}
		})
		w.settled(job)
		w.register(with(job, version("2")))
		w.until(10*time.Second, "two canaries of three", func(snap *state.Snapshot) bool {
			d := snap.LatestDeployment("default", "agent")
			return d.JobVersion == 1 && d.TaskGroups["web"].DesiredCanaries == 2 && len(d.TaskGroups["web"].PlacedCanaries) == 2
		})
		w.until(5*time.Minute, "all run the first version again", w.atVersion("agent", 3, 2))
		w.until(5*time.Minute, "and it is deployed", deployed("agent", structs.DeploymentStatusSuccessful))
	})
}

func TestASysbatchJobRunsOnceOnEveryNode(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		b := w.addNode("b")
		b.set(func(n *fakeNode) {
			n.fails = func(*structs.Allocation) (time.Duration, bool) { return time.Second, true }
		})
		w.register(servertest.Job("sweep", "sysbatch", 1))
		ended := func(nodes ...string) func(snap *state.Snapshot) bool {
			return func(snap *state.Snapshot) bool {
				on := map[string]int{}
				for a := range snap.AllocsByJob("default", "sweep") {
					if a.ClientTerminal() {
						on[a.NodeName]++
					}
				}
				for _, n := range nodes {
					if on[n] != 1 {
						return false
					}
				}
				return len(w.live(snap, "sweep")) == 0
			}
		}
		w.until(time.Minute, "it has run on both", ended("a", "b"))
		w.addNode("c")
		w.until(time.Minute, "it runs on a node that joins", ended("a", "b", "c"))
		b.set(func(n *fakeNode) { n.silent = true })
		w.pass(time.Minute)
		b.set(func(n *fakeNode) { n.silent = false })
		w.pass(time.Minute)
		w.until(time.Second, "it has run once on each", ended("a", "b", "c"))
		if status := w.s.store.Snapshot().Job("default", "sweep").GetStatus(); status != structs.JobStatusDead {
			t.Errorf("it has done its work, and is %s", status)
		}
	})
}

func TestASystemJobWaitsForRoomOnItsNode(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		big := with(servertest.Job("big", "service", 1), func(g *structs.TaskGroup) { g.Tasks[0].Resources.CPU = ptr(950) })
		w.settled(big)
		w.register(servertest.Job("agent", "system", 1))
		w.addNode("b")
		w.until(time.Minute, "it runs where there is room", w.onEach("agent", "b"))
		snap := w.s.store.Snapshot()
		if s := snap.JobSummary("default", "agent").Summary["web"]; s.Queued != 1 {
			t.Errorf("%d wait, want 1\n%s", s.Queued, w.describe())
		}
		w.until(time.Minute, "the deployment doesn't wait for it", deployed("agent", structs.DeploymentStatusSuccessful))
		w.pass(time.Second)
		runs := len(evaluationsOf(w.s.store.Snapshot(), "agent"))
		w.settled(servertest.Job("other", "service", 3)) // comes and takes room on b, where it isn't waited for
		if _, err := w.s.DeregisterJob(t.Context(), &JobDeregisterRequest{JobID: "other", Namespace: "default"}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		if again := len(evaluationsOf(w.s.store.Snapshot(), "agent")); again != runs {
			t.Errorf("room on a node that has it made %d evaluations\n%s", again-runs, w.describe())
		}
		if _, err := w.s.DeregisterJob(t.Context(), &JobDeregisterRequest{JobID: "big", Namespace: "default"}); err != nil {
			t.Fatal(err)
		}
		w.until(time.Minute, "it comes where there is room now", w.onEach("agent", "a", "b"))
	})
}

// evaluationsOf lists the evaluations of a job.
func evaluationsOf(snap *state.Snapshot, job string) (out []*structs.Evaluation) {
	for e := range snap.Evals("*", "") {
		if e.JobID == job {
			out = append(out, e)
		}
	}
	return out
}
