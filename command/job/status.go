package job

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/past"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

func statusVerb() connect.Verb {
	return connect.Verb{
		Name: "status", Usage: "list jobs, or show one", Args: []string{"[<job>]"},
		Flags: append(view.FormatFlags(),
			connect.UI(),
			&cli.BoolFlag{Name: "short", Usage: "only the key lines"},
			&cli.BoolFlag{Name: "evals", Usage: "also the evaluations"},
			&cli.BoolFlag{Name: "all-allocs", Usage: "also allocations of earlier jobs of this name"},
			&cli.BoolFlag{Name: "verbose", Usage: "full ids, more lines"},
		),
		Do: func(ctx context.Context, c *connect.Call) error {
			if c.Arg(0) == "" {
				return List(ctx, c)
			}
			return Show(ctx, c, c.Arg(0))
		},
	}
}

// List shows all jobs.
func List(ctx context.Context, c *connect.Call) error {
	jobs, _, err := c.Client.Jobs(ctx, nil)
	if err != nil {
		return term.Fail("Error querying jobs: %v", err)
	}
	if done, err := view.Formatted(c.Command, c.Streams, jobs); done {
		return err
	}
	if len(jobs) == 0 {
		c.Printf("No running jobs\n")
		return nil
	}
	c.Printf("%s", monitor.Jobs(jobs, c.Client.Config().Namespace == "*"))
	return nil
}

// Gone tells whether the history has a job with this very id.
func Gone(ctx context.Context, c *connect.Call, id string) bool { return past.Job(ctx, c, id) != nil }

// Show shows one job by a prefix of its id.
func Show(ctx context.Context, c *connect.Call, prefix string) error {
	at, err := seek(ctx, c, prefix)
	if err != nil {
		return err
	}
	if at.gone != nil {
		return showPast(ctx, c, at.gone)
	}
	stub, q := at.stub, at.q
	job, _, err := c.Client.Job(ctx, stub.ID, q)
	if err != nil {
		return term.Fail("Error querying job: %v", err)
	}
	if done, err := view.Formatted(c.Command, c.Streams, job); done {
		return err
	}
	c.Printf("%s", jobKeys(job, c.Clock.Now()))
	if c.Bool("short") {
		return nil
	}
	if job.IsPeriodic() || job.IsParameterized() {
		return showChildren(ctx, c, job, q)
	}
	return showDetails(ctx, c, job, q)
}

func jobKeys(j *structs.Job, now time.Time) string {
	keys := []view.Pair{
		{Key: "ID", Value: structs.Value(j.ID)},
		{Key: "Name", Value: structs.Value(j.Name)},
		{Key: "Submit Date", Value: view.Nanos(structs.Value(j.SubmitTime))},
		{Key: "Type", Value: structs.Value(j.Type)},
		{Key: "Priority", Value: strconv.Itoa(structs.Value(j.Priority))},
		{Key: "Datacenters", Value: strings.Join(j.Datacenters, ",")},
		{Key: "Namespace", Value: structs.Value(j.Namespace)},
		{Key: "Node Pool", Value: structs.Value(j.NodePool)},
		{Key: "Status", Value: monitor.JobStatus(structs.Value(j.Status), structs.Value(j.Stop))},
		{Key: "Periodic", Value: view.Bool(j.Periodic != nil)},
		{Key: "Parameterized", Value: view.Bool(j.IsParameterized())},
	}
	if next := nextLaunch(j, now); next != "" {
		keys = append(keys, view.Pair{Key: "Next Periodic Launch", Value: next})
	}
	return view.Keys(keys)
}

func showDetails(ctx context.Context, c *connect.Call, j *structs.Job, q *api.Query) error {
	id, bold, verbose := structs.Value(j.ID), c.Colour(), c.Bool("verbose")
	summary, _, err := c.Client.JobSummary(ctx, id, q)
	if err != nil {
		return term.Fail("Error querying job summary: %v", err)
	}
	c.Printf("%s", view.Section("Summary", summaryTable(summary), bold))
	evals, _, err := c.Client.JobEvaluations(ctx, id, q)
	if err != nil {
		return term.Fail("Error querying job evaluations: %v", err)
	}
	if c.Bool("evals") || verbose {
		c.Printf("%s", view.Section("Evaluations", evalTable(evals, verbose), bold))
	}
	if text := placementFailures(evals); text != "" {
		c.Printf("%s", view.Section("Placement Failure", text, bold))
	}
	deployment, _, err := c.Client.LatestDeployment(ctx, id, q)
	if err != nil {
		return term.Fail("Error querying latest job deployment: %v", err)
	}
	if deployment != nil {
		c.Printf("%s", view.Section("Latest Deployment", latestDeployment(deployment, verbose), bold))
	}
	allocs, _, err := c.Client.JobAllocations(ctx, id, c.Bool("all-allocs"), q)
	if err != nil {
		return term.Fail("Error querying job allocations: %v", err)
	}
	c.Printf("%s", view.Section("Allocations", monitor.Allocations(allocs, c.Clock.Now(), verbose), bold))
	return nil
}

func summaryTable(s *structs.JobSummary) string {
	names := make([]string, 0, len(s.Summary))
	for name := range s.Summary {
		names = append(names, name)
	}
	sort.Strings(names)
	var rows [][]string
	for _, name := range names {
		g := s.Summary[name]
		row := []string{name}
		for _, n := range []int{g.Queued, g.Starting, g.Running, g.Failed, g.Complete, g.Lost, g.Unknown} {
			row = append(row, strconv.Itoa(n))
		}
		rows = append(rows, row)
	}
	return view.Table([]string{"Task Group", "Queued", "Starting", "Running", "Failed", "Complete", "Lost", "Unknown"}, rows)
}

func evalTable(evals []*structs.Evaluation, verbose bool) string {
	sort.SliceStable(evals, func(i, j int) bool { return evals[i].CreateIndex > evals[j].CreateIndex })
	var rows [][]string
	for _, e := range evals {
		rows = append(rows, []string{view.ID(e.ID, verbose), strconv.Itoa(e.Priority), e.TriggeredBy, e.Status, view.Bool(len(e.FailedTGAllocs) > 0)})
	}
	return view.Table([]string{"ID", "Priority", "Triggered By", "Status", "Placement Failures"}, rows)
}

// placementFailures tells what a blocked evaluation waits for. The reasons
// stand in the evaluation that found them, the newest one that has any.
func placementFailures(evals []*structs.Evaluation) string {
	var newest *structs.Evaluation
	blocked := false
	for _, e := range evals {
		blocked = blocked || e.Status == structs.EvalStatusBlocked
		if len(e.FailedTGAllocs) > 0 && (newest == nil || e.CreateIndex > newest.CreateIndex) {
			newest = e
		}
	}
	if newest == nil || !blocked {
		return ""
	}
	groups := make([]string, 0, len(newest.FailedTGAllocs))
	for g := range newest.FailedTGAllocs {
		groups = append(groups, g)
	}
	sort.Strings(groups)
	var b strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&b, "Task Group %q:\n", view.Clean(g))
		for _, reason := range monitor.Reasons(newest.FailedTGAllocs[g]) {
			fmt.Fprintf(&b, "  * %s\n", view.Clean(reason))
		}
	}
	return b.String()
}

// latestDeployment leaves out the job's id and version, which stand above it.
func latestDeployment(d *structs.Deployment, verbose bool) string {
	keys := view.Keys([]view.Pair{
		{Key: "ID", Value: view.ID(d.ID, verbose)}, {Key: "Status", Value: d.Status}, {Key: "Description", Value: d.StatusDescription},
	})
	if len(d.TaskGroups) == 0 {
		return keys
	}
	return keys + view.Section("Deployed", monitor.DeployedTable(d), false)
}
