package job

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/past"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// sought is the job that a person means: one that there is, or one that is gone.
type sought struct {
	stub *structs.JobListStub
	q    *api.Query
	gone *structs.HistoryEntry // not nil: only the history has it
}

// seek finds a job that may be gone. One whose id is just what was typed is
// meant before any whose id only begins like that, wherever it is found.
func seek(ctx context.Context, c *connect.Call, prefix string) (*sought, error) {
	stub, err := resolve.Job(ctx, c.Client, prefix)
	if err == nil && stub.ID == prefix {
		return live(stub), nil
	}
	if err != nil && !errors.Is(err, resolve.ErrNone) && !errors.Is(err, resolve.ErrSeveral) {
		return nil, err
	}
	if e := past.Job(ctx, c, prefix); e != nil {
		return &sought{gone: e}, nil
	}
	if err == nil {
		return live(stub), nil
	}
	e, err := past.Find(ctx, c, structs.HistoryJob, prefix, err)
	if err != nil {
		return nil, err
	}
	return &sought{gone: e}, nil
}

func live(stub *structs.JobListStub) *sought {
	return &sought{stub: stub, q: &api.Query{Namespace: stub.Namespace}}
}

// pastVersions returns the versions of a job that is gone, newest first, as far
// as the history has them. An earlier job of the same name has versions of its
// own: those aren't meant.
func pastVersions(ctx context.Context, c *connect.Call, e *structs.HistoryEntry) ([]*structs.Job, error) {
	entries, err := past.OfJob(ctx, c, structs.HistoryJob, e.Job)
	if err != nil {
		return nil, term.Fail("Error querying the history of the job: %v", err)
	}
	var out []*structs.Job
	for _, each := range entries {
		if j := each.Job; j != nil && structs.Value(j.CreateIndex) == structs.Value(e.Job.CreateIndex) {
			out = append(out, j)
		}
	}
	slices.SortStableFunc(out, func(a, b *structs.Job) int { return cmp.Compare(structs.Value(b.Version), structs.Value(a.Version)) })
	return slices.CompactFunc(out, func(a, b *structs.Job) bool { return structs.Value(a.Version) == structs.Value(b.Version) }), nil
}

// showPast shows a job that is gone, as the history has it.
func showPast(ctx context.Context, c *connect.Call, e *structs.HistoryEntry) error {
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
