package alloc

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/command/why"
	"github.com/steppe-run/steppe/structs"
)

func whyVerb() connect.Verb {
	return connect.Verb{
		Name: "why", Usage: "say why an allocation is on its node", Args: []string{"<alloc id>"},
		Help:  "What its node and the others scored when it was placed, and what they score for it now. A star marks its node.",
		Flags: append(view.FormatFlags(), &cli.BoolFlag{Name: "verbose", Usage: "full ids"}),
		Do: func(ctx context.Context, c *connect.Call) error {
			stub, err := resolve.Alloc(ctx, c.Client, c.Arg(0))
			if err != nil {
				return err
			}
			w, _, err := c.Client.AllocationWhy(ctx, stub.ID, &api.Query{Namespace: stub.Namespace})
			if err != nil {
				return term.Fail("Error explaining allocation: %v", err)
			}
			if done, err := view.Formatted(c.Command, c.Streams, w); done {
				return err
			}
			showWhy(c, w)
			return nil
		},
	}
}

func showWhy(c *connect.Call, w *structs.AllocWhy) {
	verbose := c.Bool("verbose")
	c.Printf("%s\n", view.OneLine(w.Summary))
	if t := w.Then; t != nil {
		body := fmt.Sprintf("%s evaluated, %d filtered\n", why.Nodes(t.Evaluated), t.Filtered)
		for _, f := range t.FilteredBy {
			body += fmt.Sprintf("  * %d by %s\n", f.Nodes, view.OneLine(f.Reason))
		}
		if len(t.Scores) > 0 {
			body += why.Scores(t.Scores, w.NodeID, verbose)
		}
		c.Printf("%s", view.Section("When Placed, "+view.Time(time.Unix(0, t.Time)), body, c.Colour()))
	}
	n := w.Now
	if n == nil {
		return
	}
	body := why.Counts(n.Survey, verbose)
	if !n.Fits {
		if text := why.Obstacles(n.Conditions, n.Shortages, n.Ports); text != "" {
			body += "\n" + text
		}
	}
	scores := n.Survey.Best
	if n.Rank > len(scores) {
		scores = append(scores[:len(scores):len(scores)], n.Score)
	}
	if len(scores) > 0 {
		body += "\n" + why.Scores(scores, w.NodeID, verbose)
	}
	c.Printf("%s", view.Section("Now", body, c.Colour()))
}
