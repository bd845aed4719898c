package control

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// objectsTable holds what the objects of the contract may say.
const objectsTable = "../../tools/status/contract/objects.tsv"

// objectRow is one value that a field of an object may have.
type objectRow struct{ object, field, value, constant, proof, note string }

func objectRows(t *testing.T) []objectRow {
	t.Helper()
	text, err := os.ReadFile(objectsTable)
	if err != nil {
		t.Fatal(err)
	}
	var out []objectRow
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for len(c) < 6 {
			c = append(c, "")
		}
		out = append(out, objectRow{c[0], c[1], c[2], c[3], c[4], c[5]})
	}
	return out
}

// ownValues are those that the contract doesn't list: it has no word for them.
func ownValues() []string {
	return []string{
		"Allocation.DesiredDescription\t", // of an allocation that simply runs
		"Allocation.DesiredDescription\t" + structs.DescAllocPreempted,
		"Node pool.Name\tgpu",
	}
}

// seen is all that the objects of the state have said, as object.field and value.
type seen struct {
	mu   sync.Mutex
	said map[string]bool
}

func (s *seen) say(field, value string) { s.said[field+"\t"+value] = true }

// look notes what there is after an entry.
func (s *seen) look(store *state.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := store.Snapshot()
	for _, j := range slices.Collect(snap.Jobs("*", "")) {
		s.say("Job.Type", j.GetType())
		s.say("Job.Status", j.GetStatus())
	}
	for e := range snap.Evals("*", "") {
		s.say("Evaluation.Status", e.Status)
		s.say("Evaluation.TriggeredBy", e.TriggeredBy)
	}
	for a := range snap.Allocs("*", "") {
		s.say("Allocation.DesiredStatus", a.DesiredStatus)
		s.say("Allocation.ClientStatus", a.ClientStatus)
		s.say("Allocation.DesiredDescription", a.DesiredDescription)
		for _, task := range a.TaskStates {
			s.say("Task.State", task.State)
		}
	}
	for d := range snap.Deployments("*", "") {
		s.say("Deployment.Status", d.Status)
		s.lookDescription(d.StatusDescription)
	}
	for n := range snap.Nodes("") {
		s.lookNode(n)
	}
	for p := range snap.NodePools("") {
		s.say("Node pool.Name", p.Name)
	}
	for ns := range snap.Namespaces("") {
		s.say("Namespace.Name", ns.Name)
	}
	s.lookEvents(store, snap.Index())
}

func (s *seen) lookNode(n *structs.Node) {
	s.say("Node.Status", n.Status)
	s.say("Node.SchedulingEligibility", n.SchedulingEligibility)
	if n.LastDrain != nil {
		s.say("Node.LastDrain.Status", n.LastDrain.Status)
	}
	for _, e := range n.Events {
		s.say("NodeEvent.Subsystem", e.Subsystem)
	}
}

// lookDescription takes a deployment's description apart: what is said of a
// rollback is appended to the reason.
func (s *seen) lookDescription(text string) {
	if reason, rest, found := strings.Cut(text, " - "); found {
		text = reason
		suffix := " - " + rest
		for _, format := range []string{structs.DescDeploymentRollbackNoopFmt, structs.DescDeploymentRollbackFmt, structs.DescDeploymentNoRollbackTarget} {
			before, after, _ := strings.Cut(format, "%d")
			if strings.HasPrefix(suffix, before) && strings.HasSuffix(suffix, after) {
				suffix = format
			}
		}
		s.say("Deployment.StatusDescription", suffix)
	}
	s.say("Deployment.StatusDescription", text)
}

// lookEvents notes what the event stream tells of one entry.
func (s *seen) lookEvents(store *state.Store, index uint64) {
	sub, err := store.Subscribe(index - 1)
	if err != nil || !sub.Waiting() {
		return
	}
	c, err := sub.Next(context.Background())
	if err != nil {
		return
	}
	for i := range c.Events {
		if e := &c.Events[i]; e.Type() != "" {
			s.say("Event.Topic", e.Topic())
			s.say("Event.Type", e.Type())
		}
	}
}

// TestEveryValueOfTheContractIsSaid plays until each value has been said that
// the table claims the control plane says, and nothing else.
func TestEveryValueOfTheContractIsSaid(t *testing.T) {
	s := &seen{said: map[string]bool{}}
	for _, story := range []func(t *testing.T, w *world){
		sayKinds, sayUpdates, sayCanaries, sayVerdicts, sayFailures, sayRollbacks, sayLostNodes,
		sayDisconnects, sayDrains, sayPressure, sayRefusedPlans, sayMisc,
	} {
		play(t, func(t *testing.T, w *world) {
			w.s.journal.(*memoryJournal).watch(s.look)
			story(t, w)
		})
	}
	known := map[string]bool{}
	for _, own := range ownValues() {
		known[own] = true
	}
	for _, r := range objectRows(t) {
		key := r.object + "." + r.field + "\t" + r.value
		known[key] = true
		switch {
		case r.proof == "play" && !s.said[key]:
			t.Errorf("nothing ever said %q", key)
		case r.proof != "play" && s.said[key]:
			t.Errorf("the table says %q of %q, and it was said", r.proof, key)
		}
	}
	for key := range s.said {
		if !known[key] {
			t.Errorf("%q was said, which is not in the table", key)
		}
	}
}

// sayKinds runs each kind of job, and those that are made from others.
func sayKinds(t *testing.T, w *world) {
	w.addNode("a")
	for _, kind := range []string{structs.JobTypeService, structs.JobTypeBatch, structs.JobTypeSystem, structs.JobTypeSysBatch} {
		w.register(servertest.Job(kind, kind, 1))
	}
	w.register(cronJob("cron", "*/10 * * * *"))
	w.register(parameterized("pack"))
	if _, err := w.s.DispatchJob(t.Context(), dispatchOf("pack")); err != nil {
		t.Fatal(err)
	}
	w.pass(11 * time.Minute)
}

// sayUpdates changes a job in place and by replacing, one node after the other
// too, and ends what goes on.
func sayUpdates(t *testing.T, w *world) {
	w.addNode("a")
	w.addNode("b")
	job := servertest.Job("web", structs.JobTypeService, 2)
	w.settled(job)
	w.register(with(job, func(g *structs.TaskGroup) { g.RestartPolicy = &structs.RestartPolicy{Attempts: ptr(1)} }))
	w.pass(time.Minute)
	w.register(with(job, version("2")))
	w.pass(time.Second)
	w.register(with(job, version("3")))
	w.pass(time.Second)
	scaled := structs.ScalingRequest{Count: ptr(int64(1)), Target: map[string]string{"Group": "web"}}
	scaled.Namespace = structs.DefaultNamespace
	w.until(2*time.Minute, "it is deployed", deployed("web", structs.DeploymentStatusSuccessful))
	if _, err := w.s.ScaleJob(t.Context(), "web", &scaled); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	w.register(with(job, version("4")))
	w.pass(time.Second)
	for _, purge := range []bool{false, true} {
		if _, err := w.s.DeregisterJob(t.Context(), &JobDeregisterRequest{Namespace: "default", JobID: "web", Purge: purge}); err != nil {
			t.Fatal(err)
		}
	}
	w.addNode("c")
	agent := with(servertest.Job("agent", structs.JobTypeSystem, 1), func(g *structs.TaskGroup) {
		g.Update = &structs.UpdateStrategy{MaxParallel: ptr(1), Stagger: ptr(40 * time.Second)}
	})
	w.settled(agent)
	w.register(with(agent, version("2")))
	w.until(5*time.Minute, "it is everywhere", w.atVersion("agent", 3, 1))
}

func canary(auto bool) func(g *structs.TaskGroup) {
	return func(g *structs.TaskGroup) {
		g.Update = &structs.UpdateStrategy{MaxParallel: ptr(1), Canary: ptr(1), AutoPromote: &auto}
	}
}

// sayCanaries promotes by hand and without.
func sayCanaries(t *testing.T, w *world) {
	w.addNode("a")
	for id, auto := range map[string]bool{"self": true, "hand": false} {
		job := with(servertest.Job(id, structs.JobTypeService, 2), canary(auto))
		w.settled(job)
		w.register(with(job, version("2")))
		w.pass(30 * time.Second)
		if !auto {
			d := w.s.store.Snapshot().LatestDeployment("default", id)
			if _, err := w.s.PromoteDeployment(t.Context(), &structs.DeploymentPromoteRequest{DeploymentID: d.ID, All: true}); err != nil {
				t.Fatal(err)
			}
		}
		w.until(time.Minute, "it is deployed", deployed(id, structs.DeploymentStatusSuccessful))
	}
}

// sayVerdicts has a person pause a deployment and judge others.
func sayVerdicts(t *testing.T, w *world) {
	w.addNode("a")
	job := servertest.Job("web", structs.JobTypeService, 2)
	w.register(job)
	w.pass(time.Second)
	d := w.s.store.Snapshot().LatestDeployment("default", "web")
	if _, err := w.s.PauseDeployment(t.Context(), &structs.DeploymentPauseRequest{DeploymentID: d.ID, Pause: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.FailDeployment(t.Context(), &structs.DeploymentFailRequest{DeploymentID: d.ID}); err != nil {
		t.Fatal(err)
	}
	w.register(with(job, version("2")))
	w.pass(2 * time.Second)
	d = w.s.store.Snapshot().LatestDeployment("default", "web")
	first := w.live(w.s.store.Snapshot(), "web")[0]
	for _, a := range w.live(w.s.store.Snapshot(), "web") {
		if a.DeploymentID == d.ID {
			first = a
		}
	}
	if _, err := w.s.SetAllocHealth(t.Context(), &structs.DeploymentAllocHealthRequest{DeploymentID: d.ID, HealthyAllocationIDs: []string{first.ID}}); err != nil {
		t.Fatal(err)
	}
}

func failing(a *structs.Allocation) (time.Duration, bool) {
	return time.Second, a.Job.TaskGroups[0].Tasks[0].Env["VERSION"] == "bad"
}

// sayFailures has allocations fail, and evaluations that can't be stored.
func sayFailures(t *testing.T, w *world) {
	w.addNode("a").set(func(n *fakeNode) { n.fails = failing })
	w.addNode("b").set(func(n *fakeNode) { n.fails = failing })
	job := servertest.Job("sum", structs.JobTypeBatch, 1)
	version("bad")(job.TaskGroups[0])
	w.register(job)
	w.pass(time.Minute)
	w.settled(servertest.Job("web", structs.JobTypeService, 1))
	victim := w.live(w.s.store.Snapshot(), "web")[0]
	if _, err := w.s.StopAlloc(t.Context(), &AllocStopRequest{AllocID: victim.ID}); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	w.s.term.Load().broker.SetPaused(true)
	w.register(servertest.Job("late", structs.JobTypeService, 1))
	w.pass(time.Second)
	w.s.journal.(*memoryJournal).set(errors.New("the disk is full"))
	w.s.term.Load().broker.SetPaused(false)
	w.pass(time.Minute)
	w.s.journal.(*memoryJournal).set(nil)
	w.until(10*time.Minute, "the follow-up places it", w.running("late", 1))
}

// sayRollbacks has deployments fail that can be reverted, and that can't.
func sayRollbacks(_ *testing.T, w *world) {
	w.addNode("a").set(func(n *fakeNode) { n.fails = failing })
	revert := func(g *structs.TaskGroup) {
		g.Update = &structs.UpdateStrategy{MaxParallel: ptr(1), AutoRevert: ptr(true), HealthyDeadline: ptr(time.Minute), ProgressDeadline: ptr(2 * time.Minute)}
	}
	good := with(servertest.Job("back", structs.JobTypeService, 1), revert)
	w.settled(good)
	w.register(with(good, version("bad")))
	w.register(with(with(servertest.Job("stuck", structs.JobTypeService, 1), revert), version("bad")))
	w.register(with(with(servertest.Job("brief", structs.JobTypeService, 1), version("bad")), func(g *structs.TaskGroup) {
		g.Update = &structs.UpdateStrategy{ProgressDeadline: ptr(time.Duration(0))}
	}))
	w.register(servertest.Job("wide", structs.JobTypeService, 15)) // a node has room for 10
	w.pass(15 * time.Minute)
}

// sayLostNodes has a node fall silent, return, and be removed.
func sayLostNodes(t *testing.T, w *world) {
	a := w.addNode("a")
	w.addNode("b")
	w.settled(servertest.Job("web", structs.JobTypeService, 4))
	a.set(func(n *fakeNode) { n.silent = true })
	w.pass(2 * time.Minute)
	if _, err := w.s.PurgeNode(t.Context(), a.id); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	fresh := servertest.Node("c")
	fresh.Status = structs.NodeStatusInit
	if _, _, err := w.s.RegisterNode(t.Context(), fresh); err != nil {
		t.Fatal(err)
	}
}

// sayDisconnects has nodes return in time, and too late.
func sayDisconnects(_ *testing.T, w *world) {
	w.addNode("a")
	w.addNode("b")
	w.settled(with(servertest.Job("web", structs.JobTypeService, 1), tolerant))
	silence := func(silent bool) {
		home := w.live(w.s.store.Snapshot(), "web")[0].NodeID
		for _, n := range w.nodes {
			n.set(func(n *fakeNode) { n.silent = silent && n.id == home })
		}
	}
	silence(true)
	w.pass(2 * time.Minute)
	silence(false)
	w.until(time.Minute, "one is left", w.running("web", 1))
	silence(true)
	w.pass(2 * time.Hour)
}

// sayDrains ends drains, and breaks one off.
func sayDrains(t *testing.T, w *world) {
	a := w.addNode("a")
	w.settled(servertest.Job("web", structs.JobTypeService, 2))
	w.settled(servertest.Job("agent", structs.JobTypeSystem, 1))
	w.addNode("b")
	drain := func(spec *structs.DrainSpec) {
		if _, err := w.s.DrainNode(t.Context(), &structs.NodeUpdateDrainRequest{NodeID: a.id, DrainSpec: spec}); err != nil {
			t.Fatal(err)
		}
	}
	drain(&structs.DrainSpec{Deadline: time.Hour})
	w.pass(time.Second)
	drain(nil)
	w.pass(time.Second)
	drain(&structs.DrainSpec{Deadline: time.Hour})
	w.pass(5 * time.Minute)
	if _, err := w.s.SetNodeEligibility(t.Context(), &structs.NodeUpdateEligibilityRequest{NodeID: a.id, Eligibility: structs.NodeEligible}); err != nil {
		t.Fatal(err)
	}
}

// sayPressure asks for more than there is, by priorities.
func sayPressure(t *testing.T, w *world) {
	w.addNode("a")
	if _, err := w.s.SetSchedulerConfig(t.Context(), &SchedulerConfigRequest{Config: &structs.SchedulerConfiguration{
		PreemptionConfig: structs.PreemptionConfig{ServiceSchedulerEnabled: true},
	}}); err != nil {
		t.Fatal(err)
	}
	low := servertest.Job("low", structs.JobTypeService, 12)
	low.Priority = ptr(20)
	w.register(low)
	w.pass(time.Second)
	low = low.Clone()
	low.TaskGroups[0].Count = ptr(13) // another evaluation that waits: one of them is canceled
	w.register(low)
	w.pass(10 * time.Second)
	high := servertest.Job("high", structs.JobTypeService, 2)
	high.Priority = ptr(80)
	w.register(high)
	w.pass(time.Minute)
}

// sayRefusedPlans has every plan of a job come too late.
func sayRefusedPlans(t *testing.T, w *world) {
	nodes := []string{w.addNode("a").id, w.addNode("b").id}
	journal := w.s.journal.(*memoryJournal)
	journal.prepare(func(c command.Command) []command.Command {
		plans, ok := c.(*command.ApplyPlans)
		if !ok || len(plans.Plans) == 0 || len(plans.Plans[0].Groups) == 0 {
			return nil
		}
		chosen := plans.Plans[0].Groups[0].Rows[0].NodeID
		var out []command.Command
		for _, id := range nodes {
			change := &command.SetNodeEligibility{NodeID: id, Eligibility: structs.NodeEligible}
			if id == chosen {
				change.Eligibility = structs.NodeIneligible
			}
			out = append(out, change)
		}
		return out
	})
	resp := w.register(servertest.Job("web", structs.JobTypeService, 1))
	w.until(time.Minute, "it is given up", func(snap *state.Snapshot) bool {
		return snap.Eval(resp.EvalID).Status == structs.EvalStatusFailed
	})
	journal.prepare(nil)
}

// sayMisc does what is left: services and node pools.
func sayMisc(t *testing.T, w *world) {
	w.addNode("a")
	w.settled(servertest.Job("web", structs.JobTypeService, 1))
	a := w.live(w.s.store.Snapshot(), "web")[0]
	if _, err := w.s.UpsertServices(t.Context(), []*structs.ServiceRegistration{{ID: "s", ServiceName: "web", Namespace: "default", NodeID: a.NodeID, AllocID: a.ID, JobID: "web"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.DeleteServiceRegistration(t.Context(), "default", "web", "s"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.UpsertNodePool(t.Context(), &structs.NodePool{Name: "gpu"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.DeleteNodePool(t.Context(), "gpu"); err != nil {
		t.Fatal(err)
	}
}
