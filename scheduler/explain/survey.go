package explain

import (
	"cmp"
	"slices"

	"github.com/steppe-run/steppe/scheduler/place"
	"github.com/steppe-run/steppe/scheduler/rank"
	"github.com/steppe-run/steppe/structs"
)

// shownNodes is how many of the best nodes a survey names.
const shownNodes = 5

// survey is a study of all nodes for one more allocation of a group, with
// those that fit in the order in which they would be taken.
type survey struct {
	*structs.NodeSurvey
	study   *place.Study
	fitting []place.Verdict // best first
	// affinities is set if they are a part of the scores.
	affinities bool
}

// look surveys all nodes.
func (in *Input) look(job *structs.Job, study *place.Study) *survey {
	s := &survey{NodeSurvey: &structs.NodeSurvey{}, study: study, affinities: rank.Affinities(job, study.Group())}
	s.apart(in, job)
	filtered, exhausted := map[string]int{}, map[string]*structs.ExhaustCount{}
	study.Each(func(v place.Verdict) {
		s.Evaluated++
		switch {
		case v.Filtered != "":
			s.Filtered++
			filtered[v.Filtered]++
		case v.Exhausted != "":
			s.Exhausted++
			if v.Preempting {
				s.Preempting++
			}
			s.nearest(exhausted, &v)
		default:
			s.fitting = append(s.fitting, v)
		}
	})
	for reason, n := range filtered {
		s.FilteredBy = append(s.FilteredBy, &structs.FilterCount{Reason: reason, Nodes: n})
	}
	slices.SortFunc(s.FilteredBy, func(a, b *structs.FilterCount) int {
		return cmp.Or(b.Nodes-a.Nodes, cmp.Compare(a.Reason, b.Reason))
	})
	for _, e := range exhausted {
		s.held(in, e)
		s.ExhaustedBy = append(s.ExhaustedBy, e)
	}
	slices.SortFunc(s.ExhaustedBy, func(a, b *structs.ExhaustCount) int {
		return cmp.Or(b.Nodes-a.Nodes, cmp.Compare(a.Dimension, b.Dimension))
	})
	s.Contradiction = study.Conflict()
	slices.SortFunc(s.fitting, inOrder)
	s.Fitting = len(s.fitting)
	for i := range s.fitting[:min(shownNodes, len(s.fitting))] {
		s.Best = append(s.Best, s.score(&s.fitting[i]))
	}
	return s
}

// inOrder orders nodes that fit as the planner takes them.
func inOrder(a, b place.Verdict) int {
	if a.Busy != b.Busy {
		if b.Busy {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(b.Score.NormScore, a.Score.NormScore), cmp.Compare(a.Tie, b.Tie))
}

// apart counts the nodes that are not asked at all.
func (s *survey) apart(in *Input, job *structs.Job) {
	for n := range in.View.Nodes("") {
		s.Nodes++
		switch {
		case n.Status != structs.NodeStatusReady, n.SilentSince != 0, n.QuarantineUntil != 0:
			s.NotReady++
		case !n.Ready():
			s.Ineligible++
		case !n.InPool(job.GetNodePool()):
			s.OtherPool++
		case !n.InDatacenters(job.Datacenters):
			s.OtherDatacenter++
		}
	}
}

// held names who has a port on one of the nodes where it is taken.
func (s *survey) held(in *Input, e *structs.ExhaustCount) {
	if e.Missing > 0 {
		return
	}
	collisions, node := s.study.Collisions(e.Nearest), in.View.Node(e.Nearest)
	if len(collisions) == 0 || node == nil {
		e.Nearest, e.NearestName = "", ""
		return
	}
	e.Held = in.collision(node, &collisions[0])
}

// nearest counts a node under the dimension that it lacks, and keeps the one
// that comes nearest. A node that lacks several is counted once.
func (s *survey) nearest(by map[string]*structs.ExhaustCount, v *place.Verdict) {
	e := by[v.Exhausted]
	if e == nil {
		e = &structs.ExhaustCount{Dimension: v.Exhausted, Nearest: v.Node.ID, NearestName: v.Node.Name}
		by[v.Exhausted] = e
	}
	e.Nodes++
	for _, short := range s.study.Shortages(v.Node.ID) {
		missing := short.Needed - short.Free
		if short.Dimension != v.Exhausted || missing <= 0 {
			continue
		}
		if e.Missing == 0 || missing < e.Missing || missing == e.Missing && v.Node.ID < e.Nearest {
			e.Missing, e.Unit, e.Nearest, e.NearestName = missing, short.Unit, v.Node.ID, v.Node.Name
		}
	}
}

// rank returns a node's place among those that fit, 0 if it isn't one.
func (s *survey) rank(nodeID string) int {
	return 1 + slices.IndexFunc(s.fitting, func(v place.Verdict) bool { return v.Node.ID == nodeID })
}

func (s *survey) score(v *place.Verdict) *structs.NodeScore {
	return &structs.NodeScore{NodeID: v.Node.ID, NodeName: v.Node.Name, Score: v.Score.NormScore, Parts: rank.Counted(v.Score.Scores, s.affinities), Busy: v.Busy}
}
