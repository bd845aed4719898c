package blocked

import (
	"container/list"

	"github.com/steppe-run/steppe/structs"
)

// Room is what a node has.
type Room struct {
	Node *structs.Node
	// Total is what it offers, Free what of it is not in use.
	Total, Free structs.Comparable
	// PortFree reports whether a host port may be free.
	PortFree func(port int) bool
}

// Rooms tells what a node has now; false if it takes nothing.
type Rooms interface {
	Room(nodeID string) (Room, bool)
}

// host is a node of which a change was noted.
type host struct {
	id string
	// since is the index of its last change: evaluations that were scheduled
	// on that state or a later one know it.
	since uint64
	age   *list.Element
	dirty bool
	// promised is what the evaluations woken for it may come to take, by lane.
	promised [lanes]amount
	ports    map[int]int // static ports promised, and how often
}

// grant is the room on a host that an evaluation was woken for.
type grant struct {
	host   *host
	claim  *claim
	amount amount
}

func hostOf(e *list.Element) *host {
	h, _ := e.Value.(*host) // nothing else is in the list
	return h
}

// hold counts promised ports.
func (h *host) hold(ports []int, n int) {
	for _, p := range ports {
		if h.ports == nil {
			h.ports = map[int]int{}
		}
		if h.ports[p] += n; h.ports[p] <= 0 {
			delete(h.ports, p)
		}
	}
}

// visit is one host held against those that wait.
type visit struct {
	*Tracker
	host  *host
	room  Room
	limit [lanes]amount
	// best has, for each shelf whose claims the node suits, the first that fits.
	best []offer
}

// offer is the first claim of a shelf that fits; of a claim that needs less on
// this node, shelf is nil.
type offer struct {
	shelf *shelf
	claim *claim
	ask   amount
}

// serve wakes those that fit a host until its room is promised.
func (t *Tracker) serve(h *host, rooms Rooms) {
	room, ok := rooms.Room(h.id)
	if !ok {
		t.byAge.Remove(h.age)
		if t.hosts[h.id] == h {
			delete(t.hosts, h.id) // a change says so when it takes something again
		}
		return
	}
	v := &visit{Tracker: t, host: h, room: room}
	v.limit[laneFree] = amountOf(room.Free).minus(h.promised[laneFree])
	v.limit[lanePreempt] = amountOf(room.Total).minus(h.promised[lanePreempt])
	t.shelves.suiting(room.Node, v.look)
	for c, less := range t.local[h.id] {
		if ask := c.ask.less(less); c.seen() < h.since && ask.fits(v.limit[c.lane()]) {
			v.best = append(v.best, offer{claim: c, ask: ask})
		}
	}
	for v.grantFirst() {
	}
}

// look adds the first claim of a shelf that fits.
func (v *visit) look(s *shelf) {
	if c := v.first(s); c != nil {
		v.best = append(v.best, offer{shelf: s, claim: c, ask: c.ask})
	}
}

func (v *visit) first(s *shelf) *claim {
	if !v.portsFree(s.ports) {
		return nil
	}
	return s.tree.first(query{limit: v.limit[s.lane], since: v.host.since, able: v.able})
}

func (v *visit) portsFree(ports []int) bool {
	for _, p := range ports {
		if v.host.ports[p] > 0 || v.room.PortFree != nil && !v.room.PortFree(p) {
			return false
		}
	}
	return true
}

// able judges what is particular to one claim.
func (v *visit) able(c *claim) bool {
	if c.Once {
		for _, g := range c.w.grants {
			if g.host == v.host && g.claim == c {
				return false
			}
		}
	}
	return c.Taken == nil || !c.Taken(v.room.Node)
}

// grantFirst promises room to the most important claim that fits.
func (v *visit) grantFirst() bool {
	at := -1
	for i := 0; i < len(v.best); i++ {
		if !v.still(&v.best[i]) {
			v.best[i] = v.best[len(v.best)-1]
			v.best = v.best[:len(v.best)-1]
			i--
			continue
		}
		if at < 0 || before(v.best[i].claim.w, v.best[at].claim.w) < 0 {
			at = i
		}
	}
	if at < 0 {
		return false
	}
	v.grant(v.best[at])
	return true
}

// still reports whether an offer, or the next of its shelf, can be granted.
func (v *visit) still(o *offer) bool {
	c := o.claim
	if c.left > 0 && o.ask.fits(v.limit[c.lane()]) && v.portsFree(c.Ports) && (o.shelf == nil || v.able(c)) {
		return true
	}
	if o.shelf == nil {
		return false
	}
	o.claim = v.first(o.shelf)
	if o.claim == nil {
		return false
	}
	o.ask = o.claim.ask
	return true
}

func (v *visit) grant(o offer) {
	c := o.claim
	n := c.left
	if c.Once || len(c.Ports) > 0 || o.shelf == nil {
		n = 1
	}
	n = o.ask.times(v.limit[c.lane()], n)
	total := o.ask.scaled(n)
	lane := c.lane()
	v.limit[lane] = v.limit[lane].minus(total)
	v.host.promised[lane] = v.host.promised[lane].plus(total)
	v.host.hold(c.Ports, 1)
	c.w.grants = append(c.w.grants, grant{host: v.host, claim: c, amount: total})
	if c.left -= n; c.left == 0 {
		v.unclaim(c)
	}
	v.wake(c.w)
}
