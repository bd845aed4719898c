package state

import (
	"maps"
	"slices"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

func (tx *txn) upsertEvals(c *command.UpsertEvals) (any, error) {
	tx.now = c.Now
	tx.storeEvals(c.Evals)
	return &Applied{tx.Index}, nil
}

func (tx *txn) storeEvals(evals []*structs.Evaluation) {
	for _, e := range evals {
		if e != nil {
			next := *e
			tx.upsertEval(&next)
		}
	}
}

// upsertEvalOf stores the evaluation that comes with a change of its job.
func (tx *txn) upsertEvalOf(j *structs.Job, e *structs.Evaluation) {
	if e == nil {
		return
	}
	next := *e
	next.JobModifyIndex = j.GetJobModifyIndex()
	tx.upsertEval(&next)
}

// upsertEval stores an evaluation, which it takes over.
func (tx *txn) upsertEval(e *structs.Evaluation) {
	if e.ID == "" {
		return
	}
	existing := tx.Eval(e.ID)
	e.CreateIndex, e.ModifyIndex = tx.Index, tx.Index
	if existing != nil {
		e.CreateIndex, e.CreateTime = existing.CreateIndex, existing.CreateTime
		tx.unlistEval(existing)
	}
	if e.CreateTime == 0 {
		e.CreateTime = tx.now
	}
	if tx.now != 0 {
		e.ModifyTime = tx.now
	}
	tx.Evals.Set(tables.Item[structs.Evaluation]{B: e.ID, V: e})
	tx.EvalsByJob.Set(tables.Item[structs.Evaluation]{A: e.Namespace, B: e.JobID, N: e.CreateIndex, C: e.ID, V: e})
	tx.countEval(e, 1)
	tx.countQueued(e)
	var old any
	if existing != nil {
		old = existing
	}
	tx.emit(feed.EvalUpdated, old, e)
	switch {
	case e.Status == structs.EvalStatusBlocked:
		tx.supersede(e)
	case e.Status == structs.EvalStatusComplete && e.BlockedEval == "":
		tx.cancelBlocked(e.JobNamespacedID(), "nothing of the job waits for capacity any more", func(b *structs.Evaluation) bool {
			return b.CreateIndex < tx.Index // not one that came with it
		})
	}
}

// supersede keeps one blocked evaluation a job, the one created last, and none
// of a job that is stopped or gone.
func (tx *txn) supersede(e *structs.Evaluation) {
	key := e.JobNamespacedID()
	if j := tx.Job(key); j == nil || j.Stopped() {
		tx.cancelBlocked(key, "the job is stopped", nil)
		return
	}
	last := e
	for b := range tx.EvalsByJob.Under(key.Namespace, key.ID) {
		if b.Status == structs.EvalStatusBlocked && b.CreateIndex > last.CreateIndex {
			last = b
		}
	}
	tx.cancelBlocked(key, "a later evaluation of the job waits for capacity", func(b *structs.Evaluation) bool { return b.ID != last.ID })
}

// cancelBlocked cancels those evaluations of a job that wait for capacity; which
// may choose some of them.
func (tx *txn) cancelBlocked(key structs.NamespacedID, why string, which func(*structs.Evaluation) bool) {
	var gone []*structs.Evaluation
	for b := range tx.EvalsByJob.Under(key.Namespace, key.ID) {
		if b.Status == structs.EvalStatusBlocked && (which == nil || which(b)) {
			gone = append(gone, b)
		}
	}
	for _, b := range gone {
		next := *b
		next.Status, next.StatusDescription = structs.EvalStatusCancelled, why
		tx.upsertEval(&next)
	}
}

// unlistEval takes an evaluation off the index and the counts of its job.
func (tx *txn) unlistEval(e *structs.Evaluation) {
	tx.EvalsByJob.Delete(tables.Item[structs.Evaluation]{A: e.Namespace, B: e.JobID, N: e.CreateIndex, C: e.ID})
	tx.countEval(e, -1)
}

func (tx *txn) countEval(e *structs.Evaluation, n int) {
	s := tx.statsOf(e.JobNamespacedID())
	s.Evals += n
	if !e.Terminal() {
		s.LiveEvals += n
	}
}

// countQueued brings what an evaluation could not place into the summary. One that
// is cancelled has looked at nothing: what it once could not place tells nothing now.
func (tx *txn) countQueued(e *structs.Evaluation) {
	if e.QueuedAllocations == nil || e.Status == structs.EvalStatusCancelled {
		return
	}
	s := tx.summaryOf(e.JobNamespacedID())
	if s == nil {
		return
	}
	for group, counts := range s.Summary { // those, too, that the job no longer has
		counts.Queued = e.QueuedAllocations[group]
		s.Summary[group] = counts
	}
}

func (tx *txn) removeEval(e *structs.Evaluation) {
	tx.Evals.Delete(tables.Item[structs.Evaluation]{B: e.ID})
	tx.unlistEval(e)
	if tx.evalsSwept == nil {
		tx.evalsSwept = map[structs.NamespacedID]bool{}
	}
	tx.evalsSwept[e.JobNamespacedID()] = true
	tx.emit(feed.EvalRemoved, e, nil)
}

// nodeChange is a node before and after a command, nil if it wasn't or isn't
// there.
type nodeChange struct {
	old, new *structs.Node
	freed    bool // something on it needn't go after all
}

// matters reports whether a change of a node concerns the jobs that run on it, or
// could: all that decides whether a node takes what has changed.
func (c nodeChange) matters() bool {
	if c.old == nil || c.new == nil {
		return true
	}
	o, n := c.old, c.new
	return c.freed || o.Status != n.Status || o.Ready() != n.Ready() || o.ComputedClass != n.ComputedClass ||
		o.Datacenter != n.Datacenter || o.NodePool != n.NodePool || o.Name != n.Name ||
		!maps.Equal(o.Attributes, n.Attributes) || !maps.Equal(o.Meta, n.Meta)
}

// followNodes stores the evaluations that follow from changes of nodes, besides
// those that the command brought: one a job. It returns their ids.
func (tx *txn) followNodes(from string, brought []*structs.Evaluation, changes ...nodeChange) (made []string) {
	seed, ok := ids.Parse(from)
	if !ok {
		return nil
	}
	seen := map[structs.NamespacedID]bool{}
	for _, e := range brought {
		if e != nil {
			seen[e.JobNamespacedID()] = true
		}
	}
	for _, c := range changes {
		if !c.matters() {
			continue
		}
		for _, job := range tx.concerned(c) {
			if key := job.NamespacedID(); !seen[key] {
				seen[key] = true
				id := ids.Derive(seed, uint32(len(made)))
				made = append(made, id)
				tx.upsertEval(tx.nodeEval(id, job, c))
			}
		}
	}
	return made
}

// concerned lists the jobs that a change of a node concerns.
func (tx *txn) concerned(c nodeChange) (jobs []*structs.Job) {
	if c.new != nil {
		jobs = slices.Collect(tx.JobsFor(c.new))
	}
	if c.old == nil {
		return jobs
	}
	on := map[structs.NamespacedID]bool{}
	for v := range tx.Allocs.ByNode(c.old.ID) {
		s := v.Shared()
		key := structs.NamespacedID{Namespace: s.Namespace, ID: s.JobID}
		if on[key] || v.Row().Client.Terminal() {
			continue
		}
		on[key] = true
		if job := tx.Job(key); job != nil {
			jobs = append(jobs, job)
		} else if s.Job != nil {
			jobs = append(jobs, s.Job) // purged: what is left of it must be cleared away
		}
	}
	return jobs
}

func (tx *txn) nodeEval(id string, job *structs.Job, c nodeChange) *structs.Evaluation {
	e := &structs.Evaluation{
		ID: id, Namespace: job.GetNamespace(), JobID: job.GetID(), Type: job.GetType(), Priority: job.GetPriority(),
		TriggeredBy: structs.TriggerNodeUpdate, JobModifyIndex: job.GetJobModifyIndex(), Status: structs.EvalStatusPending,
		CreateTime: tx.now, ModifyTime: tx.now, NodeModifyIndex: tx.Index,
	}
	if c.new == nil {
		e.NodeID = c.old.ID
		return e
	}
	e.NodeID = c.new.ID
	if c.old != nil && c.old.Status == structs.NodeStatusDisconnected && c.new.Status == structs.NodeStatusReady {
		e.TriggeredBy = structs.TriggerReconnect
	}
	return e
}
