package place

import (
	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/preempt"
)

// lack tells all that a node lacks for the next row.
func (r *run) lack(node int32) preempt.Lack {
	used, _ := r.state(node)
	total, amount := r.x.Total(node), r.amountOn(node)
	short := func(used, ask, total int64) int64 { return max(0, used+ask-total) }
	l := preempt.Lack{
		Amount: capacity.Amount{
			CPU:    short(used.CPU, amount.CPU, total.CPU),
			Memory: short(used.Memory, amount.Memory, total.Memory),
			Disk:   short(used.Disk, amount.Disk, total.Disk),
		},
		Slots: r.slotsUsed(node),
		Never: amount.CPU > total.CPU || amount.Memory > total.Memory || amount.Disk > total.Disk,
	}
	r.lackThings(node, &l)
	if !r.ports.none() {
		r.lackPorts(node, &l)
	}
	return l
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
