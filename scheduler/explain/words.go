package explain

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// count writes a number with its noun: 1 node, 3 nodes.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// list joins parts to a sentence's list: a, b and c.
func list(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	last := len(parts) - 1
	return strings.Join(parts[:last], ", ") + " and " + parts[last]
}

func number(score float64) string { return strconv.FormatFloat(score, 'f', 3, 64) }

// name is how a sentence names a node.
func name(id, text string) string {
	if text != "" {
		return text
	}
	return id
}

func scoreName(s *structs.NodeScore) string { return name(s.NodeID, s.NodeName) }

// lack says what a node lacks of a dimension: memory (needs 512 MiB, has 100 MiB).
func lack(s *structs.Shortage) string {
	if s.Unit == "" {
		return s.Dimension
	}
	return fmt.Sprintf("%s (needs %d %s, has %d)", s.Dimension, s.Needed, s.Unit, s.Free)
}

func collide(p *structs.PortCollision) string {
	port := fmt.Sprintf("port %d (%s)", p.Port, p.Label)
	switch {
	case p.Reserved:
		return port + " is reserved on the node"
	case p.AllocID != "":
		return fmt.Sprintf("%s is held by %s", port, p.AllocName)
	case p.NoHostNetwork:
		return fmt.Sprintf("%s wants the host network %s", port, p.HostNetwork)
	}
	return port + " is taken"
}

func unmet(f *structs.FailedCondition) string {
	if f.Actual == "" {
		return f.Condition
	}
	return fmt.Sprintf("%s (it is: %s)", f.Condition, f.Actual)
}

// blame says everything that keeps a group off a node.
func blame(conditions []*structs.FailedCondition, shortages []*structs.Shortage, ports []*structs.PortCollision) string {
	var out []string
	for _, c := range conditions {
		out = append(out, unmet(c))
	}
	var text string
	if len(out) > 0 {
		text = "it doesn't satisfy " + list(out)
	}
	out = nil
	for _, s := range shortages {
		out = append(out, lack(s))
	}
	if len(out) > 0 {
		text = and(text, "it has not enough "+list(out))
	}
	out = nil
	for _, p := range ports {
		out = append(out, collide(p))
	}
	if len(out) > 0 {
		text = and(text, list(out))
	}
	return text
}

func and(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

func onNodeSummary(on *structs.GroupOnNode, node *structs.Node) string {
	switch {
	case !on.Fits:
		why := blame(on.Conditions, on.Shortages, on.Ports)
		return fmt.Sprintf("Node %s can't take group %q: %s%s.", name(node.ID, node.Name), on.Group, why, ifTheyGo(on.Preempts))
	case on.Rank == 1:
		return fmt.Sprintf("Node %s would be chosen for group %q: it scores %s, %s.",
			name(node.ID, node.Name), on.Group, number(on.Score.Score), bestOf(on.Fitting))
	}
	text := fmt.Sprintf("Node %s would fit group %q and scores %s, number %d of %s that fit; the best is %s with %s",
		name(node.ID, node.Name), on.Group, number(on.Score.Score), on.Rank, count(on.Fitting, "node"), scoreName(on.Best), number(on.Best.Score))
	if on.Score.Busy {
		text += "; it is busy starting allocations, so that others come first"
	}
	return text + "."
}

// ifTheyGo says who could make room.
func ifTheyGo(preempts []*structs.PreemptedAlloc) string {
	if len(preempts) == 0 {
		return ""
	}
	var names []string
	for _, a := range preempts[:min(len(preempts), maxNamed)] {
		names = append(names, fmt.Sprintf("%s (priority %d)", a.Name, a.Priority))
	}
	if more := len(preempts) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return "; it could by preempting " + list(names)
}

// maxNamed is how many allocations a sentence names.
const maxNamed = 3

// bestOf says of how many nodes that fit one is the best.
func bestOf(n int) string {
	if n == 1 {
		return "the only node that fits"
	}
	return fmt.Sprintf("the best of %d nodes that fit", n)
}

func nodeSummary(w *structs.NodeWhyNot) string {
	if len(w.Groups) == 1 {
		return w.Groups[0].Summary
	}
	var fit, not []string
	for _, g := range w.Groups {
		if g.Fits {
			fit = append(fit, strconv.Quote(g.Group))
		} else {
			not = append(not, strconv.Quote(g.Group))
		}
	}
	node := "Node " + name(w.NodeID, w.NodeName)
	switch {
	case len(not) == 0:
		return fmt.Sprintf("%s could take one more of every group of job %q.", node, w.JobID)
	case len(fit) == 0:
		return fmt.Sprintf("%s can take none of the groups of job %q.", node, w.JobID)
	}
	return fmt.Sprintf("%s could take one more of %s, but not of %s.", node, list(fit), list(not))
}

// refusals says what becomes of the nodes, by how many.
func refusals(s *structs.NodeSurvey) string {
	if s.Nodes == 0 {
		return "there are no nodes"
	}
	var out []string
	add := func(n int, one, many string) {
		switch {
		case n == 0:
		case s.Nodes == 1:
			out = append(out, "the only node "+one)
		case n == 1:
			out = append(out, "1 "+one)
		default:
			out = append(out, strconv.Itoa(n)+" "+many)
		}
	}
	same := func(n int, verb, verbs, text string) { add(n, verb+" "+text, verbs+" "+text) }
	same(s.NotReady, "is", "are", "not ready")
	same(s.Ineligible, "is", "are", "ineligible or draining")
	same(s.OtherPool, "is", "are", "in another node pool")
	same(s.OtherDatacenter, "is", "are", "in another datacenter")
	for _, f := range s.FilteredBy {
		same(f.Nodes, "fails", "fail", f.Reason)
	}
	for _, e := range s.ExhaustedBy {
		text := "no room: " + e.Dimension
		if e.Missing > 0 {
			text += fmt.Sprintf(" (%s comes nearest, it lacks %d %s)", name(e.Nearest, e.NearestName), e.Missing, e.Unit)
		}
		same(e.Nodes, "has", "have", text)
	}
	add(s.Preempting, "of those has room by preempting", "of those have room by preempting")
	add(s.Fitting, "fits", "fit")
	text := list(out)
	if s.Nodes > 1 {
		text = fmt.Sprintf("of %d nodes, %s", s.Nodes, text)
	}
	if len(s.Contradiction) > 1 {
		text += "; no node satisfies " + list(s.Contradiction) + " together"
	}
	return text
}
