package place

import (
	"slices"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/feasible"
	"github.com/steppe-run/steppe/structs"
)

// maxMatchSteps bounds the search for the best devices of a node. Nodes have a
// few kinds of devices and tasks a few device blocks: it is not reached but by
// those who try to.
const maxMatchSteps = 20_000

// match is how the device blocks of a group share the devices of a node.
type match struct {
	found     bool
	satisfied float64  // weights of the affinities
	lacks     string   // the first block that found nothing
	need      int      // instances that it asks for, of one kind
	left, all int      // of the kind that has most left: instances that are free, and that there are
	kinds     []string // for preemption: kinds that would suit a block that found nothing
	chosen    []grant
}

// grant is the instances that one block was given.
type grant struct {
	kind *structs.NodeDeviceResource
	ids  []string
}

// matcher looks for the best match: every block gets instances of one kind,
// and the weights of the satisfied affinities are as high as can be. Of equals
// the first is taken, in the order in which the node names its devices.
type matcher struct {
	asks  []*feasible.Devices
	kinds []*structs.NodeDeviceResource
	free  [][]string // ids of the free instances, by kind
	taken []map[string]bool
	names []string
	now   []grant
	sum   float64
	steps int
	best  match
}

// match finds the devices of a node for a row.
func (r *run) match(node int32) match {
	m := &matcher{asks: r.things.devices}
	res := r.x.Node(node).NodeResources
	if res == nil {
		return m.best
	}
	for _, kind := range res.Devices {
		if kind == nil {
			continue
		}
		name := kind.Kind()
		var free []string
		for _, i := range kind.Instances {
			if i != nil && i.Healthy && r.freeDevice(node, capacity.Device{Kind: name, ID: i.ID}) {
				free = append(free, i.ID)
			}
		}
		m.kinds, m.names = append(m.kinds, kind), append(m.names, name)
		m.free, m.taken = append(m.free, free), append(m.taken, map[string]bool{})
	}
	m.try(0)
	return m.best
}

// try finds devices for the blocks from the given one on.
func (m *matcher) try(at int) {
	if m.steps++; m.steps > maxMatchSteps {
		return
	}
	if at == len(m.asks) {
		if !m.best.found || m.sum > m.best.satisfied {
			m.best = match{found: true, satisfied: m.sum, chosen: slices.Clone(m.now)}
		}
		return
	}
	ask, any := m.asks[at], false
	for k, kind := range m.kinds {
		if !ask.Fits(kind) {
			continue
		}
		ids := m.pick(ask, k)
		if ids == nil {
			continue
		}
		any = true
		for _, id := range ids {
			m.taken[k][id] = true
		}
		worth := ask.Preference(kind)
		m.sum += worth
		m.now = append(m.now, grant{kind, ids})
		m.try(at + 1)
		m.now = m.now[:at]
		m.sum -= worth
		for _, id := range ids {
			delete(m.taken[k], id)
		}
	}
	if !any && !m.best.found {
		m.fail(ask)
	}
}

// fail notes a block that found nothing.
func (m *matcher) fail(ask *feasible.Devices) {
	if m.best.lacks == "" {
		m.best.lacks, m.best.need = ask.Name, ask.Count
		m.best.left, m.best.all = m.left(ask)
	}
	for k, kind := range m.kinds {
		if ask.Fits(kind) {
			m.best.kinds = append(m.best.kinds, m.names[k])
		}
	}
}

// left counts the free and all instances of the kind that has most left for a
// block.
func (m *matcher) left(ask *feasible.Devices) (left, all int) {
	for k, kind := range m.kinds {
		if !ask.Fits(kind) {
			continue
		}
		free, there := 0, 0
		for _, i := range kind.Instances {
			if !ask.Takes(i) {
				continue
			}
			there++
			if !m.taken[k][i.ID] && slices.Contains(m.free[k], i.ID) {
				free++
			}
		}
		if free > left || free == left && there > all {
			left, all = free, there
		}
	}
	return left, all
}

// pick returns the first free instances of a kind for a block, nil if there are
// not enough.
func (m *matcher) pick(ask *feasible.Devices, k int) []string {
	var out []string
	for _, i := range m.kinds[k].Instances {
		if len(out) == ask.Count {
			break
		}
		if ask.Takes(i) && !m.taken[k][i.ID] && slices.Contains(m.free[k], i.ID) {
			out = append(out, i.ID)
		}
	}
	if len(out) < ask.Count {
		return nil
	}
	return out
}

// given returns the match by task, as allocations name it.
func (m match) given(asks []*feasible.Devices) map[string][]*structs.AllocatedDeviceResource {
	out := map[string][]*structs.AllocatedDeviceResource{}
	for i, g := range m.chosen {
		task := asks[i].Task
		out[task] = append(out[task], &structs.AllocatedDeviceResource{
			Vendor: g.kind.Vendor, Type: g.kind.Type, Name: g.kind.Name, DeviceIDs: g.ids,
		})
	}
	return out
}
