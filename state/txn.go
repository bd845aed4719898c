package state

import (
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

// txn is the next version of the tables while one command changes them. It
// shares with the version before what it doesn't change; if the command is
// refused it is forgotten.
type txn struct {
	tables.Tables
	before  *alloc.Table // allocations before the command
	now     int64
	touched feed.TableSet
	events  []feed.Event

	// What follows from the changes is gathered and stored once, by finish.
	pendingStats     map[structs.NamespacedID]*tables.JobStats
	pendingSummaries map[structs.NamespacedID]*structs.JobSummary
	evalsSwept       map[structs.NamespacedID]bool
}

func begin(t *tables.Tables, index uint64) *txn {
	tx := &txn{Tables: *t, before: t.Allocs}
	tx.Share()
	tx.Allocs = t.Allocs.Begin()
	tx.Index = index
	return tx
}

// next is the version after tx, which nobody has seen: both share all but the
// allocations.
func (tx *txn) next(index uint64) *txn {
	next := &txn{Tables: tx.Tables, before: tx.Allocs}
	next.Allocs = tx.Allocs.Begin()
	next.Index = index
	return next
}

// perform changes the tables as the command says. It ends the transaction.
func (tx *txn) perform(c command.Command) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			result, err = nil, &PanicError{Value: fmt.Sprintf("%v\n%s", p, debug.Stack())}
		}
	}()
	result, err = tx.dispatch(c)
	if err != nil {
		return nil, err
	}
	tx.finish()
	return result, nil
}

func (tx *txn) dispatch(c command.Command) (any, error) {
	switch c := c.(type) {
	case *command.RegisterJob:
		return tx.registerJob(c)
	case *command.DeregisterJob:
		return tx.deregisterJob(c)
	case *command.MarkJobStable:
		return tx.markJobStable(c)
	case *command.TagJobVersion:
		return tx.tagJobVersion(c)
	case *command.UpsertEvals:
		return tx.upsertEvals(c)
	case *command.ApplyPlans:
		return tx.applyPlans(c)
	case *command.UpdateAllocs:
		return tx.updateAllocs(c)
	case *command.TransitionAllocs:
		return tx.transitionAllocs(c)
	case *command.UpdateDeployment:
		return tx.updateDeployment(c)
	case *command.PromoteDeployment:
		return tx.promoteDeployment(c)
	case *command.SetAllocHealth:
		return tx.setAllocHealth(c)
	case *command.Sweep:
		return tx.sweep(c)
	}
	return tx.dispatchNodes(c)
}

func (tx *txn) dispatchNodes(c command.Command) (any, error) {
	switch c := c.(type) {
	case *command.RegisterNode:
		return tx.registerNode(c)
	case *command.SetNodeStatus:
		return tx.setNodeStatus(c)
	case *command.SetNodeEligibility:
		return tx.setNodeEligibility(c)
	case *command.SetNodeDrain:
		return tx.setNodeDrain(c)
	case *command.DeleteNodes:
		return tx.deleteNodes(c)
	case *command.UpsertServices:
		return tx.upsertServices(c)
	case *command.DeleteServices:
		return tx.deleteServices(c)
	case *command.SetSchedulerConfig:
		return tx.setSchedulerConfig(c)
	case *command.UpsertNodePools:
		return tx.upsertNodePools(c)
	case *command.DeleteNodePools:
		return tx.deleteNodePools(c)
	case *command.UpsertNamespaces:
		return tx.upsertNamespaces(c)
	case *command.DeleteNamespaces:
		return tx.deleteNamespaces(c)
	case *command.DispatchJob:
		return tx.dispatchJob(c)
	case *command.LaunchJobs:
		return tx.launchJobs(c)
	}
	return nil, fmt.Errorf("apply command: %T is not a command of this version", c)
}

// finish stores what follows from the changes and ends the transaction.
func (tx *txn) finish() {
	tx.Allocs.Finish()
	tx.before = nil
	tx.deriveJobs()
	for _, key := range sortedIDs(tx.pendingSummaries) {
		s := tx.pendingSummaries[key]
		s.ModifyIndex = tx.Index
		tx.Summaries.Set(tables.Item[structs.JobSummary]{A: key.Namespace, B: key.ID, V: s})
		tx.touch(feed.TableJobSummaries)
	}
	for t := range feed.NumTables {
		if tx.touched&(1<<t) != 0 {
			tx.Modified[t] = tx.Index
		}
	}
}

func (tx *txn) touch(t feed.Table) { tx.touched |= 1 << t }

// emit records what changed and marks its table as changed.
func (tx *txn) emit(kind feed.Kind, old, changed any) {
	tx.touch(kind.Table())
	tx.events = append(tx.events, feed.Of(kind, old, changed))
}

// emitAlloc records an allocation that was placed or changed. The event shows
// it as it was before the entry and as it is after it, however often the entry
// changes it.
func (tx *txn) emitAlloc(kind feed.Kind, v alloc.View) {
	b, row := v.Batch()
	var before *alloc.Batch
	if old := tx.before.Get(v.Ref()); old.Valid() {
		before, _ = old.Batch()
	}
	tx.touch(feed.TableAllocs)
	tx.events = append(tx.events, feed.OfAlloc(kind, row, before, b))
}

// emitRemoved records an allocation that is about to be removed.
func (tx *txn) emitRemoved(v alloc.View) {
	old := tx.before.Get(v.Ref())
	if !old.Valid() {
		return
	}
	b, row := old.Batch()
	tx.touch(feed.TableAllocs)
	tx.events = append(tx.events, feed.OfAlloc(feed.AllocRemoved, row, b, nil))
}

// present returns what isn't nil: a decoded list may hold nothing in places.
func present[T any](list []*T) []*T {
	if !slices.Contains(list, nil) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(v *T) bool { return v == nil })
}

func sortedIDs[V any](m map[structs.NamespacedID]V) []structs.NamespacedID {
	keys := make([]structs.NamespacedID, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareIDs)
	return keys
}
