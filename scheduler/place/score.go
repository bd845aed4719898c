package place

import (
	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/rank"
	"github.com/steppe-run/steppe/structs"
)

// scored is a node's score by parts, absent parts being zero. The spread part
// is not in sum: it changes for many nodes at once and is added at the last.
type scored struct {
	node     int32
	fit      float64
	anti     float64
	affinity float64
	penalty  float64
	devices  float64
	preempt  float64
	preempts bool
	boost    float64
	sum      float64 // of all parts but boost
	parts    int     // how many are present, boost aside
	final    float64
}

// score computes a node's score for the next row.
func (r *run) score(node int32, penalized bool) scored {
	var devices float64
	if r.things.weights > 0 {
		devices = rank.Affinity(r.match(node).satisfied, r.things.weights)
	}
	s := r.scoreAt(node, r.after(node), devices)
	if penalized {
		s.penalty = rank.ReschedulePenalty
		s.add(s.penalty)
	}
	return s
}

// scoreAt computes a node's score if the next row leaves these free shares and
// gets devices of this worth.
func (r *run) scoreAt(node int32, free capacity.Pow, devices float64) scored {
	s := scored{node: node, parts: 1}
	if r.opts.Algorithm == structs.SchedulerSpread {
		s.fit = rank.SpreadFit(free)
	} else {
		s.fit = rank.BinPack(free)
	}
	s.sum = s.fit
	if r.service {
		if s.anti = rank.AntiAffinity(r.mates.Get(node), r.ask.Group.GetCount()); s.anti != 0 {
			s.add(s.anti)
		}
	}
	if r.weights > 0 {
		s.affinity = rank.Affinity(r.satisfied(node), r.weights)
		s.add(s.affinity)
	}
	if r.things.weights > 0 {
		s.devices = devices
		s.add(s.devices)
	}
	return s
}

func (s *scored) add(part float64) {
	s.sum += part
	s.parts++
}

// mean is the mean of the parts that are present.
func mean(sum float64, parts int, boost float64, spread bool) float64 {
	if spread {
		return (sum + boost) / float64(parts+1)
	}
	return sum / float64(parts)
}

func (r *run) satisfied(node int32) float64 {
	var sum float64
	for i := range r.affinity {
		if r.affinity[i].nodes.Has(node) {
			sum += r.affinity[i].weight
		}
	}
	return sum
}

// after returns a node's free shares once the next row is on it. Placing
// multiplies them by a constant that depends on the node's size only.
func (r *run) after(node int32) capacity.Pow {
	_, pow := r.state(node)
	f := r.factor(node)
	return capacity.Pow{CPU: pow.CPU * f.CPU, Memory: pow.Memory * f.Memory}
}

func (r *run) factor(node int32) capacity.Pow {
	total := r.x.Total(node)
	total.Disk = 0
	if r.things.cores > 0 {
		total.Disk = r.amountOn(node).CPU // nodes of one size may have cores of different speeds
	}
	if total == r.lastTotal {
		return r.last
	}
	r.lastTotal, r.last = total, r.factorOf(node, total)
	return r.last
}

// factor is what a row multiplies the free shares of nodes of one size with.
type factor struct {
	total capacity.Amount
	pow   capacity.Pow
}

// maxFactors is how many sizes of nodes are remembered: with more, those that
// come last are computed again and again.
const maxFactors = 16

func (r *run) factorOf(node int32, total capacity.Amount) capacity.Pow {
	for i := range r.factors {
		if r.factors[i].total == total {
			return r.factors[i].pow
		}
	}
	f := r.x.Factor(r.amountOn(node), total)
	if len(r.factors) < maxFactors {
		r.factors = append(r.factors, factor{total, f})
	}
	return f
}

// misfit says in which dimension a node has no room for the next row, "" if it
// has room.
func (r *run) misfit(node int32) string {
	used, _ := r.state(node)
	total := r.x.Total(node)
	amount := &r.amount
	if r.things.cores > 0 {
		with := r.amountOn(node)
		amount = &with
	}
	switch {
	case used.CPU+amount.CPU > total.CPU:
		return "cpu"
	case used.Memory+amount.Memory > total.Memory:
		return "memory"
	case used.Disk+amount.Disk > total.Disk:
		return "disk"
	}
	if r.slotsUsed(node) {
		return "max allocations"
	}
	if !r.things.none() {
		if lack := r.thingsFit(node); lack != "" {
			return lack
		}
	}
	if r.ports.none() {
		return ""
	}
	return r.portsFit(&r.ports, node)
}

// slotsUsed reports whether a node has as many allocations as it takes.
func (r *run) slotsUsed(node int32) bool {
	limit := r.x.MaxAllocs(node)
	if limit <= 0 {
		return false
	}
	n := r.x.Allocs(node)
	if d := r.deltas.Get(node); d != nil {
		n += d.allocs
	}
	return n >= limit
}
