package alloc

import (
	"cmp"
	"slices"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/cow"
	"github.com/steppe-run/steppe/structs"
)

// Ref says where an allocation is found in a table.
type Ref struct {
	seq uint64
	row uint32
}

// Table holds allocations. A table that was given away is only read; Begin
// returns the version to change.
type Table struct {
	gen          uint64
	seq          uint64
	count        int
	batches      cow.Tree[slot]
	bySeed       cow.Tree[seedKey]
	byJob        cow.Tree[entry]
	byEval       cow.Tree[entry]
	byDeployment cow.Tree[entry]
	uses         cow.Tree[useSlot]

	moved map[uint64]bool   // batches with rows updated in place since Begin
	hot   map[string]hotUse // uses looked at since Begin; Finish stores those changed
}

type hotUse struct {
	use   *Use // nil: the node has no allocations
	owned bool // may be changed
}

type tree = cow.Tree[entry]

type slot struct {
	seq   uint64
	batch *Batch
}

type useSlot struct {
	id  string
	use *Use
}

// seedKey finds the batch of an ID: all IDs of a seed have mid in common.
type seedKey struct {
	mid   [8]byte
	seed  ids.Seed
	first uint32
	seq   uint64
}

func (k seedKey) compare(o seedKey) int {
	return cmp.Or(slices.Compare(k.mid[:], o.mid[:]), slices.Compare(k.seed[:], o.seed[:]), cmp.Compare(k.first, o.first))
}

// entry lists a batch under a key of one or two parts.
type entry struct {
	a, b string
	seq  uint64
}

func (e entry) compare(o entry) int {
	return cmp.Or(cmp.Compare(e.a, o.a), cmp.Compare(e.b, o.b), cmp.Compare(e.seq, o.seq))
}

// link is an evaluation and a deployment to which rows of a batch belong other
// than the batch's own.
type link struct{ eval, deployment string }

// New returns an empty table, to be changed.
func New() *Table {
	less := func(a, b entry) bool { return a.compare(b) < 0 }
	return &Table{
		batches:      cow.New(func(a, b slot) bool { return a.seq < b.seq }),
		bySeed:       cow.New(func(a, b seedKey) bool { return a.compare(b) < 0 }),
		byJob:        cow.New(less),
		byEval:       cow.New(less),
		byDeployment: cow.New(less),
		uses:         cow.New(func(a, b useSlot) bool { return a.id < b.id }),
		hot:          map[string]hotUse{},
	}
}

// Begin returns the next version of the table, to be changed. Finish it before
// it is given away; to undo all changes, forget it.
func (t *Table) Begin() *Table {
	next := *t
	next.gen++
	next.batches.Share()
	next.bySeed.Share()
	next.byJob.Share()
	next.byEval.Share()
	next.byDeployment.Share()
	next.uses.Share()
	next.hot = map[string]hotUse{}
	return &next
}

// Finish brings the lists up to date.
func (t *Table) Finish() {
	for id, h := range t.hot {
		switch {
		case !h.owned:
		case len(h.use.refs) == 0:
			t.uses.Delete(useSlot{id: id})
		default:
			t.uses.Set(useSlot{id, h.use})
		}
	}
	t.hot = nil
	for _, seq := range sortedKeys(t.moved) {
		if b := t.batch(seq); b != nil {
			t.relink(b)
		}
	}
	t.moved = nil
}

// Add stores a batch of rows; those without a node hold no allocation. There
// may be up to MaxRows. It reports false, and stores nothing, if an ID of the
// batch could be taken already.
func (t *Table) Add(seed ids.Seed, first uint32, shared *Shared, rows []Row) ([]View, bool) {
	seed = ids.DeriveRaw(seed, 0) // the reserved bits of a UUID are not part of a seed
	if len(rows) == 0 || len(rows) > MaxRows || t.taken(seed, first, uint32(len(rows))) {
		return nil, false
	}
	b := newBatch(seed, first, shared, rows)
	if b.live == 0 {
		return nil, true
	}
	t.seq++
	b.seq, b.gen = t.seq, t.gen
	t.insert(b)
	views := make([]View, 0, b.live)
	for i := range uint32(b.size) {
		if r := b.row(i); r.Node != nil {
			u := t.writableUse(r.Node)
			u.Node = r.Node
			u.refs = append(u.refs, Ref{b.seq, i})
			if r.uses() {
				u.add(b.sharedOf(r), r.Placed)
			}
			views = append(views, View{b, i})
		}
	}
	return views, true
}

func (t *Table) insert(b *Batch) {
	s := b.shared
	t.count += b.live
	t.batches.Set(slot{b.seq, b})
	t.bySeed.Set(seedKey{ids.Unchanged(b.seed), b.seed, b.first, b.seq})
	t.byJob.Set(entry{s.Namespace, s.JobID, b.seq})
	t.byEval.Set(entry{a: s.EvalID, seq: b.seq})
	if s.DeploymentID != "" {
		t.byDeployment.Set(entry{a: s.DeploymentID, seq: b.seq})
	}
	t.relink(b)
}

// Set replaces a row. What the row uses of its node follows.
func (t *Table) Set(ref Ref, row Row) View {
	b := t.writableBatch(ref.seq)
	if b == nil {
		return View{}
	}
	r := b.writableRow(ref.row)
	if r.uses() {
		t.writableUse(r.Node).remove(b.sharedOf(r), r.Placed)
	}
	if r.Over != row.Over {
		if t.moved == nil {
			t.moved = map[uint64]bool{}
		}
		t.moved[ref.seq] = true
	}
	*r = row
	if r.uses() {
		t.writableUse(r.Node).add(b.sharedOf(r), r.Placed)
	}
	return View{b, ref.row}
}

// Remove removes allocations.
func (t *Table) Remove(refs []Ref) {
	gone := map[string]map[Ref]bool{} // by node
	for _, ref := range refs {
		b := t.writableBatch(ref.seq)
		if b == nil || b.row(ref.row).Node == nil {
			continue
		}
		r := b.writableRow(ref.row)
		if gone[r.Node.ID] == nil {
			gone[r.Node.ID] = map[Ref]bool{}
		}
		gone[r.Node.ID][ref] = true
		if r.uses() {
			t.writableUse(r.Node).remove(b.sharedOf(r), r.Placed)
		}
		*r = Row{}
		b.live--
		t.count--
		if b.live == 0 {
			t.drop(b)
		}
	}
	for _, id := range sortedKeys(gone) {
		t.unlist(id, gone[id])
	}
}

// unlist takes rows off the list of a node.
func (t *Table) unlist(nodeID string, gone map[Ref]bool) {
	old := t.Use(nodeID)
	if old == nil {
		return
	}
	u := t.writableUse(old.Node)
	kept := make([]Ref, 0, len(u.refs))
	for _, ref := range u.refs {
		if !gone[ref] {
			kept = append(kept, ref)
		}
	}
	u.refs = kept
}

// drop removes a batch without allocations.
func (t *Table) drop(b *Batch) {
	s := b.shared
	t.batches.Delete(slot{seq: b.seq})
	t.bySeed.Delete(seedKey{ids.Unchanged(b.seed), b.seed, b.first, 0})
	t.byJob.Delete(entry{s.Namespace, s.JobID, b.seq})
	for _, l := range slices.Concat(b.links, []link{{s.EvalID, s.DeploymentID}}) {
		t.byEval.Delete(entry{a: l.eval, seq: b.seq})
		t.byDeployment.Delete(entry{a: l.deployment, seq: b.seq})
	}
}

// relink lists a batch under the evaluations and deployments of its rows.
func (t *Table) relink(b *Batch) {
	own := link{b.shared.EvalID, b.shared.DeploymentID}
	for _, l := range b.links {
		if l.eval != own.eval {
			t.byEval.Delete(entry{a: l.eval, seq: b.seq})
		}
		if l.deployment != own.deployment {
			t.byDeployment.Delete(entry{a: l.deployment, seq: b.seq})
		}
	}
	b.links = nil
	for i := range uint32(b.size) {
		r := b.row(i)
		if r.Over == nil || r.Node == nil {
			continue
		}
		l := link{r.Over.EvalID, r.Over.DeploymentID}
		if l == own || slices.Contains(b.links, l) {
			continue
		}
		b.links = append(b.links, l)
		t.byEval.Set(entry{a: l.eval, seq: b.seq})
		if l.deployment != "" {
			t.byDeployment.Set(entry{a: l.deployment, seq: b.seq})
		}
	}
}

func (t *Table) batch(seq uint64) *Batch {
	s, _ := t.batches.Get(slot{seq: seq})
	return s.batch
}

func (t *Table) writableBatch(seq uint64) *Batch {
	b := t.batch(seq)
	if b == nil || b.gen == t.gen {
		return b
	}
	b = b.writable(t.gen)
	t.batches.Set(slot{seq, b})
	return b
}

// Use returns what allocations use of a node, nil if the node has none.
func (t *Table) Use(nodeID string) *Use {
	if h, ok := t.hot[nodeID]; ok {
		return h.use
	}
	s, _ := t.uses.Get(useSlot{id: nodeID})
	if t.hot != nil { // being changed, so only one goroutine looks
		t.hot[nodeID] = hotUse{use: s.use}
	}
	return s.use
}

func (t *Table) writableUse(n *Node) *Use {
	u := t.Use(n.ID)
	switch {
	case u == nil:
		u = &Use{Node: n}
	case t.hot[n.ID].owned:
		return u
	default:
		u = u.writable()
	}
	t.hot[n.ID] = hotUse{u, true}
	return u
}

// NodeRef returns a node as rows name it, the one already in use if it has the
// same name.
func (t *Table) NodeRef(id, name string) *Node {
	if u := t.Use(id); u != nil && u.Node.Name == name {
		return u.Node
	}
	return &Node{id, name}
}

// Count returns the number of allocations.
func (t *Table) Count() int { return t.count }

// Used returns the sum of what allocations use of a node.
func (t *Table) Used(nodeID string) structs.Comparable {
	if u := t.Use(nodeID); u != nil {
		return u.Sum
	}
	return structs.Comparable{}
}

// PortUsed reports whether an allocation uses a host port of a node, on any of
// its addresses.
func (t *Table) PortUsed(nodeID string, port int) bool {
	u := t.Use(nodeID)
	return u != nil && portTaken(u.ports, hostPort{port: port}, "")
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
