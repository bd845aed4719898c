package state

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func TestANodeComesBack(t *testing.T) {
	w := newWorld(t)
	id := w.addNode()
	n := w.snap().Node(id)
	equal(t, "eligible", n.SchedulingEligibility, "eligible")
	equal(t, "first event", n.Events[0].Message, "Node registered")
	created := n.CreateIndex
	w.must(&command.SetNodeEligibility{NodeID: id, Eligibility: "ineligible"})
	w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: id, Status: "down", Description: "d",
		Event: &structs.NodeEvent{Message: "missed", Subsystem: "Heartbeat"}}}, Now: 7e9})
	n = w.snap().Node(id)
	equal(t, "down", []any{n.Status, n.StatusDescription, n.StatusUpdatedAt}, []any{"down", "d", int64(7)})
	r := w.must(&command.RegisterNode{Node: testNode(id), Now: 8e9}).(*NodeResult)
	n = w.snap().Node(id)
	equal(t, "created", r.Created, false)
	equal(t, "kept", []any{n.CreateIndex, n.SchedulingEligibility}, []any{created, "ineligible"})
	var events []string
	for _, e := range n.Events {
		events = append(events, e.Message)
	}
	equal(t, "events", events, []string{"Node registered", "missed", "Node re-registered"})
	equal(t, "event's time", n.Events[2].Timestamp, time.Unix(8, 0).UTC())
	other := testNode(id)
	other.SecretID = "stolen"
	w.refusedAs(&command.RegisterNode{Node: other}, "node secret ID does not match: node "+id+" is registered by another agent")
}

func TestADriverThatFailsOrRecoversIsAnEventOfItsNode(t *testing.T) {
	w := newWorld(t)
	id := w.addNode()
	told := func(drivers map[string]*structs.DriverInfo) []string {
		last := w.snap().Node(id).ModifyIndex
		n := testNode(id)
		n.Drivers = drivers
		w.must(&command.RegisterNode{Node: n, Now: 9e9})
		var out []string
		for _, e := range w.snap().Node(id).Events {
			if e.CreateIndex > last {
				equal(t, "subsystem and time", []any{e.Subsystem, e.Timestamp}, []any{"Driver", time.Unix(9, 0).UTC()})
				out = append(out, e.Details["driver"]+": "+e.Message)
			}
		}
		return out
	}
	healthy, gone := &structs.DriverInfo{Detected: true, Healthy: true}, &structs.DriverInfo{HealthDescription: "not here"}
	var none []string
	broken := &structs.DriverInfo{Detected: true, HealthDescription: "no socket"}
	equal(t, "first heard of", told(map[string]*structs.DriverInfo{"docker": healthy, "exec": healthy, "qemu": gone}), none)
	equal(t, "two break, and one was never whole", told(map[string]*structs.DriverInfo{"exec": broken, "docker": broken, "qemu": gone}),
		[]string{"docker: Driver docker is unhealthy: no socket", "exec: Driver exec is unhealthy: no socket"})
	equal(t, "nothing new", told(map[string]*structs.DriverInfo{"exec": broken, "docker": broken, "qemu": gone}), none)
	equal(t, "one is back, one is gone", told(map[string]*structs.DriverInfo{"docker": healthy, "exec": gone, "qemu": gone}),
		[]string{"docker: Driver docker is healthy"})
	equal(t, "no worse than before", told(map[string]*structs.DriverInfo{"docker": gone, "exec": broken, "qemu": broken}),
		[]string{"docker: Driver docker is unhealthy: not here"})
	equal(t, "not heard of yet", told(nil), none)
}

func TestLossesInARow(t *testing.T) {
	w := newWorld(t)
	id := w.addNode()
	turn := func(at int64, status string) []any {
		w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: id, Status: status}}, Now: at * int64(time.Second)})
		n := w.snap().Node(id)
		return []any{n.Losses, n.LostAt}
	}
	equal(t, "first", turn(1000, "disconnected"), []any{1, int64(1000)})
	equal(t, "the same one goes on", turn(1010, "down"), []any{1, int64(1000)})
	equal(t, "back", turn(1100, "ready"), []any{1, int64(1000)})
	equal(t, "second", turn(1600, "down"), []any{2, int64(1600)})
	w.must(&command.RegisterNode{Node: testNode(id), Now: 1700e9})
	equal(t, "its agent began anew", turn(1701, "ready"), []any{2, int64(1600)})
	equal(t, "long after", turn(2201, "down"), []any{1, int64(2201)})
}

func TestAPersonEndsAQuarantine(t *testing.T) {
	w := newWorld(t)
	id := w.addNode()
	w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: id, Status: "down"}}, Now: 5e9})
	w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: id, Status: "ready", Description: "in quarantine", QuarantineUntil: 7}}, Now: 6e9})
	equal(t, "takes placements", w.snap().Node(id).Ready(), false)
	seen := w.snap().Node(id).ModifyIndex
	w.must(&command.RegisterNode{Node: testNode(id), Now: 7e9})
	w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: id, Status: "ready", NodeModifyIndex: seen}}, Now: 7e9})
	equal(t, "kept", w.snap().Node(id).QuarantineUntil, int64(7))
	w.must(&command.SetNodeEligibility{NodeID: id, Eligibility: "eligible"})
	n := w.snap().Node(id)
	equal(t, "ended", []any{n.Ready(), n.Losses, n.LostAt, n.StatusDescription}, []any{true, 0, int64(0), ""})
}

func TestEventsKeptOfANode(t *testing.T) {
	w := newWorld(t)
	id := w.addNode()
	for range 20 {
		w.must(&command.SetNodeEligibility{NodeID: id, Eligibility: "eligible", Event: &structs.NodeEvent{Message: "again"}})
	}
	events := w.snap().Node(id).Events
	equal(t, "kept", len(events), structs.MaxNodeEvents)
	equal(t, "newest last", events[len(events)-1].CreateIndex, w.index)
}

func TestDrains(t *testing.T) {
	w := newWorld(t)
	id := w.addNode()
	drain := &structs.DrainStrategy{DrainSpec: structs.DrainSpec{Deadline: time.Hour}}
	w.must(&command.SetNodeDrain{NodeID: id, Strategy: drain, Meta: map[string]string{"why": "test"}, Now: 5e9})
	n := w.snap().Node(id)
	equal(t, "draining", []any{n.Drain, n.SchedulingEligibility, n.LastDrain.Status}, []any{true, "ineligible", "draining"})
	w.refusedAs(&command.SetNodeEligibility{NodeID: id, Eligibility: "eligible"},
		"can not set node's scheduling eligibility to eligible while it is draining")
	w.must(&command.SetNodeDrain{NodeID: id, Complete: true, Now: 6e9})
	n = w.snap().Node(id)
	equal(t, "complete", n.LastDrain, &structs.DrainMetadata{
		StartedAt: time.Unix(5, 0).UTC(), UpdatedAt: time.Unix(6, 0).UTC(), Status: "complete", Meta: map[string]string{"why": "test"},
	})
	equal(t, "stays closed", []any{n.Drain, n.SchedulingEligibility}, []any{false, "ineligible"})
	w.must(&command.SetNodeDrain{NodeID: id, Strategy: drain})
	w.must(&command.SetNodeDrain{NodeID: id, MarkEligible: true})
	n = w.snap().Node(id)
	equal(t, "called off", []any{n.LastDrain.Status, n.SchedulingEligibility}, []any{"canceled", "eligible"})
}

// What waits for its replacement when a drain is called off stays, and the job is
// looked at again: a replacement that there is already is one too many.
func TestWhoWaitedForAReplacementStaysWhenTheDrainIsCalledOff(t *testing.T) {
	w := newWorld(t)
	id, other := w.addNode(), w.addNode()
	first := w.place(w.register(testJob("web", 1)), rowsOn(id)...)[0]
	w.must(&command.SetNodeDrain{NodeID: id, Strategy: &structs.DrainStrategy{}})
	w.must(&command.TransitionAllocs{Transitions: []command.AllocTransition{
		{AllocID: first, Transition: structs.DesiredTransition{Migrate: ptr(true), AfterReplacement: ptr(true)}},
	}})
	e := testEval(testJob("web", 1))
	w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{e}})
	second := w.place(e, structs.Placement{NodeID: other, PreviousAllocation: first})[0]
	equal(t, "replaced", w.snap().Alloc(first).NextAllocation, second)
	made := w.must(&command.SetNodeDrain{NodeID: id, EvalSeed: ids.New()}).(*NodeResult).EvalIDs
	a := w.snap().Alloc(first)
	equal(t, "stays", []any{a.DesiredTransition, a.NextAllocation}, []any{structs.DesiredTransition{}, ""})
	equal(t, "looked at", len(made), 1)
	equal(t, "the job", w.snap().Eval(made[0]).JobID, "web")
}

// A drain decides who waits for a replacement; it may have been called off, or
// somebody may have stopped the allocation, before that is applied.
func TestNobodyIsToldTooLateToWait(t *testing.T) {
	yes := ptr(true)
	wait := structs.DesiredTransition{Migrate: yes, AfterReplacement: yes}
	for name, c := range map[string]struct {
		draining bool
		before   structs.DesiredTransition
		want     structs.DesiredTransition
	}{
		"in time":              {true, structs.DesiredTransition{}, wait},
		"the drain was ended":  {false, structs.DesiredTransition{}, structs.DesiredTransition{}},
		"it was stopped first": {true, structs.DesiredTransition{Migrate: yes}, structs.DesiredTransition{Migrate: yes}},
	} {
		w := newWorld(t)
		id := w.addNode()
		a := w.place(w.register(testJob("web", 1)), rowsOn(id)...)[0]
		if c.draining {
			w.must(&command.SetNodeDrain{NodeID: id, Strategy: &structs.DrainStrategy{}})
		}
		for _, d := range []structs.DesiredTransition{c.before, wait} {
			w.must(&command.TransitionAllocs{Transitions: []command.AllocTransition{{AllocID: a, Transition: d}}})
		}
		equal(t, name, w.snap().Alloc(a).DesiredTransition, c.want)
	}
}

// TestOneDrainIsNotEndedForAnother decides that a drain is done, and what happens
// to the node before the decision is applied.
func TestOneDrainIsNotEndedForAnother(t *testing.T) {
	drain := func(ignore bool) *structs.DrainStrategy {
		return &structs.DrainStrategy{DrainSpec: structs.DrainSpec{Deadline: time.Hour, IgnoreSystemJobs: ignore}, StartedAt: time.Unix(5, 0)}
	}
	for _, c := range []struct {
		name      string
		meanwhile []command.Command
		ends      bool
	}{
		{"nothing", nil, true},
		{"called off", []command.Command{&command.SetNodeDrain{MarkEligible: true}}, false},
		{"called off, and another begins in the same instant", []command.Command{
			&command.SetNodeDrain{MarkEligible: true}, &command.SetNodeDrain{Strategy: drain(true)}}, false},
		{"system jobs are to leave too", []command.Command{&command.SetNodeDrain{Strategy: drain(false)}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			id := w.addNode()
			w.must(&command.SetNodeDrain{NodeID: id, Strategy: drain(true)})
			done := &command.SetNodeDrain{NodeID: id, Complete: true, NodeModifyIndex: w.snap().Node(id).ModifyIndex}
			for _, m := range c.meanwhile {
				m.(*command.SetNodeDrain).NodeID = id
				w.must(m)
			}
			before := w.snap().Node(id)
			err, refused := w.apply(done).(error)
			equal(t, "refused", refused, !c.ends)
			if c.ends {
				equal(t, "status", w.snap().Node(id).LastDrain.Status, structs.DrainStatusComplete)
				return
			}
			var conflict *ConflictError
			equal(t, "a conflict", errors.As(err, &conflict), true)
			equal(t, "the node", w.snap().Node(id), before)
		})
	}
}

func TestPools(t *testing.T) {
	w := newWorld(t)
	n := testNode(ids.New())
	n.NodePool = "gpu"
	w.refusedAs(&command.RegisterNode{Node: n}, `node pool "gpu" does not exist`)
	w.must(&command.RegisterNode{Node: n, CreatePool: true})
	w.addNode()
	equal(t, "in gpu", len(slices.Collect(w.snap().NodesByPool("gpu"))), 1)
	equal(t, "in all", len(slices.Collect(w.snap().NodesByPool("all"))), 2)
	w.refusedAs(&command.DeleteNodePools{Names: []string{"gpu"}}, `node pool "gpu" is in use: it has nodes, `+n.ID+` among them: purge or move them first`)
	w.must(&command.DeleteNodes{NodeIDs: []string{n.ID}})
	w.must(&command.DeleteNodePools{Names: []string{"gpu"}})
	w.refusedAs(&command.DeleteNodes{NodeIDs: []string{n.ID}}, "node not found")
}

func TestAllocationsOutliveTheirNode(t *testing.T) {
	w := newWorld(t)
	id := w.addNode()
	placed := w.place(w.register(testJob("web", 1)), rowsOn(id)...)
	w.must(&command.DeleteNodes{NodeIDs: []string{id}})
	a := w.snap().Alloc(placed[0])
	equal(t, "still known", []string{a.NodeID, a.NodeName}, []string{id, "node-" + id[:4]})
	equal(t, "by node", len(slices.Collect(w.snap().AllocsByNode(id))), 1)
	equal(t, "by prefix", len(slices.Collect(w.snap().Nodes(id[:4]))), 0)
}
