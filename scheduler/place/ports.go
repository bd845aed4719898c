package place

import (
	"slices"
	"strconv"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/structs"
)

// portAsk is the host ports that each allocation of a group needs.
type portAsk struct {
	static  []structs.Port
	dynamic []structs.Port
	// byNetwork counts the dynamic ports asked of each host network.
	byNetwork []networkCount
}

type networkCount struct {
	name string
	n    int
}

func portsAsked(group *structs.TaskGroup) portAsk {
	var ask portAsk
	add := func(networks []*structs.NetworkResource) {
		for _, n := range networks {
			for _, p := range slices.Concat(n.ReservedPorts, n.DynamicPorts) {
				ask.add(p)
			}
		}
	}
	add(group.Networks)
	for _, t := range group.Tasks {
		if t.Resources != nil {
			add(t.Resources.Networks)
		}
	}
	return ask
}

func (a *portAsk) add(p structs.Port) {
	if p.Value > 0 {
		a.static = append(a.static, p)
		return
	}
	a.dynamic = append(a.dynamic, p)
	for i := range a.byNetwork {
		if a.byNetwork[i].name == p.HostNetwork {
			a.byNetwork[i].n++
			return
		}
	}
	a.byNetwork = append(a.byNetwork, networkCount{name: p.HostNetwork, n: 1})
}

func (a *portAsk) none() bool { return len(a.static)+len(a.dynamic) == 0 }

// portsFit says in which dimension a node lacks a port, "" if it has all. Of
// dynamic ports it says only whether there are enough.
func (p *Planner) portsFit(ask *portAsk, node int32) string {
	ports, d := p.x.Ports(node), p.deltas.Get(node)
	for i := range ask.static {
		port := &ask.static[i]
		ip, ok := ports.Address(port.HostNetwork)
		if !ok {
			return "network: no host network " + port.HostNetwork
		}
		if !port.IgnoreCollision && !freePort(ports, d, ip, port.Value) {
			return "network: port " + strconv.Itoa(port.Value) + " (" + port.Label + ") is taken"
		}
	}
	for _, want := range ask.byNetwork {
		ip, ok := ports.Address(want.name)
		if !ok {
			return "network: no host network " + want.name
		}
		if !ports.HasDynamic(ip, want.n+len(takenOf(d))) && countFree(ports, d, ip, want.n) < want.n {
			return "network: dynamic ports"
		}
	}
	return ""
}

func takenOf(d *delta) []capacity.Held {
	if d == nil {
		return nil
	}
	return d.taken
}

// freePort reports whether a port is free, what this evaluation took and freed
// considered.
func freePort(ports *capacity.Ports, d *delta, ip string, port int) bool {
	h := capacity.Held{IP: ip, Port: uint16(port)}
	if d == nil {
		return ports.Free(ip, h.Port)
	}
	same := func(o capacity.Held) bool { return o.Port == h.Port && ports.Shared(o.IP, ip) }
	if d.took(h.Port, same) {
		return false
	}
	if ports.Free(ip, h.Port) {
		return true
	}
	return slices.ContainsFunc(d.freed, same) && !ports.Reserved(ip, h.Port)
}

// fewPorts is up to how many ports a list is searched as it is.
const fewPorts = 32

// took reports whether this evaluation gave the port away on an address that is
// the same. Beyond a few it keeps an index of them: a job of thousands may end
// up on one node.
func (d *delta) took(port uint16, same func(capacity.Held) bool) bool {
	if len(d.taken) <= fewPorts {
		return slices.ContainsFunc(d.taken, same)
	}
	if d.takenIndex == nil {
		d.takenIndex = make(map[uint16][]capacity.Held, 4*len(d.taken))
	}
	for ; d.indexed < len(d.taken); d.indexed++ {
		h := d.taken[d.indexed]
		d.takenIndex[h.Port] = append(d.takenIndex[h.Port], h)
	}
	return slices.ContainsFunc(d.takenIndex[port], same)
}

// countFree counts free dynamic ports until there are enough.
func countFree(ports *capacity.Ports, d *delta, ip string, enough int) int {
	lo, hi := ports.Range()
	n := 0
	for port := lo; port <= hi && n < enough; port++ {
		if freePort(ports, d, ip, port) {
			n++
		}
	}
	return n
}

// assign chooses the host ports of one allocation on a node. Where the search
// for a dynamic port begins follows from the seed and the row alone. ok is
// false if there are not enough.
func (p *Planner) assign(ask *portAsk, node int32) (out []structs.PortMapping, ok bool) {
	if ask.none() {
		return nil, true
	}
	ports := p.x.Ports(node)
	for i := range ask.static {
		port := &ask.static[i]
		ip, known := ports.Address(port.HostNetwork)
		if !known {
			return nil, false
		}
		out = append(out, mapping(port, port.Value, ip))
	}
	lo, hi := ports.Range()
	size := hi - lo + 1
	if size <= 0 && len(ask.dynamic) > 0 {
		return nil, false
	}
	for i := range ask.dynamic {
		port := &ask.dynamic[i]
		ip, known := ports.Address(port.HostNetwork)
		if !known {
			return nil, false
		}
		first := capacity.Mix(p.opts.Seed ^ capacity.Mix(p.rows<<8|uint64(i)&0xff))
		value := p.search(node, ip, int(first%uint64(size)), out)
		if value == 0 {
			return nil, false
		}
		out = append(out, mapping(port, value, ip))
	}
	return out, true
}

// search finds a free dynamic port, from an offset into the range on and
// around; 0 if there is none.
func (p *Planner) search(node int32, ip string, offset int, chosen []structs.PortMapping) int {
	ports, d := p.x.Ports(node), p.deltas.Get(node)
	lo, hi := ports.Range()
	size := hi - lo + 1
	for i := range size {
		value := lo + (offset+i)%size
		mine := slices.ContainsFunc(chosen, func(m structs.PortMapping) bool { return m.HostIP == ip && m.Value == value })
		if !mine && freePort(ports, d, ip, value) {
			return value
		}
	}
	return 0
}

func mapping(port *structs.Port, value int, ip string) structs.PortMapping {
	to := port.To
	if to == -1 {
		to = value
	}
	return structs.PortMapping{Label: port.Label, Value: value, To: to, HostIP: ip}
}

func heldOf(mappings []structs.PortMapping) []capacity.Held {
	out := make([]capacity.Held, len(mappings))
	for i, m := range mappings {
		out[i] = capacity.Held{IP: m.HostIP, Port: uint16(m.Value)}
	}
	return out
}
