package blocked

import (
	"slices"
	"strconv"

	"github.com/steppe-run/steppe/scheduler/feasible"
	"github.com/steppe-run/steppe/structs"
)

// Claim is what one task group of a blocked evaluation waits for.
type Claim struct {
	// Key names the conditions on nodes: equal keys mean equal judgements.
	Key string
	// Pin is a condition that is quick to look up, if there is one.
	Pin Pin
	// Unique is set when nodes of one computed class may be judged differently.
	Unique bool
	// Suits prepares the judgement of a node, the conditions of Key and Pin
	// together.
	Suits func() func(*structs.Node) bool
	// Ask is the least that one allocation takes.
	Ask structs.Comparable
	// Count is how many allocations wait, at least 1.
	Count int
	// Ports are the host ports that each of them needs.
	Ports []int
	// Preempts is set when room in use by others may serve.
	Preempts bool
	// Once is set when a node can serve only one of them.
	Once bool
	// Taken tells of nodes that the job's own allocations rule out.
	Taken func(*structs.Node) bool
	// Replaces has, by node, what it frees itself by replacing an allocation
	// of its own there.
	Replaces map[string]structs.Comparable
}

// Pin is a condition that an attribute of the node has one value.
type Pin struct{ Attribute, Value string }

// Lanes of a host: its free room, and all of it, for those who preempt.
const (
	laneFree = iota
	lanePreempt
	lanes
)

// claim is a Claim in its place.
type claim struct {
	Claim
	w      *waiter
	number uint64 // of its own
	shelf  *shelf
	ask    amount
	left   int // of Count, not granted yet
	node   node
}

func (c *claim) lane() int {
	if c.Preempts {
		return lanePreempt
	}
	return laneFree
}

func (c *claim) seen() uint64 { return c.w.eval.SnapshotIndex }

// particular reports whether able() may refuse the claim a host.
func (c *claim) particular() bool { return c.Once || c.Taken != nil }

// personal reports whether the job's own allocations stand in its way.
func (c *claim) personal() bool { return c.particular() || len(c.Replaces) > 0 }

// shelf holds the claims that suit the same nodes.
type shelf struct {
	key   shelfKey
	lane  int
	ports []int
	suits func(*structs.Node) bool
	tree  tree
	pin   Pin
	// unique is set when the class of a node says nothing.
	unique bool
	gone   bool
}

type shelfKey struct {
	conditions string
	preempts   bool
	ports      string
}

// shelves finds the shelves that suit a node.
type shelves struct {
	byKey map[shelfKey]*shelf
	// pinned are found by the value of an attribute, loose ones are judged for
	// each node, common ones once for each class of nodes.
	pinned map[string]map[string][]*shelf
	loose  []*shelf
	common []*shelf
	gone   int // of common
	class  map[string]*class
}

// class remembers which of the common shelves suit the nodes of one class.
type class struct {
	judged int // how many of the common ones
	suited []*shelf
}

// maxClasses bounds what is remembered of classes.
const maxClasses = 4096

func newShelves() shelves {
	return shelves{
		byKey:  map[shelfKey]*shelf{},
		pinned: map[string]map[string][]*shelf{},
		class:  map[string]*class{},
	}
}

// claim puts a claim on its shelf.
func (t *Tracker) claim(w *waiter, from *Claim) {
	t.seq++
	c := &claim{Claim: *from, w: w, number: t.seq, ask: amountOf(from.Ask), left: max(1, from.Count)}
	w.claims = append(w.claims, c)
	c.shelf = t.shelves.of(c)
	c.shelf.tree.add(c)
	for id, less := range c.Replaces {
		if t.local[id] == nil {
			t.local[id] = map[*claim]amount{}
		}
		t.local[id][c] = amountOf(less)
	}
}

// unclaim takes a claim off its shelf: it is served or gone.
func (t *Tracker) unclaim(c *claim) {
	if c.shelf == nil {
		return
	}
	c.shelf.tree.remove(c)
	if c.shelf.tree.root == nil {
		t.shelves.drop(c.shelf)
	}
	c.shelf = nil
	for id := range c.Replaces {
		delete(t.local[id], c)
		if len(t.local[id]) == 0 {
			delete(t.local, id)
		}
	}
}

// of returns the shelf of a claim, a new one if there is none.
func (s *shelves) of(c *claim) *shelf {
	key := shelfKey{conditions: c.Key, preempts: c.Preempts}
	for _, p := range c.Ports {
		key.ports += strconv.Itoa(p) + " "
	}
	if known := s.byKey[key]; known != nil {
		return known
	}
	n := &shelf{key: key, lane: c.lane(), ports: c.Ports, suits: c.Suits(), pin: c.Pin, unique: c.Unique}
	s.byKey[key] = n
	switch {
	case n.pin.Attribute != "":
		values := s.pinned[n.pin.Attribute]
		if values == nil {
			values = map[string][]*shelf{}
			s.pinned[n.pin.Attribute] = values
		}
		values[n.pin.Value] = append(values[n.pin.Value], n)
	case n.unique:
		s.loose = append(s.loose, n)
	default:
		s.common = append(s.common, n)
	}
	return n
}

func (s *shelves) drop(old *shelf) {
	delete(s.byKey, old.key)
	old.gone = true
	same := func(o *shelf) bool { return o == old }
	switch {
	case old.pin.Attribute != "":
		values := s.pinned[old.pin.Attribute]
		values[old.pin.Value] = slices.DeleteFunc(values[old.pin.Value], same)
		if len(values[old.pin.Value]) == 0 {
			delete(values, old.pin.Value)
		}
		if len(values) == 0 {
			delete(s.pinned, old.pin.Attribute)
		}
	case old.unique:
		s.loose = slices.DeleteFunc(s.loose, same)
	default:
		if s.gone++; s.gone > 64 && s.gone > len(s.common)/2 {
			s.common = slices.DeleteFunc(s.common, func(o *shelf) bool { return o.gone })
			s.gone = 0
			clear(s.class) // they count in the old list
		}
	}
}

// suiting calls f with every shelf whose conditions a node satisfies.
func (s *shelves) suiting(n *structs.Node, f func(*shelf)) {
	for attribute, values := range s.pinned {
		value, ok := feasible.Value(attribute, n)
		if !ok {
			continue
		}
		offered(values[value], n, f)
	}
	offered(s.loose, n, f)
	if n.ComputedClass == "" {
		offered(s.common, n, f)
		return
	}
	for _, o := range s.ofClass(n) {
		if !o.gone {
			f(o)
		}
	}
}

func offered(list []*shelf, n *structs.Node, f func(*shelf)) {
	for _, o := range list {
		if !o.gone && o.suits(n) {
			f(o)
		}
	}
}

// ofClass returns the common shelves that suit a node, by its class.
func (s *shelves) ofClass(n *structs.Node) []*shelf {
	c := s.class[n.ComputedClass]
	if c == nil {
		if len(s.class) >= maxClasses {
			clear(s.class)
		}
		c = &class{}
		s.class[n.ComputedClass] = c
	}
	for ; c.judged < len(s.common); c.judged++ {
		if o := s.common[c.judged]; !o.gone && o.suits(n) {
			c.suited = append(c.suited, o)
		}
	}
	return c.suited
}
