package capacity

// Heap is a binary heap: the first element comes before all others.
type Heap[T any, P ordered[T]] []T

// ordered is what a heap needs of its elements.
type ordered[T any] interface {
	*T
	// Before reports whether an element comes before another.
	Before(*T) bool
}

// Init makes a heap of elements in any order.
func (h Heap[T, P]) Init() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.Down(i)
	}
}

// Push adds an element.
func (h *Heap[T, P]) Push(e T) {
	s := append(*h, e)
	*h = s
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !P(&s[i]).Before(&s[up]) {
			return
		}
		s[i], s[up] = s[up], s[i]
		i = up
	}
}

// Pop takes out the first element.
func (h *Heap[T, P]) Pop() T {
	s := *h
	first, last := s[0], len(s)-1
	s[0] = s[last]
	var none T
	s[last] = none
	*h = s[:last]
	h.Down(0)
	return first
}

// Down restores the order after an element has come to stand later than it did.
func (h Heap[T, P]) Down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if next := child + 1; next < len(h) && P(&h[next]).Before(&h[child]) {
			child = next
		}
		if !P(&h[child]).Before(&h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
