// Package cow holds ordered collections that are copied on write: a copy costs
// nothing, and the copies never see each other's later changes.
//
// It must not know what it holds. One goroutine changes a collection, any
// number reads the copies it has given away. Begin reading at Tree.
package cow

import (
	"iter"

	"github.com/tidwall/btree"
)

// degree is how wide a node of a tree is: each change copies one node a level.
// Half of what reading likes best makes a third less garbage.
const degree = 12

// Tree is an ordered set. Copy it by assignment and call Share on the copy
// that will be changed: from then on it shares nothing that changes.
type Tree[T any] struct {
	b     *btree.BTreeG[T]
	owned bool
}

// New returns an empty tree ordered by less. Items neither of which is less
// are the same item.
func New[T any](less func(a, b T) bool) Tree[T] {
	return Tree[T]{
		b:     btree.NewBTreeGOptions(less, btree.Options{Degree: degree, NoLocks: true}),
		owned: true,
	}
}

// Share marks the content as given away: the next change copies what it
// touches.
func (t *Tree[T]) Share() { t.owned = false }

// Set stores an item, in place of the same item if there is one.
func (t *Tree[T]) Set(item T) {
	t.own()
	t.b.Set(item)
}

// Delete removes an item; it reports whether it was there.
func (t *Tree[T]) Delete(item T) bool {
	if _, ok := t.b.Get(item); !ok {
		return false
	}
	t.own()
	t.b.Delete(item)
	return true
}

// Get returns the stored item that is the same as key.
func (t *Tree[T]) Get(key T) (T, bool) { return t.b.Get(key) }

// Len returns the number of items.
func (t *Tree[T]) Len() int { return t.b.Len() }

// All returns the items in order.
func (t *Tree[T]) All() iter.Seq[T] {
	b := t.b
	return func(yield func(T) bool) { b.Scan(yield) }
}

// From returns the items from pivot on, in order.
func (t *Tree[T]) From(pivot T) iter.Seq[T] {
	b := t.b
	return func(yield func(T) bool) { b.Ascend(pivot, yield) }
}

// Down returns the items from pivot down, in reverse order.
func (t *Tree[T]) Down(pivot T) iter.Seq[T] {
	b := t.b
	return func(yield func(T) bool) { b.Descend(pivot, yield) }
}

func (t *Tree[T]) own() {
	if !t.owned {
		t.b = t.b.Copy()
		t.owned = true
	}
}
