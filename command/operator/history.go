package operator

import (
	"context"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/past"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

func historyVerb() connect.Verb {
	return connect.Verb{
		Name: "history", Usage: "list what was swept or purged, newest first",
		Help: "Jobs with their versions, evaluations, allocations and deployments, as they were when they left the live state.\n" +
			"Each server keeps them on disk: 14 days and 1 GiB, unless server { history_max_age, history_max_mb } say otherwise.",
		Flags: append(view.FormatFlags(),
			&cli.StringFlag{Name: "kind", Usage: "only this `kind`: job, evaluation, allocation or deployment"},
			&cli.StringFlag{Name: "job", Usage: "only of this `job`, by its whole id"},
			&cli.StringFlag{Name: "prefix", Usage: "only ids that begin like this"},
			&cli.StringFlag{Name: "since", Usage: "only what left since a `moment`: a time, a day, or how long ago (36h)"},
			&cli.StringFlag{Name: "until", Usage: "only what left until a `moment`"},
			&cli.IntFlag{Name: "per-page", Usage: "so `many` at once", Value: 100},
			&cli.StringFlag{Name: "page-token", Usage: "where the page begins"},
			&cli.BoolFlag{Name: "verbose", Usage: "full ids, places in the log"},
		),
		Do: showHistory,
	}
}

func showHistory(ctx context.Context, c *connect.Call) error {
	page, err := c.Client.History(ctx, api.HistoryQuery{
		Kind: c.String("kind"), JobID: c.String("job"), Since: c.String("since"), Until: c.String("until"),
	}, &api.Query{Prefix: c.String("prefix"), PerPage: c.Int("per-page"), NextToken: c.String("page-token")})
	if err != nil {
		return term.Fail("Error querying history: %v", err)
	}
	if done, err := view.Formatted(c.Command, c.Streams, page); done {
		return err
	}
	for _, g := range page.Gaps {
		c.Errorf("Server %s misses what left the state after index %d, up to %d: it was away then, or its disk failed. Ask another server.\n",
			view.Clean(page.Server), g.AfterIndex, g.UpToIndex)
	}
	if len(page.Entries) == 0 && page.NextToken == "" {
		c.Printf("The history has nothing of that\n")
		return nil
	}
	c.Printf("%s", historyTable(page.Entries, c.Bool("verbose"), c.Client.Config().Namespace == "*"))
	if page.NextToken != "" {
		c.Printf("\nThere is more. To get the next page add:\n\n-page-token %s\n", page.NextToken)
	}
	return nil
}

func historyTable(entries []*structs.HistoryEntry, verbose, namespaces bool) string {
	headings := []string{"Swept At", "Kind", "ID", "Job ID", "Version", "Status"}
	if namespaces {
		headings = append(headings, "Namespace")
	}
	if verbose {
		headings = append(headings, "Index")
	}
	var rows [][]string
	for _, e := range entries {
		id, version := view.ID(e.ID, verbose), ""
		if e.Kind == structs.HistoryJob {
			id = e.ID
		}
		if e.Kind != structs.HistoryEvaluation {
			version = strconv.FormatUint(e.Version, 10)
		}
		row := []string{past.When(e), e.Kind, id, e.JobID, version, e.Status}
		if namespaces {
			row = append(row, e.Namespace)
		}
		if verbose {
			row = append(row, strconv.FormatUint(e.Index, 10)+"."+strconv.FormatUint(uint64(e.Seq), 10))
		}
		rows = append(rows, row)
	}
	return view.Table(headings, rows)
}
