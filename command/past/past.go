// Package past finds what a person means in the history, once the live state has
// nothing of that ID, and says that it is from there.
//
// It must not know how an object is shown. Begin reading at Find.
package past

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

const (
	// pageSize is how many entries are asked for at once, maxPages how often.
	pageSize = 200
	maxPages = 25
)

// Find looks in the history for the one object of a kind that prefix means, if
// missing says that the live state has none. If the history has none either, it
// returns missing.
func Find(ctx context.Context, c *connect.Call, kind, prefix string, missing error) (*structs.HistoryEntry, error) {
	if !errors.Is(missing, resolve.ErrNone) {
		return nil, missing
	}
	where := &api.Query{Namespace: "*", Prefix: strings.ToLower(strings.TrimSpace(prefix))}
	if kind == structs.HistoryJob {
		if e := Job(ctx, c, prefix); e != nil {
			return e, nil
		}
		where = &api.Query{Prefix: prefix}
	}
	found, err := all(ctx, c, api.HistoryQuery{Kind: kind, Objects: true}, where, nil)
	if err != nil || len(found) == 0 {
		return nil, missing // a server without a history, or one that has nothing
	}
	var lines []string
	seen := map[string]bool{}
	for _, e := range found {
		if !seen[e.Namespace+"\x00"+e.ID] {
			seen[e.Namespace+"\x00"+e.ID] = true
			lines = append(lines, fmt.Sprintf("%s (job %s, %s, swept at %s)", e.ID, e.JobID, e.Status, When(e)))
		}
	}
	if len(lines) > 1 {
		return nil, term.Fail("Prefix %q matches several in the history:\n  %s\nGive more of the one you mean.", prefix, strings.Join(lines, "\n  "))
	}
	return found[0], nil
}

// Job returns what the history has newest of the job with this very id; nil if
// nothing, or if the server has no history.
func Job(ctx context.Context, c *connect.Call, id string) *structs.HistoryEntry {
	found, err := all(ctx, c, api.HistoryQuery{Kind: structs.HistoryJob, JobID: id, Objects: true}, &api.Query{},
		func(entries []*structs.HistoryEntry) bool { return len(entries) > 0 })
	if err != nil || len(found) == 0 {
		return nil
	}
	return found[0]
}

// Live is how a verb finds the one job that it acts on, or that has to be there to
// be shown: look does, by a prefix. A job that is gone and has just this id is
// meant before any whose id only begins like it, so that nothing is done with
// those; the error says when it went.
func Live(ctx context.Context, c *connect.Call, prefix string, look Lookup) (*structs.JobListStub, error) {
	found, err := look(ctx, c.Client, prefix)
	if err == nil && found.ID == prefix {
		return found, nil
	}
	var others string
	switch {
	case err == nil:
		others = "\nWhat only begins like it is not meant: " + found.ID
	case errors.Is(err, resolve.ErrSeveral):
		others = "\n" + err.Error()
	case !errors.Is(err, resolve.ErrNone):
		return nil, err
	}
	e := Job(ctx, c, prefix)
	if e == nil {
		return found, err
	}
	return nil, term.Fail("No job(s) with prefix or ID %q found: it was purged or swept at %s, see steppe job status %[1]s%[3]s", prefix, When(e), others)
}

// Lookup finds a job by a prefix of its id.
type Lookup func(ctx context.Context, c *api.Client, prefix string) (*structs.JobListStub, error)

// OfJob returns what the history has of a job, newest first.
func OfJob(ctx context.Context, c *connect.Call, kind string, job *structs.Job) ([]*structs.HistoryEntry, error) {
	q := api.HistoryQuery{Kind: kind, JobID: structs.Value(job.ID), Objects: true}
	return all(ctx, c, q, &api.Query{Namespace: structs.Value(job.Namespace)}, nil)
}

// all reads page after page, until enough says so.
func all(ctx context.Context, c *connect.Call, h api.HistoryQuery, q *api.Query, enough func([]*structs.HistoryEntry) bool) ([]*structs.HistoryEntry, error) {
	var out []*structs.HistoryEntry
	q.PerPage = pageSize
	for range maxPages {
		page, err := c.Client.History(ctx, h, q)
		if err != nil {
			return nil, err
		}
		out = append(out, page.Entries...)
		if q.NextToken = page.NextToken; q.NextToken == "" || enough != nil && enough(out) {
			break
		}
	}
	return out, nil
}

// When is the time at which an entry left the live state.
func When(e *structs.HistoryEntry) string { return view.Time(time.Unix(0, e.RemovedAt)) }

// Say tells that an object is from the history: to people above it, and beside it
// where a program reads the answer.
func Say(c *connect.Call, e *structs.HistoryEntry) {
	if c.Bool("json") || c.String("t") != "" {
		SayBeside(c, e)
		return
	}
	c.Printf("%s\n", said(e))
}

// SayBeside is Say of a verb whose answer is for programs always.
func SayBeside(c *connect.Call, e *structs.HistoryEntry) { c.Errorf("%s", said(e)) }

func said(e *structs.HistoryEntry) string {
	return fmt.Sprintf("From history, swept at %s: the live state has this %s no more.\n", When(e), e.Kind)
}
