package state

import (
	"slices"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// newResources returns what an allocation takes after an update in place.
func (p *planned) newResources(u *structs.AllocInPlace, v alloc.View) *structs.AllocatedResources {
	if u.Resources == nil {
		return v.Shared().Resources
	}
	return u.Resources
}

// updateInPlace moves allocations to the plan's version of the job, those of a batch
// job too that have done their work since the plan was made: it is the same work.
func (p *planned) updateInPlace() {
	type kind struct {
		from       *alloc.Shared
		deployment string
		resources  *structs.AllocatedResources
	}
	shared := map[kind]*alloc.Shared{} // allocations that go the same way share the result
	moved := map[[2]string]int{}       // by deployment and group
	for i := range p.InPlace {
		u := &p.InPlace[i]
		v := p.tx.Allocs.Find(u.AllocID)
		if !p.mine(v) || !done(v) && (v.Row().Terminal() || p.trial.Refused(v.Row().Node.ID) != "") {
			continue
		}
		from := v.Shared()
		k := kind{from, u.DeploymentID, u.Resources}
		next := shared[k]
		if next == nil {
			s := *from
			s.Job, s.EvalID, s.DeploymentID = p.inPlace, p.EvalID, u.DeploymentID
			s.Resources = p.newResources(u, v)
			s.Ask = askOf(s.Resources)
			next = &s
			shared[k] = next
		}
		fresh := u.DeploymentID != from.DeploymentID
		p.tx.changeRow(v, feed.AllocPlanned, func(r *alloc.Row) {
			r.Over = next
			d := r.Decision()
			d.Description = structs.DescAllocInPlace
			r.Decided = d
			if fresh { // the new deployment judges its health anew
				r.Canary = false
				rep := r.Report()
				rep.Health = nil
				r.Reported = rep
			}
		})
		if fresh && u.DeploymentID != "" {
			moved[[2]string{u.DeploymentID, from.Group}]++
		}
	}
	for _, k := range sortedPairs(moved) {
		p.tx.countPlaced(k[0], k[1], moved[k], nil)
	}
}

func sortedPairs(m map[[2]string]int) [][2]string {
	keys := make([][2]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	return keys
}

// place stores the rows of a group, those of refused nodes aside.
func (p *planned) place(g *structs.PlacementGroup, j *structs.Job) {
	tx := p.tx
	shared := &alloc.Shared{
		Namespace: p.key.Namespace, JobID: p.key.ID, Group: g.TaskGroup,
		EvalID: p.EvalID, DeploymentID: g.DeploymentID, Job: j,
		Resources: g.Resources, Metrics: g.Metrics, Ask: askOf(g.Resources),
		CreateIndex: tx.Index, CreateTime: tx.now,
	}
	var canaries []string
	placed, first := 0, g.FirstRow
	for slice := range slices.Chunk(g.Rows, alloc.MaxRows) {
		views, ok := tx.Allocs.Add(ids.Seed(g.Seed), first, shared, p.rows(slice))
		first += uint32(len(slice))
		if !ok {
			continue // an ID is taken: the same plan twice
		}
		placed += len(views)
		for _, v := range views {
			tx.emitAlloc(feed.AllocPlanned, v)
			if r := v.Row(); r.Canary {
				canaries = append(canaries, v.ID())
			}
			p.linkPrevious(v)
			_, at := v.Batch()
			p.preempt(v, slice[at].Preempts)
		}
	}
	if placed == 0 {
		return
	}
	tx.statsOf(p.key).LiveAllocs += placed
	tx.countStatus(p.key, shared, alloc.Pending, placed)
	tx.countPlaced(g.DeploymentID, g.TaskGroup, placed, canaries)
}

func (p *planned) rows(placements []structs.Placement) []alloc.Row {
	rows := make([]alloc.Row, len(placements))
	for i := range placements {
		r := &placements[i]
		if p.trial.Refused(r.NodeID) != "" {
			continue
		}
		rows[i] = alloc.Row{
			Node: p.target(r.NodeID).ref, NameIndex: r.NameIndex, Canary: r.Canary,
			Modify: p.tx.Index, ServerModify: p.tx.Index, ModifyTime: p.tx.now,
		}
		if len(r.Ports)+len(r.Devices)+len(r.Cores) > 0 || r.PreviousAllocation != "" || r.Reschedule != nil || r.Metrics != nil {
			rows[i].Placed = &alloc.Placed{
				Ports: r.Ports, Devices: r.Devices, Cores: r.Cores, Previous: r.PreviousAllocation,
				Reschedule: r.Reschedule, Metrics: r.Metrics,
			}
		}
	}
	return rows
}

// linkPrevious tells the allocation that a new one replaces about it.
func (p *planned) linkPrevious(v alloc.View) {
	placed := v.Row().Placed
	if placed == nil || placed.Previous == "" {
		return
	}
	previous := p.tx.Allocs.Find(placed.Previous)
	if !p.mine(previous) {
		return
	}
	p.tx.setRow(previous, feed.AllocPlanned, func(r *alloc.Row) {
		d := r.Decision()
		d.Next = v.ID()
		r.Decided = d
	})
}

// preempt evicts the allocations that make room for a new one, and notes them
// on it.
func (p *planned) preempt(by alloc.View, victims []string) {
	var evicted []string
	for _, id := range victims {
		v, ok := p.victim(id, by.Row().Node.ID)
		if !ok {
			continue
		}
		p.tx.changeRow(v, feed.AllocPlanned, func(r *alloc.Row) {
			d := r.Decision()
			d.Description, d.PreemptedBy = structs.DescAllocPreempted, by.ID()
			r.Decided, r.Desired = d, alloc.Evict
		})
		evicted = append(evicted, id)
	}
	if len(evicted) == 0 {
		return
	}
	p.tx.setRow(by, feed.AllocPlanned, func(r *alloc.Row) {
		d := r.Decision()
		d.Preempted = slices.Concat(d.Preempted, evicted)
		r.Decided = d
	})
}

// creditPreemptions tells the allocations that others made room for about them.
func (p *planned) creditPreemptions() {
	for i := range p.Stops {
		s := &p.Stops[i]
		if s.PreemptedBy == "" {
			continue
		}
		v := p.tx.Allocs.Find(s.PreemptedBy)
		if !p.mine(v) {
			continue
		}
		p.tx.setRow(v, feed.AllocPlanned, func(r *alloc.Row) {
			d := r.Decision()
			d.Preempted = slices.Concat(d.Preempted, []string{s.AllocID})
			r.Decided = d
		})
	}
}
