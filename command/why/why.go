// Package why shows explanations to people: tables of scores, what filters
// nodes and what they lack.
//
// It must not know who asked. Begin reading at Survey.
package why

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// Survey shows what all nodes are worth for one more allocation: the true
// counts, then the best nodes.
func Survey(s *structs.NodeSurvey, verbose bool) string {
	var b strings.Builder
	b.WriteString(Counts(s, verbose))
	if len(s.Best) > 0 {
		b.WriteString("\n" + Scores(s.Best, "", verbose))
	}
	return b.String()
}

// Counts shows how many nodes there are and what becomes of them.
func Counts(s *structs.NodeSurvey, verbose bool) string {
	rows := [][]string{{"all nodes", strconv.Itoa(s.Nodes), ""}}
	add := func(n int, what, note string) {
		if n > 0 {
			rows = append(rows, []string{what, strconv.Itoa(n), note})
		}
	}
	add(s.NotReady, "- not ready", "")
	add(s.Ineligible, "- ineligible or draining", "")
	add(s.OtherPool, "- in another node pool", "")
	add(s.OtherDatacenter, "- in another datacenter", "")
	rows = append(rows, []string{"evaluated", strconv.Itoa(s.Evaluated), ""})
	for _, f := range s.FilteredBy {
		add(f.Nodes, "- filtered: "+f.Reason, "")
	}
	for _, e := range s.ExhaustedBy {
		add(e.Nodes, "- exhausted: "+e.Dimension, nearest(e, verbose))
	}
	add(s.Preempting, "- of those with room by preempting", "")
	rows = append(rows, []string{"fit", strconv.Itoa(s.Fitting), ""})
	return view.Table([]string{"Nodes", "Count", "Nearest"}, rows)
}

func nearest(e *structs.ExhaustCount, verbose bool) string {
	switch {
	case e.Held != nil:
		return fmt.Sprintf("%s: port %d, %s", node(e.Nearest, e.NearestName, verbose), e.Held.Port, holder(e.Held))
	case e.Missing == 0:
		return ""
	}
	return node(e.Nearest, e.NearestName, verbose) + " lacks " + amount(e.Missing, e.Unit)
}

// node names a node as people know it.
func node(id, name string, verbose bool) string {
	if name == "" || verbose {
		return strings.TrimSpace(name + " " + view.ID(id, verbose))
	}
	return name
}

// Scores shows nodes with the parts of which their scores are the mean; the node
// of id mark has a star.
func Scores(scores []*structs.NodeScore, mark string, verbose bool) string {
	var names []string
	seen := map[string]bool{}
	for _, s := range scores {
		for part := range s.Parts {
			if !seen[part] {
				seen[part] = true
				names = append(names, part)
			}
		}
	}
	sort.Strings(names)
	rows := make([][]string, 0, len(scores))
	for _, s := range scores {
		title := node(s.NodeID, s.NodeName, verbose)
		if s.Busy {
			title += " (busy)"
		}
		if mark != "" && s.NodeID == mark {
			title = "* " + title
		}
		row := []string{title, Score(s.Score)}
		for _, part := range names {
			row = append(row, partOf(s, part))
		}
		rows = append(rows, row)
	}
	return view.Table(append([]string{"Node", "Score"}, names...), rows)
}

// partOf shows a part of a score, "-" where it doesn't take part in the mean.
func partOf(s *structs.NodeScore, part string) string {
	value, counted := s.Parts[part]
	if !counted {
		return "-"
	}
	return Score(value)
}

// Nodes writes how many nodes.
func Nodes(n int) string {
	if n == 1 {
		return "1 node"
	}
	return strconv.Itoa(n) + " nodes"
}

// Score shows a score or a part of one.
func Score(f float64) string { return strconv.FormatFloat(f, 'f', 3, 64) }

// Obstacles shows everything that keeps a group off a node.
func Obstacles(conditions []*structs.FailedCondition, shortages []*structs.Shortage, ports []*structs.PortCollision) string {
	var parts []string
	if len(conditions) > 0 {
		rows := make([][]string, len(conditions))
		for i, f := range conditions {
			rows[i] = []string{f.Condition, f.Wanted, f.Actual}
		}
		parts = append(parts, view.Table([]string{"Condition", "Wanted", "Actual"}, rows))
	}
	if len(shortages) > 0 {
		rows := make([][]string, len(shortages))
		for i, s := range shortages {
			rows[i] = []string{s.Dimension, amount(s.Needed, s.Unit), amount(s.Free, s.Unit), amount(s.Total, s.Unit)}
		}
		parts = append(parts, view.Table([]string{"Exhausted", "Needed", "Free", "Total"}, rows))
	}
	if len(ports) > 0 {
		rows := make([][]string, len(ports))
		for i, p := range ports {
			rows[i] = []string{strconv.Itoa(p.Port), p.Label, p.HostIP, holder(p)}
		}
		parts = append(parts, view.Table([]string{"Port", "Label", "Address", "Held By"}, rows))
	}
	return strings.Join(parts, "\n")
}

func amount(n int64, unit string) string {
	if unit == "" {
		return ""
	}
	if n == 1 && unit != "MHz" && unit != "MiB" {
		unit = strings.TrimSuffix(unit, "s")
	}
	return fmt.Sprintf("%d %s", n, unit)
}

func holder(p *structs.PortCollision) string {
	switch {
	case p.Reserved:
		return "reserved on the node"
	case p.AllocID != "":
		return fmt.Sprintf("%s (%s)", p.AllocName, view.ID(p.AllocID, false))
	case p.NoHostNetwork:
		return fmt.Sprintf("the node has no host network %s", p.HostNetwork)
	}
	return "taken"
}
