// Package capacity indexes what the nodes of a cluster have left: a struct of
// arrays over dense node numbers, advanced by differences. It also remembers,
// for each expression that jobs ask of nodes, the set of nodes that satisfy it.
//
// It must not know evaluations, scores or what the expressions mean. Begin
// reading at Index, then verdicts.go.
package capacity

import (
	"math"

	"github.com/steppe-run/steppe/structs"
)

// Amount is how much of each countable resource.
type Amount struct {
	CPU, Memory, Disk int64 // MHz, MiB, MiB
}

// Plus returns a + b.
func (a Amount) Plus(b Amount) Amount {
	return Amount{a.CPU + b.CPU, a.Memory + b.Memory, a.Disk + b.Disk}
}

// Minus returns a - b.
func (a Amount) Minus(b Amount) Amount {
	return Amount{a.CPU - b.CPU, a.Memory - b.Memory, a.Disk - b.Disk}
}

// AmountOf returns what resources take on their node.
func AmountOf(r *structs.AllocatedResources) Amount {
	c := r.Comparable()
	return Amount{CPU: c.CPU, Memory: c.MemoryMB, Disk: c.DiskMB}
}

// Index says what each node has left. A node keeps its number while it is
// known or while allocations run on it. An Index is not safe for concurrent
// use, not even by readers: reading fills its caches.
type Index struct {
	byID  map[string]int32
	spare []int32 // numbers that no node has

	// By node number.
	nodes  []*structs.Node // nil: a node not known (any more)
	ids    []string
	hashes []uint64 // of the id
	totals []Amount // capacity less what is reserved
	used   []Amount
	allocs []int32 // how many allocations are counted
	limits []int32 // how many may be, 0: no limit
	starts []int32 // how many of them have not started yet
	pow    []Pow
	ports  []*Ports

	ready   Bits
	ledger  ledger
	amounts []Amount // shared by the entries
	numbers map[Amount]int32
	held    map[key][]Held // host ports of the entries that have some

	log       changes
	verdicts  map[string]*verdict
	columns   map[string]*Column
	exprLimit int
	forgotten int // how often there was more than exprLimit
	sieves    map[string]*Sieve
	shelves   shelves
	things    things
	tenancy   tenancy
	stream    Stream
	factors   map[[2]Amount]Pow
}

// Pow holds ten to the power of the free shares of a node, which is all that
// the fit scores need: placing an ask multiplies each by a constant.
type Pow struct{ CPU, Memory float64 }

// MaxStarting is how many allocations a node starts at a time. It is a soft
// limit: a node that has so many is busy, and taken only if no other will do.
// Fewer would spread a burst over more nodes than hold it once it runs; more would
// let a node take longer to start them than people wait.
const MaxStarting = 64

// New returns an index without nodes.
func New() *Index {
	return &Index{
		byID:      map[string]int32{},
		ledger:    newLedger(),
		numbers:   map[Amount]int32{},
		held:      map[key][]Held{},
		verdicts:  map[string]*verdict{},
		columns:   map[string]*Column{},
		exprLimit: maxExpressions,
		sieves:    map[string]*Sieve{},
		factors:   map[[2]Amount]Pow{},
		shelves:   shelves{byKey: map[shelfKey]*shelf{}},
	}
}

// UpsertNode stores a node, new or changed. What runs on it stays counted.
func (x *Index) UpsertNode(n *structs.Node) {
	i := x.number(n.ID)
	x.nodes[i] = n
	c := n.Comparable()
	x.totals[i] = Amount{CPU: c.CPU, Memory: c.MemoryMB, Disk: c.DiskMB}
	x.limits[i] = int32(n.NodeMaxAllocs)
	x.ports[i].describe(n)
	x.ready.Set(i, n.Ready())
	x.shelves.forget(i)
	x.refresh(i)
	x.log.add(i)
}

// RemoveNode forgets a node. What runs on it stays counted, in case it returns.
func (x *Index) RemoveNode(id string) {
	i, ok := x.byID[id]
	if !ok || x.nodes[i] == nil {
		return
	}
	x.nodes[i] = nil
	x.ready.Set(i, false)
	x.shelves.touch(i)
	x.log.add(i)
	x.release(i)
}

// SetAlloc counts an allocation where it runs, once however often it is told;
// one that is terminal (stopped by the servers or ended) counts no longer.
func (x *Index) SetAlloc(a *structs.Allocation) {
	if a.TerminalStatus() {
		x.RemoveAlloc(a.ID)
		return
	}
	i := x.number(a.NodeID)
	k := keyOf(a.ID)
	e := x.entryOf(i, AmountOf(a.AllocatedResources), a.ClientStatus == structs.AllocClientPending)
	e.owner = x.tenancy.number(a)
	x.put(k, e, portsOf(a.AllocatedResources))
	x.things.keep(k, i, thingsOf(a.AllocatedResources))
}

// SetStarting says whether an allocation that is counted has yet to start.
func (x *Index) SetStarting(id string, starting bool) {
	k := keyOf(id)
	if e := x.ledger.get(k); e.counted {
		x.setStarting(k, e, starting)
	}
}

func (x *Index) setStarting(k key, e entry, starting bool) {
	if e.starting == starting {
		return
	}
	x.start(e, -1)
	e.starting = starting
	x.start(e, 1)
	x.ledger.set(k, e)
}

// RemoveAlloc counts an allocation no longer.
func (x *Index) RemoveAlloc(id string) { x.drop(keyOf(id)) }

// Hold counts the placements of a plan in flight and gives back what it stops
// and preempts. None of its allocations has been told before; see HoldAgain.
// All plans are to have the same kind of ids.
// Once the plan is committed SetAlloc of its allocations confirms them; for
// what was refused the owner calls RemoveAlloc, and SetAlloc of what was to
// stop.
func (x *Index) Hold(p *structs.Plan, ids IDs) { x.holdAll(p, ids, true) }

// HoldAgain is Hold for a plan of which a part may have been told by SetAlloc.
func (x *Index) HoldAgain(p *structs.Plan, ids IDs) { x.holdAll(p, ids, false) }

func (x *Index) holdAll(p *structs.Plan, ids IDs, fresh bool) {
	x.ledger.ids = ids
	for i := range p.Stops {
		if p.Stops[i].DesiredStatus != structs.AllocDesiredRun {
			x.RemoveAlloc(p.Stops[i].AllocID)
		}
	}
	for g := range p.Groups {
		x.hold(&p.Groups[g], fresh)
	}
}

func (x *Index) hold(group *structs.PlacementGroup, fresh bool) {
	e := x.entryOf(0, AmountOf(group.Resources), true)
	var batch *batch
	if fresh {
		batch = x.ledger.open(group.Seed, group.FirstRow, len(group.Rows))
	}
	last := ""
	for r := range group.Rows {
		row := &group.Rows[r]
		for _, victim := range row.Preempts {
			x.RemoveAlloc(victim)
		}
		if row.NodeID != last { // most often the one before
			e.node, last = x.number(row.NodeID), row.NodeID
		}
		ports, things := mapped(row.Ports), ThingsOf(row)
		if batch != nil && len(ports) == 0 && things.None() {
			batch.rows[r] = e
			x.count(e)
			continue
		}
		k := key(x.ledger.ids.Derive(group.Seed, group.FirstRow+uint32(r)))
		if batch != nil {
			batch.live--
		}
		x.put(k, e, ports)
		x.things.keep(k, e.node, things)
	}
}

// Len returns how many node numbers there are; some may have no node.
func (x *Index) Len() int { return len(x.nodes) }

// Node returns the node of a number, or nil.
func (x *Index) Node(i int32) *structs.Node { return x.nodes[i] }

// Number returns the number of a known node.
func (x *Index) Number(id string) (int32, bool) {
	i, ok := x.byID[id]
	return i, ok && x.nodes[i] != nil
}

// Hash returns a hash of the node's id.
func (x *Index) Hash(i int32) uint64 { return x.hashes[i] }

// Total returns what a node offers to allocations.
func (x *Index) Total(i int32) Amount { return x.totals[i] }

// Used returns what is counted on a node.
func (x *Index) Used(i int32) Amount { return x.used[i] }

// Allocs returns how many allocations are counted on a node.
func (x *Index) Allocs(i int32) int { return int(x.allocs[i]) }

// MaxAllocs returns how many allocations a node takes, 0 if it sets no limit.
func (x *Index) MaxAllocs(i int32) int { return int(x.limits[i]) }

// Starting returns how many allocations of a node have not started yet.
func (x *Index) Starting(i int32) int { return int(x.starts[i]) }

// Busy reports whether a node has as many allocations to start as it should.
func (x *Index) Busy(i int32) bool { return x.starts[i] >= MaxStarting }

// Pow returns a node's free shares as powers of ten, as of the last Settle.
func (x *Index) Pow(i int32) Pow { return x.pow[i] }

// Ports returns the host ports of a node. The caller must not change them.
func (x *Index) Ports(i int32) *Ports { return x.ports[i] }

// Ready returns the nodes that take placements. The caller must not change it.
func (x *Index) Ready() Bits { return x.ready }

// AllocNode returns the number of the node that an allocation is counted on,
// and how much it takes there.
func (x *Index) AllocNode(id string) (node int32, amount Amount, ok bool) {
	e := x.ledger.get(keyOf(id))
	if !e.counted {
		return 0, Amount{}, false
	}
	return e.node, x.amounts[e.amount], true
}

// AllocPorts returns the host ports that an allocation is counted with.
func (x *Index) AllocPorts(id string) []Held { return x.held[keyOf(id)] }

// number returns the number of a node, a new one if it has none.
func (x *Index) number(id string) int32 {
	if i, ok := x.byID[id]; ok {
		return i
	}
	var i int32
	if n := len(x.spare); n > 0 {
		i, x.spare = x.spare[n-1], x.spare[:n-1]
	} else {
		i = int32(len(x.nodes))
		x.nodes = append(x.nodes, nil)
		x.ids = append(x.ids, "")
		x.hashes = append(x.hashes, 0)
		x.totals = append(x.totals, Amount{})
		x.used = append(x.used, Amount{})
		x.allocs = append(x.allocs, 0)
		x.limits = append(x.limits, 0)
		x.starts = append(x.starts, 0)
		x.pow = append(x.pow, Pow{})
		x.ports = append(x.ports, nil)
	}
	x.byID[id] = i
	x.ids[i] = id
	x.hashes[i] = hash64(id)
	x.totals[i], x.used[i], x.allocs[i], x.starts[i] = Amount{}, Amount{}, 0, 0
	x.ports[i] = &Ports{}
	return i
}

// release gives a number back once neither a node nor an allocation needs it.
func (x *Index) release(i int32) {
	if x.nodes[i] != nil || x.allocs[i] > 0 {
		return
	}
	delete(x.byID, x.ids[i])
	x.ids[i], x.ports[i] = "", nil
	x.spare = append(x.spare, i)
}

func (x *Index) entryOf(node int32, amount Amount, starting bool) entry {
	number, ok := x.numbers[amount]
	if !ok {
		number = int32(len(x.amounts))
		x.amounts = append(x.amounts, amount)
		x.numbers[amount] = number
	}
	return entry{node: node, amount: number, counted: true, starting: starting}
}

func (x *Index) put(k key, e entry, ports []Held) {
	if old := x.ledger.get(k); old.counted {
		if old.node == e.node && old.amount == e.amount && sameHeld(x.held[k], ports) {
			x.confirm(k, old, e)
			return
		}
		x.allocs[e.node]++ // keeps the node's number while the old entry goes
		x.tenancy.keep(e.owner, 1)
		x.drop(k)
		x.tenancy.keep(e.owner, -1)
		x.allocs[e.node]--
	}
	x.ledger.set(k, e)
	x.tenancy.enter(k, e)
	if len(ports) > 0 {
		x.held[k] = ports
		x.ports[e.node].take(ports)
	}
	x.count(e)
}

// count adds an entry to what its node carries.
func (x *Index) count(e entry) {
	x.used[e.node] = x.used[e.node].Plus(x.amounts[e.amount])
	x.allocs[e.node]++
	x.start(e, 1)
	x.refresh(e.node)
}

// confirm takes over what may change of an entry that takes what it took.
func (x *Index) confirm(k key, old, e entry) {
	if old.owner != e.owner {
		x.tenancy.leave(k, old)
		x.tenancy.enter(k, e)
		old.owner = e.owner
		x.ledger.set(k, old)
	}
	x.setStarting(k, old, e.starting)
}

func (x *Index) drop(k key) {
	e := x.ledger.get(k)
	if !e.counted {
		return
	}
	x.ledger.remove(k)
	x.tenancy.leave(k, e)
	x.things.drop(k, e.node)
	x.used[e.node] = x.used[e.node].Minus(x.amounts[e.amount])
	x.allocs[e.node]--
	x.start(e, -1)
	if ports, ok := x.held[k]; ok {
		x.ports[e.node].give(ports)
		delete(x.held, k)
	}
	x.refresh(e.node)
	x.release(e.node)
}

// start counts n more starts of an entry on its node.
func (x *Index) start(e entry, n int32) {
	if !e.starting {
		return
	}
	was := x.Busy(e.node)
	x.starts[e.node] += n
	if was != x.Busy(e.node) {
		x.shelves.touch(e.node)
	}
}

// refresh notes that a node's powers and its place in the trees must be found
// anew, see Settle.
func (x *Index) refresh(i int32) { x.shelves.touch(i) }

// PowOf returns the free shares of a node as powers of ten. A resource that
// the node doesn't have counts as full.
func PowOf(total, used Amount) Pow {
	return Pow{CPU: pow10Free(total.CPU, used.CPU), Memory: pow10Free(total.Memory, used.Memory)}
}

func pow10Free(total, used int64) float64 {
	if total <= 0 {
		return 1
	}
	return math.Pow(10, 1-float64(used)/float64(total))
}
