// Package nodepool holds the verbs for node pools.
//
// It must not know other nouns' verbs. Begin reading at Command.
package nodepool

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
)

// Command returns the group `node pool`.
func Command(s term.Streams) *cli.Command {
	return &cli.Command{Name: "pool", Usage: "look at node pools, make and change them", Commands: []*cli.Command{
		applyVerb().Command(s), deleteVerb().Command(s), infoVerb().Command(s), initVerb().Command(s),
		jobsVerb().Command(s), listVerb().Command(s), nodesVerb().Command(s),
	}}
}

// listFlags are those of a verb that lists, a page at a time.
func listFlags(own ...cli.Flag) []cli.Flag {
	return append(append(view.FormatFlags(),
		&cli.StringFlag{Name: "filter", Usage: "filter `expression`"},
		&cli.IntFlag{Name: "per-page", Usage: "so `many` at once"},
		&cli.StringFlag{Name: "page-token", Usage: "where the page begins"},
	), own...)
}

func listQuery(c *connect.Call) *api.Query {
	return &api.Query{Filter: c.String("filter"), PerPage: c.Int("per-page"), NextToken: c.String("page-token")}
}

// tellNext says how to get the page after this one.
func tellNext(c *connect.Call, meta *api.Meta, subject string) {
	if meta.NextToken != "" {
		c.Printf("\nResults have been paginated. To get the next page run:\n\n%s -per-page %d -page-token %s%s\n",
			c.FullName(), c.Int("per-page"), meta.NextToken, subject)
	}
}

// pool is the pool that a verb's argument means.
func pool(ctx context.Context, c *connect.Call) (string, error) {
	found, err := resolve.NodePool(ctx, c.Client, c.Arg(0))
	if err != nil {
		return "", err
	}
	return found.Name, nil
}
