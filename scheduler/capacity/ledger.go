package capacity

// entry is one allocation: where it runs and how much it takes. The zero entry
// is that of none.
type entry struct {
	node, amount      int32
	owner             int32 // 0: in flight, or told by nobody
	counted, starting bool
}

// IDs says how the ids of a plan's rows follow from a seed. Those of one seed
// have bytes 4 to 11 in common.
type IDs struct {
	Derive func(seed [16]byte, row uint32) [16]byte
	// Row is the inverse; ok is false for an id of another seed.
	Row func(seed, id [16]byte) (row uint32, ok bool)
}

// ledger has an entry for each allocation that is counted. The rows of a plan
// lie side by side, found by what their ids have in common: a place in a large
// map for each would cost more than choosing its node.
type ledger struct {
	ids     IDs
	batches map[[8]byte]*batch
	singles map[key]entry // what didn't come in a plan
}

// batch is the entries of rows whose ids come from one seed.
type batch struct {
	seed  [16]byte
	first uint32
	rows  []entry
	live  int
}

func newLedger() ledger { return ledger{batches: map[[8]byte]*batch{}, singles: map[key]entry{}} }

func common(k key) [8]byte { return [8]byte(k[4:12]) }

// row finds the place of an allocation that came in a plan, nil if it didn't.
func (l *ledger) row(k key) (*batch, *entry) {
	b := l.batches[common(k)]
	if b == nil {
		return nil, nil
	}
	n, ok := l.ids.Row(b.seed, k)
	if at := n - b.first; ok && at < uint32(len(b.rows)) {
		return b, &b.rows[at]
	}
	return nil, nil
}

// get returns an allocation's entry.
func (l *ledger) get(k key) entry {
	if _, e := l.row(k); e != nil {
		return *e
	}
	return l.singles[k]
}

// set stores an allocation's entry.
func (l *ledger) set(k key, e entry) {
	e.counted = true
	b, row := l.row(k)
	if row == nil {
		l.singles[k] = e
		return
	}
	if !row.counted {
		b.live++
	}
	*row = e
}

// remove forgets an allocation, and a batch with its last one.
func (l *ledger) remove(k key) {
	b, row := l.row(k)
	if row == nil {
		delete(l.singles, k)
		return
	}
	if row.counted {
		*row = entry{}
		b.live--
	}
	if b.live == 0 {
		delete(l.batches, common(k))
	}
}

// each calls f for every allocation.
func (l *ledger) each(f func(k key, e entry)) {
	for k, e := range l.singles {
		f(k, e)
	}
	for _, b := range l.batches {
		for i, e := range b.rows {
			if e.counted {
				f(l.ids.Derive(b.seed, b.first+uint32(i)), e)
			}
		}
	}
}

// open makes a batch for rows that are all new, nil if another batch has what
// their ids have in common.
func (l *ledger) open(seed [16]byte, first uint32, rows int) *batch {
	at := common(l.ids.Derive(seed, first))
	if rows == 0 || l.batches[at] != nil {
		return nil
	}
	b := &batch{seed: seed, first: first, rows: make([]entry, rows), live: rows}
	l.batches[at] = b
	return b
}
