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
		m.ConstraintFiltered = plus(m.ConstraintFiltered, r.sieve.Reasons[i], n)
	}
	return m
}

// top returns the best nodes. They hold until it is called again.
func (r *run) top() []scored {
	r.draw(topNodes)
	var room [topNodes]capacity.Found
	best := room[:0]
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
	r.leaders = r.leaders[:0]
	for _, c := range best {
		r.leaders = append(r.leaders, r.finish(r.score(c.Node, false)))
	}
	return r.leaders
}

// explainBatch explains the whole ask by the best nodes before the first row.
func (r *run) explainBatch() *structs.AllocationMetric {
	m, top := r.metric(), r.top()
	if len(top) == 0 {
		return m
	}
	metas := make([]structs.NodeScoreMeta, len(top))
	parts := make(structs.ScoreParts, 0, len(top)*maxParts)
	m.ScoreMetaData = make([]*structs.NodeScoreMeta, len(top))
	for i := range top {
		start := len(parts)
		parts = r.parts(parts, &top[i])
		metas[i] = r.meta(&top[i], parts[start:len(parts):len(parts)])
		m.ScoreMetaData[i] = &metas[i]
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
	meta := r.meta(&s, r.parts(nil, &s))
	row.ScoreMetaData = []*structs.NodeScoreMeta{&meta}
	for _, b := range r.batch.ScoreMetaData {
		if b.NodeID != id && len(row.ScoreMetaData) < topNodes {
			row.ScoreMetaData = append(row.ScoreMetaData, b)
		}
	}
	return &row
}

func (r *run) meta(s *scored, parts structs.ScoreParts) structs.NodeScoreMeta {
	return structs.NodeScoreMeta{NodeID: r.x.Node(s.node).ID, Scores: parts, NormScore: s.final}
}

// maxParts is how many parts most scores have.
const maxParts = 4

// parts appends the parts of a score, in the order of their names.
func (r *run) parts(out structs.ScoreParts, s *scored) structs.ScoreParts {
	add := func(when bool, name string, value float64) {
		if when {
			out = append(out, structs.ScorePart{Name: name, Value: value})
		}
	}
	spread := r.opts.Algorithm == structs.SchedulerSpread
	add(len(r.spreads) > 0, rank.NameSpread, s.boost)
	add(!spread, rank.NameBinPack, s.fit)
	add(r.things.weights > 0, rank.NameDevices, s.devices)
	add(true, rank.NameAntiAffinity, s.anti)
	add(true, rank.NameAffinity, s.affinity)
	add(true, rank.NameReschedulePenalty, s.penalty)
	add(s.preempts, rank.NamePreemption, s.preempt)
	add(spread, rank.NameSpreadFit, s.fit)
	return out
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
	escaped = r.sieve.Unique
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
