// Package blocked keeps the evaluations that wait for capacity, at most one a
// job, and says which of them capacity that came could serve: those that fit
// it, the most important first, and no more of them than it has room for.
//
// It must not know where changes come from or how evaluations are processed.
// What it promises: no evaluation sleeps while a node has room for it that it
// has not seen, and a change costs nothing for those it can't help. Begin
// reading at Tracker.Match, then shelf.go (who fits which node) and tree.go
// (who fits into an amount).
package blocked

import (
	"cmp"
	"container/list"
	"slices"
	"sync"

	"github.com/steppe-run/steppe/structs"
)

// Need is what a blocked evaluation waits for: one claim for each task group
// that has unplaced allocations. Any of them being served wakes it.
type Need struct {
	Claims []Claim
}

// Tracker keeps blocked evaluations. It is safe for concurrent use.
type Tracker struct {
	mu sync.Mutex
	// floor is the index before which an evaluation can't have been scheduled
	// by the rules of today.
	floor uint64
	// newest is the index of the last change noted.
	newest uint64
	// missed is the oldest state on which an evaluation was scheduled that
	// blocked since the last match: what changed after it may help that one.
	missed uint64
	seq    uint64

	jobs    map[structs.NamespacedID]*waiter
	ready   []*waiter
	outrun  map[*waiter]bool
	asleep  int
	shelves shelves
	// local are the claims that need less on a node, because they would
	// replace an allocation there.
	local map[string]map[*claim]amount

	hosts map[string]*host
	// byAge lists the hosts, the one that changed last at the back.
	byAge *list.List
	dirty []*host
}

// waiter is one evaluation.
type waiter struct {
	eval   *structs.Evaluation
	seq    uint64
	claims []*claim
	woken  bool
	grants []grant
}

// New returns an empty tracker.
func New() *Tracker {
	t := &Tracker{}
	t.clear()
	return t
}

// Reset forgets everything.
func (t *Tracker) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
}

func (t *Tracker) clear() {
	t.missed = never
	t.jobs = map[structs.NamespacedID]*waiter{}
	t.ready, t.asleep = nil, 0
	t.outrun = map[*waiter]bool{}
	t.shelves = newShelves()
	t.local = map[string]map[*claim]amount{}
	t.hosts = map[string]*host{}
	t.byAge = list.New()
	t.dirty = nil
}

// Block takes an evaluation that waits for capacity. Of two for one job the
// later made stays; the state cancels the other. An evaluation that was woken
// and comes back gives back what it was woken for.
func (t *Tracker) Block(eval *structs.Evaluation, need Need) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := eval.JobNamespacedID()
	if old := t.jobs[key]; old != nil {
		if old.eval.ID != eval.ID && old.eval.CreateIndex > eval.CreateIndex {
			return
		}
		t.drop(key, old)
	}
	t.seq++
	w := &waiter{eval: eval, seq: t.seq}
	t.jobs[key] = w
	t.asleep++
	if eval.TriggeredBy == structs.TriggerMaxPlans {
		t.outrun[w] = true
	}
	for i := range need.Claims {
		t.claim(w, &need.Claims[i])
	}
	if eval.SnapshotIndex < t.floor {
		t.wake(w)
		return
	}
	t.missed = min(t.missed, eval.SnapshotIndex)
}

// Forget drops an evaluation that ended.
func (t *Tracker) Forget(eval *structs.Evaluation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := eval.JobNamespacedID()
	if w := t.jobs[key]; w != nil && w.eval.ID == eval.ID {
		t.drop(key, w)
	}
}

// Note says that a node may have more room since an index: it came, or
// something on it ended.
func (t *Tracker) Note(nodeID string, index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.newest = max(t.newest, index)
	h := t.hosts[nodeID]
	if h == nil {
		h = &host{id: nodeID}
		t.hosts[nodeID] = h
		h.age = t.byAge.PushBack(h)
	}
	// Never older than the last one, so that the list stays in order.
	h.since = t.newest
	t.byAge.MoveToBack(h.age)
	t.mark(h)
}

// WakeAll wakes every evaluation: the rules changed, not the capacity.
func (t *Tracker) WakeAll(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Evaluations that were scheduled before index must not sleep either.
	t.floor = max(t.floor, index)
	for _, w := range t.jobs {
		t.wake(w)
	}
}

// WakeJob wakes the evaluation of a job, if it waits for what its own
// allocations take from others of the job, as with distinct_hosts.
func (t *Tracker) WakeJob(job structs.NamespacedID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := t.jobs[job]; w != nil && slices.ContainsFunc(w.claims, (*claim).personal) {
		t.wake(w)
	}
}

// WakeOutrun wakes evaluations that are blocked because their plans were
// refused too often, not for lack of capacity.
func (t *Tracker) WakeOutrun() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for w := range t.outrun {
		t.wake(w)
	}
}

// Match returns the evaluations to be scheduled again, each once, the most
// important first. Each host that changed, or that an evaluation which was
// woken for its room has left with room, is held against those that wait.
func (t *Tracker) Match(rooms Rooms) []*structs.Evaluation {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := t.byAge.Back(); t.missed != never && e != nil; e = e.Prev() {
		h := hostOf(e)
		if h.since <= t.missed {
			break
		}
		t.mark(h)
	}
	t.missed = never
	for _, h := range t.dirty {
		h.dirty = false
		t.serve(h, rooms)
	}
	t.dirty = t.dirty[:0]
	if len(t.ready) == 0 {
		return nil
	}
	slices.SortFunc(t.ready, before)
	out := make([]*structs.Evaluation, len(t.ready))
	for i, w := range t.ready {
		out[i] = w.eval
	}
	t.ready = nil
	return out
}

// Len is how many evaluations wait and were not woken.
func (t *Tracker) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.asleep
}

// Wait is what one evaluation that was not woken waits for, in all.
type Wait struct {
	Eval *structs.Evaluation
	Ask  structs.Comparable
}

// Waits lists what waits and was not woken.
func (t *Tracker) Waits() []Wait {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Wait, 0, t.asleep)
	for _, w := range t.jobs {
		if w.woken {
			continue
		}
		var sum amount
		for _, c := range w.claims {
			sum = sum.plus(c.ask.scaled(c.left))
		}
		out = append(out, Wait{Eval: w.eval, Ask: structs.Comparable{CPU: sum[0], MemoryMB: sum[1], DiskMB: sum[2]}})
	}
	return out
}

func (t *Tracker) wake(w *waiter) {
	if w.woken {
		return
	}
	w.woken = true
	t.asleep--
	t.ready = append(t.ready, w)
}

// drop takes an evaluation out and gives back what it was woken for.
func (t *Tracker) drop(key structs.NamespacedID, w *waiter) {
	delete(t.jobs, key)
	delete(t.outrun, w)
	if !w.woken {
		t.asleep--
	} else if i := slices.Index(t.ready, w); i >= 0 {
		t.ready = slices.Delete(t.ready, i, i+1)
	}
	for _, c := range w.claims {
		t.unclaim(c)
	}
	for _, g := range w.grants {
		g.host.promised[g.claim.lane()] = g.host.promised[g.claim.lane()].minus(g.amount)
		g.host.hold(g.claim.Ports, -1)
		t.mark(g.host)
	}
}

func (t *Tracker) mark(h *host) {
	if !h.dirty {
		h.dirty = true
		t.dirty = append(t.dirty, h)
	}
}

// before orders evaluations: by priority, then age.
func before(a, b *waiter) int {
	return cmp.Or(cmp.Compare(b.eval.Priority, a.eval.Priority),
		cmp.Compare(a.eval.CreateIndex, b.eval.CreateIndex), cmp.Compare(a.seq, b.seq))
}
