package place

import (
	"strings"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/feasible"
)

// filter finds the feasible nodes.
func (r *run) filter() {
	var buf [256]byte
	name := feasible.AppendKey(buf[:0], r.ask.Job, r.ask.Group)
	if r.sieve = r.x.Sieve(name); r.sieve == nil {
		r.sieve = r.sift()
		r.x.Remember(name, r.sieve)
	}
	r.feasible = r.sieve.Feasible
}

// sift applies the conditions, in their order.
func (r *run) sift() *capacity.Sieve {
	s, n := &capacity.Sieve{}, r.x.Len()
	pool, datacenters := feasible.Place(r.ask.Job)
	s.Asked = r.x.Ready().Clone(n)
	s.Asked.And(r.verdict(pool))
	s.InPool = s.Asked.Count()
	s.Asked.And(r.verdict(datacenters))
	s.Evaluated = s.Asked.Count()
	s.Available = r.byDatacenter(s.Asked)
	s.Feasible = s.Asked.Clone(n)
	for _, c := range feasible.Checks(r.ask.Job, r.ask.Group) {
		s.Lost = append(s.Lost, s.Feasible.And(r.verdict(c)))
		s.Reasons = append(s.Reasons, c.Reason)
		s.Unique = s.Unique || c.Unique
	}
	return s
}

func (r *run) byDatacenter(asked capacity.Bits) map[string]int {
	column := r.column("${node.datacenter}")
	counts := make([]int, len(column.Values))
	asked.Each(func(i int32) { counts[column.Of(i)]++ })
	out := map[string]int{}
	for _, dc := range r.ask.Job.Datacenters {
		if !strings.ContainsAny(dc, "*?[") {
			out[dc] = 0 // asked for by name: that it has no node is worth saying
		}
	}
	for v, n := range counts {
		if n > 0 {
			out[column.Values[v]] = n
		}
	}
	return out
}

// limit bounds how many allocations share a value.
type limit struct {
	feasible.Distinct
	column *capacity.Column // nil: the value is the node itself
	used   map[int32]int    // by value number, or by node number
}

// limit prepares distinct_hosts and distinct_property.
func (r *run) limit() {
	group := r.ask.Group.GetName()
	for _, d := range feasible.Distincts(r.ask.Job, r.ask.Group) {
		l := &limit{Distinct: d, used: map[int32]int{}}
		if !d.PerNode() {
			l.column = r.column(d.Attribute)
		}
		for name, nodes := range r.on {
			if name != group && !d.WholeJob {
				continue
			}
			for node, n := range nodes.All {
				l.add(node, n)
			}
		}
		r.limits = append(r.limits, l)
	}
}

func (l *limit) value(node int32) int32 {
	if l.column == nil {
		return node
	}
	return l.column.Of(node)
}

func (l *limit) add(node int32, n int) {
	if v := l.value(node); v != capacity.NoValue {
		l.used[v] += n
	}
}

// reached reports whether a node can take no more: its value is used up, or it
// has none.
func (l *limit) reached(node int32) bool {
	v := l.value(node)
	return v == capacity.NoValue || l.used[v] >= l.Limit
}

// allowed reports whether no limit keeps the next row off a node.
func (r *run) allowed(node int32) bool {
	for _, l := range r.limits {
		if l.reached(node) {
			return false
		}
	}
	return true
}

// tally counts n allocations of the group on a node for spreads and limits.
func (r *run) tally(node int32, n int) {
	for _, s := range r.spreads {
		s.add(node, n)
	}
	r.forgetValue(node)
	for _, l := range r.limits {
		l.add(node, n)
	}
}
