package sweeper

import (
	"time"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/structs"
)

// found is what one look at all allocations finds.
type found struct {
	evals map[string]*ofEval
	// orphans are evaluations that are gone, in the order of creation of what they
	// placed.
	orphans []string
	// deployments have allocations that aren't over.
	deployments map[string]bool
}

// ofEval is what an evaluation's allocations are like.
type ofEval struct {
	stays bool // one of them has to
	gone  []alloc.View
}

// group is what the rows of a batch have in common.
type group struct {
	shared    *alloc.Shared
	eval      *ofEval
	threshold time.Duration
	keep      bool // the job remembers what it did
	stopped   bool // nothing replaces what failed
	live      bool
}

// scan looks once at every allocation, by its columns: what ended long enough ago
// is kept by its evaluation.
func (w *sweep) scan() {
	w.found = found{evals: map[string]*ofEval{}, deployments: map[string]bool{}}
	groups := map[*alloc.Shared]*group{}
	g := &group{}
	for v := range w.v.AllocViews() {
		if s := v.Shared(); g.shared != s {
			if g = groups[s]; g == nil {
				g = w.group(s)
				groups[s] = g
			}
		}
		r := v.Row()
		switch over := w.over(r); {
		case !over:
			g.live, g.eval.stays = true, true
		case w.ended(r, g):
			g.eval.gone = append(g.eval.gone, v)
		default:
			g.eval.stays = true
		}
	}
	for _, g := range groups {
		if id := g.shared.DeploymentID; g.live && id != "" {
			w.found.deployments[id] = true
		}
	}
}

func (w *sweep) group(s *alloc.Shared) *group {
	job := w.v.Job(s.Namespace, s.JobID)
	g := &group{shared: s, threshold: w.t.Eval, keep: keepsHistory(job) && s.Job.SameVersion(job), eval: w.found.evals[s.EvalID]}
	g.stopped = job.Stopped()
	e := w.v.Eval(s.EvalID)
	if e != nil {
		g.threshold = w.evalThreshold(e.Type)
	}
	if g.eval == nil {
		g.eval = &ofEval{}
		w.found.evals[s.EvalID] = g.eval
		if e == nil {
			w.found.orphans = append(w.found.orphans, s.EvalID)
		}
	}
	return g
}

// over reports whether an allocation's tasks have ended, or were told to on a
// node that will never say so.
func (w *sweep) over(r *alloc.Row) bool {
	if r.Client.Terminal() {
		return true
	}
	if r.Desired == alloc.Run {
		return false
	}
	n := w.v.Node(r.Node.ID)
	return n == nil || n.Status == structs.NodeStatusDown
}

// ended reports whether an allocation that is over may go: long enough ago, its
// job doesn't have to remember it, and nothing waits to replace it.
func (w *sweep) ended(r *alloc.Row, g *group) bool {
	if g.keep || !w.old(r.ModifyTime, g.threshold) {
		return false
	}
	awaitsReplacement := r.Client == alloc.Failed && r.Desired == alloc.Run && (r.Decided == nil || r.Decided.Next == "")
	return g.stopped || !awaitsReplacement
}
