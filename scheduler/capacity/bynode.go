package capacity

import "math/bits"

// ByNode maps node numbers to values. It does what a map does, faster: numbers
// are small and nothing is ever taken out. The zero value is an empty one.
type ByNode[V any] struct {
	cells []cell[V] // a power of two of them
	n     int
}

type cell[V any] struct {
	key   int32 // the number plus one, 0: empty
	value V
}

// Reset forgets everything and makes room for n numbers.
func (b *ByNode[V]) Reset(n int) {
	size := 0
	if n > 0 {
		size = 1 << bits.Len(uint(2*n-1))
	}
	if size > cap(b.cells) {
		*b = ByNode[V]{cells: make([]cell[V], size)}
		return
	}
	b.cells, b.n = b.cells[:size], 0
	clear(b.cells)
}

// find returns the cell of a number, or the one where it goes.
func (b *ByNode[V]) find(node int32) *cell[V] {
	mask := uint32(len(b.cells) - 1)
	for i := uint32(node) * 0x9E3779B1 >> 7 & mask; ; i = (i + 1) & mask {
		if c := &b.cells[i]; c.key == node+1 || c.key == 0 {
			return c
		}
	}
}

// Len returns how many numbers have a value.
func (b *ByNode[V]) Len() int { return b.n }

// Get returns a number's value, zero if it has none.
func (b *ByNode[V]) Get(node int32) V {
	if b.n == 0 {
		var none V
		return none
	}
	return b.find(node).value // an empty cell holds zero
}

// Ref returns where a number's value is, a new one if it has none. It holds
// until the next call of Ref.
func (b *ByNode[V]) Ref(node int32) *V {
	if 2*b.n >= len(b.cells) {
		b.grow()
	}
	c := b.find(node)
	if c.key == 0 {
		c.key = node + 1
		b.n++
	}
	return &c.value
}

func (b *ByNode[V]) grow() {
	old := b.cells
	if b.n == 0 {
		b.Reset(4)
		return
	}
	b.cells = make([]cell[V], 2*len(old))
	for _, c := range old {
		if c.key != 0 {
			*b.find(c.key - 1) = c
		}
	}
}

// All calls yield for each number that has a value.
func (b *ByNode[V]) All(yield func(int32, V) bool) {
	for i := range b.cells {
		if c := &b.cells[i]; c.key != 0 && !yield(c.key-1, c.value) {
			return
		}
	}
}
