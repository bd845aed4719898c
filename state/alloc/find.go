package alloc

import (
	"iter"

	"github.com/steppe-run/steppe/internal/ids"
)

// Find returns the allocation of that ID; see View.Valid.
func (t *Table) Find(id string) View {
	raw, ok := ids.Parse(id)
	if !ok {
		return View{}
	}
	mid := [8]byte(raw[4:12])
	from := seedKey{mid: mid}
	for {
		k, ok := first(t.bySeed.From(from))
		if !ok || k.mid != mid {
			return View{}
		}
		if n, ok := ids.Underived(k.seed, raw); ok {
			return t.rowOf(k, n)
		}
		// Another seed with the same middle: next to impossible by chance.
		from = seedKey{mid: mid, seed: k.seed, first: ^uint32(0)}
		if k.first == from.first {
			return View{}
		}
	}
}

// rowOf returns the n-th row of a seed.
func (t *Table) rowOf(k seedKey, n uint32) View {
	k.first = n
	k, ok := first(t.bySeed.Down(k))
	if !ok {
		return View{}
	}
	b := t.batch(k.seq)
	if b == nil || n-b.first >= uint32(b.size) || b.row(n-b.first).Node == nil {
		return View{}
	}
	return View{b, n - b.first}
}

// taken reports whether any ID of a new batch could be one already given: the
// same seed with rows that overlap, or another seed with the same middle.
func (t *Table) taken(seed ids.Seed, firstRow, rows uint32) bool {
	if firstRow+rows < firstRow {
		return true
	}
	mid := ids.Unchanged(seed)
	for k := range t.bySeed.From(seedKey{mid: mid}) {
		if k.mid != mid {
			return false
		}
		size := uint32(t.batch(k.seq).size)
		if k.seed != seed || k.first < firstRow+rows && firstRow < k.first+size {
			return true
		}
	}
	return false
}

// Get returns the allocation at a place; see View.Valid.
func (t *Table) Get(ref Ref) View {
	b := t.batch(ref.seq)
	if b == nil || ref.row >= uint32(b.size) {
		return View{}
	}
	return View{b, ref.row}
}

// All returns the allocations in the order of creation.
func (t *Table) All() iter.Seq[View] {
	return func(yield func(View) bool) {
		for b := range t.Batches() {
			for i := range uint32(b.size) {
				if v := (View{b, i}); v.Valid() && !yield(v) {
					return
				}
			}
		}
	}
}

// Batches returns the batches in the order of creation.
func (t *Table) Batches() iter.Seq[*Batch] {
	return func(yield func(*Batch) bool) {
		for s := range t.batches.All() {
			if !yield(s.batch) {
				return
			}
		}
	}
}

// ByPrefix returns the allocations whose ID begins with prefix.
func (t *Table) ByPrefix(prefix string) iter.Seq[View] {
	p, ok := parsePrefix(prefix)
	if !ok {
		return func(func(View) bool) {}
	}
	return func(yield func(View) bool) {
		for v := range t.All() {
			if p.matches(v.batch.id(v.row)) && !yield(v) {
				return
			}
		}
	}
}

// ByJob returns the allocations of a job, in the order of creation.
func (t *Table) ByJob(namespace, id string) iter.Seq[View] {
	return t.listed(&t.byJob, entry{a: namespace, b: id}, func(View) bool { return true })
}

// ByEval returns the allocations that an evaluation placed or updated in place.
func (t *Table) ByEval(id string) iter.Seq[View] {
	return t.listed(&t.byEval, entry{a: id}, func(v View) bool { return v.Shared().EvalID == id })
}

// ByDeployment returns the allocations that belong to a deployment.
func (t *Table) ByDeployment(id string) iter.Seq[View] {
	return t.listed(&t.byDeployment, entry{a: id}, func(v View) bool { return v.Shared().DeploymentID == id })
}

func (t *Table) listed(index *tree, key entry, keep func(View) bool) iter.Seq[View] {
	return func(yield func(View) bool) {
		for e := range index.From(key) {
			if e.a != key.a || e.b != key.b {
				return
			}
			b := t.batch(e.seq)
			for i := range uint32(b.size) {
				if v := (View{b, i}); v.Valid() && keep(v) && !yield(v) {
					return
				}
			}
		}
	}
}

// ByNode returns the allocations of a node, in the order in which they came.
func (t *Table) ByNode(id string) iter.Seq[View] {
	return func(yield func(View) bool) {
		u := t.Use(id)
		if u == nil {
			return
		}
		for _, ref := range u.refs {
			if v := t.Get(ref); v.Valid() && !yield(v) {
				return
			}
		}
	}
}

func first[T any](seq iter.Seq[T]) (T, bool) {
	for v := range seq {
		return v, true
	}
	var zero T
	return zero, false
}

// idPrefix is the beginning of an ID, in half bytes.
type idPrefix struct {
	half [32]byte
	n    int
}

// parsePrefix reads the beginning of the text form of a UUID.
func parsePrefix(s string) (p idPrefix, ok bool) {
	if len(s) > 36 {
		return p, false
	}
	for i := range len(s) {
		c := s[i]
		switch dash := i == 8 || i == 13 || i == 18 || i == 23; {
		case dash && c == '-':
			continue
		case dash:
			return p, false
		case c >= '0' && c <= '9':
			p.half[p.n] = c - '0'
		case c >= 'a' && c <= 'f':
			p.half[p.n] = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			p.half[p.n] = c - 'A' + 10
		default:
			return p, false
		}
		p.n++
	}
	return p, true
}

func (p *idPrefix) matches(id [16]byte) bool {
	for i := range p.n {
		half := id[i/2] >> 4
		if i%2 == 1 {
			half = id[i/2] & 0xf
		}
		if half != p.half[i] {
			return false
		}
	}
	return true
}
