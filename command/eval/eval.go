// Package eval holds the verbs for evaluations.
//
// It must not know other nouns' verbs. Begin reading at Command.
package eval

import (
	"context"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/past"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// Command returns the group `eval`.
func Command(s term.Streams) *cli.Command {
	return &cli.Command{Name: "eval", Usage: "look at evaluations", Commands: []*cli.Command{
		listVerb().Command(s), statusVerb().Command(s),
	}}
}

// Aliases returns the old names that still work.
func Aliases(s term.Streams) []*cli.Command {
	v := statusVerb()
	v.Name, v.Deprecated = "eval-status", true
	hidden := v.Command(s)
	hidden.Hidden = true
	return []*cli.Command{hidden}
}

func listVerb() connect.Verb {
	return connect.Verb{
		Name: "list", Usage: "list evaluations",
		Flags: append(view.FormatFlags(),
			connect.UI(),
			&cli.BoolFlag{Name: "verbose", Usage: "full ids"},
			&cli.StringFlag{Name: "filter", Usage: "filter `expression`"},
			&cli.StringFlag{Name: "job", Usage: "only of this `job`"},
			&cli.StringFlag{Name: "status", Usage: "only with this `status`"},
			&cli.IntFlag{Name: "per-page", Usage: "so `many` at once"},
			&cli.StringFlag{Name: "page-token", Usage: "where the page begins"},
		),
		Do: list,
	}
}

func list(ctx context.Context, c *connect.Call) error {
	q := &api.Query{Filter: c.String("filter"), PerPage: c.Int("per-page"), NextToken: c.String("page-token"), Params: map[string]string{}}
	for _, name := range []string{"job", "status"} {
		if v := c.String(name); v != "" {
			q.Params[name] = v
		}
	}
	evals, meta, err := c.Client.Evaluations(ctx, q)
	if err != nil {
		return term.Fail("Error querying evaluations: %v", err)
	}
	if done, err := view.Formatted(c.Command, c.Streams, evals); done {
		return err
	}
	if len(evals) == 0 {
		c.Printf("No evals found\n")
		return nil
	}
	verbose := c.Bool("verbose")
	var rows [][]string
	for _, e := range evals {
		rows = append(rows, []string{view.ID(e.ID, verbose), strconv.Itoa(e.Priority), e.TriggeredBy, e.JobID, e.Namespace,
			view.ID(e.NodeID, verbose), e.Status, failures(e)})
	}
	c.Printf("%s", view.Table([]string{"ID", "Priority", "Triggered By", "Job ID", "Namespace", "Node ID", "Status", "Placement Failures"}, rows))
	if meta.NextToken != "" {
		c.Printf("\nResults have been paginated. To get the next page run:\n\nsteppe eval list -per-page %d -page-token %s\n", c.Int("per-page"), meta.NextToken)
	}
	return nil
}

func failures(e *structs.Evaluation) string {
	if e.Status == structs.EvalStatusPending {
		return "N/A - In Progress"
	}
	return view.Bool(len(e.FailedTGAllocs) > 0)
}

func statusVerb() connect.Verb {
	return connect.Verb{
		Name: "status", Usage: "show an evaluation, or follow it", Args: []string{"<eval id>"},
		Flags: append(view.FormatFlags(),
			connect.UI(),
			&cli.BoolFlag{Name: "monitor", Usage: "follow it"},
			&cli.BoolFlag{Name: "verbose", Usage: "full ids, more lines"},
		),
		Do: func(ctx context.Context, c *connect.Call) error { return Show(ctx, c, c.Arg(0)) },
	}
}

// Show shows one evaluation by a prefix of its id.
func Show(ctx context.Context, c *connect.Call, prefix string) error {
	stub, err := resolve.Eval(ctx, c.Client, prefix)
	if err != nil {
		return showPast(ctx, c, prefix, err)
	}
	if c.Bool("monitor") {
		m := &monitor.Monitor{Client: c.Client, Streams: c.Streams, Verbose: c.Bool("verbose")}
		return m.Eval(ctx, stub.ID)
	}
	e, _, err := c.Client.Evaluation(ctx, stub.ID, true, &api.Query{Namespace: stub.Namespace})
	if err != nil {
		return term.Fail("Error querying evaluation: %v", err)
	}
	if done, err := view.Formatted(c.Command, c.Streams, e); done {
		return err
	}
	show(c, e)
	if e.Status == structs.EvalStatusBlocked {
		c.Printf("%s", view.Section("Waiting For Capacity", waiting(ctx, c, e), c.Colour()))
	}
	return nil
}

// showPast shows an evaluation that is gone, as the history has it.
func showPast(ctx context.Context, c *connect.Call, prefix string, missing error) error {
	found, err := past.Find(ctx, c, structs.HistoryEvaluation, prefix, missing)
	if err != nil {
		return err
	}
	past.Say(c, found)
	if done, err := view.Formatted(c.Command, c.Streams, found.Evaluation); done {
		return err
	}
	show(c, found.Evaluation)
	return nil
}

func show(c *connect.Call, e *structs.Evaluation) {
	verbose := c.Bool("verbose")
	c.Printf("%s", keys(e, c.Clock.Now(), verbose))
	if len(e.RelatedEvals) > 0 {
		c.Printf("%s", view.Section("Related Evaluations", related(e.RelatedEvals, verbose), c.Colour()))
	}
	if e.PlanAnnotations != nil {
		c.Printf("%s", view.Section("Plan Annotations", annotations(e.PlanAnnotations, verbose), c.Colour()))
	}
	if len(e.FailedTGAllocs) > 0 {
		c.Printf("%s", view.Section("Failed Placements", failedPlacements(e), c.Colour()))
	}
}

// waiting says what a blocked evaluation waits for: how many allocations of
// which group, and what stood in their way when they were last tried.
func waiting(ctx context.Context, c *connect.Call, e *structs.Evaluation) string {
	var b strings.Builder
	for _, g := range slices.Sorted(maps.Keys(e.QueuedAllocations)) {
		if n := e.QueuedAllocations[g]; n > 0 {
			b.WriteString("Task Group " + strconv.Quote(view.Clean(g)) + ": " + strconv.Itoa(n) + " not placed\n")
		}
	}
	if len(e.FailedTGAllocs) > 0 || e.PreviousEval == "" {
		return b.String()
	}
	// It was made by the evaluation that found no room, and has not run yet.
	tried, _, err := c.Client.Evaluation(ctx, e.PreviousEval, false, &api.Query{Namespace: e.Namespace})
	if err != nil {
		return b.String() + "What stood in their way is not known any more: evaluation " + view.ID(e.PreviousEval, c.Bool("verbose")) + " can't be read\n"
	}
	return b.String() + failedPlacements(tried)
}

func keys(e *structs.Evaluation, now time.Time, verbose bool) string {
	return view.Keys([]view.Pair{
		{Key: "ID", Value: view.ID(e.ID, verbose)},
		{Key: "Create Time", Value: view.Ago(time.Unix(0, e.CreateTime), now, verbose)},
		{Key: "Modify Time", Value: view.Ago(time.Unix(0, e.ModifyTime), now, verbose)},
		{Key: "Status", Value: e.Status}, {Key: "Status Description", Value: e.StatusDescription}, {Key: "Type", Value: e.Type},
		{Key: "TriggeredBy", Value: e.TriggeredBy}, {Key: "Job ID", Value: e.JobID}, {Key: "Namespace", Value: e.Namespace},
		{Key: "Priority", Value: strconv.Itoa(e.Priority)}, {Key: "Placement Failures", Value: failures(e)},
		{Key: "Previous Eval", Value: view.ID(e.PreviousEval, verbose)}, {Key: "Next Eval", Value: view.ID(e.NextEval, verbose)},
		{Key: "Blocked Eval", Value: view.ID(e.BlockedEval, verbose)},
	})
}

func related(all []*structs.EvaluationStub, verbose bool) string {
	var rows [][]string
	for _, e := range all {
		rows = append(rows, []string{view.ID(e.ID, verbose), strconv.Itoa(e.Priority), e.TriggeredBy, view.ID(e.NodeID, verbose), e.Status, e.StatusDescription})
	}
	return view.Table([]string{"ID", "Priority", "Triggered By", "Node ID", "Status", "Description"}, rows)
}

func annotations(a *structs.PlanAnnotations, verbose bool) string {
	headings := []string{"Task Group", "Ignore", "Place", "Stop", "InPlace", "Destructive"}
	if verbose {
		headings = append(headings, "Migrate", "Canary", "Preemptions", "Reschedule Now", "Reschedule Later", "Disconnect", "Reconnect")
	}
	var rows [][]string
	for name, u := range a.DesiredTGUpdates {
		row := []string{name}
		counts := []uint64{u.Ignore, u.Place, u.Stop, u.InPlaceUpdate, u.DestructiveUpdate}
		if verbose {
			counts = append(counts, u.Migrate, u.Canary, u.Preemptions, u.RescheduleNow, u.RescheduleLater, u.Disconnect, u.Reconnect)
		}
		for _, n := range counts {
			row = append(row, strconv.FormatUint(n, 10))
		}
		rows = append(rows, row)
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i][0] < rows[j][0] })
	return view.Table(headings, rows)
}

func failedPlacements(e *structs.Evaluation) string {
	var groups []string
	for g := range e.FailedTGAllocs {
		groups = append(groups, g)
	}
	sort.Strings(groups)
	var b strings.Builder
	for _, g := range groups {
		b.WriteString("Task Group " + strconv.Quote(view.Clean(g)) + " (failed to place " + strconv.Itoa(e.FailedTGAllocs[g].CoalescedFailures+1) + "):\n")
		for _, reason := range monitor.Reasons(e.FailedTGAllocs[g]) {
			b.WriteString("  * " + view.Clean(reason) + "\n")
		}
	}
	return b.String()
}
