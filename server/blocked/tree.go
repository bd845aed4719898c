package blocked

import (
	"cmp"
	"math/bits"
)

// tree is a treap of claims in the order of a curve through the space of their
// asks (Morton's), so that a subtree is a small region of it. Each node knows
// the box around its subtree, the states that were seen in it and its most
// important claim; a query enters only what may hold a better answer.
type tree struct{ root *claim }

// node is a claim's place in its tree.
type node struct {
	weight      uint64
	left, right *claim

	lo, hi         amount
	loSeen, hiSeen uint64
	first          *claim
	particular     bool
}

// query asks for the most important claim that is within limit, was last
// scheduled before since, and able.
type query struct {
	limit amount
	since uint64
	able  func(*claim) bool
}

func (t *tree) add(c *claim) {
	c.node = node{weight: mix(c.number)}
	t.root = insert(t.root, c)
}

func (t *tree) remove(c *claim) { t.root = without(t.root, c) }

func (t *tree) first(q query) *claim { return q.search(t.root, nil) }

func (q *query) search(n, found *claim) *claim {
	if n == nil || n.node.loSeen >= q.since || !n.node.lo.fits(q.limit) {
		return found
	}
	if found != nil && before(found.w, n.node.first.w) <= 0 {
		return found
	}
	if !n.node.particular && n.node.hiSeen < q.since && n.node.hi.fits(q.limit) {
		return n.node.first
	}
	better := found == nil || before(n.w, found.w) < 0
	if better && n.seen() < q.since && n.ask.fits(q.limit) && (!n.particular() || q.able(n)) {
		found = n
	}
	near, far := n.node.left, n.node.right
	if near == nil || far != nil && before(far.node.first.w, near.node.first.w) < 0 {
		near, far = far, near
	}
	return q.search(far, q.search(near, found))
}

func insert(n, c *claim) *claim {
	if n == nil {
		c.settle()
		return c
	}
	if c.node.weight > n.node.weight {
		c.node.left, c.node.right = split(n, c)
		c.settle()
		return c
	}
	if along(c, n) < 0 {
		n.node.left = insert(n.node.left, c)
	} else {
		n.node.right = insert(n.node.right, c)
	}
	n.settle()
	return n
}

// split parts a tree into what is before a claim and what is after it.
func split(n, at *claim) (left, right *claim) {
	if n == nil {
		return nil, nil
	}
	if along(n, at) < 0 {
		n.node.right, right = split(n.node.right, at)
		n.settle()
		return n, right
	}
	left, n.node.left = split(n.node.left, at)
	n.settle()
	return left, n
}

func without(n, c *claim) *claim {
	switch {
	case n == nil:
		return nil
	case n == c:
		return merge(c.node.left, c.node.right)
	case along(c, n) < 0:
		n.node.left = without(n.node.left, c)
	default:
		n.node.right = without(n.node.right, c)
	}
	n.settle()
	return n
}

func merge(a, b *claim) *claim {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.node.weight > b.node.weight:
		a.node.right = merge(a.node.right, b)
		a.settle()
		return a
	}
	b.node.left = merge(a, b.node.left)
	b.settle()
	return b
}

// settle sums up a subtree whose root or children changed.
func (c *claim) settle() {
	n := &c.node
	n.lo, n.hi, n.loSeen, n.hiSeen = c.ask, c.ask, c.seen(), c.seen()
	n.first, n.particular = c, c.particular()
	for _, kid := range [2]*claim{n.left, n.right} {
		if kid == nil {
			continue
		}
		k := &kid.node
		for i := range n.lo {
			n.lo[i], n.hi[i] = min(n.lo[i], k.lo[i]), max(n.hi[i], k.hi[i])
		}
		n.loSeen, n.hiSeen = min(n.loSeen, k.loSeen), max(n.hiSeen, k.hiSeen)
		n.particular = n.particular || k.particular
		if before(k.first.w, n.first.w) < 0 {
			n.first = k.first
		}
	}
}

// along orders claims along the curve, equal asks by importance.
func along(a, b *claim) int {
	widest, high := 0, -1
	for i := range a.ask {
		if h := bits.Len64(uint64(a.ask[i]) ^ uint64(b.ask[i])); h > high {
			widest, high = i, h
		}
	}
	return cmp.Or(cmp.Compare(a.ask[widest], b.ask[widest]), before(a.w, b.w), cmp.Compare(a.number, b.number))
}

// mix makes a weight of a number, without pattern.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
