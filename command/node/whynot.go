package node

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/past"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/command/why"
	"github.com/steppe-run/steppe/structs"
)

func whyNotVerb() connect.Verb {
	return connect.Verb{
		Name: "why-not", Usage: "say why a node doesn't take a job, or how well it would fit", Args: []string{"<node id>", "<job>"},
		Help:  "For each group of the job: every condition that the node fails, every resource it lacks, every port that is taken.",
		Flags: append(view.FormatFlags(), &cli.BoolFlag{Name: "verbose", Usage: "full ids"}),
		Do: func(ctx context.Context, c *connect.Call) error {
			n, err := resolve.Node(ctx, c.Client, c.Arg(0))
			if err != nil {
				return err
			}
			job, err := past.Live(ctx, c, c.Arg(1), resolve.Job)
			if err != nil {
				return err
			}
			w, _, err := c.Client.NodeWhyNot(ctx, n.ID, job.ID, &api.Query{Namespace: job.Namespace})
			if err != nil {
				return term.Fail("Error explaining node: %v", err)
			}
			if done, err := view.Formatted(c.Command, c.Streams, w); done {
				return err
			}
			showWhyNot(c, w)
			return nil
		},
	}
}

func showWhyNot(c *connect.Call, w *structs.NodeWhyNot) {
	c.Printf("%s\n", view.OneLine(w.Summary))
	for _, g := range w.Groups {
		var body string
		if len(w.Groups) > 1 {
			body = view.OneLine(g.Summary) + "\n"
		}
		if g.Fits {
			scores := []*structs.NodeScore{g.Score}
			if g.Rank > 1 {
				scores = []*structs.NodeScore{g.Best, g.Score}
			}
			body += why.Scores(scores, w.NodeID, c.Bool("verbose"))
		} else {
			body += why.Obstacles(g.Conditions, g.Shortages, g.Ports)
		}
		c.Printf("%s", view.Section(fmt.Sprintf("Task Group %q", view.Clean(g.Group)), body, c.Colour()))
	}
}
