package capacity

import "math/bits"

// shelf is the tree of nodes of about the same size in one pool and one
// datacenter. Their totals share the leading bits, so that few numbers bound
// what an ask leaves on any of them.
type shelf struct {
	key         shelfKey
	root        *branch
	points      map[pointKey]*point
	spare       []*point // not in use: as nodes fill up points come and go
	least, most Amount
}

// shelfKey is a size, rounded, and what jobs choose most nodes by.
type shelfKey struct {
	cpu, memory      uint16
	busy             bool
	pool, datacenter string
}

// rounded keeps a number's length and its next four bits.
func rounded(v int64) uint16 {
	if v <= 0 {
		return 0
	}
	n := bits.Len64(uint64(v))
	return uint16(n)<<4 | uint16(uint64(v)<<(64-n)>>59&0xF)
}

// shelves are the trees over all nodes that take placements. They follow what
// changed when they are next looked into.
type shelves struct {
	byKey map[shelfKey]*shelf
	list  []*shelf    // in the order in which they came
	at    []*point    // by node number, nil: in none
	as    []member    // by node number: how it stands there; the number may have gone to another node since
	homes [][2]*shelf // by node number: where it goes, and where while it is busy
	stale []int32
	dirty Bits
}

// forget drops what depends on the node itself.
func (h *shelves) forget(i int32) {
	if int(i) < len(h.homes) {
		h.homes[i] = [2]*shelf{}
	}
}

// touch notes that a node must be looked at again before the next search.
func (h *shelves) touch(i int32) {
	if !h.dirty.Has(i) {
		h.dirty.Set(i, true)
		h.stale = append(h.stale, i)
	}
}

// Settle brings powers and trees up to date with the nodes that changed. Powers
// are computed from integers, never from the old ones: equal nodes have equal bits
// whatever happened to them before.
func (x *Index) Settle() {
	h := &x.shelves
	for _, i := range h.stale {
		h.dirty.Set(i, false)
		for int(i) >= len(h.at) {
			h.at, h.as, h.homes = append(h.at, nil), append(h.as, member{}), append(h.homes, [2]*shelf{})
		}
		x.settle(i)
	}
	h.stale = h.stale[:0]
}

func (x *Index) settle(i int32) {
	h, total, used := &x.shelves, x.totals[i], x.used[i]
	old := h.at[i]
	if x.nodes[i] == nil || !x.ready.Has(i) {
		x.pow[i] = PowOf(total, used)
		if old != nil {
			old.take(h.as[i])
			h.at[i] = nil
		}
		return
	}
	m := member{x.hashes[i], i}
	key, home := pointKey{total.CPU, total.Memory, used.CPU, used.Memory}, x.home(i)
	if old != nil && old.key == key && old.shelf == home && h.as[i] == m {
		return
	}
	p := home.point(key)
	p.nodes.add(m)
	if old != nil {
		old.take(h.as[i])
	}
	x.pow[i], h.at[i], h.as[i] = p.pow, p, m
}

// home returns the shelf on which a node stands.
func (x *Index) home(i int32) *shelf {
	busy := 0
	if x.Busy(i) {
		busy = 1
	}
	home := &x.shelves.homes[i][busy]
	if *home == nil {
		n, total := x.nodes[i], x.totals[i]
		*home = x.shelves.shelf(shelfKey{rounded(total.CPU), rounded(total.Memory), busy == 1, n.NodePool, n.Datacenter})
	}
	return *home
}

func (h *shelves) shelf(key shelfKey) *shelf {
	s := h.byKey[key]
	if s == nil {
		s = &shelf{key: key, root: newLeaf(nil, nil), points: map[pointKey]*point{}}
		h.byKey[key] = s
		h.list = append(h.list, s)
	}
	return s
}

// point returns the shelf's point for a key.
func (s *shelf) point(key pointKey) *point {
	if p := s.points[key]; p != nil {
		return p
	}
	total := Amount{CPU: key.cpu, Memory: key.memory}
	if len(s.points) == 0 {
		s.least, s.most = total, total
	}
	s.least = Amount{CPU: min(s.least.CPU, total.CPU), Memory: min(s.least.Memory, total.Memory)}
	s.most = Amount{CPU: max(s.most.CPU, total.CPU), Memory: max(s.most.Memory, total.Memory)}
	used := Amount{CPU: key.usedCPU, Memory: key.usedMemory}
	p := s.unused()
	p.key, p.pow, p.free = key, PowOf(total, used), total.Minus(used)
	s.points[key] = p
	s.root.insert(p)
	return p
}

// maxSpare bounds the points that are kept for later.
const maxSpare = 64

func (s *shelf) unused() *point {
	last := len(s.spare) - 1
	if last < 0 {
		return &point{shelf: s}
	}
	p := s.spare[last]
	s.spare = s.spare[:last]
	return p
}

// take removes a node from its point, and the point if it was the last.
func (p *point) take(m member) {
	if p.nodes.remove(m); p.nodes.n == 0 {
		s := p.shelf
		delete(s.points, p.key)
		p.remove()
		if len(s.spare) < maxSpare {
			s.spare = append(s.spare, p)
		}
	}
}
