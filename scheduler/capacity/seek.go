package capacity

import (
	"container/heap"
	"math"
	"math/bits"
	"slices"
)

// shelf is the tree of nodes of about the same size. Their totals share the
// leading bits, so that few numbers bound what an ask leaves on any of them.
type shelf struct {
	root        *branch
	changes     int // since it was built
	least, most Amount
}

// shelfKey is a size, rounded.
type shelfKey struct{ cpu, memory uint16 }

// rounded keeps a number's length and its next four bits.
func rounded(v int64) uint16 {
	if v <= 0 {
		return 0
	}
	n := bits.Len64(uint64(v))
	return uint16(n)<<4 | uint16(uint64(v)<<(64-n)>>59&0xF)
}

// shelves are the trees over all nodes that take placements.
type shelves struct {
	byKey map[shelfKey]*shelf
	at    []*shelf // by node number, nil: in none
	spots []spot   // by node number, as they are in their tree
	stale []int32
	dirty Bits
}

// touch notes that a node must be looked at again before the next search.
func (h *shelves) touch(i int32) {
	if !h.dirty.Has(i) {
		h.dirty.Set(i, true)
		h.stale = append(h.stale, i)
	}
}

// Search says which nodes are wanted.
type Search struct {
	// Ask is what must be free.
	Ask Amount
	// Seed is where ties begin: of equals the one whose hash follows it first.
	Seed uint64
	// Keep is how many nodes are wanted.
	Keep int
	// Bound is the highest score that a node can have which the ask leaves with
	// free shares between these.
	Bound func(least, most Pow) float64
	// Score is a node's score; false if it is out of the question.
	Score func(node int32) (float64, bool)
}

// Found is a node that was looked for.
type Found struct {
	Node  int32
	Score float64
	Tie   uint64
}

// Before orders nodes: best first, equals by their tie.
func (f Found) Before(o Found) bool {
	if f.Score != o.Score {
		return f.Score > o.Score
	}
	return f.Tie < o.Tie
}

// Tie is a node's place among equals, counted from the seed.
func Tie(hash, seed uint64) uint64 { return hash - seed }

// lead is a branch to look into, with what it promises.
type lead struct {
	Found
	in    *branch
	shelf *shelf
	fit   [2]Pow // factors of the smallest and of the largest node
}

type leads []lead

// Len implements heap.Interface.
func (l leads) Len() int { return len(l) }

// Less implements heap.Interface.
func (l leads) Less(i, j int) bool { return l[i].Before(l[j].Found) }

// Swap implements heap.Interface.
func (l leads) Swap(i, j int) { l[i], l[j] = l[j], l[i] }

// Push implements heap.Interface.
func (l *leads) Push(x any) { *l = append(*l, x.(lead)) }

// Pop implements heap.Interface.
func (l *leads) Pop() any {
	last := len(*l) - 1
	x := (*l)[last]
	*l = (*l)[:last]
	return x
}

// Seek returns the best nodes, best first: whatever is not among them comes
// after the last, if there are as many as were wanted. It follows the branch
// that promises most, and ends when none promises more than what it has.
func (x *Index) Seek(s Search) []Found {
	x.settle()
	open := &leads{}
	for _, sh := range x.shelves.byKey {
		fit := [2]Pow{factorOf(s.Ask, sh.least), factorOf(s.Ask, sh.most)}
		s.follow(open, lead{in: sh.root, shelf: sh, fit: fit})
	}
	var found []Found
	for open.Len() > 0 {
		next := heap.Pop(open).(lead)
		if len(found) == s.Keep && !next.Before(found[len(found)-1]) {
			break
		}
		if next.in.low != nil {
			s.follow(open, lead{in: next.in.low, shelf: next.shelf, fit: next.fit})
			s.follow(open, lead{in: next.in.high, shelf: next.shelf, fit: next.fit})
			continue
		}
		for i := range next.in.spots {
			found = s.consider(found, &next.in.spots[i])
		}
	}
	return found
}

// follow adds a branch to the open ones, if something fits there.
func (s *Search) follow(open *leads, l lead) {
	box := &l.in.box
	if l.in.size == 0 || box.MaxCPU < s.Ask.CPU || box.MaxMemory < s.Ask.Memory {
		return
	}
	const full = 1 - 1e-9 // a node filled to the brim, rounding included
	l.Score = s.Bound(
		Pow{max(full, box.MinPow.CPU*l.fit[0].CPU), max(full, box.MinPow.Memory*l.fit[0].Memory)},
		Pow{box.MaxPow.CPU * l.fit[1].CPU, box.MaxPow.Memory * l.fit[1].Memory})
	if s.Seed < box.MinHash || s.Seed > box.MaxHash {
		l.Tie = Tie(box.MinHash, s.Seed)
	}
	heap.Push(open, l)
}

func (s *Search) consider(found []Found, at *spot) []Found {
	if at.free.CPU < s.Ask.CPU || at.free.Memory < s.Ask.Memory {
		return found
	}
	score, ok := s.Score(at.node)
	if !ok {
		return found
	}
	f := Found{Node: at.node, Score: score, Tie: Tie(at.hash, s.Seed)}
	if len(found) == s.Keep {
		if !f.Before(found[len(found)-1]) {
			return found
		}
		found = found[:len(found)-1]
	}
	place, _ := slices.BinarySearchFunc(found, f, func(a, b Found) int {
		if a.Before(b) {
			return -1
		}
		return 1
	})
	return slices.Insert(found, place, f)
}

func factorOf(ask, total Amount) Pow {
	return Pow{shrink(ask.CPU, total.CPU), shrink(ask.Memory, total.Memory)}
}

func shrink(ask, total int64) float64 {
	if total <= 0 {
		return 1
	}
	return math.Pow(10, -float64(ask)/float64(total))
}

// settle brings the trees up to date with the nodes that changed.
func (x *Index) settle() {
	h := &x.shelves
	for _, i := range h.stale {
		h.dirty.Set(i, false)
		for int(i) >= len(h.at) {
			h.at, h.spots = append(h.at, nil), append(h.spots, spot{})
		}
		if sh := h.at[i]; sh != nil {
			sh.root.remove(&h.spots[i])
			sh.changes++
			h.at[i] = nil
		}
		if x.nodes[i] != nil && x.ready.Has(i) {
			h.put(i, x.totals[i], spot{pow: x.pow[i], free: x.totals[i].Minus(x.used[i]), hash: x.hashes[i], node: i})
		}
	}
	h.stale = h.stale[:0]
}

func (h *shelves) put(i int32, total Amount, s spot) {
	key := shelfKey{rounded(total.CPU), rounded(total.Memory)}
	sh := h.byKey[key]
	if sh == nil {
		sh = &shelf{root: newBranch(), least: total, most: total}
		h.byKey[key] = sh
	}
	sh.least.CPU, sh.most.CPU = min(sh.least.CPU, total.CPU), max(sh.most.CPU, total.CPU)
	sh.least.Memory, sh.most.Memory = min(sh.least.Memory, total.Memory), max(sh.most.Memory, total.Memory)
	h.at[i], h.spots[i] = sh, s
	sh.root.insert(s)
	if sh.changes++; sh.changes > 4*sh.root.size+256 {
		sh.rebuild()
	}
}

// rebuild makes boxes exact and halves even again.
func (sh *shelf) rebuild() {
	old := sh.root
	sh.root, sh.changes = newBranch(), 0
	old.each(sh.root.insert)
}

func (b *branch) each(f func(spot)) {
	if b.low != nil {
		b.low.each(f)
		b.high.each(f)
		return
	}
	for _, s := range b.spots {
		f(s)
	}
}
