package control

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// What the plan of a drain says is what the drain then does, and asking changes
// nothing.
func TestADrainDoesWhatItsPlanSays(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		a := w.addNode("a")
		w.settled(servertest.Job("web", "service", 2))
		w.addNode("b")
		spec := structs.DrainSpec{Deadline: time.Hour}
		plan := func() *structs.DrainPlan {
			p, _, err := w.s.DrainPlan(t.Context(), a.id, spec)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		p := plan()
		if !p.Fits || p.Moves != 2 || p.Rounds != 2 || p.Draining || p.Groups[0].Allocs[0].NodeName != "b" {
			t.Fatalf("%+v", p)
		}
		if w.s.store.Snapshot().Node(a.id).DrainStrategy != nil || plan().Summary != p.Summary {
			t.Error("asking changed something")
		}
		drain := func(req *structs.NodeUpdateDrainRequest) *structs.DrainMetadata {
			req.NodeID = a.id
			if _, err := w.s.DrainNode(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			return w.s.store.Snapshot().Node(a.id).LastDrain
		}
		if m := drain(&structs.NodeUpdateDrainRequest{DrainSpec: &spec, Meta: map[string]string{"why": "disk"}}); m.Status != structs.DrainStatusDraining || m.Meta["why"] != "disk" {
			t.Errorf("begun: %+v", m)
		}
		if p := plan(); !p.Draining {
			t.Errorf("it drains already: %+v", p)
		}
		w.until(5*time.Minute, "the drain completes", func(snap *state.Snapshot) bool {
			m := snap.Node(a.id).LastDrain
			return m.Status == structs.DrainStatusComplete && m.Meta["why"] == "disk" && len(w.agents(snap, "web")["b"]) == 2
		})
		drain(&structs.NodeUpdateDrainRequest{DrainSpec: &structs.DrainSpec{}, Meta: map[string]string{"why": "fan"}})
		w.until(time.Minute, "an empty node is done at once", func(snap *state.Snapshot) bool { return snap.Node(a.id).DrainStrategy == nil })
		if m := drain(&structs.NodeUpdateDrainRequest{MarkEligible: true}); m.Status != structs.DrainStatusComplete || m.Meta["why"] != "fan" {
			t.Errorf("the end of what has ended changes nothing: %+v", m)
		}
		if _, _, err := w.s.DrainPlan(t.Context(), "none", spec); !errors.Is(err, structs.ErrNodeNotFound) {
			t.Errorf("a node that isn't there: %v", err)
		}
	})
}

// The last healthy one stays where there is no room for its replacement, and goes
// after that where there is.
func TestADrainOfTheLastOneDoesWhatItsPlanSays(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		a := w.addNode("a")
		w.settled(servertest.Job("web", "service", 1))
		spec := structs.DrainSpec{Deadline: time.Hour}
		planned := func(outcome, when string) {
			t.Helper()
			p, _, err := w.s.DrainPlan(t.Context(), a.id, spec)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Groups[0].Allocs[0]; !got.AfterReplacement || got.Outcome != outcome || got.When != when {
				t.Errorf("%+v, want %s %s", got, outcome, when)
			}
		}
		planned(structs.DrainUnplaceable, structs.DrainDeadline)
		if _, err := w.s.DrainNode(t.Context(), &structs.NodeUpdateDrainRequest{NodeID: a.id, DrainSpec: &spec}); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Minute)
		if n := len(w.agents(w.s.store.Snapshot(), "web")["a"]); n != 1 {
			t.Fatalf("%d run on the node, without room for a replacement", n)
		}
		planned(structs.DrainUnplaceable, structs.DrainDeadline)
		w.addNode("b")
		w.until(time.Minute, "the replacement runs beside it", func(snap *state.Snapshot) bool {
			on := w.agents(snap, "web")
			return len(on["a"]) == 1 && len(on["b"]) == 1
		})
		planned(structs.DrainMoves, structs.DrainRound)
		w.until(time.Minute, "the last one is gone", func(snap *state.Snapshot) bool { return snap.Node(a.id).DrainStrategy == nil })
	})
}

func TestACanceledDrainSaysSo(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		a := w.addNode("a")
		w.settled(servertest.Job("web", "service", 1))
		for _, c := range []struct {
			spec   *structs.DrainSpec
			status string
		}{{&structs.DrainSpec{}, structs.DrainStatusDraining}, {nil, structs.DrainStatusCanceled}, {&structs.DrainSpec{}, structs.DrainStatusDraining}} {
			if _, err := w.s.DrainNode(t.Context(), &structs.NodeUpdateDrainRequest{NodeID: a.id, DrainSpec: c.spec}); err != nil {
				t.Fatal(err)
			}
			if n := w.s.store.Snapshot().Node(a.id); n.LastDrain.Status != c.status || (n.DrainStrategy != nil) != (c.spec != nil) {
				t.Errorf("%+v, want %s", n.LastDrain, c.status)
			}
		}
	})
}

// TestADrainOfANodeThatDrains changes the drain: it goes on with what was said
// last, and says so.
func TestADrainOfANodeThatDrains(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		a := w.addNode("a")
		w.settled(servertest.Job("web", "service", 2))
		began := time.Now()
		drain := func(spec structs.DrainSpec) *structs.Node {
			if _, err := w.s.DrainNode(t.Context(), &structs.NodeUpdateDrainRequest{NodeID: a.id, DrainSpec: &spec}); err != nil {
				t.Fatal(err)
			}
			return w.s.store.Snapshot().Node(a.id)
		}
		drain(structs.DrainSpec{Deadline: time.Hour})
		w.pass(10 * time.Second)
		n := drain(structs.DrainSpec{Deadline: 2 * time.Hour, IgnoreSystemJobs: true})
		s := n.DrainStrategy
		if s == nil || !s.IgnoreSystemJobs || !s.ForceDeadline.Equal(time.Now().Add(2*time.Hour)) || !s.StartedAt.Equal(began) || !n.LastDrain.StartedAt.Equal(began) {
			t.Errorf("%+v, %+v", s, n.LastDrain)
		}
		if e := n.Events[len(n.Events)-1]; e.Message != "Node drain strategy updated" || e.Subsystem != structs.NodeEventDrain {
			t.Errorf("%+v", e)
		}
		before := w.s.store.Snapshot().Index()
		for _, bad := range []*structs.NodeUpdateDrainRequest{
			{NodeID: "nope", DrainSpec: &structs.DrainSpec{}}, {NodeID: a.id, DrainSpec: &structs.DrainSpec{}, MarkEligible: true},
		} {
			if _, err := w.s.DrainNode(t.Context(), bad); err == nil {
				t.Errorf("%+v was taken", bad)
			}
		}
		if now := w.s.store.Snapshot().Index(); now != before {
			t.Errorf("what was refused is at index %d", now)
		}
	})
}

// TestADrainThatIsDoneDoesNotEndTheNext has a drain called off and another begin
// while the end of the first is on its way.
func TestADrainThatIsDoneDoesNotEndTheNext(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		a := w.addNode("a")
		w.addNode("b")
		w.settled(servertest.Job("web", "service", 2))
		second := &structs.DrainStrategy{DrainSpec: structs.DrainSpec{Deadline: -1}, StartedAt: time.Now()}
		var ends atomic.Int32
		w.s.journal.(*memoryJournal).prepare(func(c command.Command) []command.Command {
			done, ok := c.(*command.SetNodeDrain)
			if !ok || !done.Complete || ends.Add(1) > 1 {
				return nil
			}
			return []command.Command{
				&command.SetNodeDrain{NodeID: a.id, MarkEligible: true, Now: time.Now().UnixNano()},
				&command.SetNodeDrain{NodeID: a.id, Strategy: second, Meta: map[string]string{"drain": "second"}, Now: time.Now().UnixNano()},
			}
		})
		if _, err := w.s.DrainNode(t.Context(), &structs.NodeUpdateDrainRequest{NodeID: a.id, DrainSpec: &structs.DrainSpec{}}); err != nil {
			t.Fatal(err)
		}
		w.until(time.Minute, "the second drain is done", func(snap *state.Snapshot) bool {
			n := snap.Node(a.id)
			return n.DrainStrategy == nil && n.LastDrain.Status == structs.DrainStatusComplete && n.LastDrain.Meta["drain"] == "second"
		})
		if ends.Load() < 2 {
			t.Error("the end of the first drain ended the second")
		}
	})
}
