package place

import (
	"slices"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/feasible"
	"github.com/steppe-run/steppe/structs"
)

// thingAsk is the cores and devices that each allocation of a group needs; most
// groups need none.
type thingAsk struct {
	cores   int
	byTask  map[string]int // cores
	devices []*feasible.Devices
	weights float64 // of the devices' affinities
}

func thingsAsked(group *structs.TaskGroup) thingAsk {
	ask := thingAsk{cores: feasible.Cores(group), devices: feasible.DevicesOf(group)}
	if ask.cores > 0 {
		ask.byTask = map[string]int{}
		for _, t := range group.Tasks {
			if t.Resources != nil && structs.Value(t.Resources.Cores) > 0 {
				ask.byTask[t.Name] = *t.Resources.Cores
			}
		}
	}
	for _, d := range ask.devices {
		ask.weights += d.Weights
	}
	return ask
}

func (a *thingAsk) none() bool { return a.cores == 0 && len(a.devices) == 0 }

// amountOn is what a row takes of a node: its cores are a share of the node's
// compute.
func (r *run) amountOn(node int32) capacity.Amount {
	if r.things.cores == 0 {
		return r.amount
	}
	amount := r.amount
	amount.CPU += int64(r.things.cores) * r.x.Node(node).MHzPerCore()
	return amount
}

// thingsFit says what a node lacks, "" if it has the cores and devices.
func (r *run) thingsFit(node int32) string {
	if r.things.cores > 0 && len(r.freeCores(node, r.things.cores)) < r.things.cores {
		return "cores"
	}
	if len(r.things.devices) > 0 {
		if m := r.match(node); !m.found {
			return "devices: " + m.lacks
		}
	}
	return ""
}

// freeCores returns up to n free cores of a node, the lowest numbers first.
func (p *Planner) freeCores(node int32, n int) []uint16 {
	res := p.x.Node(node).NodeResources
	if res == nil {
		return nil
	}
	d := p.deltas.Get(node)
	var out []uint16
	for _, core := range slices.Sorted(slices.Values(res.Cpu.ReservableCpuCores)) {
		if len(out) == n {
			break
		}
		free := !p.x.CoreTaken(node, core)
		if d != nil {
			free = (free || d.freedThings.HasCore(core)) && !d.takenThings.HasCore(core)
		}
		if free {
			out = append(out, core)
		}
	}
	return out
}

func (p *Planner) freeDevice(node int32, device capacity.Device) bool {
	free := !p.x.DeviceTaken(node, device)
	if d := p.deltas.Get(node); d != nil {
		return (free || d.freedThings.HasDevice(device)) && !d.takenThings.HasDevice(device)
	}
	return free
}

// grant gives a row its cores and devices on a node that has them.
func (r *run) grant(node int32, out *Choice) {
	if r.things.cores > 0 {
		free := r.freeCores(node, r.things.cores)
		out.Cores = map[string][]uint16{}
		for _, t := range r.ask.Group.Tasks {
			if n := r.things.byTask[t.Name]; n > 0 {
				out.Cores[t.Name], free = free[:n:n], free[n:]
			}
		}
	}
	if len(r.things.devices) > 0 {
		out.Devices = r.match(node).given(r.things.devices)
	}
	things := capacity.ThingsOf(&structs.Placement{Cores: out.Cores, Devices: out.Devices})
	d := r.delta(node)
	d.takenThings = merge(d.takenThings, things)
}

func merge(a, b *capacity.Things) *capacity.Things {
	switch {
	case b.None():
		return a
	case a == nil:
		return b
	}
	return &capacity.Things{Cores: slices.Concat(a.Cores, b.Cores), Devices: slices.Concat(a.Devices, b.Devices)}
}

// without takes back what merge added last.
func without(a, b *capacity.Things) *capacity.Things {
	if b.None() {
		return a
	}
	return &capacity.Things{Cores: a.Cores[:len(a.Cores)-len(b.Cores)], Devices: a.Devices[:len(a.Devices)-len(b.Devices)]}
}

// coreMHz is the compute that a row's cores are on a node, 0 if it asks for
// none.
func (r *run) coreMHz(node int32) int64 {
	if r.things.cores == 0 {
		return 0
	}
	return r.x.Node(node).MHzPerCore()
}

// ResourcesWithCores returns what a row takes on a node whose cores are mhz
// each: resources completed by the compute of the cores.
func ResourcesWithCores(resources *structs.AllocatedResources, group *structs.TaskGroup, mhz int64) *structs.AllocatedResources {
	out := *resources
	out.Tasks = make(map[string]*structs.AllocatedTaskResources, len(resources.Tasks))
	for name, t := range resources.Tasks {
		task := *t
		out.Tasks[name] = &task
	}
	for _, t := range group.Tasks {
		if t.Resources != nil && structs.Value(t.Resources.Cores) > 0 {
			out.Tasks[t.Name].Cpu.CpuShares = int64(*t.Resources.Cores) * mhz
		}
	}
	return &out
}
