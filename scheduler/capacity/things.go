package capacity

import (
	"cmp"
	"slices"

	"github.com/steppe-run/steppe/structs"
)

// Things are what only one allocation of a node can have at a time: cores and
// devices.
type Things struct {
	Cores   []uint16
	Devices []Device
}

// Device is one instance of a device: the key of its kind, and its id.
type Device struct{ Kind, ID string }

func (d Device) compare(o Device) int {
	return cmp.Or(cmp.Compare(d.Kind, o.Kind), cmp.Compare(d.ID, o.ID))
}

// None reports whether there is nothing.
func (t *Things) None() bool { return t == nil || len(t.Cores)+len(t.Devices) == 0 }

// HasCore reports whether a core is among them.
func (t *Things) HasCore(core uint16) bool { return t != nil && slices.Contains(t.Cores, core) }

// HasDevice reports whether a device is among them.
func (t *Things) HasDevice(d Device) bool { return t != nil && slices.Contains(t.Devices, d) }

func (t *Things) equal(o *Things) bool {
	return slices.Equal(t.Cores, o.Cores) && slices.Equal(t.Devices, o.Devices)
}

// things remembers who has what. Few allocations have anything, so that the
// others cost nothing.
type things struct {
	of map[key]*Things
	on map[int32]*inUse
}

// inUse counts the holders of what is in use on a node.
type inUse struct {
	cores   map[uint16]int
	devices map[Device]int
}

// keep counts what an allocation has, once however often it is told.
func (t *things) keep(k key, node int32, have *Things) {
	if old := t.of[k]; old != nil {
		if !have.None() && old.equal(have) {
			return
		}
		t.drop(k, node)
	}
	if have.None() {
		return
	}
	if t.of == nil {
		t.of, t.on = map[key]*Things{}, map[int32]*inUse{}
	}
	t.of[k] = have
	u := t.on[node]
	if u == nil {
		u = &inUse{cores: map[uint16]int{}, devices: map[Device]int{}}
		t.on[node] = u
	}
	for _, c := range have.Cores {
		u.cores[c]++
	}
	for _, d := range have.Devices {
		u.devices[d]++
	}
}

// drop counts what an allocation has no longer.
func (t *things) drop(k key, node int32) {
	had := t.of[k]
	if had == nil {
		return
	}
	delete(t.of, k)
	u := t.on[node]
	for _, c := range had.Cores {
		if u.cores[c]--; u.cores[c] == 0 {
			delete(u.cores, c)
		}
	}
	for _, d := range had.Devices {
		if u.devices[d]--; u.devices[d] == 0 {
			delete(u.devices, d)
		}
	}
	if len(u.cores)+len(u.devices) == 0 {
		delete(t.on, node)
	}
}

// CoreTaken reports whether an allocation has a core of a node.
func (x *Index) CoreTaken(node int32, core uint16) bool {
	u := x.things.on[node]
	return u != nil && u.cores[core] > 0
}

// DeviceTaken reports whether an allocation has a device of a node.
func (x *Index) DeviceTaken(node int32, d Device) bool {
	u := x.things.on[node]
	return u != nil && u.devices[d] > 0
}

// AllocThings returns the cores and devices that an allocation is counted
// with, nil if none. The caller must not change them.
func (x *Index) AllocThings(id string) *Things { return x.things.of[keyOf(id)] }

// thingsOf lists the cores and devices of an allocation.
func thingsOf(r *structs.AllocatedResources) *Things {
	if r == nil {
		return nil
	}
	var out *Things
	for _, t := range r.Tasks {
		if t == nil || len(t.Cpu.ReservedCores)+len(t.Devices) == 0 {
			continue
		}
		if out == nil {
			out = &Things{}
		}
		out.Cores = append(out.Cores, t.Cpu.ReservedCores...)
		out.Devices = append(out.Devices, instances(t.Devices)...)
	}
	return out.sorted()
}

// ThingsOf lists the cores and devices of a row of a plan.
func ThingsOf(p *structs.Placement) *Things {
	if len(p.Cores)+len(p.Devices) == 0 {
		return nil
	}
	out := &Things{}
	for _, cores := range p.Cores {
		out.Cores = append(out.Cores, cores...)
	}
	for _, devices := range p.Devices {
		out.Devices = append(out.Devices, instances(devices)...)
	}
	return out.sorted()
}

// sorted removes the order of the maps that the things came from.
func (t *Things) sorted() *Things {
	if t == nil {
		return nil
	}
	slices.Sort(t.Cores)
	slices.SortFunc(t.Devices, Device.compare)
	return t
}

func instances(list []*structs.AllocatedDeviceResource) []Device {
	var out []Device
	for _, d := range list {
		if d == nil {
			continue
		}
		for _, id := range d.DeviceIDs {
			out = append(out, Device{Kind: d.Kind(), ID: id})
		}
	}
	return out
}
