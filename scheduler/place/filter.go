package place

import (
	"strings"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/feasible"
)

// filter finds the feasible nodes.
func (r *run) filter() {
	pool, datacenters := feasible.Place(r.ask.Job)
	var buf [256]byte
	name := buf[:0]
	add := func(c *feasible.Check) { name = append(append(name, c.Name...), '\n') }
	add(&pool)
	add(&datacenters)
	for i := range r.checks {
		add(&r.checks[i])
	}
	r.sieve = r.x.Sieve(name, func(s *capacity.Sieve) { r.sift(s, pool, datacenters) })
	r.feasible = r.sieve.Feasible
}

// sift applies the conditions, in their order.
func (r *run) sift(s *capacity.Sieve, pool, datacenters feasible.Check) {
	n := r.x.Len()
	s.Asked = r.x.Ready().Clone(n)
	s.Asked.And(r.verdict(pool))
	s.InPool = s.Asked.Count()
	s.Asked.And(r.verdict(datacenters))
	s.Evaluated = s.Asked.Count()
	s.Available = r.byDatacenter(s.Asked)
	s.Feasible = s.Asked.Clone(n)
	s.Lost = make([]int, len(r.checks))
	for i, c := range r.checks {
		s.Lost[i] = s.Feasible.And(r.verdict(c))
	}
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
