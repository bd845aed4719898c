package place

import (
	"slices"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/structs"
)

// Suiting is the nodes that take allocations of a group, room aside: ready, in
// the job's pool and datacenters, and satisfying its conditions.
type Suiting struct {
	x     *capacity.Index
	nodes capacity.Bits
}

// SuitingOf returns the nodes of an index that take allocations of a group. It
// holds until a node changes.
func SuitingOf(x *capacity.Index, job *structs.Job, group *structs.TaskGroup) Suiting {
	r := &run{Planner: &Planner{x: x}, ask: Ask{Job: job, Group: group}}
	r.filter()
	return Suiting{x: x, nodes: r.feasible}
}

// Has reports whether a node is one of them.
func (s Suiting) Has(nodeID string) bool {
	i, ok := s.x.Number(nodeID)
	return ok && s.nodes.Has(i)
}

// Each calls f with each of them.
func (s Suiting) Each(f func(nodeID string)) {
	s.nodes.Each(func(i int32) { f(s.x.Node(i).ID) })
}

// Each gives each row the node that it names, if that satisfies the group and has
// room, until as many as most have theirs (0: any number). Choices are fewer than
// rows if it stopped before the last.
func (p *Planner) Each(ask Ask, most int) Outcome {
	r := &p.group
	p.prepare(r, ask)
	r.prefer()
	r.batch = r.metric()
	clear(p.choices)
	p.choices = slices.Grow(p.choices[:0], len(ask.Rows))[:len(ask.Rows)]
	out := Outcome{Choices: p.choices, Resources: r.resources, Metrics: r.batch}
	seated := 0
	for i := range ask.Rows {
		if p.full() || most > 0 && seated == most {
			out.Choices = out.Choices[:i]
			break
		}
		c := &out.Choices[i]
		if why, node := r.take(&ask.Rows[i], c); why != "" {
			r.exhausted(&out, why, node)
		}
		if c.OK {
			seated++
		}
	}
	if out.Failed != nil {
		out.Failed.ResourcesExhausted = r.asksOf(out.Failed.DimensionExhausted)
		out.Classes, out.Escaped = r.classes()
	}
	return out
}

// take gives a row its node; why is the dimension in which that has no room.
func (r *run) take(row *Row, out *Choice) (why string, node int32) {
	node, ok := r.x.Number(row.Node)
	if !ok || !r.feasible.Has(node) {
		out.Filtered = true
		return "", node
	}
	if row.Replaces != "" {
		if at, known := r.swapOut(row.Replaces); known {
			r.tally(at, -1)
		}
	}
	if out.Filtered = !r.allowed(node); !out.Filtered {
		why = r.fitting(node, out)
	}
	if out.Filtered || why != "" {
		r.bringBack(row.Replaces)
		return why, node
	}
	out.OK, out.NodeID = true, row.Node
	if len(r.ask.Rows) <= maxRowMetrics || len(out.Preempts) > 0 {
		s := r.score(node, false)
		if len(out.Preempts) > 0 {
			s.makesRoom(out.cost)
		}
		out.Metrics = r.explainRow(r.finish(s))
	}
	r.seat(node, out)
	return "", node
}

// bringBack counts again what a row was to replace, "" if nothing.
func (r *run) bringBack(allocID string) {
	if allocID == "" {
		return
	}
	r.swapIn(allocID)
	if at, known := r.x.Number(r.existing[allocID].NodeID); known {
		r.tally(at, 1)
	}
}

// fitting finds the ports of a row on its node, if that has room as it is or once
// others have gone; else it says what lacks.
func (r *run) fitting(node int32, out *Choice) (why string) {
	fits := func() (ok bool) {
		if why = r.misfit(node); why != "" {
			return false
		}
		if out.Ports, ok = r.assign(&r.ports, node); !ok {
			why = dynamicPorts
		}
		return ok
	}
	if fits() {
		return ""
	}
	lacks := why
	if r.opts.Preempt == nil || !r.evict(node, out) {
		return lacks
	}
	if !fits() { // never: those who went were chosen for it
		return why
	}
	return ""
}

// exhausted counts a row whose node has no room.
func (r *run) exhausted(out *Outcome, why string, node int32) {
	if out.Failed == nil {
		out.Failed = r.metric()
	} else {
		out.Failed.CoalescedFailures++
	}
	m := out.Failed
	m.NodesExhausted++
	m.DimensionExhausted = plus(m.DimensionExhausted, why, 1)
	if class := r.x.Node(node).NodeClass; class != "" {
		m.ClassExhausted = plus(m.ClassExhausted, class, 1)
	}
}
