package node

import (
	"context"
	"fmt"
	"strconv"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/command/why"
	"github.com/steppe-run/steppe/structs"
)

// drainMisfit is the exit code of a plan of which something wouldn't fit.
const drainMisfit = 2

// planDrain tells what a drain would do.
func planDrain(ctx context.Context, c *connect.Call) error {
	if c.Bool("disable") || c.Bool("monitor") {
		return term.Fail("-plan tells what a drain would do: it can't be used with -disable or -monitor")
	}
	spec, err := drainSpec(c)
	if err != nil {
		return err
	}
	id, err := target(ctx, c)
	if err != nil {
		return err
	}
	p, _, err := c.Client.DrainPlan(ctx, id, *spec, nil)
	if err != nil {
		return term.Fail("Error planning drain: %v", err)
	}
	done, err := view.Formatted(c.Command, c.Streams, p)
	if err != nil {
		return err
	}
	if !done {
		showDrainPlan(c, p)
	}
	if !p.Fits {
		return &term.Exit{Code: drainMisfit}
	}
	return nil
}

// shownAllocs bounds the lines of a group; -verbose shows all.
const shownAllocs = 20

func showDrainPlan(c *connect.Call, p *structs.DrainPlan) {
	verbose := c.Bool("verbose")
	c.Printf("%s\n", view.OneLine(p.Summary))
	for _, g := range p.Groups {
		body := view.OneLine(g.Summary) + "\n" + drained(g.Allocs, verbose)
		c.Printf("%s", view.Section(fmt.Sprintf("Job %q, Task Group %q (%s)", view.Clean(g.JobID), view.Clean(g.Group), g.JobType), body, c.Colour()))
		if g.Next != nil {
			c.Printf("%s", view.Section("No Room for More of It", why.Counts(g.Next, verbose), c.Colour()))
		}
	}
	var rows [][]string
	for _, a := range p.Preempted {
		rows = append(rows, []string{view.ID(a.AllocID, verbose), a.Name, a.JobID, strconv.Itoa(a.Priority)})
	}
	if len(rows) > 0 {
		c.Printf("%s", view.Section("Preempted allocations", view.Table([]string{"ID", "Name", "Job ID", "Priority"}, rows), c.Colour()))
	}
	c.Printf("\nNothing was changed. To drain the node run:\n\n  steppe node drain -enable%s %s\n", drainFlags(c), p.NodeID)
}

func drained(allocs []*structs.DrainedAlloc, verbose bool) string {
	rest := 0
	if !verbose && len(allocs) > shownAllocs {
		allocs, rest = allocs[:shownAllocs], len(allocs)-shownAllocs
	}
	rows := make([][]string, len(allocs))
	for i, a := range allocs {
		when := a.When
		if a.When == structs.DrainRound {
			when += " " + strconv.Itoa(a.Round)
		}
		if a.AfterReplacement && a.Outcome == structs.DrainMoves {
			when += ", after its replacement"
		}
		to := a.NodeName
		if to == "" || verbose && a.NodeID != "" {
			to = view.ID(a.NodeID, verbose)
		}
		if a.NodeID == "" {
			to = "-"
		}
		rows[i] = []string{view.ID(a.AllocID, verbose), a.Name, a.Outcome, when, to}
	}
	text := view.Table([]string{"ID", "Name", "Outcome", "When", "To"}, rows)
	if rest > 0 {
		text += "and " + strconv.Itoa(rest) + " more (-verbose shows all)\n"
	}
	return text
}

// drainFlags repeats the flags that say how to drain.
func drainFlags(c *connect.Call) string {
	out := ""
	for _, name := range []string{"force", "no-deadline", "ignore-system"} {
		if c.Bool(name) {
			out += " -" + name
		}
	}
	if d := c.String("deadline"); d != "" {
		out += " -deadline " + d
	}
	return out
}
