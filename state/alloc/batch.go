package alloc

import (
	"slices"

	"github.com/steppe-run/steppe/internal/ids"
)

const (
	// chunkRows are copied when one of them changes.
	chunkRows = 32
	// MaxRows a batch may have: larger ones are cut.
	MaxRows = 1024
)

// Batch holds the rows that were placed together. A batch that was read from a
// Table never changes: the next version of the Table gets a copy.
type Batch struct {
	seq    uint64
	seed   ids.Seed
	first  uint32
	size   int
	live   int
	shared *Shared
	chunks [][]Row
	links  []link // of rows that were updated in place

	gen   uint64 // version of the table that may change this copy
	owned uint32 // chunks that were copied for it, a bit each
}

func newBatch(seed ids.Seed, first uint32, shared *Shared, rows []Row) *Batch {
	b := &Batch{seed: seed, first: first, size: len(rows), shared: shared, owned: ^uint32(0)}
	for chunk := range slices.Chunk(rows, chunkRows) {
		b.chunks = append(b.chunks, chunk)
	}
	for i := range rows {
		if rows[i].Node != nil {
			b.live++
		}
	}
	return b
}

// Shared returns what the rows have in common, rows that were updated in place
// aside.
func (b *Batch) Shared() *Shared { return b.shared }

// Len returns the number of rows, with those that hold no allocation.
func (b *Batch) Len() int { return b.size }

// View returns a row.
func (b *Batch) View(row uint32) View { return View{b, row} }

func (b *Batch) row(i uint32) *Row { return &b.chunks[i/chunkRows][i%chunkRows] }

// id returns the bytes of a row's ID.
func (b *Batch) id(row uint32) [16]byte { return ids.DeriveRaw(b.seed, b.first+row) }

// sharedOf returns what a row shares with others.
func (b *Batch) sharedOf(r *Row) *Shared {
	if r.Over != nil {
		return r.Over
	}
	return b.shared
}

// writable returns b itself or a copy that belongs to the version gen.
func (b *Batch) writable(gen uint64) *Batch {
	if b.gen == gen {
		return b
	}
	next := *b
	next.gen, next.owned = gen, 0
	next.chunks = slices.Clone(b.chunks)
	return &next
}

// writableRow returns a row that may be changed; b must be writable.
func (b *Batch) writableRow(i uint32) *Row {
	at := i / chunkRows
	if b.owned&(1<<at) == 0 {
		b.chunks[at] = slices.Clone(b.chunks[at])
		b.owned |= 1 << at
	}
	return &b.chunks[at][i%chunkRows]
}
