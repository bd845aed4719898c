// Package sweeper finds what is finished, old and referred to by nothing that
// isn't: evaluations, allocations, deployments, jobs and nodes.
//
// It must not know clocks or the log: a Step takes a view and the time and
// returns what to propose. The store checks each item again when it removes
// it. Begin reading at Sweeper.Step, then scan.go for how it looks at allocations,
// of which there may be millions.
package sweeper

import (
	"iter"
	"time"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// Jobs is what the sweeper reads of jobs and what belongs to them.
type Jobs interface {
	Jobs(namespace, prefix string) iter.Seq[*structs.Job]
	Job(namespace, id string) *structs.Job
	JobHasTag(namespace, id string) bool
	EvalsByJob(namespace, id string) iter.Seq[*structs.Evaluation]
	DeploymentsByJob(namespace, id string) iter.Seq[*structs.Deployment]
}

// Whole is what the sweeper reads by going through whole tables.
type Whole interface {
	Evals(namespace, prefix string) iter.Seq[*structs.Evaluation]
	Deployments(namespace, prefix string) iter.Seq[*structs.Deployment]
	Nodes(prefix string) iter.Seq[*structs.Node]
	Eval(id string) *structs.Evaluation
	Node(id string) *structs.Node
}

// Allocs is what the sweeper reads of allocations, without making the objects.
type Allocs interface {
	AllocViews() iter.Seq[alloc.View]
	AllocViewsByJob(namespace, id string) iter.Seq[alloc.View]
	AllocViewsByNode(nodeID string) iter.Seq[alloc.View]
}

// View is what the sweeper reads of the state.
type View interface {
	Jobs
	Whole
	Allocs
}

// Thresholds say how long finished things stay.
type Thresholds struct {
	Eval, BatchEval, Job, Node, Deployment time.Duration
}

const (
	// maxItems bounds one command, maxCommands what one Step returns.
	maxItems    = 2048
	maxCommands = 64
)

// Sweeper finds what may go.
type Sweeper struct{ thresholds Thresholds }

// New returns a sweeper.
func New(t Thresholds) *Sweeper { return &Sweeper{thresholds: t} }

// Step returns what is to be removed, and whether there is more: then the next
// step is due once this is. With force set, age doesn't matter.
func (s *Sweeper) Step(v View, now time.Time, force bool) (commands []*command.Sweep, more bool) {
	w := &sweep{v: v, now: now, force: force, t: s.thresholds, taken: map[string]bool{}}
	w.jobs()
	w.scan()
	w.evals()
	w.orphans()
	w.deployments()
	w.nodes()
	return w.finish(), w.full()
}

type sweep struct {
	v     View
	now   time.Time
	force bool
	t     Thresholds
	taken map[string]bool // ids that are listed already
	out   []*command.Sweep
	count int // items in the last command
	found found
}

// full reports whether this step has listed as much as it may.
func (w *sweep) full() bool {
	return len(w.out) > maxCommands || len(w.out) == maxCommands && w.count >= maxItems
}

// old reports whether a time in unix nanoseconds lies a threshold back.
func (w *sweep) old(nanos int64, threshold time.Duration) bool {
	return w.force || !time.Unix(0, nanos).Add(threshold).After(w.now)
}

// into returns the command to put one more item into. Allocations are put in before
// their evaluation and their node, in the same command or an earlier one: the store takes
// neither away that still has some. A job is put in before all that it has: if it came to
// life again, the store keeps what a batch job has done.
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
		if w.full() {
			return
		}
		if job.GetStatus() == structs.JobStatusDead && w.old(structs.Value(job.SubmitTime), w.t.Job) && !parents[job.NamespacedID()] {
			w.job(job.GetNamespace(), job.GetID())
		}
	}
}

// job takes one job, unless something of it is alive or too young, or somebody
// named a version of it so that it is kept.
func (w *sweep) job(ns, id string) {
	if w.v.JobHasTag(ns, id) {
		return
	}
	evals, ok := w.deadEvals(ns, id)
	if !ok {
		return
	}
	allocs, ok := w.deadAllocs(ns, id)
	if !ok {
		return
	}
	var deployments []string
	for d := range w.v.DeploymentsByJob(ns, id) {
		if d.Active() || !w.old(d.ModifyTime, w.t.Job) {
			return
		}
		deployments = append(deployments, d.ID)
	}
	c := w.into()
	c.Jobs = append(c.Jobs, command.JobKey{Namespace: ns, JobID: id})
	w.take(allocIDs, allocs...)
	w.take(evalIDs, evals...)
	w.take(deploymentIDs, deployments...)
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
	for v := range w.v.AllocViewsByJob(ns, job) {
		r := v.Row()
		if !w.over(r) || !w.old(r.ModifyTime, w.t.Job) {
			return nil, false
		}
		out = append(out, v.ID())
	}
	return out, true
}

// evals takes finished evaluations with those of their allocations that ended.
func (w *sweep) evals() {
	needed := w.needed()
	for e := range w.v.Evals(structs.AllNamespaces, "") {
		if w.full() {
			return
		}
		if !w.taken[e.ID] && e.Terminal() && w.old(e.ModifyTime, w.evalThreshold(e.Type)) {
			w.eval(e, needed[e.ID])
		}
	}
}

func (w *sweep) evalThreshold(kind string) time.Duration {
	if structs.Ends(kind) {
		return w.t.BatchEval
	}
	return w.t.Eval
}

// needed are finished evaluations that others refer to: one that waits for
// capacity tells by the one before it what stood in the way, and the last of a
// dead job tells since when the job is dead.
func (w *sweep) needed() map[string]bool {
	out := map[string]bool{}
	last := map[structs.NamespacedID]*structs.Evaluation{}
	for e := range w.v.Evals(structs.AllNamespaces, "") {
		key := e.JobNamespacedID()
		switch {
		case !e.Terminal():
			if e.PreviousEval != "" {
				out[e.PreviousEval] = true
			}
		case last[key] == nil || last[key].ModifyTime < e.ModifyTime:
			last[key] = e
		}
	}
	for key, e := range last {
		if job := w.v.Job(key.Namespace, key.ID); job != nil && job.GetStatus() == structs.JobStatusDead && !w.force {
			out[e.ID] = true
		}
	}
	return out
}

// eval takes one evaluation; it stays while one of its allocations does.
func (w *sweep) eval(e *structs.Evaluation, needed bool) {
	f := w.found.evals[e.ID]
	if f != nil {
		w.takeAllocs(f.gone)
	}
	if !needed && (f == nil || !f.stays) {
		w.take(evalIDs, e.ID)
	}
}

func (w *sweep) takeAllocs(gone []alloc.View) {
	for _, v := range gone {
		w.take(allocIDs, v.ID())
	}
}

// keepsHistory reports whether what a job has done must be remembered while the
// job is there: it would else run again what has succeeded, a batch job when it is
// evaluated, a sysbatch job whenever a node comes.
func keepsHistory(job *structs.Job) bool {
	return !job.Stopped() && structs.Ends(job.GetType())
}

// orphans takes ended allocations whose evaluation is gone already.
func (w *sweep) orphans() {
	for _, id := range w.found.orphans {
		if w.full() {
			return
		}
		w.takeAllocs(w.found.evals[id].gone)
	}
}

// deployments takes finished deployments without allocations that run. The one of a
// job's newest version stays: if it failed, it is what keeps that version from
// being rolled out again.
func (w *sweep) deployments() {
	for d := range w.v.Deployments(structs.AllNamespaces, "") {
		if w.full() {
			return
		}
		if !d.Active() && w.old(d.ModifyTime, w.t.Deployment) && !w.found.deployments[d.ID] && !w.governs(d) {
			w.take(deploymentIDs, d.ID)
		}
	}
}

// governs reports whether a deployment is of the newest version of a job that is to
// run.
func (w *sweep) governs(d *structs.Deployment) bool {
	job := w.v.Job(d.Namespace, d.JobID)
	return job != nil && !job.Stopped() && job.GetVersion() == d.JobVersion && job.GetCreateIndex() == d.JobCreateIndex
}

// nodes takes nodes that are down and have nothing left to tell.
func (w *sweep) nodes() {
	for n := range w.v.Nodes("") {
		if w.full() {
			return
		}
		since := time.Unix(n.StatusUpdatedAt, 0).UnixNano()
		if n.Status != structs.NodeStatusDown || !w.old(since, w.t.Node) || w.nodeUsed(n.ID) {
			continue
		}
		c := w.into()
		c.NodeIDs = append(c.NodeIDs, n.ID)
	}
}

func (w *sweep) nodeUsed(id string) bool {
	for v := range w.v.AllocViewsByNode(id) {
		if !w.over(v.Row()) {
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
