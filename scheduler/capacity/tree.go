package capacity

import "math"

// leafSize is how many nodes a leaf of a tree holds before it is split.
const leafSize = 16

// spot is a node as the tree knows it: what it has left, as it was when the tree
// was last brought up to date, and the hash that breaks ties.
type spot struct {
	pow  Pow
	free Amount // disk is not looked at
	hash uint64
	node int32
}

// Box bounds what the nodes below a branch of the tree have left.
type Box struct {
	MinPow, MaxPow         Pow
	MaxCPU, MaxMemory      int64
	MinHash, MaxHash       uint64
	minFreeCPU, minFreeMem int64
}

func emptyBox() Box {
	return Box{
		MinPow: Pow{math.Inf(1), math.Inf(1)}, MaxPow: Pow{math.Inf(-1), math.Inf(-1)},
		MaxCPU: math.MinInt64, MaxMemory: math.MinInt64, minFreeCPU: math.MaxInt64, minFreeMem: math.MaxInt64,
		MinHash: math.MaxUint64,
	}
}

func (b *Box) grow(s *spot) {
	b.MinPow.CPU, b.MaxPow.CPU = min(b.MinPow.CPU, s.pow.CPU), max(b.MaxPow.CPU, s.pow.CPU)
	b.MinPow.Memory, b.MaxPow.Memory = min(b.MinPow.Memory, s.pow.Memory), max(b.MaxPow.Memory, s.pow.Memory)
	b.minFreeCPU, b.MaxCPU = min(b.minFreeCPU, s.free.CPU), max(b.MaxCPU, s.free.CPU)
	b.minFreeMem, b.MaxMemory = min(b.minFreeMem, s.free.Memory), max(b.MaxMemory, s.free.Memory)
	b.MinHash, b.MaxHash = min(b.MinHash, s.hash), max(b.MaxHash, s.hash)
}

// dimension is what a branch splits by.
type dimension uint8

const (
	byCPU dimension = iota
	byMemory
	byHash
)

// branch is a part of the tree: a leaf with spots, or two halves.
type branch struct {
	box       Box
	spots     []spot // of a leaf
	low, high *branch
	by        dimension
	at        uint64 // spots below it lie in low
	size      int
}

// key is a spot's place in a dimension. What is left may be negative, where
// more is promised than the node has.
func (s *spot) key(by dimension) uint64 {
	switch by {
	case byCPU:
		return uint64(s.free.CPU) ^ 1<<63
	case byMemory:
		return uint64(s.free.Memory) ^ 1<<63
	}
	return s.hash
}

func newBranch() *branch { return &branch{box: emptyBox()} }

// insert puts a spot in. Boxes only grow; they are exact again after a rebuild.
func (b *branch) insert(s spot) {
	for {
		b.box.grow(&s)
		b.size++
		if b.low == nil {
			b.spots = append(b.spots, s)
			if len(b.spots) > leafSize {
				b.split()
			}
			return
		}
		b = b.half(&s)
	}
}

func (b *branch) half(s *spot) *branch {
	if s.key(b.by) < b.at {
		return b.low
	}
	return b.high
}

// remove takes a node's spot out; s is the spot as it was put in.
func (b *branch) remove(s *spot) bool {
	for b.low != nil {
		b.size--
		b = b.half(s)
	}
	for i := range b.spots {
		if b.spots[i].node == s.node {
			last := len(b.spots) - 1
			b.spots[i] = b.spots[last]
			b.spots = b.spots[:last]
			b.size--
			return true
		}
	}
	return false
}

// split halves a leaf in the dimension in which its spots lie apart: by what is
// left as long as that differs, else by hash.
func (b *branch) split() {
	by, at, ok := b.cut()
	if !ok {
		return // all alike, hashes included: the leaf stays as large as it is
	}
	spots := b.spots
	b.by, b.at, b.spots = by, at, nil
	b.low, b.high = newBranch(), newBranch()
	for i := range spots {
		half := b.half(&spots[i])
		half.box.grow(&spots[i])
		half.size++
		half.spots = append(half.spots, spots[i])
	}
}

// cut chooses where to split: in the middle of the dimension that spans most of
// the scores.
func (b *branch) cut() (by dimension, at uint64, ok bool) {
	exact := emptyBox()
	for i := range b.spots {
		exact.grow(&b.spots[i])
	}
	b.box = exact
	cpu, memory := exact.MaxPow.CPU-exact.MinPow.CPU, exact.MaxPow.Memory-exact.MinPow.Memory
	switch {
	case exact.minFreeCPU < exact.MaxCPU && (cpu >= memory || exact.minFreeMem == exact.MaxMemory):
		by = byCPU
	case exact.minFreeMem < exact.MaxMemory:
		by = byMemory
	case exact.MinHash < exact.MaxHash:
		by = byHash
	default:
		return 0, 0, false
	}
	least, most := uint64(math.MaxUint64), uint64(0)
	for i := range b.spots {
		k := b.spots[i].key(by)
		least, most = min(least, k), max(most, k)
	}
	return by, least + (most-least)/2 + 1, true
}
