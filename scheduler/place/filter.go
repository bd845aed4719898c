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
