package place

import (
	"iter"
	"slices"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/preempt"
	"github.com/steppe-run/steppe/scheduler/rank"
	"github.com/steppe-run/steppe/structs"
)

// Preemption lets rows that find no room take that of jobs of lower priority.
type Preemption struct {
	// Job is the job that is placed, and its priority.
	Job      structs.NamespacedID
	Priority int
	// Running lists the allocations of a node.
	Running func(nodeID string) iter.Seq[*structs.Allocation]
	// MaxRows bounds how many rows of an evaluation may take room, 0: any
	// number. Once it is reached the rest is left for another plan.
	MaxRows int
}

// victims remembers what may go, while an evaluation is placed.
type victims struct {
	candidates map[int32][]preempt.Candidate
	groups     map[victimGroup]*preempt.Group
	rows       int // that took room so far
}

type victimGroup struct {
	job   structs.NamespacedID
	group string
}

// room is what has to go from a node for the next row, and the node's score
// then. It holds while the node is as it is and no more of its groups' allocations
// go elsewhere.
type room struct {
	gone   []*preempt.Candidate
	cost   float64
	scored scored
	stamp  int
}

// full reports whether the evaluation took room for as many rows as it may.
func (p *Planner) full() bool {
	return p.opts.Preempt != nil && p.opts.Preempt.MaxRows > 0 && p.victims.rows >= p.opts.Preempt.MaxRows
}

// makeRoom finds the best node on which others can go for a row, and lets them
// go. It is asked only when no node has room as it is.
func (r *run) makeRoom(row *Row, out *Choice) (node int32, ok bool) {
	if r.opts.Preempt == nil {
		return 0, false
	}
	var best capacity.Found
	var chosen *room
	r.feasible.Each(func(node int32) {
		if !r.allowed(node) {
			return
		}
		m := r.roomOn(node)
		if len(m.gone) == 0 {
			return
		}
		s := m.scored
		if r.penalized(row, node) {
			s.add(rank.ReschedulePenalty)
		}
		s = r.finish(s)
		c := capacity.Found{Node: node, Tie: capacity.Tie(r.x.Hash(node), r.opts.Seed), Score: s.final}
		if chosen == nil || c.Before(&best) {
			best, chosen = c, m
		}
	})
	if chosen == nil {
		return 0, false
	}
	r.evict(best.Node, chosen, out)
	return best.Node, true
}

// evict lets go what makes room on a node.
func (r *run) evict(node int32, m *room, out *Choice) {
	gone := map[string]bool{}
	for _, c := range m.gone {
		r.Free(c.ID)
		c.Group.Gone++
		gone[c.ID] = true
		out.Preempts = append(out.Preempts, c.ID)
	}
	slices.Sort(out.Preempts)
	out.cost = m.cost
	r.victims.candidates[node] = slices.DeleteFunc(slices.Clone(r.victims.candidates[node]), func(c preempt.Candidate) bool { return gone[c.ID] })
	r.victims.rows++
	r.void(node)
	delete(r.rooms, node)
}

// roomOn finds what has to go from a node, as remembered if nothing changed.
func (r *run) roomOn(node int32) *room {
	list := r.candidates(node)
	stamp := 0
	for i := range list {
		stamp += list[i].Group.Gone
	}
	if m := r.rooms[node]; m != nil && m.stamp == stamp {
		return m
	}
	m := &room{stamp: stamp}
	if r.rooms == nil {
		r.rooms = map[int32]*room{}
	}
	r.rooms[node] = m
	gone, ok := preempt.Choose(preempt.Node{
		Total: r.x.Total(node), Candidates: list,
		Lack: func(gone []*preempt.Candidate) preempt.Lack {
			defer r.imagine(node, gone)()
			return r.lack(node)
		},
	})
	if !ok || len(gone) == 0 {
		return m
	}
	defer r.imagine(node, gone)()
	m.gone, m.cost = gone, preempt.Cost(gone)
	d := r.deltas.Get(node)
	d.pow = capacity.PowOf(r.x.Total(node), r.x.Used(node).Plus(d.used))
	m.scored = r.score(node, false)
	m.scored.makesRoom(m.cost)
	return m
}

// makesRoom adds what it costs to make room.
func (s *scored) makesRoom(cost float64) {
	s.preempts, s.preempt = true, rank.Preemption(cost)
	s.add(s.preempt)
}

// imagine has a node look as if some allocations were gone, until the function
// that it returns is called. The free shares are left as they are.
func (r *run) imagine(node int32, gone []*preempt.Candidate) (undo func()) {
	before := r.deltas.Get(node)
	var d delta
	if before != nil {
		d = *before
		d.freed = slices.Clip(d.freed)
	}
	for _, c := range gone {
		d.used = d.used.Minus(c.Amount)
		d.allocs--
		d.freed = append(d.freed, c.Ports...)
		d.freedThings = merge(d.freedThings, c.Things)
	}
	*r.deltas.Ref(node) = &d
	return func() {
		if before == nil {
			*r.deltas.Ref(node) = nil
		} else {
			*r.deltas.Ref(node) = before
		}
	}
}

// candidates lists the allocations of a node that may go.
func (p *Planner) candidates(node int32) []preempt.Candidate {
	v := &p.victims
	if list, known := v.candidates[node]; known {
		return list
	}
	if v.candidates == nil {
		v.candidates, v.groups = map[int32][]preempt.Candidate{}, map[victimGroup]*preempt.Group{}
	}
	var list []preempt.Candidate
	for a := range p.opts.Preempt.Running(p.x.Node(node).ID) {
		at, amount, counted := p.x.AllocNode(a.ID)
		if !counted || at != node || a.Job == nil || a.Job.GetPriority() > p.opts.Preempt.Priority-preempt.Gap {
			continue
		}
		job := structs.NamespacedID{Namespace: a.Namespace, ID: a.JobID}
		if job == p.opts.Preempt.Job {
			continue
		}
		list = append(list, preempt.Candidate{
			ID: a.ID, Priority: a.Job.GetPriority(), Group: v.group(job, a),
			Amount: amount, Ports: p.x.AllocPorts(a.ID), Things: p.x.AllocThings(a.ID),
		})
	}
	v.candidates[node] = list
	return list
}

func (v *victims) group(job structs.NamespacedID, a *structs.Allocation) *preempt.Group {
	key := victimGroup{job, a.TaskGroup}
	g := v.groups[key]
	if g == nil {
		g = &preempt.Group{}
		if tg := a.Job.LookupTaskGroup(a.TaskGroup); tg != nil && tg.Migrate != nil {
			g.MaxParallel = structs.Value(tg.Migrate.MaxParallel)
		}
		v.groups[key] = g
	}
	return g
}
