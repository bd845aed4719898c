package reconcile

import (
	"slices"

	"github.com/steppe-run/steppe/structs"
)

// names counts, by name index, the allocations that stand for a group's count.
// Canaries aside each name is to be used once; a promoted canary may share the
// name of what it took over from, until that is replaced.
type names struct {
	used   []int
	lowest int // every name below is in use
}

func (n *names) take(i uint32) {
	for int(i) >= len(n.used) {
		n.used = append(n.used, 0)
	}
	n.used[i]++
}

// grow makes room for more names.
func (n *names) grow(more int) { n.used = slices.Grow(n.used, more) }

func (n *names) has(i uint32) bool { return int(i) < len(n.used) && n.used[i] > 0 }

// free takes the lowest name that is not in use.
func (n *names) free() uint32 {
	for n.lowest < len(n.used) && n.used[n.lowest] > 0 {
		n.lowest++
	}
	i := uint32(n.lowest)
	n.take(i)
	return i
}

// inherit returns the name of a successor: its predecessor's, or a free one if
// another allocation has that name too.
func (n *names) inherit(i uint32) uint32 {
	if n.used[i] <= 1 {
		return i
	}
	n.used[i]--
	return n.free()
}

// nameAll notes the names of everything that stands for the group's count.
func (g *group) nameAll() {
	add := func(a *structs.Allocation) {
		if !g.isCanary(a) {
			g.names.take(a.Index())
		}
	}
	for _, i := range g.tallied.names {
		g.names.take(i)
	}
	for _, list := range [][]*structs.Allocation{g.keep, g.complete, g.destructive, g.lost, g.migrate, g.beside, g.away, g.now} {
		for _, a := range list {
			add(a)
		}
	}
	for _, l := range g.later {
		add(l.alloc)
	}
}
