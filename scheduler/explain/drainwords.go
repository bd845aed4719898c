package explain

import (
	"fmt"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// drainSummary is the sentence for a whole drain.
func drainSummary(p *structs.DrainPlan, status string) string {
	node := name(p.NodeID, p.NodeName)
	switch {
	case len(p.Groups) > 0:
	case status == structs.NodeStatusDown:
		return fmt.Sprintf("Node %s is down, and nothing is left to move from it: its drain would be complete at once. What may still run there is stopped when it is back.", node)
	default:
		return fmt.Sprintf("Nothing runs on node %s: its drain would be complete at once.", node)
	}
	begin := "Draining node " + node
	if p.Draining {
		begin = "Node " + node + " drains already; going on"
	}
	text := fmt.Sprintf("%s would move %s", begin, count(p.Moves, "allocation"))
	if p.Unplaceable > 0 {
		text = fmt.Sprintf("%s would move %d of %s; for %d there is no room elsewhere", begin, p.Moves, count(p.Moves+p.Unplaceable, "allocation"), p.Unplaceable)
	}
	if n := len(p.Preempted); n > 0 {
		text += fmt.Sprintf(", by preempting %s of jobs of lower priority", count(n, "allocation"))
	}
	if p.Stops > 0 {
		text += fmt.Sprintf("; %d would stop without a successor", p.Stops)
	}
	if p.Stays > 0 {
		text += fmt.Sprintf("; %d would stay", p.Stays)
	}
	if p.Takes > 0 {
		text += fmt.Sprintf("; it takes %s, %s at least", count(p.Rounds, "round"), p.Takes)
	}
	if p.Deadline > 0 && p.Takes > p.Deadline {
		text += fmt.Sprintf(", and at the deadline of %s all that is left moves at once", p.Deadline)
	}
	return text + "."
}

// groupDrained is the sentence for a group.
func groupDrained(g *structs.DrainedGroup, deadline time.Duration) string {
	leaving := g.Moves + g.Unplaceable
	var text string
	switch {
	case leaving == 0 && g.Stays > 0:
		return fmt.Sprintf("%s: %s.", stay(g.Stays), reasonOf(g, structs.DrainStays))
	case leaving == 0:
		return fmt.Sprintf("%d of %s: %s.", g.Stops, stopWord(len(g.Allocs)), reasonOf(g, structs.DrainStops))
	}
	text = fmt.Sprintf("%d of %d would move", g.Moves, leaving)
	switch {
	case deadline < 0:
		text += " at once"
	case g.JobType != structs.JobTypeService:
		text += ", unless they end before the deadline"
	case g.Rounds > 0:
		text += fmt.Sprintf(" in %s, %s", count(g.Rounds, "round"), atATime(g))
	}
	text += lastOne(g)
	if n := atDeadline(g); n > 0 && g.JobType == structs.JobTypeService {
		text += fmt.Sprintf("; %d of them not before the deadline, since too few others of the group would be healthy", n)
	}
	if g.Unplaceable > 0 {
		text += fmt.Sprintf("; %d can't be placed elsewhere: %s", g.Unplaceable, reasonOf(g, structs.DrainUnplaceable))
	}
	if g.Stops > 0 {
		text += fmt.Sprintf("; %d would stop without a successor", g.Stops)
	}
	if g.Stays > 0 {
		text += fmt.Sprintf("; %s: %s", stay(g.Stays), reasonOf(g, structs.DrainStays))
	}
	return text + "."
}

func stay(n int) string { return fmt.Sprintf("%d would stay", n) }

func stopWord(n int) string { return fmt.Sprintf("%d would stop", n) }

func atATime(g *structs.DrainedGroup) string {
	if g.MaxParallel == 1 {
		return "one at a time (max_parallel 1)"
	}
	return fmt.Sprintf("max_parallel %d", g.MaxParallel)
}

// lastOne says what becomes of the last healthy one of a group.
func lastOne(g *structs.DrainedGroup) string {
	for _, a := range g.Allocs {
		switch {
		case !a.AfterReplacement:
		case a.When == structs.DrainRound:
			return "; the last healthy one once its replacement, which runs beside it until then, is healthy"
		case a.When == structs.DrainDeadline:
			return "; the last healthy one stays until the deadline, unless a replacement for it finds room before"
		}
	}
	return ""
}

func atDeadline(g *structs.DrainedGroup) int {
	n := 0
	for _, a := range g.Allocs {
		if a.When == structs.DrainDeadline && !a.AfterReplacement {
			n++
		}
	}
	return n
}

// reasonOf is the reason of the first allocation with an outcome.
func reasonOf(g *structs.DrainedGroup, outcome string) string {
	for _, a := range g.Allocs {
		if a.Outcome == outcome {
			return a.Reason
		}
	}
	return ""
}
