package place

import (
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/preempt"
	"github.com/steppe-run/steppe/scheduler/rank"
	"github.com/steppe-run/steppe/structs"
)

// Preemption lets rows that find no room take that of jobs of lower priority.
type Preemption struct {
	// Job is the job that is placed, and its priority.
	Job      structs.NamespacedID
	Priority int
	// Running lists the allocations of a node.
	Running func(nodeID string) iter.Seq[*structs.Allocation]
	// MaxRows bounds how many rows of an evaluation may take room, and MaxLooks
	// how many nodes may be looked at closely for them; 0: any number. Once one
	// is reached the rest is left for another plan. The first row is not bounded.
	MaxRows, MaxLooks int
}

// victims remembers what may go, while an evaluation is placed.
type victims struct {
	gone    map[capacity.AllocKey]bool
	groups  map[victimGroup]*preempt.Group
	byOwner capacity.ByNode[*preempt.Group]
	list    []preempt.Candidate // of the node at hand
	node    preempt.Node
	chooser preempt.Chooser
	rows    int // that took room so far
	looks   int
}

type victimGroup struct {
	job   structs.NamespacedID
	group string
}

// rooms are the nodes on which room can be made, those first that promise most.
type rooms struct {
	begun bool
	heap  capacity.Heap[lead, *lead]
	known []room // by node number
	aside []lead
	// on lists, by number of a group, the nodes whose choice may be another once
	// more of it goes.
	on [][]int32
}

// room is what is known of a node: once it was looked at closely its score, what
// has to go considered, the spread part aside.
type room struct {
	sum   float64
	parts int32
	epoch uint32 // older leads are void
}

// lead is a node with the highest score it can have. Of equals those come first
// whose score isn't known.
type lead struct {
	capacity.Found
	exact bool
	epoch uint32
}

// Preempt lets the rows to come take room of others, or no longer.
func (p *Planner) Preempt(how *Preemption) { p.opts.Preempt = how }

// full reports whether the evaluation took room for as many rows as it may.
func (p *Planner) full() bool {
	o := p.opts.Preempt
	return o != nil && p.victims.rows > 0 && (o.MaxRows > 0 && p.victims.rows >= o.MaxRows || o.MaxLooks > 0 && p.victims.looks >= o.MaxLooks)
}

// makeRoom finds the best node on which others can go for a row, and lets them
// go. It is asked only when no node has room as it is.
func (r *run) makeRoom(row *Row, out *Choice) (node int32, ok bool) {
	if r.opts.Preempt == nil {
		return 0, false
	}
	if !r.rooms.begun {
		r.beginRooms()
	}
	for {
		best, ok := r.bestRoom(row)
		if !ok {
			return 0, false
		}
		if r.evict(best.Node, out) {
			return best.Node, true
		}
	}
}

// beginRooms looks at all nodes from afar.
func (r *run) beginRooms() {
	h, n := &r.rooms, r.x.Len()
	*h = rooms{begun: true, known: slices.Grow(h.known[:0], n)[:n], heap: slices.Grow(h.heap[:0], r.feasible.Count()), aside: h.aside[:0]}
	clear(h.known)
	r.feasible.Each(func(node int32) {
		if l, ok := r.promise(node); ok {
			r.rooms.heap = append(r.rooms.heap, l)
		}
	})
	r.rooms.heap.Init()
}

// bestRoom takes the best node for a row out of the heap: it looks closely at
// those that promise more than the best so far, and puts them back.
func (r *run) bestRoom(row *Row) (capacity.Found, bool) {
	var best capacity.Found
	h, at := &r.rooms, -1
	for len(h.heap) > 0 {
		top := h.heap[0]
		if at >= 0 && (top.Score < best.Score || top.exact && len(r.spreads) == 0 && !top.Found.Before(&best)) {
			break
		}
		h.heap.Pop()
		if top.epoch != h.known[top.Node].epoch || !r.allowed(top.Node) || !top.exact && !r.lookClosely(&top) {
			continue
		}
		h.aside = append(h.aside, top)
		c := capacity.Found{Node: top.Node, Score: r.roomScore(row, top.Node), Tie: capacity.Tie(r.x.Hash(top.Node), r.opts.Seed)}
		if at < 0 || c.Before(&best) {
			best, at = c, len(h.aside)-1
		}
	}
	for i := range h.aside {
		if i != at {
			h.heap.Push(h.aside[i])
		}
	}
	h.aside = h.aside[:0]
	return best, at >= 0
}

// roomScore is the score of a node that was looked at closely for a row.
func (r *run) roomScore(row *Row, node int32) float64 {
	m := &r.rooms.known[node]
	s := scored{node: node, sum: m.sum, parts: int(m.parts)}
	if r.penalized(row, node) {
		s.add(rank.ReschedulePenalty)
	}
	return r.finish(s).final
}

// promise is the highest score that a node can have for the next row, wherever
// the spreads stand; ok is false if not enough can go there.
func (r *run) promise(node int32) (l lead, ok bool) {
	crowd := r.x.Crowd(node, r.opts.Preempt.Priority-preempt.Gap)
	if crowd == nil {
		return l, false
	}
	n, ok := r.wanting(node)
	if !ok {
		return l, false
	}
	p, ok := n.Promise(crowd)
	if !ok {
		return l, false
	}
	l.Node, l.epoch = node, r.rooms.known[node].epoch
	if crowd.Alike && r.clear(node, n, &p, &l) {
		return l, true
	}
	free := capacity.Pow{CPU: atLeast(p.Least.CPU, n.Total.CPU), Memory: atLeast(p.Least.Memory, n.Total.Memory)}
	if r.opts.Algorithm == structs.SchedulerSpread {
		free = capacity.PowOf(n.Total, n.Total.Minus(p.Most))
	}
	s := r.scoreAt(node, free, 1)
	s.makesRoom(p.Cost)
	const slack = 1e-9 // powers are not exact in their last bits
	l.Score = mean(s.sum, s.parts, 1, len(r.spreads) > 0) + slack
	return l, true
}

// clear settles on the score of a node if it is clear who has to go: who could
// is all alike.
func (r *run) clear(node int32, n *preempt.Node, p *preempt.Promise, l *lead) bool {
	lacks := n.Over.CPU > 0 || n.Over.Memory > 0 || n.Over.Disk > 0 || n.Slots > 0
	if !lacks || r.things.weights > 0 || !r.surely(node) || len(r.victims.gone) > 0 && r.deltas.Get(node) != nil {
		return false
	}
	n.Candidates = r.candidate(r.victims.list[:0], &r.x.Tenants(node)[0])
	if len(n.Candidates) == 0 {
		return false
	}
	r.settleOn(l, n, r.scoreRoom(node, n, &preempt.Choice{Cost: n.Candidates[0].CostOf(p.Number), Left: p.Least}))
	return true
}

// atLeast is hardly more than 10^(left/total), and never more.
func atLeast(left, total int64) float64 {
	if total <= 0 {
		return 1
	}
	x := math.Ln10 * float64(left) / float64(total)
	return 1 + x*(1+x/2*(1+x/3))
}

// lookClosely finds what has to go from a node, and its score then.
func (r *run) lookClosely(l *lead) bool {
	r.victims.looks++
	n, ok := r.crowd(l.Node)
	if !ok {
		return false
	}
	c, ok := r.victims.chooser.Choose(n)
	if !ok || len(c.Gone) == 0 {
		return false
	}
	r.settleOn(l, n, r.scoreRoom(l.Node, n, &c))
	return true
}

// settleOn notes the score of a node, until more of a group goes that is there.
func (r *run) settleOn(l *lead, n *preempt.Node, s scored) {
	r.rooms.known[l.Node] = room{sum: s.sum, parts: int32(s.parts), epoch: l.epoch}
	l.exact, l.Tie = true, capacity.Tie(r.x.Hash(l.Node), r.opts.Seed)
	l.Score = mean(s.sum, s.parts, 1, len(r.spreads) > 0)
	if more := len(r.victims.groups) - len(r.rooms.on); more > 0 {
		r.rooms.on = append(r.rooms.on, make([][]int32, more)...)
	}
	for i := range n.Candidates {
		if v := &n.Candidates[i]; v.MaxParallel > 0 {
			r.rooms.on[v.Group.Number] = append(r.rooms.on[v.Group.Number], l.Node)
		}
	}
}

// scoreRoom is the score of a node once a choice is made, the spread part aside.
func (r *run) scoreRoom(node int32, n *preempt.Node, c *preempt.Choice) scored {
	free := capacity.PowOf(n.Total, n.Total.Minus(c.Left))
	var devices float64
	if r.things.weights > 0 {
		undo := r.imagine(node, n, c.Gone)
		devices = rank.Affinity(r.match(node).satisfied, r.things.weights)
		undo()
	}
	s := r.scoreAt(node, free, devices)
	s.makesRoom(c.Cost)
	return s
}

// makesRoom adds what it costs to make room.
func (s *scored) makesRoom(cost float64) {
	s.preempts, s.preempt = true, rank.Preemption(cost)
	s.add(s.preempt)
}

// evict lets go what makes room on a node. It fails if those who list what runs
// don't know who has to go: then the node isn't looked at again.
func (r *run) evict(node int32, out *Choice) bool {
	n, ok := r.crowd(node)
	if !ok {
		return false
	}
	c, ok := r.victims.chooser.Choose(n)
	if !ok {
		return false
	}
	gone := keys(n, c.Gone)
	allocs := r.named(node, gone)
	if len(allocs) != len(gone) {
		return false
	}
	out.Preempts, out.cost = make([]string, len(allocs)), c.Cost
	for i, a := range allocs {
		out.Preempts[i] = a.ID
	}
	slices.Sort(out.Preempts)
	groups := make([]*preempt.Group, len(c.Gone))
	for i, at := range c.Gone {
		groups[i] = n.Candidates[at].Group
	}
	if r.victims.gone == nil {
		r.victims.gone = map[capacity.AllocKey]bool{}
	}
	maps.Copy(r.victims.gone, gone)
	for _, id := range out.Preempts {
		r.Free(id)
	}
	r.victims.rows++
	r.void(node)
	for _, g := range groups {
		r.more(g)
	}
	return true
}

// wouldGo tells who has to go from a node so that the next row fits there.
func (r *run) wouldGo(node int32) map[capacity.AllocKey]bool {
	if r.opts.Preempt == nil {
		return nil
	}
	n, ok := r.crowd(node)
	if !ok {
		return nil
	}
	c, ok := r.victims.chooser.Choose(n)
	if !ok {
		return nil
	}
	return keys(n, c.Gone)
}

func keys(n *preempt.Node, gone []int) map[capacity.AllocKey]bool {
	out := make(map[capacity.AllocKey]bool, len(gone))
	for _, at := range gone {
		out[n.Candidates[at].Tenant.Key] = true
	}
	return out
}

// named finds allocations of a node by their keys.
func (r *run) named(node int32, keys map[capacity.AllocKey]bool) []*structs.Allocation {
	var out []*structs.Allocation
	for a := range r.opts.Preempt.Running(r.x.Node(node).ID) {
		if keys[capacity.KeyOf(a.ID)] {
			out = append(out, a)
		}
	}
	return out
}

// more notes that one more of a group goes. Nodes where that may change the
// choice are no better known than from afar again.
func (r *run) more(g *preempt.Group) {
	g.Gone++
	if g.Number >= len(r.rooms.on) {
		return
	}
	nodes := r.rooms.on[g.Number]
	r.rooms.on[g.Number] = nil
	for _, node := range nodes {
		r.lookAgain(node)
	}
}

// lookAgain forgets what is known of the room on a node that has changed.
func (r *run) lookAgain(node int32) {
	if !r.rooms.begun {
		return
	}
	r.rooms.known[node].epoch++
	if !r.feasible.Has(node) {
		return
	}
	r.victims.looks++
	if l, ok := r.promise(node); ok {
		r.rooms.heap.Push(l)
	}
}

// wanting tells what a node lacks of what can be counted, until the next call;
// ok is false if the node is too small.
func (r *run) wanting(node int32) (n *preempt.Node, ok bool) {
	total, amount := r.x.Total(node), r.amountOn(node)
	if amount.CPU > total.CPU || amount.Memory > total.Memory || amount.Disk > total.Disk {
		return nil, false
	}
	used, _ := r.state(node)
	n = &r.victims.node
	*n = preempt.Node{Total: total, Over: used.Plus(amount).Minus(total)}
	if limit := r.x.MaxAllocs(node); limit > 0 {
		n.Slots = r.x.Allocs(node) + 1 - limit
		if d := r.deltas.Get(node); d != nil {
			n.Slots += d.allocs
		}
	}
	return n, true
}

// crowd describes a node for the choice of who has to go, until the next call;
// ok is false if nobody can.
func (r *run) crowd(node int32) (n *preempt.Node, ok bool) {
	if n, ok = r.wanting(node); !ok {
		return nil, false
	}
	if n.Candidates = r.candidates(node); len(n.Candidates) == 0 {
		return nil, false
	}
	if r.surely(node) {
		return n, true
	}
	l := r.lack(node)
	switch {
	case l.Never:
		return nil, false
	case l.None():
		return n, true
	}
	r.uncounted(node, n)
	return n, true
}

// uncounted lets the choice ask for what can't be counted.
func (r *run) uncounted(node int32, n *preempt.Node) {
	n.Helps = r.helps
	n.Other = func(gone []int) preempt.Lack {
		defer r.imagine(node, n, gone)()
		return r.lack(node)
	}
}

// candidates lists the allocations of a node that may go, until the next call.
func (p *Planner) candidates(node int32) []preempt.Candidate {
	list := p.victims.list[:0]
	tenants := p.x.Tenants(node)
	for i := range tenants {
		t := &tenants[i]
		if int(t.Priority) > p.opts.Preempt.Priority-preempt.Gap {
			break
		}
		list = p.candidate(list, t)
	}
	p.victims.list = list
	return list
}

// candidate adds a tenant to a list, if it may go and doesn't do so already.
func (p *Planner) candidate(list []preempt.Candidate, t *capacity.Tenant) []preempt.Candidate {
	v := &p.victims
	owner, number := p.x.Owner(t)
	if owner.Job == p.opts.Preempt.Job || len(v.gone) > 0 && v.gone[t.Key] {
		return list
	}
	return append(list, preempt.Candidate{
		Priority: int(t.Priority), Group: v.group(owner, number), MaxParallel: owner.MaxParallel,
		Amount: *p.x.TenantAmount(t), Tenant: t,
	})
}

func (v *victims) group(o *capacity.Owner, number int32) *preempt.Group {
	if g := v.byOwner.Get(number); g != nil {
		return g
	}
	key := victimGroup{o.Job, o.Group}
	g := v.groups[key]
	if g == nil {
		if v.groups == nil {
			v.groups = map[victimGroup]*preempt.Group{}
		}
		g = &preempt.Group{Number: len(v.groups)}
		v.groups[key] = g
	}
	*v.byOwner.Ref(number) = g
	return g
}

// imagine has a node look as if some candidates were gone, until the function
// that it returns is called. The free shares are left as they are.
func (r *run) imagine(node int32, n *preempt.Node, gone []int) (undo func()) {
	before := r.deltas.Get(node)
	var d delta
	if before != nil {
		d = *before
		d.freed = slices.Clip(d.freed)
	}
	for _, at := range gone {
		c := &n.Candidates[at]
		d.used = d.used.Minus(c.Amount)
		d.allocs--
		d.freed = append(d.freed, r.x.TenantPorts(c.Tenant)...)
		d.freedThings = merge(d.freedThings, r.x.TenantThings(c.Tenant))
	}
	*r.deltas.Ref(node) = &d
	return func() { *r.deltas.Ref(node) = before }
}

// Before orders leads.
func (l *lead) Before(o *lead) bool {
	if l.Score == o.Score && l.exact != o.exact {
		return o.exact
	}
	return l.Found.Before(&o.Found)
}
