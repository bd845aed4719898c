package place

import (
	"slices"
	"strings"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/rank"
	"github.com/steppe-run/steppe/structs"
)

// topNodes is how many of the best nodes an explanation names.
const topNodes = 5

// metric starts an explanation with the counts that every one has: true counts
// over all nodes.
func (r *run) metric() *structs.AllocationMetric {
	m := &structs.AllocationMetric{
		NodesEvaluated: r.sieve.Evaluated,
		NodesInPool:    r.sieve.InPool,
		NodePool:       r.ask.Job.GetNodePool(),
		NodesAvailable: r.sieve.Available,
	}
	for i, n := range r.sieve.Lost {
		if n == 0 {
			continue
		}
		m.NodesFiltered += n
		m.ConstraintFiltered = plus(m.ConstraintFiltered, r.checks[i].Reason, n)
	}
	return m
}

// top returns the best nodes.
func (r *run) top() []scored {
	r.draw(topNodes)
	best := make([]capacity.Found, 0, topNodes)
	for _, b := range r.buckets {
		boost := r.boost(b.spread)
		for i := range b.heap {
			c := b.found(&b.heap[i], boost, len(r.spreads) > 0)
			if len(best) == topNodes {
				if !c.Before(&best[topNodes-1]) {
					continue
				}
				best = best[:topNodes-1]
			}
			at := len(best)
			for at > 0 && c.Before(&best[at-1]) {
				at--
			}
			best = slices.Insert(best, at, c)
		}
	}
	out := make([]scored, len(best))
	for i, c := range best {
		out[i] = r.finish(r.score(c.Node, false))
	}
	return out
}

// explainBatch explains the whole ask by the best nodes before the first row.
func (r *run) explainBatch() *structs.AllocationMetric {
	m := r.metric()
	for _, s := range r.top() {
		m.ScoreMetaData = append(m.ScoreMetaData, r.meta(&s))
	}
	return m
}

// explainRow explains a row that goes to a node which is not among the batch's
// best nodes or has another score by now; nil if there is nothing to add.
func (r *run) explainRow(s scored) *structs.AllocationMetric {
	id := r.x.Node(s.node).ID
	for _, b := range r.batch.ScoreMetaData {
		if b.NodeID == id && b.NormScore == s.final {
			return nil
		}
	}
	row := *r.batch
	row.ScoreMetaData = []*structs.NodeScoreMeta{r.meta(&s)}
	for _, b := range r.batch.ScoreMetaData {
		if b.NodeID != id && len(row.ScoreMetaData) < topNodes {
			row.ScoreMetaData = append(row.ScoreMetaData, b)
		}
	}
	return &row
}

func (r *run) meta(s *scored) *structs.NodeScoreMeta {
	fit := rank.NameBinPack
	if r.opts.Algorithm == structs.SchedulerSpread {
		fit = rank.NameSpreadFit
	}
	scores := map[string]float64{
		fit:                        s.fit,
		rank.NameAntiAffinity:      s.anti,
		rank.NameReschedulePenalty: s.penalty,
		rank.NameAffinity:          s.affinity,
	}
	if len(r.spreads) > 0 {
		scores[rank.NameSpread] = s.boost
	}
	if r.things.weights > 0 {
		scores[rank.NameDevices] = s.devices
	}
	if s.preempts {
		scores[rank.NamePreemption] = s.preempt
	}
	return &structs.NodeScoreMeta{NodeID: r.x.Node(s.node).ID, Scores: scores, NormScore: s.final}
}

// explainFailure explains why the row at hand fits nowhere.
func (r *run) explainFailure() *structs.AllocationMetric {
	m := r.metric()
	r.sieve.Asked.Each(func(i int32) {
		if r.feasible.Has(i) {
			return
		}
		if class := r.x.Node(i).NodeClass; class != "" {
			m.ClassFiltered = plus(m.ClassFiltered, class, 1)
		}
	})
	r.feasible.Each(func(i int32) {
		class := r.x.Node(i).NodeClass
		if why := r.limitedBy(i); why != "" {
			m.NodesFiltered++
			m.ConstraintFiltered = plus(m.ConstraintFiltered, why, 1)
			if class != "" {
				m.ClassFiltered = plus(m.ClassFiltered, class, 1)
			}
			return
		}
		why := r.misfit(i)
		if why == "" {
			why = "network: dynamic ports" // only the choice of ports fails late
		}
		m.NodesExhausted++
		m.DimensionExhausted = plus(m.DimensionExhausted, why, 1)
		if class != "" {
			m.ClassExhausted = plus(m.ClassExhausted, class, 1)
		}
	})
	m.ResourcesExhausted = r.asksOf(m.DimensionExhausted)
	return m
}

// asksOf returns, by task, what is asked of the dimensions in which nodes are
// exhausted.
func (r *run) asksOf(exhausted map[string]int) map[string]*structs.Resources {
	var out map[string]*structs.Resources
	for _, t := range r.ask.Group.Tasks {
		if t.Resources == nil {
			continue
		}
		asks := &structs.Resources{}
		for dimension := range exhausted {
			switch {
			case dimension == "cpu":
				asks.CPU, asks.Cores = t.Resources.CPU, t.Resources.Cores
			case dimension == "cores":
				asks.Cores = t.Resources.Cores
			case dimension == "memory":
				asks.MemoryMB = t.Resources.MemoryMB
			case strings.HasPrefix(dimension, "devices"):
				asks.Devices = t.Resources.Devices
			}
		}
		if asks.CPU == nil && asks.Cores == nil && asks.MemoryMB == nil && asks.Devices == nil {
			continue
		}
		if out == nil {
			out = map[string]*structs.Resources{}
		}
		out[t.Name] = asks
	}
	return out
}

// limitedBy names the limit that keeps the next row off a node.
func (r *run) limitedBy(node int32) string {
	for _, l := range r.limits {
		if l.reached(node) {
			return l.Reason
		}
	}
	return ""
}

// classes tells which computed classes of nodes can take the group at all.
func (r *run) classes() (classes map[string]bool, escaped bool) {
	for _, c := range r.checks {
		escaped = escaped || c.Unique
	}
	for _, l := range r.limits {
		escaped = escaped || l.column == nil || strings.Contains(l.Attribute, "unique.")
	}
	classes = map[string]bool{}
	r.sieve.Asked.Each(func(i int32) {
		if class := r.x.Node(i).ComputedClass; class != "" {
			classes[class] = classes[class] || r.feasible.Has(i)
		}
	})
	return classes, escaped
}

func plus(m map[string]int, key string, n int) map[string]int {
	if m == nil {
		m = map[string]int{}
	}
	m[key] += n
	return m
}
