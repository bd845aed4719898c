package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// silence has the first n of the nodes fall silent, the others be heard.
func (w *world) silence(n int) {
	for i := range len(w.nodes) {
		w.nodes[nth(i)].set(func(f *fakeNode) { f.silent = i < n })
	}
}

func nth(i int) string { return fmt.Sprintf("n%02d", i) }

// statuses counts the nodes by status; those held back are "held".
func statuses(snap *state.Snapshot) map[string]int {
	out := map[string]int{}
	for n := range snap.Nodes("") {
		if n.SilentSince != 0 {
			out["held"]++
			continue
		}
		out[n.Status]++
	}
	return out
}

func (w *world) fleet(n int) {
	for i := range n {
		w.addNode(nth(i))
		w.pass(100 * time.Millisecond) // they don't call at the same time
	}
	w.settled(servertest.Job("web", "service", n))
	w.pass(15 * time.Second)
}

// vanish has so many of 20 nodes vanish and waits until that was found.
func (w *world) vanish(n int) {
	w.t.Helper()
	w.fleet(20)
	w.silence(n)
	took := w.until(time.Minute, "they are held back", func(snap *state.Snapshot) bool { return statuses(snap)["held"] == n })
	if took > 25*time.Second {
		w.t.Errorf("it took %s", took)
	}
}

func (w *world) moved() int {
	n := 0
	for a := range w.s.store.Snapshot().AllocsByJob("default", "web") {
		if a.ClientStatus == structs.AllocClientLost || a.PreviousAllocation != "" {
			n++
		}
	}
	return n
}

func TestTheLossOfAFewIsNotHeldBack(t *testing.T) {
	play(t, func(_ *testing.T, w *world) {
		w.fleet(20)
		w.silence(7) // a zone of three
		w.until(25*time.Second, "they are down and their work runs elsewhere", func(snap *state.Snapshot) bool {
			return statuses(snap)["down"] == 7 && w.running("web", 20)(snap)
		})
	})
}

func TestManyThatReturnFindTheirWork(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.vanish(15)
		status, _ := w.s.Brake()
		if len(status.Held) != 15 || status.Until == nil || !strings.Contains(status.Summary, "15 of 20 nodes are silent") {
			t.Errorf("%+v", status)
		}
		w.pass(time.Millisecond)
		if got := w.s.Figures()["brake.held"]; got != 15 {
			t.Errorf("the figure says %d", got)
		}
		n := w.s.store.Snapshot().Node(w.nodes[nth(0)].id)
		if e := n.Events[len(n.Events)-1]; n.Status != structs.NodeStatusReady || !strings.Contains(e.Message, "held back") || e.Subsystem != structs.NodeEventHeartbeat {
			t.Errorf("%s: %s", n.Status, e.Message)
		}
		w.register(servertest.Job("late", "service", 5))
		w.until(5*time.Second, "what is new runs on the others", w.running("late", 5))
		w.pass(5 * time.Minute)
		w.silence(0)
		w.until(30*time.Second, "all are back", func(snap *state.Snapshot) bool { return statuses(snap)["ready"] == 20 })
		w.pass(time.Minute)
		if n := w.moved(); n != 0 {
			t.Errorf("%d allocations were moved", n)
		}
		if status, _ := w.s.Brake(); len(status.Held) != 0 || !strings.Contains(status.Summary, "ready") {
			t.Errorf("%+v", status)
		}
	})
}

func TestMostOfManyReturn(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.vanish(15)
		w.pass(time.Minute)
		w.silence(5)
		took := w.until(time.Minute, "the rest is given up", func(snap *state.Snapshot) bool {
			s := statuses(snap)
			return s["ready"] == 15 && s["down"] == 5 && w.running("web", 20)(snap)
		})
		if took < 20*time.Second {
			t.Errorf("the rest was given up after %s, before it could follow the others", took)
		}
	})
}

func TestManyAreGivenUpWhenAPersonSaysSo(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		if resp, _, err := w.s.ReleaseBrake(t.Context()); err != nil || len(resp.NodeIDs) != 0 {
			t.Errorf("there is nothing to release: %v, %v", resp, err)
		}
		w.vanish(15)
		resp, _, err := w.s.ReleaseBrake(t.Context())
		if err != nil || len(resp.NodeIDs) != 15 {
			t.Fatalf("%v, %v", resp, err)
		}
		w.until(10*time.Second, "everything runs elsewhere", func(snap *state.Snapshot) bool {
			return statuses(snap)["down"] == 15 && w.running("web", 20)(snap)
		})
		w.pass(time.Minute)
		if s := statuses(w.s.store.Snapshot()); s["down"] != 15 || s["ready"] != 5 {
			t.Errorf("%v", s)
		}
	})
}

// TestTheBrakeKeepsNoDisconnectedNode has a node disconnected before many others
// fall silent: it is down in its own time.
func TestTheBrakeKeepsNoDisconnectedNode(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.fleet(20)
		a := w.nodes[nth(0)]
		w.settled(with(servertest.Job("patient", "service", 60), func(g *structs.TaskGroup) {
			g.Disconnect = &structs.DisconnectStrategy{LostAfter: ptr(3 * time.Minute), Replace: ptr(true)}
		}))
		w.silence(1)
		w.until(time.Minute, "the first is disconnected", func(snap *state.Snapshot) bool {
			return snap.Node(a.id).Status == structs.NodeStatusDisconnected
		})
		w.silence(16)
		w.until(time.Minute, "the others are held back", func(snap *state.Snapshot) bool { return statuses(snap)["held"] == 15 })
		w.until(4*time.Minute, "the first is down", func(snap *state.Snapshot) bool { return snap.Node(a.id).Status == structs.NodeStatusDown })
		if s := statuses(w.s.store.Snapshot()); s["held"] != 15 {
			t.Errorf("%v", s)
		}
	})
}

// TestWhatAReleaseOpensStaysOpenForAWhile has others fall silent just after a person had
// many given up.
func TestWhatAReleaseOpensStaysOpenForAWhile(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.vanish(12)
		w.silence(15)
		w.pass(10 * time.Second)
		if _, _, err := w.s.ReleaseBrake(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.until(25*time.Second, "the others are given up too", func(snap *state.Snapshot) bool { return statuses(snap)["down"] == 15 })
	})
}

func TestManyAreGivenUpAfterAWhile(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.vanish(15)
		w.pass(9 * time.Minute)
		if s := statuses(w.s.store.Snapshot()); s["held"] != 15 {
			t.Errorf("%v", s)
		}
		w.until(90*time.Second, "everything runs elsewhere", func(snap *state.Snapshot) bool {
			return statuses(snap)["down"] == 15 && w.running("web", 20)(snap)
		})
	})
}

// TestTheNextLeaderHoldsBackToo changes the leader while nodes are held back.
func TestTheNextLeaderHoldsBackToo(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.vanish(15)
		w.pass(time.Minute)
		w.lead()
		w.pass(2 * time.Minute)
		if s := statuses(w.s.store.Snapshot()); s["held"] != 15 || s["ready"] != 5 {
			t.Errorf("under the next leader: %v", s)
		}
		w.until(8*time.Minute, "its time counts from the beginning", func(snap *state.Snapshot) bool { return statuses(snap)["down"] == 15 })
	})
}

// TestALeaderThatFellBehindKnowsWhoIsHeldBack has the leader miss that nodes were held
// back or put in quarantine, and that others which were are gone: without that those
// would wait for ever.
func TestALeaderThatFellBehindKnowsWhoIsHeldBack(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.vanish(15)
		w.pass(time.Second)
		leader := w.s.term.Load()
		for _, id := range leader.held.All() {
			leader.held.Note(id, 0)
		}
		leader.held.Note("gone", 1)
		leader.quarantine.Note("gone", 1)
		lost := w.nodes[nth(0)].id
		until := time.Now().Add(time.Minute).UnixNano()
		if _, err := w.s.propose(t.Context(), &command.SetNodeStatus{Now: time.Now().UnixNano(), Nodes: []command.NodeStatus{{
			NodeID: lost, Status: structs.NodeStatusReady, SilentSince: w.s.store.Snapshot().Node(lost).SilentSince, QuarantineUntil: until,
		}}}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		leader.quarantine.Note(lost, 0)
		if _, err := leader.resync(); err != nil {
			t.Fatal(err)
		}
		if held := leader.held.All(); len(held) != 15 || slices.Contains(held, "gone") {
			t.Errorf("held back: %v", held)
		}
		if due := leader.quarantine.Due(time.Unix(0, until)); len(due) != 1 || due[0] != lost {
			t.Errorf("in quarantine: %v, want %s", due, lost)
		}
		w.until(11*time.Minute, "they are given up in their time", func(snap *state.Snapshot) bool { return statuses(snap)["down"] == 15 })
	})
}

// TestTheNextLeaderCountsWhoWasLost has some nodes given up by one leader and others
// found silent by the next: together they are too many.
func TestTheNextLeaderCountsWhoWasLost(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.fleet(20)
		w.silence(7)
		w.until(time.Minute, "they are given up", func(snap *state.Snapshot) bool { return statuses(snap)["down"] == 7 })
		w.silence(10)
		w.lead()
		w.until(25*time.Second, "the others are held back", func(snap *state.Snapshot) bool { return statuses(snap)["held"] == 3 })
	})
}

// TestANewLeaderFindsTheDeadAndLosesNoneOfTheLiving changes the leader while some
// nodes are silent already.
func TestANewLeaderFindsTheDeadAndLosesNoneOfTheLiving(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.fleet(12)
		w.silence(3)
		w.pass(15 * time.Second)
		w.lead()
		w.until(21*time.Second, "the dead are found within a TTL and the grace", func(snap *state.Snapshot) bool { return statuses(snap)["down"] == 3 })
		w.pass(time.Minute)
		if s := statuses(w.s.store.Snapshot()); s["down"] != 3 || s["ready"] != 9 {
			t.Errorf("%v", s)
		}
	})
}
