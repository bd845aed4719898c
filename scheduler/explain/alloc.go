package explain

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/steppe-run/steppe/structs"
)

// WhyAlloc says why an allocation was put on its node, and what would be
// chosen for it now, its own room counted as free.
func WhyAlloc(in Input, a *structs.Allocation) *structs.AllocWhy {
	w := &structs.AllocWhy{
		AllocID: a.ID, Name: a.Name, Namespace: a.Namespace, JobID: a.JobID, Version: a.JobVersion(), Group: a.TaskGroup,
		NodeID: a.NodeID, NodeName: cmp.Or(a.NodeName, in.nodeName(a.NodeID)),
	}
	if a.Metrics != nil {
		w.Then = in.then(a)
	}
	if group := a.Job.LookupTaskGroup(a.TaskGroup); group != nil && !a.TerminalStatus() {
		w.Now = in.now(a, group)
	}
	w.Summary = allocSummary(w)
	return w
}

func (in *Input) then(a *structs.Allocation) *structs.PlacementThen {
	m := a.Metrics
	t := &structs.PlacementThen{Time: a.CreateTime, Evaluated: m.NodesEvaluated, Filtered: m.NodesFiltered, Exhausted: m.NodesExhausted}
	for reason, n := range m.ConstraintFiltered {
		t.FilteredBy = append(t.FilteredBy, &structs.FilterCount{Reason: reason, Nodes: n})
	}
	slices.SortFunc(t.FilteredBy, func(a, b *structs.FilterCount) int {
		return cmp.Or(b.Nodes-a.Nodes, cmp.Compare(a.Reason, b.Reason))
	})
	for _, s := range m.ScoreMetaData {
		t.Scores = append(t.Scores, in.stored(a, s))
	}
	slices.SortStableFunc(t.Scores, func(x, y *structs.NodeScore) int { return cmp.Compare(y.Score, x.Score) })
	t.Rank = 1 + slices.IndexFunc(t.Scores, func(s *structs.NodeScore) bool { return s.NodeID == a.NodeID })
	return t
}

func (in *Input) now(a *structs.Allocation, group *structs.TaskGroup) *structs.PlacementNow {
	s := in.look(a.Job, in.study(a.Job, group, a.ID))
	n := &structs.PlacementNow{Rank: s.rank(a.NodeID), Survey: s.NodeSurvey}
	if n.Fits = n.Rank > 0; n.Fits {
		n.Score = s.score(&s.fitting[n.Rank-1])
		return n
	}
	if node := in.View.Node(a.NodeID); node != nil {
		o := in.obstacles(s.study, node, a.Job)
		n.Conditions, n.Shortages, n.Ports = o.conditions, o.shortages, o.ports
	}
	return n
}

func allocSummary(w *structs.AllocWhy) string {
	node := name(w.NodeID, w.NodeName)
	text := fmt.Sprintf("It was put on %s", node)
	if t := w.Then; t != nil && t.Rank > 0 {
		text += " with a score of " + number(t.Scores[t.Rank-1].Score)
		if t.Rank == 1 && len(t.Scores) > 1 {
			text += fmt.Sprintf(", ahead of %s with %s", scoreName(t.Scores[1]), number(t.Scores[1].Score))
		}
	} else if t != nil && len(t.Scores) > 0 {
		text += ", with many others; kept are the scores of the nodes that were best before the first of them"
	}
	n := w.Now
	switch {
	case n == nil:
		return text + "; it has ended."
	case n.Fits && n.Rank == 1:
		return text + fmt.Sprintf("; it would be chosen again, with %s.", number(n.Score.Score))
	case n.Fits:
		best := n.Survey.Best[0]
		return text + fmt.Sprintf("; now %s would be chosen with %s, %s scoring %s.", scoreName(best), number(best.Score), node, number(n.Score.Score))
	}
	why := blame(n.Conditions, n.Shortages, n.Ports)
	if why == "" {
		why = "the node is gone"
	}
	return text + fmt.Sprintf("; now the node wouldn't take it: %s.", why)
}
