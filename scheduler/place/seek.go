package place

import (
	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/rank"
	"github.com/steppe-run/steppe/structs"
)

// manyRows is from where on looking at all nodes once is cheaper than looking
// for the best ones.
const manyRows = 64

// maxChanged is how many nodes the evaluation may have changed before: the index
// doesn't know them as they are now, so each is looked at.
const maxChanged = 256

// fewRows reports whether the best nodes can be found without looking at all.
// Spreads and affinities rate nodes by more than what they have left; a penalty
// makes a row ask for more nodes than one; cores take more of one node's compute
// than of another's.
func (r *run) fewRows() bool {
	if len(r.ask.Rows) > manyRows || len(r.spreads) > 0 || r.weights+r.things.weights > 0 || r.things.cores > 0 || len(r.deltas) > maxChanged {
		return false
	}
	for i := range r.ask.Rows {
		if len(r.ask.Rows[i].Penalized) > 0 {
			return false
		}
	}
	return true
}

// seek offers the best nodes, as many as the rows and their explanation need,
// and all that this evaluation changed. It reports whether there are others.
func (r *run) seek() (more bool) {
	keep := len(r.ask.Rows) + topNodes
	found := r.x.Seek(capacity.Search{Ask: r.amount, Seed: r.opts.Seed, Keep: keep, Bound: r.bound, Score: r.plainScore})
	for _, f := range found {
		r.append(f.Node)
	}
	for node := range r.deltas {
		if r.feasible.Has(node) {
			r.append(node)
		}
	}
	for _, b := range r.buckets {
		b.init()
	}
	if len(found) < keep {
		return false
	}
	r.floor = found[keep-1]
	return true
}

// everyone offers all nodes after the best ones didn't suffice.
func (r *run) everyone() {
	r.buckets, r.byKey, r.lastAt, r.partial = nil, map[bucketKey]int{}, -1, false
	clear(r.epochs)
	r.fillAll()
}

// bound is the highest score of a node that a row leaves with free shares
// between these: other parts than the fit only lower it.
func (r *run) bound(least, most capacity.Pow) float64 {
	if r.opts.Algorithm == structs.SchedulerSpread {
		return rank.SpreadFit(most)
	}
	return rank.BinPack(least)
}

// plainScore is the score of a node that this evaluation has not changed.
func (r *run) plainScore(node int32) (float64, bool) {
	if !r.feasible.Has(node) || r.deltas[node] != nil || r.misfit(node) != "" || !r.allowed(node) {
		return 0, false
	}
	s := r.score(node, false)
	return mean(s.sum, s.parts, 0, false), true
}
