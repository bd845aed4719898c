package job

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/jobfile"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/command/why"
	"github.com/steppe-run/steppe/structs"
)

// The exit codes of plan.
const (
	planChanges = 1
	planError   = 255
)

func planVerb() connect.Verb {
	return connect.Verb{
		Name: "plan", Usage: "show what submitting a job would do", Args: []string{"<path or URL or ->"}, ErrorCode: planError,
		Help: "Exit code 0: nothing would be created or destroyed. 1: something would. 255: an error.",
		Flags: append(jobfile.Flags(),
			&cli.BoolFlag{Name: "diff", Usage: "show what changes", Value: true},
			&cli.BoolFlag{Name: "verbose", Usage: "show every field"},
			&cli.BoolFlag{Name: "policy-override", Usage: "accepted, there are no policies to override"},
			&cli.BoolFlag{Name: "json-output", Usage: "answer as JSON"},
			&cli.StringFlag{Name: "t", Usage: "answer through a Go `template`"},
		),
		Do: func(ctx context.Context, c *connect.Call) error {
			err := plan(ctx, c)
			var exit *term.Exit
			if errors.As(err, &exit) && exit.Code == planChanges && exit.Text != "" {
				return &term.Exit{Code: planError, Text: exit.Text} // an error, not a change
			}
			return err
		},
	}
}

func plan(ctx context.Context, c *connect.Call) error {
	src, err := jobfile.Read(ctx, c, c.Arg(0), c.Bool("json"))
	if err != nil {
		return err
	}
	adviseDrivers(ctx, c, src)
	resp, err := c.Client.PlanJob(ctx, &structs.JobPlanRequest{Job: src.Job, Diff: c.Bool("diff"), PolicyOverride: c.Bool("policy-override")}, src.Query())
	if err != nil {
		return term.Fail("Error during plan: %v", err)
	}
	switch {
	case c.Bool("json-output"):
		err = view.JSON(c.Out, resp)
	case c.String("t") != "":
		err = view.Template(c.Out, c.String("t"), resp)
	default:
		showPlan(c, src, resp)
	}
	if err != nil {
		return err
	}
	return planCode(resp)
}

func planCode(resp *structs.JobPlanResponse) error {
	if resp.Diff != nil && resp.Diff.Type == structs.DiffNone || resp.Annotations == nil {
		return nil
	}
	for _, u := range resp.Annotations.DesiredTGUpdates {
		if u.Stop+u.Place+u.Migrate+u.DestructiveUpdate+u.Canary > 0 {
			return &term.Exit{Code: planChanges}
		}
	}
	return nil
}

func showPlan(c *connect.Call, src *jobfile.Source, resp *structs.JobPlanResponse) {
	if resp.Diff != nil {
		c.Printf("%s\n", Diff(resp.Diff, c.Colour(), c.Bool("verbose")))
	}
	c.Printf("Scheduler dry-run:\n%s", dryRun(resp))
	c.Printf("%s", outcome(resp.Outcome, c.Colour(), c.Bool("verbose")))
	if resp.Warnings != "" {
		c.Printf("\nJob Warnings:\n%s\n", strings.Join(view.Lines(resp.Warnings), "\n"))
	}
	c.Printf("\nJob Modify Index: %d\n", resp.JobModifyIndex)
	c.Printf("To submit the job with version verification run:\n\n  steppe job run -check-index %d%s %s\n\n", resp.JobModifyIndex, src.VarFlags(), src.Path)
	c.Printf("The job is then submitted only if it is still as it was when planned.\n")
}

func dryRun(resp *structs.JobPlanResponse) string {
	var b strings.Builder
	if len(resp.FailedTGAllocs) == 0 {
		b.WriteString("- All tasks successfully allocated.\n")
	} else {
		b.WriteString("- WARNING: Failed to place all allocations.\n")
		groups := make([]string, 0, len(resp.FailedTGAllocs))
		for g := range resp.FailedTGAllocs {
			groups = append(groups, g)
		}
		sort.Strings(groups)
		for _, g := range groups {
			metric := resp.FailedTGAllocs[g]
			fmt.Fprintf(&b, "  Task Group %q (failed to place %d):\n", g, metric.CoalescedFailures+1)
			for _, reason := range monitor.Reasons(metric) {
				fmt.Fprintf(&b, "    * %s\n", view.Clean(reason))
			}
		}
	}
	if resp.NextPeriodicLaunch != nil {
		fmt.Fprintf(&b, "- If submitted now, next periodic launch would be at %s\n", view.Time(*resp.NextPeriodicLaunch))
	}
	return b.String()
}

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
