package capacity

import (
	"math/bits"
	"slices"
)

// ringLoad is how many members a cell of a ring holds on average before the
// ring grows.
const ringLoad = 16

// member is a node in a ring, placed by its hash.
type member struct {
	hash uint64
	node int32
}

func (m member) compare(o member) int {
	switch {
	case m.hash < o.hash || m.hash == o.hash && m.node < o.node:
		return -1
	case m == o:
		return 0
	}
	return 1
}

// ring is a set of nodes in the order of their hashes. Hashes are spread
// evenly, so cells of equal width hold about equally many; a number of cells
// that follows the number of members makes each step cost the same.
type ring struct {
	cells [][]member // a power of two of them, each sorted
	n     int
	first [1][]member // the cells of a small ring: most are
}

func (r *ring) cell(hash uint64) int {
	return int(hash >> 1 >> (63 - bits.Len(uint(len(r.cells)-1))))
}

func (r *ring) add(m member) {
	switch {
	case r.n == 0:
		r.first[0] = r.first[0][:0]
		r.cells = r.first[:]
	case r.n >= ringLoad*len(r.cells):
		r.resize(2 * len(r.cells))
	}
	i := r.cell(m.hash)
	at, _ := slices.BinarySearchFunc(r.cells[i], m, member.compare)
	if r.cells[i] == nil {
		r.cells[i] = make([]member, 0, ringLoad/4)
	}
	r.cells[i] = slices.Insert(r.cells[i], at, m)
	r.n++
}

func (r *ring) remove(m member) {
	i := r.cell(m.hash)
	at, ok := slices.BinarySearchFunc(r.cells[i], m, member.compare)
	if !ok {
		return
	}
	r.cells[i] = slices.Delete(r.cells[i], at, at+1)
	if r.n--; r.n > 0 && r.n < len(r.cells) {
		r.resize(len(r.cells) / 4)
	}
}

// resize lays the members out anew, side by side: they come in the order of the
// new cells. Each cell has room for a few more.
func (r *ring) resize(cells int) {
	old := r.cells
	r.cells = make([][]member, max(1, cells))
	const more = ringLoad / 4
	slab := make([]member, 0, r.n+more*len(r.cells))
	at, start := 0, 0
	next := func() {
		end := len(slab)
		slab = slab[:end+more]
		r.cells[at] = slab[start : end : end+more]
		at, start = at+1, len(slab)
	}
	for _, cell := range old {
		for _, m := range cell {
			for i := r.cell(m.hash); at < i; {
				next()
			}
			slab = append(slab, m)
		}
	}
	for at < len(r.cells) {
		next()
	}
}

// cursor walks once around a ring.
type cursor struct {
	cell, at, left int32
}

// from returns a cursor before the first member whose hash isn't below seed.
func (r *ring) from(seed uint64) cursor {
	i := r.cell(seed)
	at, _ := slices.BinarySearchFunc(r.cells[i], member{hash: seed}, member.compare)
	return cursor{cell: int32(i), at: int32(at), left: int32(r.n)}
}

// next returns the member at the cursor and moves on; false after the last.
func (r *ring) next(c *cursor) (member, bool) {
	if c.left == 0 {
		return member{}, false
	}
	for int(c.at) >= len(r.cells[c.cell]) {
		c.cell, c.at = (c.cell+1)%int32(len(r.cells)), 0
	}
	m := r.cells[c.cell][c.at]
	c.at++
	c.left--
	return m, true
}
