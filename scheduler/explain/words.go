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
		return dimension(s.Dimension)
	}
	return fmt.Sprintf("%s (needs %s, has %d)", dimension(s.Dimension), amount(s.Needed, s.Unit), s.Free)
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

// dimension names a dimension within a sentence.
func dimension(text string) string {
	if kind, is := strings.CutPrefix(text, "devices: "); is {
		return "free devices " + kind
	}
	return strings.TrimPrefix(text, "network: ")
}

// amount writes a number with its unit: 1 core, 2 cores, 5 MiB.
func amount(n int64, unit string) string {
	if n == 1 && unit != "MiB" && unit != "MHz" {
		unit = strings.TrimSuffix(unit, "s")
	}
	return fmt.Sprintf("%d %s", n, unit)
}

// lacking names what a condition misses on a node: "missing drivers (x)" is a
// healthy driver x. It is empty for other conditions.
func lacking(reason string) string {
	kind, rest, ok := strings.Cut(strings.TrimPrefix(reason, "missing "), " (")
	if !ok || !strings.HasPrefix(reason, "missing ") {
		return ""
	}
	of := strings.TrimSuffix(rest, ")")
	switch kind {
	case "drivers":
		return "healthy driver " + of
	case "compatible host volumes":
		return "suitable host volume " + of
	case "network":
		return "network of mode " + of
	case "devices":
		return "suitable devices " + of
	}
	return kind + " " + of
}

// unmet says that a node doesn't satisfy a condition. Those that are said with
// what there is instead have a clause of their own.
func unmet(f *structs.FailedCondition) (clause, condition string) {
	pool, ofPool := strings.CutPrefix(f.Condition, "node pool ")
	dc, ofDatacenter := strings.CutPrefix(f.Condition, "datacenter ")
	what := lacking(f.Condition)
	switch {
	case f.Condition == takesPlacements:
		return "it is " + f.Actual, ""
	case ofPool:
		return fmt.Sprintf("it is in node pool %s, not %s", f.Actual, pool), ""
	case ofDatacenter:
		return fmt.Sprintf("it is in datacenter %s, not %s", f.Actual, dc), ""
	case what != "" && f.Actual != "":
		return fmt.Sprintf("it has no %s (%s)", what, f.Actual), ""
	case what != "":
		return "it has no " + what, ""
	case strings.HasSuffix(f.Condition, "not built yet"):
		return f.Condition, ""
	case f.Actual == "":
		return "", f.Condition
	}
	return "", fmt.Sprintf("%s (it is: %s)", f.Condition, f.Actual)
}

// blame says everything that keeps a group off a node.
func blame(conditions []*structs.FailedCondition, shortages []*structs.Shortage, ports []*structs.PortCollision) string {
	var out []string
	var text string
	for _, c := range conditions {
		clause, condition := unmet(c)
		if condition != "" {
			out = append(out, condition)
			continue
		}
		text = and(text, clause)
	}
	if len(out) > 0 {
		text = and(text, "it doesn't satisfy "+list(out))
	}
	out = nil
	for _, s := range shortages {
		if strings.HasPrefix(s.Dimension, "network: port ") {
			text = and(text, dimension(s.Dimension))
			continue
		}
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
	if a == "" || b == "" {
		return a + b
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
		if what := lacking(f.Reason); what != "" {
			same(f.Nodes, "has", "have", "no "+what)
			continue
		}
		same(f.Nodes, "fails", "fail", f.Reason)
	}
	for _, e := range s.ExhaustedBy {
		text := "no room: " + dimension(e.Dimension)
		if e.Missing > 0 {
			text += fmt.Sprintf(" (%s comes nearest, it lacks %s)", name(e.Nearest, e.NearestName), amount(e.Missing, e.Unit))
		}
		switch on := " (on " + name(e.Nearest, e.NearestName); {
		case e.Held == nil:
		case e.Held.Reserved:
			text += on + " it is reserved)"
		case e.Held.AllocID != "":
			text += on + " it is held by " + e.Held.AllocName + ")"
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
