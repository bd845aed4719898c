package state

import (
	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// sweep removes what the collector found unreachable. Since it looked, some of
// it may have come to life again: that stays.
func (tx *txn) sweep(c *command.Sweep) (any, error) {
	tx.now = c.Now
	result := &SweepResult{Index: tx.Index}
	// Jobs go first: what a batch job has done is remembered as long as the job is there,
	// and it may have come to life again.
	for _, k := range c.Jobs {
		key := structs.NamespacedID{Namespace: k.Namespace, ID: k.JobID}
		if j := tx.Job(key); j != nil && tx.finished(key, j) && !tx.HasTag(key) {
			tx.removeJob(key, j)
			result.Jobs++
		}
	}
	result.Allocs = tx.sweepAllocs(c.AllocIDs)
	for _, id := range c.EvalIDs {
		if e := tx.Eval(id); e != nil && e.Terminal() && !tx.hasAllocs(id) {
			tx.removeEval(e)
			result.Evals++
		}
	}
	for _, id := range c.DeploymentIDs {
		if d := tx.Deployment(id); d != nil && !d.Active() {
			tx.removeDeployment(d)
			result.Deployments++
		}
	}
	for _, id := range c.NodeIDs {
		if n := tx.Node(id); n != nil && n.Status == structs.NodeStatusDown && len(liveViews(tx.Allocs.ByNode(id))) == 0 {
			tx.removeNode(n)
			result.Nodes++
		}
	}
	return result, nil
}

// sweepAllocs removes allocations that have ended: their client said so, or it
// can't any more.
func (tx *txn) sweepAllocs(ids []string) int {
	seen := map[alloc.Ref]bool{}
	var refs []alloc.Ref
	for _, id := range ids {
		v := tx.Allocs.Find(id)
		if !v.Valid() || seen[v.Ref()] || !tx.ended(v.Row()) || tx.remembered(v.Shared()) {
			continue
		}
		seen[v.Ref()] = true
		refs = append(refs, v.Ref())
		tx.countForgotten(v)
		tx.emitRemoved(v)
		tx.dropServicesOf(v.ID())
	}
	tx.Allocs.Remove(refs)
	return len(refs)
}

// countForgotten counts as lost what goes before its node has told of its end: nothing
// will ever correct what it was counted as.
func (tx *txn) countForgotten(v alloc.View) {
	s, r := v.Shared(), v.Row()
	if r.Client.Terminal() {
		return
	}
	key := structs.NamespacedID{Namespace: s.Namespace, ID: s.JobID}
	tx.countStatus(key, s, r.Client, -1)
	tx.countStatus(key, s, alloc.Lost, 1)
}

// remembered reports whether an allocation is what a batch job has done, or has in hand,
// that isn't gone: it would do it again.
func (tx *txn) remembered(s *alloc.Shared) bool {
	j := tx.Job(structs.NamespacedID{Namespace: s.Namespace, ID: s.JobID})
	return j != nil && !j.Stopped() && structs.Ends(j.GetType()) && s.Job.SameVersion(j)
}

func (tx *txn) ended(r *alloc.Row) bool {
	if r.Client.Terminal() {
		return true
	}
	n := tx.Node(r.Node.ID)
	return r.Terminal() && (n == nil || n.Status == structs.NodeStatusDown)
}

func (tx *txn) hasAllocs(evalID string) bool {
	for range tx.Allocs.ByEval(evalID) {
		return true
	}
	return false
}

// finished reports whether nothing of a job is alive any more.
func (tx *txn) finished(key structs.NamespacedID, j *structs.Job) bool {
	s := tx.statsOf(key)
	if s.LiveAllocs > 0 || s.LiveEvals > 0 || s.LiveDeployments > 0 {
		return false
	}
	return j.Stopped() || j.GetStatus() == structs.JobStatusDead
}
