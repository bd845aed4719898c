package place

import (
	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/rank"
	"github.com/steppe-run/steppe/structs"
)

// manyRows is the share of the nodes from where on looking at all of them once
// is cheaper than asking for the best ones, one after the other.
const manyRows = 3

// fewRows reports whether the best nodes are found without looking at all.
// Spreads and affinities rate nodes by more than what they have left; cores take
// more of one node's compute than of another's.
func (r *run) fewRows() bool {
	return len(r.ask.Rows)*manyRows < r.sieve.Evaluated && len(r.spreads) == 0 &&
		r.weights+r.things.weights == 0 && r.things.cores == 0
}

// begin opens the stream of nodes of which the index knows all that matters,
// and offers the others: those on which this evaluation has changed something
// and those that have allocations of the group.
func (r *run) begin() {
	if r.headed = false; r.search.Accept == nil {
		r.search = capacity.Search{
			Fit:    r.fit,
			Accept: func(node int32) bool { return r.feasible.Has(node) && !r.changed(node) && r.misfit(node) == "" },
			Shelf:  func(node int32) bool { return r.sieve.Asked.Has(node) },
		}
	}
	r.search.Ask, r.search.Seed = r.amount, r.opts.Seed
	r.stream = r.x.Seek(r.search)
	for node, d := range r.deltas.All {
		if d != nil && r.feasible.Has(node) {
			r.offer(node)
		}
	}
	if !r.service {
		return
	}
	for node, n := range r.mates.All {
		if n > 0 && r.deltas.Get(node) == nil && r.feasible.Has(node) {
			r.offer(node)
		}
	}
}

// refill offers all nodes when so many were looked at that it is cheaper.
func (r *run) refill() {
	if r.stream != nil && r.stream.Seen() > r.sieve.Evaluated/2+len(r.ask.Rows) {
		r.forget()
		r.fillAll()
	}
}

// changed reports whether a node is offered in the buckets if at all.
func (r *run) changed(node int32) bool {
	return r.deltas.Get(node) != nil || r.epochs.Len() > 0 && r.epochs.Get(node) > 0 || r.service && r.mates.Get(node) > 0
}

// next returns the best node of the stream without taking it.
func (r *run) next() (capacity.Found, bool) {
	if r.stream == nil {
		return capacity.Found{}, false
	}
	for !r.headed || r.changed(r.head.Node) || !r.allowed(r.head.Node) {
		if r.head, r.headed = r.stream.Next(); !r.headed {
			return capacity.Found{}, false
		}
	}
	return r.head, true
}

// draw moves the n best nodes of the stream into the buckets.
func (r *run) draw(n int) {
	for range n {
		c, ok := r.next()
		if !ok {
			return
		}
		r.headed = false
		r.offer(c.Node)
	}
}

// fit is the highest score by the fit alone of a node that a row leaves with
// free shares between these.
func (r *run) fit(least, most capacity.Pow) float64 {
	if r.opts.Algorithm == structs.SchedulerSpread {
		return rank.SpreadFit(most)
	}
	return rank.BinPack(least)
}

// busy reports whether a node has as many allocations to start as it should.
func (r *run) busy(node int32) bool {
	n := r.x.Starting(node)
	if r.deltas.Len() > 0 {
		if d := r.deltas.Get(node); d != nil {
			n += d.starts
		}
	}
	return n >= capacity.MaxStarting
}
