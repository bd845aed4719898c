package place

import (
	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/feasible"
	"github.com/steppe-run/steppe/scheduler/rank"
	"github.com/steppe-run/steppe/structs"
)

// spread is one spread of the ask and what it has counted so far.
type spread struct {
	column *capacity.Column
	share  float64 // its weight among all spreads
	used   []int   // by value number
	// want is how many each value is to have; nil for an even spread. Values
	// without a target share what the targets leave.
	want      []float64
	others    []bool // values without a target
	wantRest  float64
	usedRest  int
	reachable []bool // values that a feasible node has
	// least and most are the extremes of used over reachable values.
	least, most int
	fresh       bool // least and most are up to date
	// all counts what may have changed the boost of every value.
	all uint64
}

// spread prepares the spreads of the job and of the group. One of the group
// replaces one of the job that is about the same attribute.
func (r *run) spread() {
	list := append([]*structs.Spread(nil), r.ask.Group.Spreads...)
	for _, s := range r.ask.Job.Spreads {
		if !hasAttribute(r.ask.Group.Spreads, s.Attribute) {
			list = append(list, s)
		}
	}
	var weights float64
	for _, s := range list {
		weights += spreadWeight(s)
	}
	for _, s := range list {
		if weights > 0 {
			r.spreads = append(r.spreads, r.newSpread(s, spreadWeight(s)/weights))
		}
	}
	for node, n := range r.mates.All {
		for _, s := range r.spreads {
			s.add(node, n)
		}
	}
}

func hasAttribute(list []*structs.Spread, attribute string) bool {
	for _, s := range list {
		if s.Attribute == attribute {
			return true
		}
	}
	return false
}

func spreadWeight(s *structs.Spread) float64 { return float64(structs.ValueOr(s.Weight, 50)) }

func (r *run) newSpread(def *structs.Spread, share float64) *spread {
	s := &spread{share: share, column: r.column(def.Attribute)}
	values := len(s.column.Values)
	s.used = make([]int, values)
	s.reachable = make([]bool, values)
	r.feasible.Each(func(i int32) {
		if v := s.column.Of(i); v != capacity.NoValue {
			s.reachable[v] = true
		}
	})
	if len(def.SpreadTarget) == 0 {
		return s
	}
	count := float64(r.ask.Group.GetCount())
	targets := map[string]float64{}
	rest := 100.0
	for _, t := range def.SpreadTarget {
		targets[t.Value] = float64(t.Percent) / 100 * count
		rest -= float64(t.Percent)
	}
	s.want, s.others = make([]float64, values), make([]bool, values)
	s.wantRest = max(0, rest) / 100 * count
	for v, text := range s.column.Values {
		want, ok := targets[text]
		s.want[v], s.others[v] = want, !ok
	}
	return s
}

func (r *run) column(attribute string) *capacity.Column {
	return r.x.Column(attribute, func(n *structs.Node) (string, bool) { return feasible.Value(attribute, n) })
}

// add counts n allocations on a node.
func (s *spread) add(node int32, n int) {
	v := s.column.Of(node)
	if v == capacity.NoValue {
		return
	}
	s.used[v] += n
	s.fresh = false
	if s.others != nil && s.others[v] {
		s.usedRest += n
		s.all++
	}
}

// boost scores a value for the next placement. A node without the attribute is
// the worst place.
func (s *spread) boost(v int32) float64 {
	switch {
	case v == capacity.NoValue:
		return -1
	case s.want == nil:
		s.extremes()
		return rank.Even(s.used[v], s.least, s.most)
	case s.others[v]:
		return rank.Target(s.wantRest, s.usedRest)
	}
	return rank.Target(s.want[v], s.used[v])
}

func (s *spread) extremes() {
	if s.fresh {
		return
	}
	least, most := s.least, s.most
	defer func() {
		if s.fresh = true; least != s.least || most != s.most {
			s.all++
		}
	}()
	first := true
	for v, ok := range s.reachable {
		switch {
		case !ok:
		case first:
			s.least, s.most, first = s.used[v], s.used[v], false
		default:
			s.least, s.most = min(s.least, s.used[v]), max(s.most, s.used[v])
		}
	}
}

// boost is the spread part for nodes with these values.
func (r *run) boost(values []int32) float64 {
	var sum float64
	for i, s := range r.spreads {
		sum += s.share * s.boost(values[i])
	}
	return sum
}

// valuesOf appends a node's value of each spread.
func (r *run) valuesOf(out []int32, node int32) []int32 {
	for _, s := range r.spreads {
		out = append(out, s.column.Of(node))
	}
	return out
}

// packValues numbers the combination of a node's spread values.
func (r *run) packValues(node int32) uint64 {
	var packed uint64
	for _, s := range r.spreads {
		packed = packed*uint64(len(s.column.Values)+1) + uint64(s.column.Of(node)+1)
	}
	return packed
}
