package control

import (
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// settled registers a job and waits until it is deployed.
func (w *world) settled(job *structs.Job) {
	w.t.Helper()
	w.register(job)
	w.until(time.Minute, "the first version is deployed", deployed(job.GetID(), structs.DeploymentStatusSuccessful))
}

func TestARollingUpdateNeverStopsMoreThanItMay(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.addNode("b")
		job := with(servertest.Job("web", "service", 4), func(g *structs.TaskGroup) {
			g.Update = &structs.UpdateStrategy{MaxParallel: ptr(2)}
		})
		w.settled(job)
		w.register(with(job, version("2")))
		fewest := 4
		took := w.until(2*time.Minute, "the second version is deployed", func(snap *state.Snapshot) bool {
			old, fresh := 0, 0
			for _, a := range w.live(snap, "web") {
				if a.JobVersion() == 0 {
					old++
				} else if a.DeploymentStatus.IsHealthy() {
					fresh++
				}
			}
			fewest = min(fewest, old+fresh)
			return w.atVersion("web", 4, 1)(snap) && deployed("web", structs.DeploymentStatusSuccessful)(snap)
		})
		if fewest != 2 {
			t.Errorf("at one time %d of 4 served, max_parallel 2 allows 2", fewest)
		}
		if took < 20*time.Second || took > 30*time.Second {
			t.Errorf("two steps of 10s took %s", took)
		}
	})
}

func TestCanariesWaitForAPersonThenTheRestFollows(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.addNode("b")
		job := with(servertest.Job("web", "service", 3), func(g *structs.TaskGroup) {
			g.Update = &structs.UpdateStrategy{MaxParallel: ptr(3), Canary: ptr(1)}
		})
		w.settled(job)
		w.register(with(job, version("2")))
		w.until(30*time.Second, "three old and a canary run", w.running("web", 4))
		w.pass(20 * time.Minute)
		snap := w.s.store.Snapshot()
		d := snap.LatestDeployment("default", "web")
		if d.Status != structs.DeploymentStatusRunning || len(w.live(snap, "web")) != 4 {
			t.Fatalf("a healthy canary must wait for as long as it takes\n%s", w.describe())
		}
		if _, err := w.s.PromoteDeployment(t.Context(), &structs.DeploymentPromoteRequest{DeploymentID: d.ID, All: true}); err != nil {
			t.Fatal(err)
		}
		w.until(time.Minute, "all run the new version", w.atVersion("web", 3, 1))
		w.until(time.Minute, "the deployment succeeds", deployed("web", structs.DeploymentStatusSuccessful))
	})
}

func TestCanariesPromoteThemselves(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		job := with(servertest.Job("web", "service", 3), func(g *structs.TaskGroup) {
			g.Update = &structs.UpdateStrategy{MaxParallel: ptr(1), Canary: ptr(2), AutoPromote: ptr(true)}
		})
		w.settled(job)
		w.register(with(job, version("2")))
		w.until(2*time.Minute, "all run the new version", w.atVersion("web", 3, 1))
		w.until(time.Minute, "the deployment succeeds", deployed("web", structs.DeploymentStatusSuccessful))
	})
}

func TestABadVersionIsRevertedToTheStableOne(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		n := w.addNode("a")
		job := with(servertest.Job("web", "service", 2), func(g *structs.TaskGroup) {
			g.Update = &structs.UpdateStrategy{MaxParallel: ptr(1), AutoRevert: ptr(true), ProgressDeadline: ptr(2 * time.Minute), HealthyDeadline: ptr(time.Minute)}
			g.ReschedulePolicy = &structs.ReschedulePolicy{Unlimited: ptr(true), Delay: ptr(5 * time.Second), DelayFunction: ptr("constant"), Interval: ptr(time.Duration(0)), Attempts: ptr(0), MaxDelay: ptr(time.Duration(0))}
		})
		w.settled(job)
		n.set(func(n *fakeNode) {
			n.fails = func(a *structs.Allocation) (time.Duration, bool) { return time.Second, a.JobVersion() == 1 }
		})
		w.register(with(job, version("bad")))
		w.until(5*time.Minute, "version 2 is what version 0 was", func(snap *state.Snapshot) bool {
			return snap.Job("default", "web").GetVersion() == 2 && w.atVersion("web", 2, 2)(snap)
		})
		w.until(time.Minute, "the revert is deployed", deployed("web", structs.DeploymentStatusSuccessful))
		snap := w.s.store.Snapshot()
		tried, status, desc := 0, "", ""
		for d := range snap.DeploymentsByJob("default", "web") {
			if d.JobVersion == 1 {
				status, desc = d.Status, d.StatusDescription
			}
		}
		for a := range snap.AllocsByJob("default", "web") {
			if a.JobVersion() == 1 {
				tried++
			}
		}
		if status != structs.DeploymentStatusFailed || !strings.Contains(desc, "rolling back to job version 0") {
			t.Errorf("the bad deployment is %s: %s", status, desc)
		}
		if tried < 2 {
			t.Errorf("the bad version was tried %d times: failed allocations of a deployment must be replaced", tried)
		}
		if got, bad := snap.Job("default", "web").SubmitTime, snap.JobVersion("default", "web", 1).SubmitTime; *got <= *bad {
			t.Errorf("the reverted job was submitted at %d, the bad version before it at %d", *got, *bad)
		}
		if snap.Job("default", "web").TaskGroups[0].Tasks[0].Env != nil {
			t.Error("the reverted job still has what the bad version brought")
		}
	})
}

func TestADeploymentThatCannotProgressFails(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		job := with(servertest.Job("web", "service", 12), func(g *structs.TaskGroup) { // a node has room for 10
			g.Update = &structs.UpdateStrategy{ProgressDeadline: ptr(6 * time.Minute)}
		})
		w.register(job)
		took := w.until(10*time.Minute, "the deployment fails", deployed("web", structs.DeploymentStatusFailed))
		if took < 6*time.Minute || took > 7*time.Minute {
			t.Errorf("it failed after %s, the progress deadline is 6m", took)
		}
		if d := w.s.store.Snapshot().LatestDeployment("default", "web"); d.StatusDescription != structs.DescDeploymentProgressDeadline {
			t.Errorf("it says: %s", d.StatusDescription)
		}
	})
}

func TestAPausedDeploymentStandsStillAndGoesOn(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		job := with(servertest.Job("web", "service", 3), func(g *structs.TaskGroup) {
			g.Update = &structs.UpdateStrategy{MaxParallel: ptr(1)}
		})
		w.settled(job)
		w.register(with(job, version("2")))
		w.until(10*time.Second, "the update begins", func(snap *state.Snapshot) bool {
			return deployed("web", structs.DeploymentStatusRunning)(snap)
		})
		d := w.s.store.Snapshot().LatestDeployment("default", "web")
		if _, err := w.s.PauseDeployment(t.Context(), &structs.DeploymentPauseRequest{DeploymentID: d.ID, Pause: true}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Hour) // far beyond the progress deadline
		fresh := 0
		for _, a := range w.live(w.s.store.Snapshot(), "web") {
			if a.JobVersion() == 1 {
				fresh++
			}
		}
		if fresh > 1 {
			t.Errorf("%d allocations were updated while the deployment was paused", fresh)
		}
		if _, err := w.s.PauseDeployment(t.Context(), &structs.DeploymentPauseRequest{DeploymentID: d.ID}); err != nil {
			t.Fatal(err)
		}
		w.until(2*time.Minute, "the deployment succeeds after all", deployed("web", structs.DeploymentStatusSuccessful))
		if !w.atVersion("web", 3, 1)(w.s.store.Snapshot()) {
			t.Error(w.describe())
		}
	})
}
