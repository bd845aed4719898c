package scheduler

import (
	"github.com/steppe-run/steppe/scheduler/place"
	"github.com/steppe-run/steppe/scheduler/reconcile"
	"github.com/steppe-run/steppe/structs"
)

// Scratch is memory that one decision leaves to the next: a small job costs half
// as much when it doesn't need its own. No decision sees what is in it, and none
// keeps any of it. It serves one call of Schedule at a time.
type Scratch struct {
	planner *place.Planner
	places  []reconcile.Place
	list    []*reconcile.Place
	rows    []place.Row
	allocs  []*structs.Allocation
	tally   reconcile.Tally
}

// maxScratch is the number of placements, or of a job's allocations, up to which
// memory is kept.
const maxScratch = 2 * MaxPlacements

// planner returns a planner for an evaluation.
func (d *decider) newPlanner(opts place.Options) *place.Planner {
	if d.Scratch.planner == nil {
		d.Scratch.planner = place.New(d.Capacity, opts)
	} else {
		d.Scratch.planner.Reset(d.Capacity, opts)
	}
	return d.Scratch.planner
}

// tidy lets go what the decision's lists point to, and lists that are large.
func (s *Scratch) tidy() {
	s.tally = reconcile.Tally{}
	s.places, s.list, s.rows, s.allocs = tidied(s.places), tidied(s.list), tidied(s.rows), tidied(s.allocs)
}

func tidied[T any](list []T) []T {
	if cap(list) > maxScratch {
		return nil
	}
	clear(list)
	return list[:0]
}
