package control

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/steppe-run/steppe/server/deployer"
	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// way is a step from one state of a deployment into another.
type way struct{ from, to deployer.State }

// ways are all that the deployments of a play have taken.
type ways struct {
	mu    sync.Mutex
	at    map[string]deployer.State
	taken map[way]bool
}

func (w *ways) look(store *state.Store) {
	w.mu.Lock()
	defer w.mu.Unlock()
	snap := store.Snapshot()
	for d := range snap.Deployments("*", "") {
		from, known := w.at[d.ID]
		if !known {
			from = deployer.StateNone
		}
		if to := deployer.StateOf(snap, d); to != from {
			w.at[d.ID] = to
			w.taken[way{from, to}] = true
		}
	}
}

// TestDeploymentsMoveAsTheirPictureSays plays until each way of the picture was
// taken, and no other.
func TestDeploymentsMoveAsTheirPictureSays(t *testing.T) {
	seen := &ways{at: map[string]deployer.State{}, taken: map[way]bool{}}
	for _, story := range []func(t *testing.T, w *world){sayUpdates, sayCanaries, sayVerdicts, sayRollbacks, walkStates, loseCanaries, halfCanaries} {
		play(t, func(t *testing.T, w *world) {
			w.s.journal.(*memoryJournal).watch(seen.look)
			story(t, w)
		})
	}
	drawn := map[way]bool{}
	for _, e := range deployer.Exits() {
		drawn[way{e.From, e.To}] = true
		if !seen.taken[way{e.From, e.To}] {
			t.Errorf("no deployment went from %s to %s (%s)", e.From, e.To, e.When)
		}
	}
	for taken := range seen.taken {
		if !drawn[taken] {
			t.Errorf("a deployment went from %s to %s, which isn't in the picture", taken.from, taken.to)
		}
	}
}

// walkStates has deployments stand in each state, and leaves it in each way that
// users have.
func walkStates(t *testing.T, w *world) {
	w.addNode("a")
	w.addNode("b")
	w.addNode("c")
	states := map[deployer.State]struct {
		update func(*structs.TaskGroup)
		wait   time.Duration
	}{
		deployer.StateCanaries:  {canary(false), time.Second},
		deployer.StatePromotion: {canary(false), 30 * time.Second},
		deployer.StateRolling:   {func(*structs.TaskGroup) {}, time.Second},
	}
	for _, s := range deployer.States() {
		how, ok := states[s.State]
		if !ok {
			continue
		}
		for _, exit := range []string{"fail", "cancel", "resume", "fail paused", "cancel paused"} {
			id := string(s.State) + "-" + exit[:1] + exit[len(exit)-1:]
			job := with(servertest.Job(id, structs.JobTypeService, 2), how.update)
			w.settled(job)
			w.register(with(job, version("2")))
			w.pass(how.wait)
			w.leave(t, id, exit, s.State)
			if _, err := w.s.DeregisterJob(t.Context(), &JobDeregisterRequest{Namespace: "default", JobID: id, Purge: true}); err != nil {
				t.Fatal(err)
			}
			w.pass(10 * time.Second)
		}
	}
}

// leave has a user end a deployment in one way, and looks at what is told of it.
func (w *world) leave(t *testing.T, id, exit string, from deployer.State) {
	t.Helper()
	d := w.s.store.Snapshot().LatestDeployment("default", id)
	before := d.StatusDescription
	at := func(want deployer.State) {
		t.Helper()
		snap := w.s.store.Snapshot()
		if got := deployer.StateOf(snap, snap.Deployment(d.ID)); got != want {
			t.Fatalf("%s %s: it is %s, want %s\n%s", from, exit, got, want, w.describe())
		}
	}
	pause := func(pause bool) {
		t.Helper()
		if _, err := w.s.PauseDeployment(t.Context(), &structs.DeploymentPauseRequest{DeploymentID: d.ID, Pause: pause}); err != nil {
			t.Fatal(err)
		}
	}
	at(from)
	if exit != "fail" && exit != "cancel" {
		pause(true)
		at(deployer.StatePaused)
	}
	switch exit {
	case "fail", "fail paused":
		if _, err := w.s.FailDeployment(t.Context(), &structs.DeploymentFailRequest{DeploymentID: d.ID}); err != nil {
			t.Fatal(err)
		}
		at(deployer.StateFailed)
	case "resume":
		pause(false)
		at(from)
		if now := w.s.store.Snapshot().Deployment(d.ID).StatusDescription; now != before {
			t.Errorf("%s: resumed it says %q, before it was paused %q", from, now, before)
		}
	}
}

// loseCanaries has a healthy canary fail, and canaries that never become healthy.
func loseCanaries(t *testing.T, w *world) {
	n := w.addNode("a")
	job := with(servertest.Job("web", structs.JobTypeService, 2), canary(false))
	w.settled(job)
	w.register(with(job, version("2")))
	w.pass(30 * time.Second)
	n.set(func(n *fakeNode) {
		n.fails = func(a *structs.Allocation) (time.Duration, bool) { return 0, a.DeploymentStatus.IsCanary() }
	})
	w.until(time.Hour, "the deadline comes", deployed("web", structs.DeploymentStatusFailed))
	if d := w.s.store.Snapshot().LatestDeployment("default", "web"); d.StatusDescription != structs.DescDeploymentProgressDeadline {
		t.Errorf("it failed otherwise: %s", d.StatusDescription)
	}
}

// halfCanaries promotes one of two groups, and has the deadline of a group without
// canaries come while others wait for a person.
func halfCanaries(t *testing.T, w *world) {
	w.addNode("a")
	job := with(servertest.Job("two", structs.JobTypeService, 1), canary(false))
	twin := job.Clone().TaskGroups[0]
	twin.Name = ptr("twin")
	job.TaskGroups = append(job.TaskGroups, twin)
	w.settled(job)
	next := job.Clone()
	for _, g := range next.TaskGroups {
		version("2")(g)
	}
	w.register(next)
	w.pass(30 * time.Second)
	d := w.s.store.Snapshot().LatestDeployment("default", "two")
	if _, err := w.s.PromoteDeployment(t.Context(), &structs.DeploymentPromoteRequest{DeploymentID: d.ID, Groups: []string{"twin"}}); err != nil {
		t.Fatal(err)
	}
	snap := w.s.store.Snapshot()
	if d := snap.Deployment(d.ID); d.StatusDescription != structs.DescDeploymentRunningNeedsPromote || deployer.StateOf(snap, d) != deployer.StatePromotion {
		t.Errorf("with one of two groups promoted it is in %s and says %q", deployer.StateOf(snap, d), d.StatusDescription)
	}

	wide := with(servertest.Job("wide", structs.JobTypeService, 1), canary(false))
	big := wide.Clone().TaskGroups[0]
	big.Name, big.Update = ptr("big"), nil
	wide.TaskGroups = append(wide.TaskGroups, big)
	w.settled(wide)
	next = wide.Clone()
	for _, g := range next.TaskGroups {
		version("2")(g)
	}
	i := slices.IndexFunc(next.TaskGroups, func(g *structs.TaskGroup) bool { return g.GetName() == "big" })
	next.TaskGroups[i].Count = ptr(40) // more than there is room for
	w.register(next)
	w.until(time.Hour, "the deadline of the large group comes", deployed("wide", structs.DeploymentStatusFailed))
}
