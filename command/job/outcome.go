package job

import (
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/command/why"
	"github.com/steppe-run/steppe/structs"
)

// shownLines bounds the lines of each table of a plan; -verbose shows all.
const shownLines = 20

// outcome shows what a plan would place where, stop and update.
func outcome(o *structs.PlanOutcome, bold, verbose bool) string {
	if o == nil {
		return ""
	}
	var b strings.Builder
	section := func(title string, headings []string, rows [][]string) {
		if len(rows) == 0 {
			return
		}
		rest := 0
		if !verbose && len(rows) > shownLines {
			rows, rest = rows[:shownLines], len(rows)-shownLines
		}
		body := view.Table(headings, rows)
		if rest > 0 {
			body += "and " + strconv.Itoa(rest) + " more (-verbose shows all)\n"
		}
		b.WriteString(view.Section(title, body, bold))
	}
	section("Would be placed", []string{"Task Group", "Node", "Node ID", "Count", "Score"}, placed(o.Placements, verbose))
	var stopped, preempted [][]string
	for _, s := range o.Stops {
		if s.Preempted {
			preempted = append(preempted, []string{view.ID(s.AllocID, verbose), s.JobID, s.Group, s.NodeName})
			continue
		}
		stopped = append(stopped, []string{view.ID(s.AllocID, verbose), s.Name, s.NodeName, s.Description, replaced(s)})
	}
	section("Would be stopped", []string{"ID", "Name", "Node", "Reason", "Replaced"}, stopped)
	section("Preempted allocations", []string{"ID", "Job ID", "Task Group", "Node"}, preempted)
	var updated [][]string
	for _, u := range o.Updates {
		updated = append(updated, []string{view.ID(u.AllocID, verbose), u.Name, u.NodeName})
	}
	section("Would be updated in place", []string{"ID", "Name", "Node"}, updated)
	return b.String()
}

func replaced(s *structs.PlannedStop) string {
	if s.Replaced {
		return "yes"
	}
	return "no"
}

// scoreRange shows the scores of all allocations that a node would get.
func scoreRange(p *structs.PlannedPlacement) string {
	low, high := why.Score(p.LowestScore), why.Score(p.HighestScore)
	if low == high || p.LowestScore == 0 && p.HighestScore == 0 { // servers that don't tell
		return why.Score(p.Score.Score)
	}
	return low + " to " + high
}

func placed(list []*structs.PlannedPlacement, verbose bool) [][]string {
	var rows [][]string
	for _, p := range list {
		number := strconv.Itoa(p.Count)
		if p.Canaries > 0 {
			number += " (" + strconv.Itoa(p.Canaries) + " canary)"
		}
		score := ""
		if p.Score != nil {
			score = scoreRange(p)
		}
		rows = append(rows, []string{p.Group, p.NodeName, view.ID(p.NodeID, verbose), number, score})
	}
	return rows
}
