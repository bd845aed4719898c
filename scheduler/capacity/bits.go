package capacity

import "math/bits"

// Bits is a set of node numbers.
type Bits []uint64

// NewBits returns an empty set with room for n numbers.
func NewBits(n int) Bits { return make(Bits, (n+63)/64) }

// Has reports whether i is in the set.
func (b Bits) Has(i int32) bool {
	w := int(i >> 6)
	return w < len(b) && b[w]&(1<<(uint(i)&63)) != 0
}

// Set puts i into the set, or takes it out.
func (b *Bits) Set(i int32, in bool) {
	w := int(i >> 6)
	for w >= len(*b) {
		*b = append(*b, 0)
	}
	if in {
		(*b)[w] |= 1 << (uint(i) & 63)
	} else {
		(*b)[w] &^= 1 << (uint(i) & 63)
	}
}

// Clone returns a copy with room for n numbers.
func (b Bits) Clone(n int) Bits {
	out := NewBits(n)
	copy(out, b)
	return out
}

// And keeps what is also in o, and returns how many were lost.
func (b Bits) And(o Bits) (lost int) {
	for w := range b {
		var keep uint64
		if w < len(o) {
			keep = o[w]
		}
		lost += bits.OnesCount64(b[w] &^ keep)
		b[w] &= keep
	}
	return lost
}

// Count returns the size of the set.
func (b Bits) Count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// Each calls f for each number, in ascending order.
func (b Bits) Each(f func(i int32)) {
	for w, word := range b {
		for word != 0 {
			f(int32(w<<6 + bits.TrailingZeros64(word)))
			word &= word - 1
		}
	}
}
