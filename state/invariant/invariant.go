// Package invariant is what must hold of the state after every entry of the
// log, whatever users ask and whatever fails. Each rule has a name and says what
// it promises. Property tests, the simulator and the test builds of the control
// plane judge by the same rules.
//
// It must not know why an entry was proposed. Begin reading at Rules, then
// Watch.
package invariant

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// Step is one applied entry.
type Step struct {
	Before, After *state.Snapshot
	Change        *feed.Change

	// allocs are the allocations that changed; jobs those that something changed
	// of, loaded the nodes on which something came to run or changed its size.
	allocs []pair
	jobs   []structs.NamespacedID
	loaded []string
	// lives are the answers of live that were asked for.
	lives map[liveOfJob][]*structs.Allocation
	// loads are the answers of carried.
	loads map[string][]*structs.Allocation
	// memory is what was seen in earlier steps.
	memory *memory
}

type liveOfJob struct {
	at  *state.Snapshot
	job structs.NamespacedID
}

// pair is an allocation before (nil: it is new) and after an entry (nil: it is
// gone). Like all allocations that are judged it is an outline: no rule is about
// what tasks tell.
type pair struct{ old, fresh *structs.Allocation }

// Rule is one promise about every step.
type Rule struct {
	Name    string
	Promise string
	// Check returns what is wrong.
	Check func(s *Step) []string
}

// Rules are all that can be judged entry by entry.
func Rules() []Rule {
	return []Rule{
		{"capacity", "what the allocations of a node take never exceeds what it has", capacity},
		{"ports", "a port of a node is given once", ports},
		{"eligible", "nothing is placed on a node that isn't ready, is draining or is ineligible", eligible},
		{"distinct_hosts", "allocations of a group with distinct_hosts share no node", distinctHosts},
		{"count", "no placement brings a group above its count and its canaries", count},
		{"name", "an instance of a group has one allocation, but for canaries and while it is replaced", names},
		{"system", "a system or sysbatch job has an allocation a node", systemOnce},
		{"job_version", "no allocation without its job", jobVersion},
		{"alloc_states", "an allocation only changes its states forwards", allocStates},
		{"max_parallel", "no more than max_parallel replacements of an update are without a verdict", maxParallel},
		{"canaries", "canaries are promoted only when all of them are healthy", canaries},
		{"one_deployment", "a job has one active deployment at most", oneDeployment},
		{"final", "what has ended stays ended: evaluations and deployments", final},
		{"reschedule", "a limited reschedule policy is kept", reschedule},
		{"batch", "what a batch job has completed, or a sysbatch job on a node, is not run again", batchOnce},
		{"priority", "preemption takes only from priorities at least ten below", priority},
		{"order", "no evaluation is decided before one of higher priority that was ready earlier", inOrder},
		{"launch", "a periodic job is launched once for an instant of its schedule", launchOnce},
		{"dispatch", "a token dispatches one job", dispatchOnce},
		{"migrate", "a drain has no more of a group leave at once than migrate's max_parallel, until its deadline", migrating},
		{"last", "a drain lets the last healthy allocation of a group go when another one is healthy, or at its deadline", lastLeaves},
		{"healthy", "an update takes no more healthy allocations away at once than max_parallel", healthyStops},
		{"told", "nothing leaves the state without being told as it was, for the history", told},
		{"one_blocked", "one evaluation of a job waits for capacity at most", oneBlocked},
	}
}

// Violation is a broken promise.
type Violation struct {
	Rule  string
	Index uint64
	What  string
}

// Error implements error.
func (v *Violation) Error() string {
	return fmt.Sprintf("invariant %q is broken by entry %d: %s", v.Rule, v.Index, v.What)
}

// Watch judges one entry after the other.
type Watch struct {
	// Seen, if not nil, is called with each change before it is judged.
	Seen func(*feed.Change)

	rules  []Rule
	last   *state.Snapshot
	memory *memory
}

// NewWatch begins at a state.
func NewWatch(at *state.Snapshot) *Watch {
	return &Watch{rules: Rules(), last: at, memory: newMemory()}
}

// Entry judges the entry that was just applied to store, at the store's index.
func (w *Watch) Entry(store *state.Store) []*Violation {
	before, after := w.last, store.Snapshot()
	w.last = after
	sub, err := store.Subscribe(before.Index())
	if lagged := (*feed.LaggedError)(nil); errors.As(err, &lagged) {
		// The store was restored since, from what was judged when it was applied: it
		// has only the changes that follow.
		sub, err = store.Subscribe(after.Index() - 1)
	}
	if err != nil {
		return []*Violation{{Rule: "feed", Index: after.Index(), What: err.Error()}}
	}
	var out []*Violation
	for sub.Waiting() {
		change, err := sub.Next(context.Background())
		if err != nil {
			return append(out, &Violation{Rule: "feed", Index: after.Index(), What: err.Error()})
		}
		if w.Seen != nil {
			w.Seen(change)
		}
		step := NewStep(before, after, change)
		step.memory = w.memory
		out = append(out, w.judge(step)...)
	}
	return out
}

func (w *Watch) judge(s *Step) []*Violation {
	var out []*Violation
	for _, r := range w.rules {
		for _, what := range r.Check(s) {
			out = append(out, &Violation{Rule: r.Name, Index: s.Change.Index, What: what})
		}
	}
	return out
}

// NewStep sorts what an entry changed.
func NewStep(before, after *state.Snapshot, change *feed.Change) *Step {
	s := &Step{Before: before, After: after, Change: change, lives: map[liveOfJob][]*structs.Allocation{}, loads: map[string][]*structs.Allocation{}, memory: newMemory()}
	jobs, loaded := map[structs.NamespacedID]bool{}, map[string]bool{}
	for i := range change.Events {
		ev := &change.Events[i]
		switch ev.Table() {
		case feed.TableAllocs:
			p := pairOf(ev)
			s.allocs = append(s.allocs, p)
			a := p.fresh
			if a == nil {
				a = p.old
			}
			jobs[a.JobNamespacedID()] = true
			if p.loads() {
				loaded[a.NodeID] = true
			}
		case feed.TableJobs, feed.TableEvals, feed.TableDeployments:
			if key, ok := jobOf(ev); ok {
				jobs[key] = true
			}
		}
	}
	s.loaded = slices.Sorted(maps.Keys(loaded))
	s.jobs = slices.SortedFunc(maps.Keys(jobs), func(a, b structs.NamespacedID) int {
		return slices.Compare([]string{a.Namespace, a.ID}, []string{b.Namespace, b.ID})
	})
	return s
}

func pairOf(ev *feed.Event) pair {
	var p pair
	if v := ev.OldAlloc(); v.Valid() {
		p.old = v.Outline()
	}
	if v := ev.NewAlloc(); v.Valid() {
		p.fresh = v.Outline()
	}
	return p
}

// loads reports whether its node may carry more after the entry than before. A
// node that shrinks under what runs on it breaks no promise.
func (p pair) loads() bool {
	switch {
	case p.fresh == nil || p.fresh.TerminalStatus():
		return false
	case p.old == nil || p.old.TerminalStatus():
		return true
	}
	return !reflect.DeepEqual(p.old.AllocatedResources, p.fresh.AllocatedResources)
}

func jobOf(ev *feed.Event) (structs.NamespacedID, bool) {
	object := ev.New()
	if object == nil {
		object = ev.Old()
	}
	switch o := object.(type) {
	case *structs.Job:
		return structs.NamespacedID{ID: o.GetID(), Namespace: o.GetNamespace()}, true
	case *structs.Evaluation:
		return o.JobNamespacedID(), true
	case *structs.Deployment:
		return structs.NamespacedID{ID: o.JobID, Namespace: o.Namespace}, true
	}
	return structs.NamespacedID{}, false
}

// placed are the allocations that the entry placed.
func (s *Step) placed() []*structs.Allocation {
	var out []*structs.Allocation
	for _, p := range s.allocs {
		if p.old == nil && p.fresh != nil {
			out = append(out, p.fresh)
		}
	}
	return out
}

// allocAfter is an allocation after the entry, nil if there is none.
func (s *Step) allocAfter(id string) *structs.Allocation {
	if v := s.After.AllocView(id); v.Valid() {
		return v.Outline()
	}
	return nil
}

// live are the allocations of a job that are to run and haven't ended. Those on
// nodes that can't be reached count apart: they may be replaced, or not.
func (s *Step) live(snap *state.Snapshot, key structs.NamespacedID) []*structs.Allocation {
	if known, found := s.lives[liveOfJob{snap, key}]; found {
		return known
	}
	var out []*structs.Allocation
	for v := range snap.AllocViewsByJob(key.Namespace, key.ID) {
		if !v.Row().Terminal() && v.Row().Client != alloc.Unknown {
			out = append(out, v.Outline())
		}
	}
	s.lives[liveOfJob{snap, key}] = out
	return out
}

// carried are the allocations that take of a node after the entry.
func (s *Step) carried(node string) []*structs.Allocation {
	if known, found := s.loads[node]; found {
		return known
	}
	var out []*structs.Allocation
	for v := range s.After.AllocViewsByNode(node) {
		if !v.Row().Terminal() {
			out = append(out, v.Outline())
		}
	}
	s.loads[node] = out
	return out
}

// current reports whether an allocation belongs to a job as it is registered
// now, and not to one of the same name that was purged.
func current(job *structs.Job, a *structs.Allocation) bool {
	return job != nil && a.Job != nil && a.Job.GetCreateIndex() == job.GetCreateIndex()
}

// leaves reports whether an allocation runs on only until its replacement is
// healthy.
func leaves(a *structs.Allocation) bool {
	return a.DesiredTransition.Lasts() && a.NextAllocation != ""
}

// canary reports whether an allocation stands beside those that it may replace
// one day.
func canary(snap *state.Snapshot, a *structs.Allocation) bool {
	if !a.DeploymentStatus.IsCanary() {
		return false
	}
	d := snap.Deployment(a.DeploymentID)
	if d == nil {
		return true
	}
	st := d.TaskGroups[a.TaskGroup]
	return st == nil || !st.Promoted
}
