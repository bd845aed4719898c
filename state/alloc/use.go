package alloc

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/steppe-run/steppe/structs"
)

// Use is what the allocations of one node that are not terminal use of it,
// kept up to date row by row.
type Use struct {
	Node *Node
	Sum  structs.Comparable
	Live int // allocations that use something

	refs   []Ref // all allocations, terminal ones too
	ports  []hostPort
	things []string // devices and reserved cores, each of which one row has
	// The lists are shared with older versions until they are first changed.
	ownsPorts, ownsThings bool
}

// hostPort is a port of the host in use. Two allocations may have the same one
// only on different addresses, or if a job asked to ignore collisions.
type hostPort struct {
	port int
	ip   string
}

func (p hostPort) compare(o hostPort) int {
	return cmp.Or(cmp.Compare(p.port, o.port), cmp.Compare(p.ip, o.ip))
}

func (u *Use) writable() *Use {
	next := *u
	next.ownsPorts, next.ownsThings = false, false
	return &next
}

func (u *Use) add(s *Shared, p *Placed) {
	u.Sum.Add(s.Ask)
	u.Live++
	if p == nil {
		return
	}
	for _, port := range p.Ports {
		u.insertPort(hostPort{port.Value, port.HostIP})
	}
	for _, d := range thingsOf(p) {
		u.ownThings()
		at, _ := slices.BinarySearch(u.things, d)
		u.things = slices.Insert(u.things, at, d)
	}
}

func (u *Use) remove(s *Shared, p *Placed) {
	u.Sum.Subtract(s.Ask)
	u.Live--
	if p == nil {
		return
	}
	for _, port := range p.Ports {
		u.removePort(hostPort{port.Value, port.HostIP})
	}
	for _, d := range thingsOf(p) {
		if at, ok := slices.BinarySearch(u.things, d); ok {
			u.ownThings()
			u.things = slices.Delete(u.things, at, at+1)
		}
	}
}

func (u *Use) insertPort(p hostPort) {
	u.ownPorts()
	at, _ := slices.BinarySearchFunc(u.ports, p, hostPort.compare)
	u.ports = slices.Insert(u.ports, at, p)
}

func (u *Use) removePort(p hostPort) {
	if at, ok := slices.BinarySearchFunc(u.ports, p, hostPort.compare); ok {
		u.ownPorts()
		u.ports = slices.Delete(u.ports, at, at+1)
	}
}

func (u *Use) ownPorts() {
	if !u.ownsPorts {
		u.ports, u.ownsPorts = slices.Clone(u.ports), true
	}
}

func (u *Use) ownThings() {
	if !u.ownsThings {
		u.things, u.ownsThings = slices.Clone(u.things), true
	}
}

// sharePorts reports whether two addresses share their ports. One that isn't
// named is the node's default address, and all of them on a node without one.
func sharePorts(a, b, address string) bool {
	a, b = cmp.Or(a, address), cmp.Or(b, address)
	return a == b || a == "" || b == ""
}

// portTaken reports whether a port is in use on an address of a node whose
// default address is given.
func portTaken(used []hostPort, p hostPort, address string) bool {
	at, _ := slices.BinarySearchFunc(used, hostPort{port: p.port}, hostPort.compare)
	for ; at < len(used) && used[at].port == p.port; at++ {
		if sharePorts(used[at].ip, p.ip, address) {
			return true
		}
	}
	return false
}

// thingsOf returns the device instances and the cores of a row as sorted keys:
// a device is vendor/type/name/id, a core is core/number.
func thingsOf(p *Placed) []string {
	if len(p.Devices) == 0 && len(p.Cores) == 0 {
		return nil
	}
	var out []string
	for _, list := range p.Devices {
		for _, d := range list {
			if d == nil {
				continue
			}
			for _, id := range d.DeviceIDs {
				out = append(out, d.Vendor+"/"+d.Type+"/"+d.Name+"/"+id)
			}
		}
	}
	for _, cores := range p.Cores {
		for _, core := range cores {
			out = append(out, "core/"+strconv.Itoa(int(core)))
		}
	}
	slices.Sort(out)
	return out
}
