package capacity

import (
	"cmp"
	"math"
	"slices"
)

// leafSize is how many points a leaf of a tree holds before it is split.
const leafSize = 12

// point is the nodes of one size with the same use: they score the same, and
// only their hashes tell them apart.
type point struct {
	key   pointKey
	pow   Pow
	free  Amount // disk is not looked at
	nodes ring
	shelf *shelf
	leaf  *branch
}

// pointKey is what the nodes of a point share.
type pointKey struct{ cpu, memory, usedCPU, usedMemory int64 }

// box bounds what the points below a branch have left.
type box struct {
	minPow, maxPow   Pow
	minFree, maxFree Amount
}

func emptyBox() box {
	return box{
		minPow: Pow{math.Inf(1), math.Inf(1)}, maxPow: Pow{math.Inf(-1), math.Inf(-1)},
		minFree: Amount{CPU: math.MaxInt64, Memory: math.MaxInt64},
		maxFree: Amount{CPU: math.MinInt64, Memory: math.MinInt64},
	}
}

func (b *box) grow(o *box) {
	b.minPow.CPU, b.maxPow.CPU = min(b.minPow.CPU, o.minPow.CPU), max(b.maxPow.CPU, o.maxPow.CPU)
	b.minPow.Memory, b.maxPow.Memory = min(b.minPow.Memory, o.minPow.Memory), max(b.maxPow.Memory, o.maxPow.Memory)
	b.minFree.CPU, b.maxFree.CPU = min(b.minFree.CPU, o.minFree.CPU), max(b.maxFree.CPU, o.maxFree.CPU)
	b.minFree.Memory, b.maxFree.Memory = min(b.minFree.Memory, o.minFree.Memory), max(b.maxFree.Memory, o.maxFree.Memory)
}

func (p *point) box() box { return box{minPow: p.pow, maxPow: p.pow, minFree: p.free, maxFree: p.free} }

// branch is a part of a tree over points: a leaf, or two halves. Its box is
// always exact.
type branch struct {
	box       box
	up        *branch
	low, high *branch
	points    []*point // of a leaf
	byMemory  bool     // what the halves are told apart by: free memory, or CPU
	at        int64    // points with less are in low
	size      int      // points below
}

func newLeaf(up *branch, points []*point) *branch {
	b := &branch{up: up, points: points, size: len(points)}
	for _, p := range points {
		p.leaf = b
	}
	b.measure()
	return b
}

// measure computes the box from what is right below.
func (b *branch) measure() {
	b.box = emptyBox()
	if b.low != nil {
		b.box.grow(&b.low.box)
		b.box.grow(&b.high.box)
		return
	}
	for _, p := range b.points {
		one := p.box()
		b.box.grow(&one)
	}
}

func (b *branch) place(p *point) int64 {
	if b.byMemory {
		return p.free.Memory
	}
	return p.free.CPU
}

// insert adds a point below b.
func (b *branch) insert(p *point) {
	one := p.box()
	for {
		b.box.grow(&one)
		b.size++
		if b.low == nil {
			break
		}
		if b.place(p) < b.at {
			b = b.low
		} else {
			b = b.high
		}
	}
	b.points = append(b.points, p)
	p.leaf = b
	if len(b.points) > leafSize {
		b.split()
	}
	b.balance()
}

// remove takes a point out of its tree.
func (p *point) remove() {
	b := p.leaf
	at := slices.Index(b.points, p)
	b.points = slices.Delete(b.points, at, at+1)
	p.leaf = nil
	for up := b; up != nil; up = up.up {
		up.size--
		up.measure()
	}
	b.balance()
}

// balance makes the highest branch above b anew whose halves have become too
// different.
func (b *branch) balance() {
	var worst *branch
	for up := b; up != nil; up = up.up {
		if up.low != nil && (up.size <= leafSize/2 || max(up.low.size, up.high.size) > up.size*3/4+leafSize) {
			worst = up
		}
	}
	if worst != nil {
		worst.points = worst.collect(make([]*point, 0, worst.size))
		worst.low, worst.high = nil, nil
		worst.split()
	}
}

func (b *branch) collect(out []*point) []*point {
	if b.low == nil {
		return append(out, b.points...)
	}
	return b.high.collect(b.low.collect(out))
}

// split makes halves of b's points until leaves are small: at the median of the
// dimension in which they lie further apart. Points differ in one of the two
// unless their sizes differ; then the leaf stays as large as it is.
func (b *branch) split() {
	b.size = len(b.points)
	b.low, b.high = nil, nil
	b.measure()
	for _, p := range b.points {
		p.leaf = b
	}
	if len(b.points) <= leafSize {
		return
	}
	wide := b.box.maxPow.Memory-b.box.minPow.Memory > b.box.maxPow.CPU-b.box.minPow.CPU
	for _, byMemory := range []bool{wide, !wide} {
		b.byMemory = byMemory
		slices.SortFunc(b.points, func(p, q *point) int { return cmp.Compare(b.place(p), b.place(q)) })
		if cut := b.cut(); cut > 0 {
			b.low, b.high = newLeaf(b, slices.Clone(b.points[:cut])), newLeaf(b, slices.Clone(b.points[cut:]))
			b.points = nil
			b.low.split()
			b.high.split()
			return
		}
	}
}

// cut finds where the sorted points can be halved, 0 if they are all alike.
func (b *branch) cut() int {
	middle := b.place(b.points[len(b.points)/2])
	at, _ := slices.BinarySearchFunc(b.points, middle, func(p *point, v int64) int { return cmp.Compare(b.place(p), v) })
	if at == 0 { // at least half lie at the lowest value
		at, _ = slices.BinarySearchFunc(b.points, middle+1, func(p *point, v int64) int { return cmp.Compare(b.place(p), v) })
		if at == len(b.points) {
			return 0
		}
	}
	b.at = b.place(b.points[at])
	return at
}
