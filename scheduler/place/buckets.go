package place

import (
	"slices"

	"github.com/steppe-run/steppe/scheduler/capacity"
)

// entry is a node in a heap.
type entry struct {
	sum   float64
	tie   uint64
	node  int32
	epoch uint32
}

// Before orders entries of one bucket: best first, equals by their tie.
func (e *entry) Before(o *entry) bool {
	if e.sum != o.sum {
		return e.sum > o.sum
	}
	return e.tie < o.tie
}

// bucket is a heap of nodes whose scores keep their order whatever the spread
// boost: they share the spread values and the number of other parts. Busy nodes
// are in buckets of their own, which come after the others.
type bucket struct {
	bucketKey
	heap   capacity.Heap[entry, *entry]
	spread []int32 // values by spread
}

// top is the best entry of a bucket, for as long as it is known.
type top struct {
	capacity.Found
	value        int32 // of the only spread
	known, empty bool
}

// bucketKey identifies a bucket: its spread values, packed, and its parts.
type bucketKey struct {
	values uint64
	parts  int
	busy   bool
}

// fill offers feasible nodes anew: for a few rows as they are asked for, in the
// order of their scores, else every one; see stream.go.
func (r *run) fill() {
	r.forget()
	if r.fewRows() {
		r.begin()
		return
	}
	r.fillAll()
}

// forget empties the buckets.
func (r *run) forget() {
	r.spare = append(r.spare, r.buckets...)
	r.buckets, r.tops, r.byKey, r.lastAt = r.buckets[:0], r.tops[:0], nil, -1
	r.epochs.Reset(0)
	r.aside = r.aside[:0]
}

// fillAll offers every feasible node.
func (r *run) fillAll() {
	r.stream = nil
	r.feasible.Each(r.append)
	for _, b := range r.buckets {
		b.heap.Init()
	}
}

// append puts a node into its bucket without keeping the heap's order.
func (r *run) append(node int32) {
	if r.misfit(node) != "" || !r.allowed(node) {
		return
	}
	b, e := r.entry(node)
	b.heap = append(b.heap, e)
}

// offer puts a node into its bucket, if it is feasible and has room.
func (r *run) offer(node int32) {
	if !r.feasible.Has(node) || r.misfit(node) != "" || !r.allowed(node) {
		return
	}
	b, e := r.entry(node)
	b.heap.Push(e)
	r.tops[r.lastAt].known = false
}

// void forgets whatever entry a node has.
func (r *run) void(node int32) {
	*r.epochs.Ref(node)++
	r.forgetTops()
}

func (r *run) entry(node int32) (*bucket, entry) {
	s := r.score(node, false)
	key := bucketKey{values: r.packValues(node), parts: s.parts, busy: r.busy(node)}
	if r.lastAt < 0 || key != r.lastKey {
		at, ok := r.bucketAt(key)
		if !ok {
			at = len(r.buckets)
			r.buckets = append(r.buckets, r.newBucket(node, key))
			if r.byKey != nil {
				r.byKey[key] = at
			}
		}
		r.lastKey, r.lastAt = key, at
	}
	e := entry{sum: s.sum, tie: capacity.Tie(r.x.Hash(node), r.opts.Seed), node: node}
	if r.epochs.Len() > 0 {
		e.epoch = r.epochs.Get(node)
	}
	return r.buckets[r.lastAt], e
}

// fewBuckets is how many buckets are found without a map.
const fewBuckets = 8

func (r *run) bucketAt(key bucketKey) (int, bool) {
	if r.byKey == nil {
		for i := range r.buckets {
			if r.buckets[i].bucketKey == key {
				return i, true
			}
		}
		if len(r.buckets) < fewBuckets {
			return 0, false
		}
		r.byKey = make(map[bucketKey]int, 2*fewBuckets)
		for i := range r.buckets {
			r.byKey[r.buckets[i].bucketKey] = i
		}
	}
	at, ok := r.byKey[key]
	return at, ok
}

// unused returns a bucket that nobody uses.
func (r *run) unused() (b *bucket) {
	last := len(r.spare) - 1
	if last < 0 {
		return &bucket{}
	}
	b, r.spare = r.spare[last], r.spare[:last]
	return b
}

func (r *run) newBucket(node int32, key bucketKey) *bucket {
	b := r.unused()
	b.bucketKey, b.heap, b.spread = key, b.heap[:0], r.valuesOf(b.spread[:0], node)
	t := top{}
	if len(r.spreads) == 1 {
		t.value = b.spread[0]
	}
	r.tops = append(r.tops, t)
	switch {
	case r.stream != nil:
		b.heap = slices.Grow(b.heap, topNodes+min(len(r.ask.Rows), topNodes))
	case len(r.spreads) == 0 && len(r.buckets) == 0:
		b.heap = slices.Grow(b.heap, r.feasible.Count()) // nearly all go here
	}
	return b
}

// live reports whether an entry still counts.
func (r *run) live(e *entry) bool {
	if r.epochs.Len() > 0 && r.epochs.Get(e.node) != e.epoch {
		return false
	}
	return len(r.limits) == 0 || r.allowed(e.node)
}

// best takes the best node for a row out of the heaps. A penalty never raises
// a score, so the first node without one beats all that follow; those with one
// that came before it are compared by their penalized score. What is not taken
// is put aside, see restore.
func (r *run) best(row *Row) (int32, bool) {
	var best capacity.Found
	found := false
	for {
		c, ok := r.pop()
		if !ok {
			return best.Node, found
		}
		penalized := r.penalized(row, c.Node)
		if penalized {
			s := r.finish(r.score(c.Node, true))
			c.Score = s.final
		}
		if !found || c.Before(&best) {
			c, best = best, c
		}
		if found {
			r.aside = append(r.aside, c.Node)
		}
		if found = true; !penalized {
			return best.Node, true
		}
	}
}

func (r *run) penalized(row *Row, node int32) bool {
	if len(row.Penalized) == 0 {
		return false
	}
	id := r.x.Node(node).ID
	for _, p := range row.Penalized {
		if p == id {
			return true
		}
	}
	return false
}

// restore puts back what best put aside.
func (r *run) restore() {
	for _, node := range r.aside {
		r.offer(node)
	}
	r.aside = r.aside[:0]
}

// pop takes the best node out of the buckets and the stream.
func (r *run) pop() (capacity.Found, bool) {
	at, best := r.peek()
	if c, ok := r.next(); ok && (at < 0 || c.Before(&best)) {
		r.headed = false
		return c, true
	}
	if at < 0 {
		return capacity.Found{}, false
	}
	r.buckets[at].heap.Pop()
	r.tops[at].known = false
	return best, true
}

// peek finds the best live entry of all buckets, and its bucket; -1 if there is
// none.
func (r *run) peek() (int, capacity.Found) {
	r.doubtTops()
	at := -1
	for i := range r.tops {
		t := &r.tops[i]
		if !t.known {
			r.look(i)
		}
		if !t.empty && (at < 0 || t.Before(&r.tops[at].Found)) {
			at = i
		}
	}
	if at < 0 {
		return at, capacity.Found{}
	}
	return at, r.tops[at].Found
}

// found is an entry with its score.
func (b *bucket) found(e *entry, boost float64, spread bool) capacity.Found {
	return capacity.Found{Node: e.node, Tie: e.tie, Score: mean(e.sum, b.parts, boost, spread), Busy: b.busy}
}

// look finds the best live entry of a bucket.
func (r *run) look(i int) {
	b, t := r.buckets[i], &r.tops[i]
	for len(b.heap) > 0 && !r.live(&b.heap[0]) {
		b.heap.Pop()
	}
	if t.known, t.empty = true, len(b.heap) == 0; t.empty {
		return
	}
	t.Found = b.found(&b.heap[0], r.boost(b.spread), len(r.spreads) > 0)
}

// doubtTops forgets tops that something else than their bucket may have changed:
// limits concern any node, and the extremes of an even spread every value.
func (r *run) doubtTops() {
	var all uint64
	for _, s := range r.spreads {
		if s.want == nil {
			s.extremes()
		}
		all += s.all
	}
	if len(r.limits) > 0 || all != r.seenAll {
		r.seenAll = all
		r.forgetTops()
	}
}

func (r *run) forgetTops() {
	for i := range r.tops {
		r.tops[i].known = false
	}
}

// forgetValue forgets the tops whose boost a change on a node concerns.
func (r *run) forgetValue(node int32) {
	if len(r.spreads) > 1 {
		r.forgetTops()
		return
	}
	for _, s := range r.spreads {
		v := s.column.Of(node)
		for i := range r.tops {
			if r.tops[i].value == v {
				r.tops[i].known = false
			}
		}
	}
}

// finish adds the spread part and computes the mean.
func (r *run) finish(s scored) scored {
	if len(r.spreads) > 0 {
		r.values = r.valuesOf(r.values[:0], s.node)
		s.boost = r.boost(r.values)
	}
	s.final = mean(s.sum, s.parts, s.boost, len(r.spreads) > 0)
	return s
}
