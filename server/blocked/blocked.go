// Package blocked keeps the evaluations that wait for capacity, at most one a
// job, and says which of them a change of capacity could help.
//
// It must not know where changes come from or how evaluations are processed.
// No wake-up is lost: an evaluation that was scheduled on an older state than
// a change it didn't see is woken at once. Begin reading at Tracker.
package blocked

import (
	"sync"

	"github.com/steppe-run/steppe/structs"
)

// Need is what a blocked evaluation waits for.
type Need struct {
	// Pool is the node pool of its job; empty for any.
	Pool string
	// Ask is the least that any of its unplaced allocations takes. Zero if
	// room isn't what it lacks.
	Ask structs.Comparable
}

// Change is capacity that came: a node, or room on one.
type Change struct {
	Index uint64
	Class string
	Pool  string
	// Free is the room that the node has now; nil if unknown.
	Free *structs.Comparable
}

// recentChanges is how many changes are remembered, to be held against
// evaluations that were scheduled on an older state.
const recentChanges = 1024

// Tracker keeps blocked evaluations. It is safe for concurrent use.
type Tracker struct {
	mu sync.Mutex
	// floor is the index before which changes are not remembered.
	floor  uint64
	recent []Change
	next   int // where in recent the next change goes, once it is full

	jobs  map[structs.NamespacedID]*entry
	ready []*structs.Evaluation
}

type entry struct {
	eval *structs.Evaluation
	need Need
}

// New returns an empty tracker that knows of all changes after index floor.
func New(floor uint64) *Tracker {
	return &Tracker{
		floor: floor,
		jobs:  map[structs.NamespacedID]*entry{},
	}
}

// Block takes an evaluation that waits for capacity. Of two for one job the
// later made stays; the state cancels the other.
func (t *Tracker) Block(eval *structs.Evaluation, need Need) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := eval.JobNamespacedID()
	if old := t.jobs[key]; old != nil && old.eval.CreateIndex > eval.CreateIndex {
		return
	}
	e := &entry{eval: eval, need: need}
	if t.missed(e) {
		delete(t.jobs, key)
		t.ready = append(t.ready, eval)
		return
	}
	t.jobs[key] = e
}

// Note wakes the evaluations that a change could help.
func (t *Tracker) Note(c Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remember(c)
	for key, e := range t.jobs {
		if e.helpedBy(c) {
			t.wake(key, e)
		}
	}
}

// WakeAll wakes every evaluation: the rules changed, not the capacity.
func (t *Tracker) WakeAll(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Evaluations scheduled before index must not be parked either.
	t.floor = max(t.floor, index)
	for key, e := range t.jobs {
		t.wake(key, e)
	}
}

// WakeOutrun wakes evaluations that are blocked because their plans were
// refused too often, not for lack of capacity.
func (t *Tracker) WakeOutrun() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, e := range t.jobs {
		if e.eval.TriggeredBy == structs.TriggerMaxPlans {
			t.wake(key, e)
		}
	}
}

// Forget drops an evaluation that ended by another road.
func (t *Tracker) Forget(eval *structs.Evaluation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := eval.JobNamespacedID()
	if e := t.jobs[key]; e != nil && e.eval.ID == eval.ID {
		delete(t.jobs, key)
	}
}

// Woken returns what is to be scheduled again, once.
func (t *Tracker) Woken() []*structs.Evaluation {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.ready
	t.ready = nil
	return out
}

// Len is how many evaluations wait.
func (t *Tracker) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.jobs)
}

func (t *Tracker) wake(key structs.NamespacedID, e *entry) {
	delete(t.jobs, key)
	t.ready = append(t.ready, e.eval)
}

func (t *Tracker) remember(c Change) {
	if len(t.recent) < recentChanges {
		t.recent = append(t.recent, c)
		return
	}
	t.floor = max(t.floor, t.recent[t.next].Index)
	t.recent[t.next] = c
	t.next = (t.next + 1) % recentChanges
}

// missed reports whether a change that would have helped came after the state
// on which the evaluation was scheduled.
func (t *Tracker) missed(e *entry) bool {
	if e.eval.SnapshotIndex < t.floor {
		return true
	}
	for _, c := range t.recent {
		if c.Index > e.eval.SnapshotIndex && e.helpedBy(c) {
			return true
		}
	}
	return false
}

func (e *entry) helpedBy(c Change) bool {
	if e.need.Pool != "" && e.need.Pool != structs.NodePoolAll && c.Pool != "" && e.need.Pool != c.Pool {
		return false
	}
	if c.Free != nil && e.need.Ask.Exceeds(*c.Free) != "" {
		return false
	}
	if e.eval.EscapedComputedClass {
		return true
	}
	// A class that the evaluation has not seen may be what it needs.
	eligible, seen := e.eval.ClassEligibility[c.Class]
	return eligible || !seen
}
