// Package sweeper finds what is finished, old and referred to by nothing that
// isn't: evaluations, allocations, deployments, jobs and nodes.
//
// It must not know clocks or the log: a Step takes a view and the time and
// returns what to propose. The store checks each item again when it removes
// it. Begin reading at Sweeper.Step.
package sweeper

import (
	"iter"
	"time"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// Jobs is what the sweeper reads of jobs and what belongs to them.
type Jobs interface {
	Jobs(namespace, prefix string) iter.Seq[*structs.Job]
	Job(namespace, id string) *structs.Job
	EvalsByJob(namespace, id string) iter.Seq[*structs.Evaluation]
	AllocsByJob(namespace, id string) iter.Seq[*structs.Allocation]
	DeploymentsByJob(namespace, id string) iter.Seq[*structs.Deployment]
}

// Whole is what the sweeper reads by going through whole tables.
type Whole interface {
	Evals(namespace, prefix string) iter.Seq[*structs.Evaluation]
	Allocs(namespace, prefix string) iter.Seq[*structs.Allocation]
	Deployments(namespace, prefix string) iter.Seq[*structs.Deployment]
	Nodes(prefix string) iter.Seq[*structs.Node]
}

// References is what the sweeper follows from one object to others.
type References interface {
	Eval(id string) *structs.Evaluation
	Node(id string) *structs.Node
	AllocsByEval(evalID string) iter.Seq[*structs.Allocation]
	AllocsByDeployment(deploymentID string) iter.Seq[*structs.Allocation]
	AllocsByNode(nodeID string) iter.Seq[*structs.Allocation]
}

// View is what the sweeper reads of the state.
type View interface {
	Jobs
	Whole
	References
}

// Thresholds say how long finished things stay.
type Thresholds struct {
	Eval, BatchEval, Job, Node, Deployment time.Duration
}

// maxItems bounds one command.
const maxItems = 2048

// Sweeper finds what may go.
type Sweeper struct{ thresholds Thresholds }

// New returns a sweeper.
func New(t Thresholds) *Sweeper { return &Sweeper{thresholds: t} }

// Step returns what is to be removed. With force set, age doesn't matter.
func (s *Sweeper) Step(v View, now time.Time, force bool) []*command.Sweep {
	w := &sweep{v: v, now: now, force: force, t: s.thresholds, taken: map[string]bool{}}
	w.jobs()
	w.evals()
	w.orphans()
	w.deployments()
	w.nodes()
	return w.finish()
}

type sweep struct {
	v     View
	now   time.Time
	force bool
	t     Thresholds
	taken map[string]bool // ids that are listed already
	out   []*command.Sweep
	count int // items in the last command
}

// old reports whether a time in unix nanoseconds lies a threshold back.
func (w *sweep) old(nanos int64, threshold time.Duration) bool {
	return w.force || !time.Unix(0, nanos).Add(threshold).After(w.now)
}

// into returns the command to put one more item into. What belongs to something
// is put in before it, in the same command or an earlier one: the store takes
// nothing away that still has something.
func (w *sweep) into() *command.Sweep {
	if len(w.out) == 0 || w.count >= maxItems {
		w.out = append(w.out, &command.Sweep{Now: w.now.UnixNano()})
		w.count = 0
	}
	w.count++
	return w.out[len(w.out)-1]
}

// take adds ids to one of a command's lists, unless they are in one already.
func (w *sweep) take(list func(*command.Sweep) *[]string, ids ...string) {
	for _, id := range ids {
		if w.taken[id] {
			continue
		}
		w.taken[id] = true
		to := list(w.into())
		*to = append(*to, id)
	}
}

func allocIDs(c *command.Sweep) *[]string      { return &c.AllocIDs }
func evalIDs(c *command.Sweep) *[]string       { return &c.EvalIDs }
func deploymentIDs(c *command.Sweep) *[]string { return &c.DeploymentIDs }

// jobs takes dead jobs with all that belongs to them. A job that others were
// made from goes after those.
func (w *sweep) jobs() {
	parents := map[structs.NamespacedID]bool{}
	for job := range w.v.Jobs(structs.AllNamespaces, "") {
		if parent := job.GetParentID(); parent != "" {
			parents[structs.NamespacedID{Namespace: job.GetNamespace(), ID: parent}] = true
		}
	}
	for job := range w.v.Jobs(structs.AllNamespaces, "") {
		if job.GetStatus() != structs.JobStatusDead || !w.old(structs.Value(job.SubmitTime), w.t.Job) || parents[job.NamespacedID()] {
			continue
		}
		ns, id := job.GetNamespace(), job.GetID()
		evals, ok := w.deadEvals(ns, id)
		if !ok {
			continue
		}
		allocs, ok := w.deadAllocs(ns, id)
		if !ok {
			continue
		}
		var deployments []string
		for d := range w.v.DeploymentsByJob(ns, id) {
			deployments = append(deployments, d.ID)
		}
		w.take(allocIDs, allocs...)
		w.take(evalIDs, evals...)
		w.take(deploymentIDs, deployments...)
		c := w.into()
		c.Jobs = append(c.Jobs, command.JobKey{Namespace: ns, JobID: id})
	}
}

func (w *sweep) deadEvals(ns, job string) ([]string, bool) {
	var out []string
	for e := range w.v.EvalsByJob(ns, job) {
		if !e.Terminal() || !w.old(e.ModifyTime, w.t.Job) {
			return nil, false
		}
		out = append(out, e.ID)
	}
	return out, true
}

func (w *sweep) deadAllocs(ns, job string) ([]string, bool) {
	var out []string
	for a := range w.v.AllocsByJob(ns, job) {
		if !w.over(a) || !w.old(a.ModifyTime, w.t.Job) {
			return nil, false
		}
		out = append(out, a.ID)
	}
	return out, true
}

// evals takes finished evaluations with those of their allocations that ended.
func (w *sweep) evals() {
	for e := range w.v.Evals(structs.AllNamespaces, "") {
		threshold := w.t.Eval
		if e.Type == structs.JobTypeBatch || e.Type == structs.JobTypeSysBatch {
			threshold = w.t.BatchEval
		}
		if !w.taken[e.ID] && e.Terminal() && w.old(e.ModifyTime, threshold) {
			w.eval(e, threshold)
		}
	}
}

// eval takes one evaluation; it stays while one of its allocations does.
func (w *sweep) eval(e *structs.Evaluation, threshold time.Duration) {
	job := w.v.Job(e.Namespace, e.JobID)
	if keepsHistory(job) {
		return
	}
	var gone []string
	all := true
	for a := range w.v.AllocsByEval(e.ID) {
		if w.ended(a, job, threshold) {
			gone = append(gone, a.ID)
		} else {
			all = false
		}
	}
	if len(gone) == 0 && !all {
		return
	}
	w.take(allocIDs, gone...)
	if all {
		w.take(evalIDs, e.ID)
	}
}

// keepsHistory reports whether what a job has done must be remembered: a batch
// job that still runs would else run again what has succeeded.
func keepsHistory(job *structs.Job) bool {
	if job == nil || job.Stopped() || job.GetStatus() == structs.JobStatusDead {
		return false
	}
	kind := job.GetType()
	return kind == structs.JobTypeBatch || kind == structs.JobTypeSysBatch
}

// over reports whether an allocation's tasks have ended, or were told to on a
// node that will never say so.
func (w *sweep) over(a *structs.Allocation) bool {
	if a.ClientTerminal() {
		return true
	}
	n := w.v.Node(a.NodeID)
	return a.ServerTerminal() && (n == nil || n.Status == structs.NodeStatusDown)
}

// ended reports whether an allocation may go: its tasks are over for good, long
// enough ago, and nothing waits to replace it.
func (w *sweep) ended(a *structs.Allocation, job *structs.Job, threshold time.Duration) bool {
	if !w.over(a) || !w.old(a.ModifyTime, threshold) {
		return false
	}
	if job.Stopped() || job.GetStatus() == structs.JobStatusDead {
		return true
	}
	awaitsReplacement := a.ClientStatus == structs.AllocClientFailed &&
		a.DesiredStatus == structs.AllocDesiredRun && a.NextAllocation == ""
	return !awaitsReplacement
}

// orphans takes ended allocations whose evaluation is gone already.
func (w *sweep) orphans() {
	for a := range w.v.Allocs(structs.AllNamespaces, "") {
		if w.taken[a.ID] || !w.over(a) || w.v.Eval(a.EvalID) != nil {
			continue
		}
		job := w.v.Job(a.Namespace, a.JobID)
		if !keepsHistory(job) && w.ended(a, job, w.t.Eval) {
			w.take(allocIDs, a.ID)
		}
	}
}

// deployments takes finished deployments without allocations that run.
func (w *sweep) deployments() {
	for d := range w.v.Deployments(structs.AllNamespaces, "") {
		if w.taken[d.ID] || d.Active() || !w.old(d.ModifyTime, w.t.Deployment) || w.deploymentUsed(d) {
			continue
		}
		w.take(deploymentIDs, d.ID)
	}
}

func (w *sweep) deploymentUsed(d *structs.Deployment) bool {
	for a := range w.v.AllocsByDeployment(d.ID) {
		if !w.over(a) {
			return true
		}
	}
	return false
}

// nodes takes nodes that are down and have nothing left to tell.
func (w *sweep) nodes() {
	for n := range w.v.Nodes("") {
		since := time.Unix(n.StatusUpdatedAt, 0).UnixNano()
		if n.Status != structs.NodeStatusDown || !w.old(since, w.t.Node) || w.nodeUsed(n.ID) {
			continue
		}
		c := w.into()
		c.NodeIDs = append(c.NodeIDs, n.ID)
	}
}

func (w *sweep) nodeUsed(id string) bool {
	for a := range w.v.AllocsByNode(id) {
		if !w.over(a) {
			return true
		}
	}
	return false
}

func (w *sweep) finish() []*command.Sweep {
	var out []*command.Sweep
	for _, c := range w.out {
		if len(c.EvalIDs)+len(c.AllocIDs)+len(c.DeploymentIDs)+len(c.Jobs)+len(c.NodeIDs) > 0 {
			out = append(out, c)
		}
	}
	return out
}
