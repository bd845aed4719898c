// Package preempt chooses which allocations of a node have to go so that one of
// higher priority fits: the lowest priorities first, of one priority those that
// come closest to what is lacking, and none that could be spared.
//
// It must not know nodes, jobs or plans, nor whether the node is a good choice:
// it looks at one node only. Begin reading at Choose.
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
	// MaxParallel is how many may move at a time, 0 if there is no limit.
	MaxParallel int
	// Gone is how many this plan makes go already.
	Gone int
}

// penalty is the cost of letting n more allocations of the group go.
func (g *Group) penalty(n int) float64 {
	if g.MaxParallel <= 0 {
		return 0
	}
	return crowded * float64(max(0, g.Gone+n-g.MaxParallel))
}

// Candidate is an allocation that may go.
type Candidate struct {
	ID       string
	Priority int
	Group    *Group
	Amount   capacity.Amount
	Ports    []capacity.Held
	Things   *capacity.Things
}

// Lack is what a node lacks for an allocation.
type Lack struct {
	Amount capacity.Amount
	// Slots is set if the node takes no more allocations.
	Slots bool
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
	return l.Amount == capacity.Amount{} && !l.Slots && !l.Dynamic && !l.Never &&
		len(l.Ports)+l.Cores+len(l.Kinds) == 0
}

// Node is a node on which room is made.
type Node struct {
	// Total is what the node offers: what lacks is measured by it.
	Total      capacity.Amount
	Candidates []Candidate
	// Lack tells what is lacking once some candidates are gone.
	Lack func(gone []*Candidate) Lack
}

// Choose returns the candidates that have to go; ok is false if all of them
// together are not enough. Equal inputs give equal choices.
func Choose(n Node) (gone []*Candidate, ok bool) {
	rest := make([]*Candidate, len(n.Candidates))
	for i := range n.Candidates {
		rest[i] = &n.Candidates[i]
	}
	for lack := n.Lack(nil); !lack.None(); lack = n.Lack(gone) {
		at := n.next(rest, gone, &lack)
		if at < 0 {
			return nil, false
		}
		gone = append(gone, rest[at])
		rest = slices.Delete(rest, at, at+1)
	}
	return n.spare(gone), true
}

// next returns the candidate that goes next, -1 if none helps.
func (n *Node) next(rest, gone []*Candidate, lack *Lack) int {
	best := -1
	var closest float64
	for i, c := range rest {
		if !c.helps(lack) || best >= 0 && c.Priority > rest[best].Priority {
			continue
		}
		d := n.distance(c, lack) + c.Group.penalty(1+mates(gone, c))
		if best >= 0 && c.Priority == rest[best].Priority && cmp.Or(cmp.Compare(d, closest), cmp.Compare(c.ID, rest[best].ID)) >= 0 {
			continue
		}
		best, closest = i, d
	}
	return best
}

// mates counts those that are of one group.
func mates(list []*Candidate, c *Candidate) int {
	n := 0
	for _, o := range list {
		if o.Group == c.Group {
			n++
		}
	}
	return n
}

// helps reports whether a candidate has any of what lacks.
func (c *Candidate) helps(l *Lack) bool {
	switch {
	case l.Never:
		return false
	case l.Slots, l.Amount.CPU > 0 && c.Amount.CPU > 0, l.Amount.Memory > 0 && c.Amount.Memory > 0, l.Amount.Disk > 0 && c.Amount.Disk > 0:
		return true
	case l.Dynamic && len(c.Ports) > 0:
		return true
	case slices.ContainsFunc(c.Ports, func(h capacity.Held) bool { return slices.Contains(l.Ports, h) }):
		return true
	case c.Things == nil:
		return false
	case l.Cores > 0 && len(c.Things.Cores) > 0:
		return true
	}
	return slices.ContainsFunc(c.Things.Devices, func(d capacity.Device) bool { return slices.Contains(l.Kinds, d.Kind) })
}

// distance is how far a candidate is from what lacks, as shares of the node: the
// closest one wastes least.
func (n *Node) distance(c *Candidate, l *Lack) float64 {
	part := func(lack, has, total int64) float64 {
		if total <= 0 {
			return 0
		}
		d := float64(lack-has) / float64(total)
		return d * d
	}
	return math.Sqrt(part(l.Amount.CPU, c.Amount.CPU, n.Total.CPU) +
		part(l.Amount.Memory, c.Amount.Memory, n.Total.Memory) +
		part(l.Amount.Disk, c.Amount.Disk, n.Total.Disk))
}

// spare takes back those without whom there is room too: the highest priority
// first, of one priority the largest first.
func (n *Node) spare(gone []*Candidate) []*Candidate {
	order := slices.Clone(gone)
	none := Lack{}
	slices.SortStableFunc(order, func(a, b *Candidate) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(n.distance(b, &none), n.distance(a, &none)), cmp.Compare(a.ID, b.ID))
	})
	for _, c := range order {
		without := slices.DeleteFunc(slices.Clone(gone), func(o *Candidate) bool { return o == c })
		if lack := n.Lack(without); lack.None() {
			gone = without
		}
	}
	return gone
}

// Cost is what it costs to let candidates go: their priorities, and a penalty
// for each that goes beyond the max_parallel of its group.
func Cost(gone []*Candidate) float64 {
	var cost float64
	for i, c := range gone {
		cost += float64(c.Priority) + c.Group.penalty(1+mates(gone[:i], c))
	}
	return cost
}
