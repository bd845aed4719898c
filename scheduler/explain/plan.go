package explain

import (
	"cmp"
	"slices"

	"github.com/steppe-run/steppe/scheduler/rank"
	"github.com/steppe-run/steppe/structs"
)

// Allocs finds allocations and nodes; a snapshot satisfies it.
type Allocs interface {
	Alloc(id string) *structs.Allocation
	Node(id string) *structs.Node
}

// Outcome says what a job's plan would do, by node and by allocation, and which
// allocations of other jobs would make room.
func Outcome(view Allocs, job *structs.Job, plan *structs.Plan) (*structs.PlanOutcome, []*structs.AllocationListStub) {
	o := &outcome{view: view, job: job, PlanOutcome: &structs.PlanOutcome{}, replaced: map[string]bool{}}
	for i := range plan.Groups {
		o.group(&plan.Groups[i])
	}
	for i := range plan.Stops {
		o.stop(&plan.Stops[i])
	}
	slices.SortFunc(o.Stops, func(a, b *structs.PlannedStop) int {
		return cmp.Or(cmp.Compare(a.JobID, b.JobID), cmp.Compare(a.Group, b.Group), compareNames(a.Name, b.Name), cmp.Compare(a.AllocID, b.AllocID))
	})
	for _, u := range plan.InPlace {
		if a := view.Alloc(u.AllocID); a != nil {
			o.Updates = append(o.Updates, &structs.PlannedUpdate{
				AllocID: a.ID, Name: a.Name, Group: a.TaskGroup, NodeID: a.NodeID, NodeName: o.nodeName(a),
			})
		}
	}
	slices.SortFunc(o.Updates, func(a, b *structs.PlannedUpdate) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), compareNames(a.Name, b.Name), cmp.Compare(a.AllocID, b.AllocID))
	})
	return o.PlanOutcome, o.preempted
}

// compareNames orders web.web[2] before web.web[10].
func compareNames(a, b string) int {
	return cmp.Or(len(a)-len(b), cmp.Compare(a, b))
}

type outcome struct {
	*structs.PlanOutcome
	view      Allocs
	job       *structs.Job
	replaced  map[string]bool // by allocation, or by group and node of a job on every node
	preempted []*structs.AllocationListStub
}

// group adds what a batch of placements would start, by node.
func (o *outcome) group(g *structs.PlacementGroup) {
	at := map[string]*structs.PlannedPlacement{}
	first := len(o.Placements)
	for i := range g.Rows {
		row := &g.Rows[i]
		p, scored := at[row.NodeID], meta(g, row)
		if p == nil {
			p = &structs.PlannedPlacement{Group: g.TaskGroup, NodeID: row.NodeID}
			if n := o.view.Node(row.NodeID); n != nil {
				p.NodeName = n.Name
			}
			if scored != nil {
				p.Score, p.LowestScore, p.HighestScore = o.score(g, scored), scored.NormScore, scored.NormScore
			}
			at[row.NodeID] = p
			o.Placements = append(o.Placements, p)
		}
		p.Count++
		if scored != nil {
			p.LowestScore, p.HighestScore = min(p.LowestScore, scored.NormScore), max(p.HighestScore, scored.NormScore)
		}
		if row.Canary {
			p.Canaries++
		}
		p.Names = append(p.Names, structs.AllocName(o.job.GetID(), g.TaskGroup, row.NameIndex))
		p.Preempts = append(p.Preempts, row.Preempts...)
		if row.PreviousAllocation != "" {
			o.replaced[row.PreviousAllocation] = true
		}
		if structs.EveryNode(o.job.GetType()) {
			o.replaced[spot(g.TaskGroup, row.NodeID)] = true // it has no other node
		}
		for _, id := range row.Preempts {
			o.evict(id, structs.DescAllocPreempted)
		}
	}
	slices.SortStableFunc(o.Placements[first:], func(a, b *structs.PlannedPlacement) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.NodeName, b.NodeName), cmp.Compare(a.NodeID, b.NodeID))
	})
}

// meta is what a row's node scored, if its explanation says so.
func meta(g *structs.PlacementGroup, row *structs.Placement) *structs.NodeScoreMeta {
	for _, m := range []*structs.AllocationMetric{row.Metrics, g.Metrics} {
		if m == nil {
			continue
		}
		for _, s := range m.ScoreMetaData {
			if s.NodeID == row.NodeID {
				return s
			}
		}
	}
	return nil
}

func (o *outcome) score(g *structs.PlacementGroup, s *structs.NodeScoreMeta) *structs.NodeScore {
	score := &structs.NodeScore{NodeID: s.NodeID, Score: s.NormScore, Parts: rank.Counted(s.Scores, rank.Affinities(o.job, o.job.LookupTaskGroup(g.TaskGroup)))}
	if n := o.view.Node(s.NodeID); n != nil {
		score.NodeName = n.Name
	}
	return score
}

func (o *outcome) stop(s *structs.AllocStop) {
	if s.PreemptedBy != "" {
		o.evict(s.AllocID, s.DesiredDescription)
		return
	}
	if a := o.view.Alloc(s.AllocID); a != nil {
		o.Stops = append(o.Stops, o.planned(a, s.DesiredDescription))
	}
}

func (o *outcome) evict(id, why string) {
	a := o.view.Alloc(id)
	if a == nil {
		return
	}
	p := o.planned(a, why)
	p.Preempted = true
	o.Stops = append(o.Stops, p)
	o.preempted = append(o.preempted, a.Stub())
}

// spot names a group on a node.
func spot(group, nodeID string) string { return group + " on " + nodeID }

func (o *outcome) planned(a *structs.Allocation, why string) *structs.PlannedStop {
	return &structs.PlannedStop{
		AllocID: a.ID, Name: a.Name, JobID: a.JobID, Group: a.TaskGroup, NodeID: a.NodeID, NodeName: o.nodeName(a),
		Description: why, Replaced: o.replaced[a.ID] || o.replaced[spot(a.TaskGroup, a.NodeID)] && a.JobID == o.job.GetID() && a.Namespace == o.job.GetNamespace(),
	}
}

func (o *outcome) nodeName(a *structs.Allocation) string {
	if n := o.view.Node(a.NodeID); n != nil && a.NodeName == "" {
		return n.Name
	}
	return a.NodeName
}
