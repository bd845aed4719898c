package alloc

import (
	"slices"
	"strconv"

	"github.com/steppe-run/steppe/structs"
)

// Trial answers whether the rows of a plan fit their nodes, before any of them
// is stored. A node that can't take one of them takes none.
type Trial struct {
	table *Table
	nodes map[string]*tried
}

type tried struct {
	limit    structs.Comparable
	maxLive  int
	kept     []structs.PortRange // nil until asked
	address  string              // the node's default one
	base     *Use                // nil: the node has no allocations
	sum      structs.Comparable
	live     int
	ports    []hostPort
	things   []string
	offered  []string // devices and cores that the node has, nil until asked
	ownsBase bool     // base is a copy from which rows were taken
	refused  string
}

// Try is one row to be placed on a node. Ports may collide if Collide says so
// of their label.
type Try struct {
	Ask     structs.Comparable
	Placed  *Placed
	Collide func(label string) bool
}

// Trial starts a trial on the table as it is now.
func (t *Table) Trial() *Trial { return &Trial{table: t, nodes: map[string]*tried{}} }

// Add puts a row on a node; node may not be nil.
func (t *Trial) Add(node *structs.Node, row Try) {
	at := t.node(node)
	if at.refused != "" {
		return
	}
	at.sum.Add(row.Ask)
	at.live++
	switch dimension := at.sum.Exceeds(at.limit); {
	case !sane(row.Ask):
		at.refused = "ask for resources out of range"
	case dimension != "":
		at.refused = dimension + " exhausted"
	case at.maxLive > 0 && at.live > at.maxLive:
		at.refused = "allocations exhausted"
	case row.Placed != nil:
		at.refused = at.takePorts(node, row)
		if at.refused == "" {
			at.refused = at.takeThings(node, row)
		}
	}
}

// Free gives back what a row takes that ends with the plan. Each row may be
// given back once.
func (t *Trial) Free(node *structs.Node, v View) {
	row := v.Row()
	if !row.uses() || row.Node.ID != node.ID {
		return
	}
	at := t.node(node)
	if at.base == nil {
		return
	}
	if !at.ownsBase {
		at.base, at.ownsBase = at.base.writable(), true
	}
	at.base.remove(v.Shared(), row.Placed)
	at.sum.Subtract(v.Shared().Ask)
	at.live--
}

// Grow changes what a row that is on the node already takes.
func (t *Trial) Grow(node *structs.Node, from, to structs.Comparable) {
	at := t.node(node)
	at.sum.Subtract(from)
	at.sum.Add(to)
	switch dimension := at.sum.Exceeds(at.limit); {
	case at.refused != "":
	case !sane(to):
		at.refused = "ask for resources out of range"
	case dimension != "" && grows(from, to):
		at.refused = dimension + " exhausted"
	}
}

// Refuse makes a node take nothing.
func (t *Trial) Refuse(nodeID, reason string) {
	at := t.nodes[nodeID]
	if at == nil {
		at = &tried{}
		t.nodes[nodeID] = at
	}
	if at.refused == "" {
		at.refused = reason
	}
}

// Refused returns why a node takes nothing, "" if it takes what was added.
func (t *Trial) Refused(nodeID string) string {
	if at := t.nodes[nodeID]; at != nil {
		return at.refused
	}
	return ""
}

// AllRefused returns the nodes that take nothing, sorted.
func (t *Trial) AllRefused() []string {
	var out []string
	for id, at := range t.nodes {
		if at.refused != "" {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

func (t *Trial) node(n *structs.Node) *tried {
	if at := t.nodes[n.ID]; at != nil {
		return at
	}
	at := &tried{limit: n.Comparable(), maxLive: n.NodeMaxAllocs, base: t.table.Use(n.ID)}
	if at.base != nil {
		at.sum, at.live = at.base.Sum, at.base.Live
	}
	t.nodes[n.ID] = at
	return at
}

func (at *tried) takePorts(node *structs.Node, row Try) string {
	if len(row.Placed.Ports) == 0 {
		return ""
	}
	if at.kept == nil {
		at.kept, at.address = append([]structs.PortRange{}, node.KeptPorts()...), node.DefaultAddress()
	}
	for _, m := range row.Placed.Ports {
		p := hostPort{m.Value, m.HostIP}
		collides := at.base != nil && portTaken(at.base.ports, p, at.address) || portTaken(at.ports, p, at.address) || at.keeps(p)
		switch {
		case p.port <= 0 || p.port > 65535:
			return "port " + strconv.Itoa(p.port) + " is not a port"
		case collides && !row.Collide(m.Label):
			return "port " + strconv.Itoa(p.port) + " in use"
		}
		i, _ := slices.BinarySearchFunc(at.ports, p, hostPort.compare)
		at.ports = slices.Insert(at.ports, i, p)
	}
	return ""
}

// keeps reports whether the node's operator keeps a port.
func (at *tried) keeps(p hostPort) bool {
	return slices.ContainsFunc(at.kept, func(r structs.PortRange) bool {
		return int(r.From) <= p.port && p.port <= int(r.To) && sharePorts(r.IP, p.ip, at.address)
	})
}

// takeThings gives a row its devices and cores, each of which the node must
// have, healthy, and nobody else.
func (at *tried) takeThings(node *structs.Node, row Try) string {
	things := thingsOf(row.Placed)
	if len(things) > 0 && at.offered == nil {
		at.offered = offeredBy(node)
	}
	for _, thing := range things {
		if _, has := slices.BinarySearch(at.offered, thing); !has {
			return thing + " is not offered"
		}
		i, taken := slices.BinarySearch(at.things, thing)
		if at.base != nil && !taken {
			_, taken = slices.BinarySearch(at.base.things, thing)
		}
		if taken {
			return thing + " in use"
		}
		at.things = slices.Insert(at.things, i, thing)
	}
	return ""
}

// offeredBy returns the healthy devices and the reservable cores of a node, as
// sorted keys.
func offeredBy(n *structs.Node) []string {
	out := []string{}
	if n.NodeResources == nil {
		return out
	}
	for _, d := range n.NodeResources.Devices {
		if d == nil {
			continue
		}
		for _, instance := range d.Instances {
			if instance != nil && instance.Healthy {
				out = append(out, d.Vendor+"/"+d.Type+"/"+d.Name+"/"+instance.ID)
			}
		}
	}
	for _, core := range n.NodeResources.Cpu.ReservableCpuCores {
		out = append(out, "core/"+strconv.Itoa(int(core)))
	}
	slices.Sort(out)
	return out
}

func grows(from, to structs.Comparable) bool {
	return to.CPU > from.CPU || to.MemoryMB > from.MemoryMB || to.DiskMB > from.DiskMB
}

// sane reports whether a sum of many such asks can't overflow.
func sane(ask structs.Comparable) bool {
	const most = 1 << 40
	for _, n := range []int64{ask.CPU, ask.MemoryMB, ask.MemoryMaxMB, ask.DiskMB} {
		if n < 0 || n > most {
			return false
		}
	}
	return true
}
