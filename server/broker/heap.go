package broker

import "container/heap"

// heapOf is a binary heap whose elements know their place in it.
type heapOf[T any] struct {
	items []T
	less  func(a, b T) bool
	move  func(x T, i int)
}

func (h *heapOf[T]) len() int     { return len(h.items) }
func (h *heapOf[T]) top() T       { return h.items[0] }
func (h *heapOf[T]) push(x T)     { heap.Push(sorter[T]{h}, x) }
func (h *heapOf[T]) pop() T       { return heap.Pop(sorter[T]{h}).(T) }
func (h *heapOf[T]) remove(i int) { heap.Remove(sorter[T]{h}, i) }

// sorter shows a heapOf to container/heap only.
type sorter[T any] struct{ h *heapOf[T] }

func (s sorter[T]) Len() int           { return len(s.h.items) }
func (s sorter[T]) Less(i, j int) bool { return s.h.less(s.h.items[i], s.h.items[j]) }

func (s sorter[T]) Swap(i, j int) {
	items := s.h.items
	items[i], items[j] = items[j], items[i]
	s.h.move(items[i], i)
	s.h.move(items[j], j)
}

func (s sorter[T]) Push(x any) {
	s.h.items = append(s.h.items, x.(T))
	s.h.move(x.(T), len(s.h.items)-1)
}

func (s sorter[T]) Pop() any {
	last := len(s.h.items) - 1
	x := s.h.items[last]
	var zero T
	s.h.items[last] = zero
	s.h.items = s.h.items[:last]
	return x
}
