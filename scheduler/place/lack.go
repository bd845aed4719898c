package place

import (
	"slices"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/preempt"
)

// surely reports whether a node surely has all that the next row asks for and
// that can't be counted.
func (r *run) surely(node int32) bool {
	if !r.things.none() && r.thingsFit(node) != "" {
		return false
	}
	if r.ports.none() {
		return true
	}
	ports, d := r.x.Ports(node), r.deltas.Get(node)
	for i := range r.ports.static {
		port := &r.ports.static[i]
		ip, known := ports.Address(port.HostNetwork)
		if !known || !port.IgnoreCollision && !freePort(ports, d, ip, port.Value) {
			return false
		}
	}
	all := len(r.ports.static) + len(r.ports.dynamic) + len(takenOf(d))
	for i := range r.ports.byNetwork {
		if ip, known := ports.Address(r.ports.byNetwork[i].name); !known || !ports.HasDynamic(ip, all) {
			return false
		}
	}
	return true
}

// lack tells all that a node lacks for the next row and that can't be counted.
func (r *run) lack(node int32) preempt.Lack {
	var l preempt.Lack
	r.lackThings(node, &l)
	if !r.ports.none() {
		r.lackPorts(node, &l)
	}
	return l
}

// helps reports whether a candidate has any of what lacks.
func (r *run) helps(c *preempt.Candidate, l *preempt.Lack) bool {
	ports, things := r.x.TenantPorts(c.Tenant), r.x.TenantThings(c.Tenant)
	switch {
	case l.Dynamic && len(ports) > 0:
		return true
	case slices.ContainsFunc(ports, func(h capacity.Held) bool { return slices.Contains(l.Ports, h) }):
		return true
	case things == nil:
		return false
	case l.Cores > 0 && len(things.Cores) > 0:
		return true
	}
	return slices.ContainsFunc(things.Devices, func(d capacity.Device) bool { return slices.Contains(l.Kinds, d.Kind) })
}

func (r *run) lackThings(node int32, l *preempt.Lack) {
	if n := r.things.cores; n > 0 {
		l.Cores = n - len(r.freeCores(node, n))
	}
	if len(r.things.devices) == 0 {
		return
	}
	if m := r.match(node); !m.found {
		l.Kinds = m.kinds
		l.Never = l.Never || len(m.kinds) == 0
	}
}

func (r *run) lackPorts(node int32, l *preempt.Lack) {
	ports, d := r.x.Ports(node), r.deltas.Get(node)
	for i := range r.ports.static {
		port := &r.ports.static[i]
		ip, ok := ports.Address(port.HostNetwork)
		if !ok || !port.IgnoreCollision && ports.Reserved(ip, uint16(port.Value)) {
			l.Never = true
			return
		}
		if port.IgnoreCollision || freePort(ports, d, ip, port.Value) {
			continue
		}
		l.Ports = append(l.Ports, capacity.Held{IP: ip, Port: uint16(port.Value)})
		if ip == ports.Default() {
			l.Ports = append(l.Ports, capacity.Held{Port: uint16(port.Value)})
		}
	}
	if len(l.Ports) == 0 && len(r.ports.dynamic) > 0 {
		_, ok := r.assign(&r.ports, node)
		l.Dynamic = !ok
	}
}
