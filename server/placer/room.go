package placer

import (
	"context"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// room is what nodes have left: the committed state, followed change by
// change, plus what plans in flight hold.
type room struct {
	*Follower
	held []*structs.Plan
}

func newRoom(store Store) *room { return &room{Follower: NewFollower(store)} }

// advance brings the index of capacity up to a snapshot and returns that.
func (r *room) advance(ctx context.Context) (*state.Snapshot, error) {
	snap, anew, err := r.Follower.advance(ctx)
	if anew && err == nil {
		for _, plan := range r.held {
			r.capacity.HoldAgain(plan, planIDs())
		}
	}
	return snap, err
}

// hold counts a plan before it is committed.
func (r *room) hold(plan *structs.Plan) {
	r.held = append(r.held, plan)
	if r.capacity != nil {
		r.capacity.Hold(plan, planIDs())
	}
}

// release ends a hold. What was committed of the plan comes as changes; what it
// counted stays counted until then.
func (r *room) release(plan *structs.Plan) {
	for i, p := range r.held {
		if p == plan {
			r.held = append(r.held[:i], r.held[i+1:]...)
			return
		}
	}
}

// undo ends a hold of which nodes were refused, of all nodes if none is named.
func (r *room) undo(plan *structs.Plan, refused []state.RefusedNode) {
	r.release(plan)
	if r.capacity == nil {
		return
	}
	nodes := map[string]bool{}
	for _, n := range refused {
		nodes[n.NodeID] = true
	}
	for i := range plan.Groups {
		g := &plan.Groups[i]
		for j := range g.Rows {
			if len(nodes) == 0 || nodes[g.Rows[j].NodeID] {
				r.capacity.RemoveAlloc(derive(g.Seed, g.FirstRow+uint32(j)))
			}
		}
	}
	r.restore(plan)
}

// restore counts again what the plan was to stop or to preempt and didn't.
func (r *room) restore(plan *structs.Plan) {
	snap := r.store.Snapshot()
	for i := range plan.Groups {
		for j := range plan.Groups[i].Rows {
			for _, id := range plan.Groups[i].Rows[j].Preempts {
				if a := snap.Alloc(id); a != nil {
					r.capacity.SetAlloc(a)
				}
			}
		}
	}
	for _, s := range plan.Stops {
		if a := snap.Alloc(s.AllocID); a != nil {
			r.capacity.SetAlloc(a)
		}
	}
	for _, s := range plan.InPlace {
		if a := snap.Alloc(s.AllocID); a != nil {
			r.capacity.SetAlloc(a)
		}
	}
}

// planIDs says how the state makes the ids of a plan's rows.
func planIDs() scheduler.IDs {
	return scheduler.IDs{
		Derive: func(seed [16]byte, row uint32) [16]byte { return ids.DeriveRaw(seed, row) },
		Row:    func(seed, id [16]byte) (uint32, bool) { return ids.Underived(seed, id) },
	}
}

func derive(seed [16]byte, row uint32) string { return ids.Derive(seed, row) }
