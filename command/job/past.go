package job

import (
	"context"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/past"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// showPast shows a job that is gone, as the history has it.
func showPast(ctx context.Context, c *connect.Call, prefix string, missing error) error {
	e, err := past.Find(ctx, c, structs.HistoryJob, prefix, missing)
	if err != nil {
		return err
	}
	past.Say(c, e)
	e.Job = purged(e.Job)
	if done, err := view.Formatted(c.Command, c.Streams, e.Job); done {
		return err
	}
	c.Printf("%s", jobKeys(e.Job, c.Clock.Now()))
	if c.Bool("short") {
		return nil
	}
	return pastDetails(ctx, c, e.Job)
}

// purged is a job that left: what it was then isn't what it is.
func purged(j *structs.Job) *structs.Job {
	gone := *j
	gone.Status, gone.Stop = new(structs.JobStatusDead), new(true)
	return &gone
}

// pastDetails shows a job's evaluations, deployments and allocations: those that
// the history has, and those that are not swept yet.
func pastDetails(ctx context.Context, c *connect.Call, j *structs.Job) error {
	bold, verbose := c.Colour(), c.Bool("verbose")
	entries, err := past.OfJob(ctx, c, "", j)
	if err != nil {
		return term.Fail("Error querying the history of the job: %v", err)
	}
	id, q := structs.Value(j.ID), &api.Query{Namespace: structs.Value(j.Namespace)}
	evals, _, err := c.Client.JobEvaluations(ctx, id, q)
	if err != nil {
		return term.Fail("Error querying the job's evaluations: %v", err)
	}
	allocs, _, err := c.Client.JobAllocations(ctx, id, true, q)
	if err != nil {
		return term.Fail("Error querying the job's allocations: %v", err)
	}
	deployment, _, err := c.Client.LatestDeployment(ctx, id, q)
	if err != nil {
		return term.Fail("Error querying the job's deployment: %v", err)
	}
	for _, e := range entries {
		switch {
		case e.Evaluation != nil:
			evals = append(evals, e.Evaluation)
		case e.Allocation != nil:
			allocs = append(allocs, e.Allocation.Stub())
		case e.Deployment != nil && (deployment == nil || deployment.CreateIndex < e.Deployment.CreateIndex):
			deployment = e.Deployment
		}
	}
	if c.Bool("evals") || verbose {
		c.Printf("%s", view.Section("Evaluations", evalTable(evals, verbose), bold))
	}
	if deployment != nil {
		c.Printf("%s", view.Section("Latest Deployment", latestDeployment(deployment, verbose), bold))
	}
	c.Printf("%s", view.Section("Allocations", monitor.Allocations(allocs, c.Clock.Now(), verbose), bold))
	return nil
}
