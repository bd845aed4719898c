// Package place chooses nodes. For a group of equal placements it makes one
// pass over all feasible nodes and then takes the best from heaps, because
// placing one allocation changes the score of one node only (and, with
// spreads, the score of a whole value at once: one heap a value).
//
// What the evaluation frees and takes before the plan is committed is kept
// apart from the capacity index, which is only read. The package must not know
// why something is placed. Begin reading at Planner.Group.
package place

import (
	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/structs"
)

// Options are what all placements of one evaluation share.
type Options struct {
	// Algorithm is structs.SchedulerBinPack or structs.SchedulerSpread.
	Algorithm string
	// Seed breaks ties and spreads dynamic ports.
	Seed uint64
	// Oversubscribe lets tasks have a memory limit above what is counted.
	Oversubscribe bool
	// Existing are the job's allocations that stay, those that rows replace
	// included.
	Existing []Existing
	// Mates are further allocations of the job, which stay and which no row
	// replaces.
	Mates []Mates
	// Preempt may be nil: rows take free room only.
	Preempt *Preemption
}

// Existing is an allocation of the job that already has a node.
type Existing struct{ ID, Group, NodeID string }

// Mates are a group's allocations on a node.
type Mates struct {
	Group, NodeID string
	N             int
}

// Planner chooses nodes for one evaluation, and after Reset for another: what it
// needed for one serves the next.
type Planner struct {
	x    *capacity.Index
	opts Options
	// deltas is what this evaluation changed so far, by node.
	deltas capacity.ByNode[*delta]
	slab   []*delta // of which the first are in use
	drawn  int
	// on counts the job's allocations by group and node.
	on     map[string]*capacity.ByNode[int]
	counts []*capacity.ByNode[int] // not in use
	// existing finds an existing allocation.
	existing map[string]Existing
	rows     uint64 // placed so far, numbers the rows for ports
	victims  victims

	group   run // the ask at hand
	choices []Choice
}

// delta is what an evaluation changed on one node.
type delta struct {
	used   capacity.Amount // added, may be negative
	allocs int
	starts int          // added
	pow    capacity.Pow // free shares after it
	taken  []capacity.Held
	freed  []capacity.Held
	// takenIndex finds the first so many of taken, see took.
	takenIndex map[uint16][]capacity.Held
	indexed    int

	takenThings, freedThings *capacity.Things
}

// New returns a planner for one evaluation.
func New(x *capacity.Index, opts Options) *Planner {
	p := &Planner{on: map[string]*capacity.ByNode[int]{}}
	p.Reset(x, opts)
	return p
}

// Reset begins another evaluation. Outcomes of the one before hold no longer,
// but for what they explain.
func (p *Planner) Reset(x *capacity.Index, opts Options) {
	x.Settle()
	p.x, p.opts, p.rows = x, opts, 0
	p.victims = victims{list: p.victims.list[:0], chooser: p.victims.chooser}
	p.deltas.Reset(0)
	p.drawn = 0
	for _, nodes := range p.on {
		p.counts = append(p.counts, nodes)
	}
	clear(p.on)
	if len(p.existing) > maxPresized {
		p.existing = nil // clearing it takes as long for the smallest job
	} else {
		clear(p.existing)
	}
	for _, m := range opts.Mates {
		if i, ok := x.Number(m.NodeID); ok {
			p.count(m.Group, i, m.N)
		}
	}
	if len(opts.Existing) == 0 {
		return
	}
	if p.existing == nil {
		p.existing = make(map[string]Existing, len(opts.Existing))
	}
	for _, e := range opts.Existing {
		p.existing[e.ID] = e
		if i, ok := x.Number(e.NodeID); ok {
			p.count(e.Group, i, 1)
		}
	}
}

// Free gives back what an allocation takes that the plan stops. It must not be
// among Options.Existing.
func (p *Planner) Free(allocID string) {
	if node, amount, ok := p.x.AllocNode(allocID); ok {
		p.change(node, capacity.Amount{}.Minus(amount), -1)
		d := p.deltas.Get(node)
		d.freed = append(d.freed, p.x.AllocPorts(allocID)...)
		d.freedThings = merge(d.freedThings, p.x.AllocThings(allocID))
	}
}

// swapOut frees an existing allocation for its replacement and reports the
// node it was on.
func (p *Planner) swapOut(allocID string) (node int32, known bool) {
	p.Free(allocID)
	e, ok := p.existing[allocID]
	if !ok {
		return 0, false
	}
	node, known = p.x.Number(e.NodeID)
	if known {
		p.count(e.Group, node, -1)
	}
	return node, known
}

// swapIn undoes swapOut when no replacement fits.
func (p *Planner) swapIn(allocID string) {
	if node, amount, ok := p.x.AllocNode(allocID); ok {
		p.change(node, amount, 1)
		d := p.deltas.Get(node)
		d.freed = d.freed[:len(d.freed)-len(p.x.AllocPorts(allocID))]
		d.freedThings = without(d.freedThings, p.x.AllocThings(allocID))
	}
	e, ok := p.existing[allocID]
	if !ok {
		return
	}
	if node, known := p.x.Number(e.NodeID); known {
		p.count(e.Group, node, 1)
	}
}

func (p *Planner) count(group string, node int32, n int) {
	*p.mates(group, 0).Ref(node) += n
}

// mates counts the allocations of a group by node; room is for how many it is
// made ready.
func (p *Planner) mates(group string, room int) *capacity.ByNode[int] {
	nodes := p.on[group]
	if nodes == nil {
		if last := len(p.counts) - 1; last >= 0 {
			nodes, p.counts = p.counts[last], p.counts[:last]
		} else {
			nodes = &capacity.ByNode[int]{}
		}
		nodes.Reset(room)
		p.on[group] = nodes
	}
	return nodes
}

// change adds to what a node carries and computes its free shares anew.
func (p *Planner) change(node int32, amount capacity.Amount, allocs int) {
	d := p.delta(node)
	d.used = d.used.Plus(amount)
	d.allocs += allocs
	d.pow = capacity.PowOf(p.x.Total(node), p.x.Used(node).Plus(d.used))
}

// delta returns what changed on a node, to be changed.
func (p *Planner) delta(node int32) *delta {
	d := p.deltas.Get(node)
	if d == nil {
		if p.drawn == len(p.slab) {
			more := make([]delta, min(max(4, len(p.slab)), 256))
			for i := range more {
				p.slab = append(p.slab, &more[i])
			}
		}
		d = p.slab[p.drawn]
		*d = delta{taken: d.taken[:0], freed: d.freed[:0]}
		p.drawn++
		*p.deltas.Ref(node) = d
	}
	return d
}

// state returns what a node carries and its free shares.
func (p *Planner) state(node int32) (used capacity.Amount, pow capacity.Pow) {
	used, pow = p.x.Used(node), p.x.Pow(node)
	if p.deltas.Len() > 0 {
		if d := p.deltas.Get(node); d != nil {
			return used.Plus(d.used), d.pow
		}
	}
	return used, pow
}

// resources returns what an allocation of a group takes, host ports aside.
func (p *Planner) resources(group *structs.TaskGroup) *structs.AllocatedResources {
	r := group.AllocatedResources()
	if !p.opts.Oversubscribe {
		for _, t := range r.Tasks {
			t.Memory.MemoryMaxMB = 0
		}
	}
	return r
}
