// Package preempt chooses which allocations of a node have to go so that one of
// higher priority fits: the lowest priorities first, of one priority those that
// come closest to what is lacking, and none that could be spared.
//
// It must not know nodes, jobs or plans, nor whether the node is a good choice:
// it looks at one node only. Begin reading at Choose; Promise says without a
// choice what one can come to at best.
package preempt

import (
	"cmp"
	"math"
	"slices"

	"github.com/steppe-run/steppe/scheduler/capacity"
)

// Gap is how much lower the priority of a job must be than that of the job for
// which its allocations go.
const Gap = 10

// crowded is what each allocation costs that goes beyond the max_parallel of its
// group's migrate block, in units of priority.
const crowded = 50

// Group is a group of a job whose allocations may go.
type Group struct {
	// Gone is how many this plan makes go already.
	Gone int
	// Number is the owner's.
	Number int
	now    int // of the choice at hand
}

// Candidate is an allocation that may go.
type Candidate struct {
	Priority int
	Group    *Group
	// MaxParallel is how many of the group may move at a time, 0 if there is no
	// limit.
	MaxParallel int
	Amount      capacity.Amount
	// Tenant is the allocation; who chooses doesn't look at it.
	Tenant *capacity.Tenant
	gone   bool
}

// penalty is the cost of letting n more allocations of the group go.
func (c *Candidate) penalty(n int) float64 {
	if c.MaxParallel <= 0 {
		return 0
	}
	return crowded * float64(max(0, c.Group.Gone+n-c.MaxParallel))
}

// Lack is what a node lacks for an allocation that can't be counted.
type Lack struct {
	// Ports are taken static ports; Dynamic is set if dynamic ones are too few.
	Ports   []capacity.Held
	Dynamic bool
	// Cores is how many cores are too few, Kinds of which devices there are.
	Cores int
	Kinds []string
	// Never is set if nothing that goes can help.
	Never bool
}

// None reports whether nothing lacks.
func (l *Lack) None() bool {
	return !l.Dynamic && !l.Never && len(l.Ports)+l.Cores+len(l.Kinds) == 0
}

// Node is a node on which room is made.
type Node struct {
	// Total is what the node offers: what lacks is measured by it.
	Total capacity.Amount
	// Over is by how much the node would be overcommitted, less than nothing of
	// what it has left.
	Over capacity.Amount
	// Slots is how many allocations there would be more than the node takes.
	Slots int
	// Candidates are in the order of their priorities, lowest first. Equals are
	// taken in their order.
	Candidates []Candidate
	// Other may be nil; else it tells what lacks once the first n of some
	// candidates are gone, by their places.
	Other func(gone []int) Lack
	// Helps tells whether a candidate has any of it.
	Helps func(c *Candidate, l *Lack) bool

	now state
}

// Choice is what has to go.
type Choice struct {
	// Gone are places among the candidates.
	Gone []int
	// Cost is what it costs to let them go: their priorities, and a penalty for
	// each that goes beyond the max_parallel of its group.
	Cost float64
	// Left is what the node has left then.
	Left capacity.Amount
}

// Chooser makes choices. It only keeps memory from one to the next.
type Chooser struct {
	gone, order []int
	sizes       []float64
}

// state is what is lacking while a choice is made.
type state struct {
	over  capacity.Amount
	slots int
	other Lack
}

func (s *state) none() bool {
	return s.over.CPU <= 0 && s.over.Memory <= 0 && s.over.Disk <= 0 && s.slots <= 0 && s.other.None()
}

// Choose returns the candidates that have to go, until the next call; ok is
// false if all of them together are not enough. Equal inputs give equal choices.
func (h *Chooser) Choose(n *Node) (choice Choice, ok bool) {
	h.gone = h.gone[:0]
	s := &n.now
	*s = state{over: n.Over, slots: n.Slots}
	n.look(h.gone)
	for ok = true; ok && !s.none(); {
		at := n.next()
		if ok = at >= 0; ok {
			c := &n.Candidates[at]
			c.gone = true
			c.Group.now++
			h.gone = append(h.gone, at)
			s.over, s.slots = s.over.Minus(c.Amount), s.slots-1
			n.look(h.gone)
		}
	}
	for _, at := range h.gone {
		n.Candidates[at].gone, n.Candidates[at].Group.now = false, 0
	}
	if !ok {
		return Choice{}, false
	}
	if len(h.gone) > 1 {
		h.spare(n)
	}
	return Choice{Gone: h.gone, Cost: n.cost(h.gone), Left: capacity.Amount{}.Minus(s.over)}, true
}

func (n *Node) look(gone []int) {
	if n.Other != nil {
		n.now.other = n.Other(gone)
	}
}

// next returns the candidate that goes next, -1 if none helps.
func (n *Node) next() int {
	s, best := &n.now, -1
	var closest float64
	for i := range n.Candidates {
		c := &n.Candidates[i]
		if best >= 0 && c.Priority > n.Candidates[best].Priority {
			break
		}
		if c.gone || !n.helps(c) {
			continue
		}
		d := n.distance(c, max(s.over.CPU, 0), max(s.over.Memory, 0), max(s.over.Disk, 0)) + c.penalty(1+c.Group.now)
		if best < 0 || d < closest {
			best, closest = i, d
		}
	}
	return best
}

// helps reports whether a candidate has any of what lacks.
func (n *Node) helps(c *Candidate) bool {
	s := &n.now
	switch {
	case s.other.Never:
		return false
	case s.slots > 0, s.over.CPU > 0 && c.Amount.CPU > 0, s.over.Memory > 0 && c.Amount.Memory > 0, s.over.Disk > 0 && c.Amount.Disk > 0:
		return true
	}
	return n.Other != nil && n.Helps(c, &s.other)
}

// distance is how far a candidate is from what lacks, as shares of the node: the
// closest one wastes least.
func (n *Node) distance(c *Candidate, cpu, memory, disk int64) float64 {
	part := func(lack, has, total int64) float64 {
		if total <= 0 {
			return 0
		}
		d := float64(lack-has) / float64(total)
		return d * d
	}
	return math.Sqrt(part(cpu, c.Amount.CPU, n.Total.CPU) + part(memory, c.Amount.Memory, n.Total.Memory) + part(disk, c.Amount.Disk, n.Total.Disk))
}

// spare takes back those without whom there is room too: the highest priority
// first, of one priority the largest first.
func (h *Chooser) spare(n *Node) {
	s := &n.now
	h.order, h.sizes = append(h.order[:0], h.gone...), h.sizes[:0]
	for i := range n.Candidates {
		h.sizes = append(h.sizes, n.distance(&n.Candidates[i], 0, 0, 0))
	}
	slices.SortFunc(h.order, func(a, b int) int {
		return cmp.Or(cmp.Compare(n.Candidates[b].Priority, n.Candidates[a].Priority), cmp.Compare(h.sizes[b], h.sizes[a]), cmp.Compare(a, b))
	})
	for _, at := range h.order {
		without := *s
		without.over, without.slots = s.over.Plus(n.Candidates[at].Amount), s.slots+1
		i := slices.Index(h.gone, at)
		if n.Other != nil {
			without.other = n.Other(slices.Delete(slices.Clone(h.gone), i, i+1))
		}
		if without.none() {
			*s, h.gone = without, slices.Delete(h.gone, i, i+1)
		}
	}
}

// cost is what it costs to let candidates go.
func (n *Node) cost(gone []int) float64 {
	var cost float64
	for _, at := range gone {
		c := &n.Candidates[at]
		c.Group.now++
		cost += float64(c.Priority) + c.penalty(c.Group.now)
	}
	for _, at := range gone {
		n.Candidates[at].Group.now = 0
	}
	return cost
}
