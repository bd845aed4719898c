package scheduler

import (
	"strings"

	"github.com/steppe-run/steppe/structs"
)

func (d *decider) allAtOnce() bool { return d.job != nil && structs.Value(d.job.AllAtOnce) }

// withhold takes all placements out of the plan of a job that is placed all at
// once, if one of them found no room, and what was to stop for them. stops is how
// many allocations stop in any case.
func (d *decider) withhold(stops int) {
	if !d.allAtOnce() || len(d.failed) == 0 {
		return
	}
	names := make([]string, 0, len(d.failed))
	for _, tg := range d.job.TaskGroups {
		if d.failed[tg.GetName()] != nil {
			names = append(names, tg.GetName())
		}
	}
	why := "all at once: no room for group " + strings.Join(names, ", ")
	for g := range d.plan.Groups {
		group := &d.plan.Groups[g]
		d.queued[group.TaskGroup] += len(group.Rows)
		if m := d.failed[group.TaskGroup]; m != nil {
			m.CoalescedFailures += len(group.Rows)
			continue
		}
		m := *group.Metrics
		m.ScoreMetaData, m.NodesExhausted = nil, m.NodesEvaluated-m.NodesFiltered
		m.DimensionExhausted = map[string]int{why: m.NodesExhausted}
		m.CoalescedFailures = len(group.Rows) - 1
		d.failed[group.TaskGroup] = &m
	}
	d.plan.Groups, d.plan.Stops = nil, d.plan.Stops[:stops]
}
