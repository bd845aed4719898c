package job

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/command/why"
	"github.com/steppe-run/steppe/structs"
)

func whyVerb() connect.Verb {
	return connect.Verb{
		Name: "why", Usage: "say why a job is placed as it is, or isn't", Args: []string{"<job>"},
		Help:  "For each group: what is placed where and with which score, and what all nodes are worth for one more.",
		Flags: append(view.FormatFlags(), &cli.BoolFlag{Name: "verbose", Usage: "full ids"}),
		Do: func(ctx context.Context, c *connect.Call) error {
			stub, q, err := find(ctx, c, c.Arg(0))
			if err != nil {
				return err
			}
			w, _, err := c.Client.JobWhy(ctx, stub.ID, q)
			if err != nil {
				return term.Fail("Error explaining job: %v", err)
			}
			if done, err := view.Formatted(c.Command, c.Streams, w); done {
				return err
			}
			showWhy(c, w)
			return nil
		},
	}
}

func showWhy(c *connect.Call, w *structs.JobWhy) {
	verbose := c.Bool("verbose")
	c.Printf("%s\n", view.OneLine(w.Summary))
	for _, g := range w.Groups {
		body := view.OneLine(g.Summary) + "\n"
		if len(w.Groups) == 1 {
			body = "" // it is the job's sentence
		}
		if len(g.Placements) > 0 {
			body += placements(g.Placements, verbose)
		}
		c.Printf("%s", view.Section(fmt.Sprintf("Task Group %q", view.Clean(g.Group)), body, c.Colour()))
		c.Printf("%s", view.Section("One More of It", why.Survey(g.Next, verbose), c.Colour()))
	}
}

func placements(list []*structs.PlacementWhy, verbose bool) string {
	rows := make([][]string, len(list))
	for i, p := range list {
		then := ""
		if p.Score != nil {
			then = why.Score(p.Score.Score)
		}
		rows[i] = []string{view.ID(p.AllocID, verbose), p.Name, p.NodeName, then}
	}
	return view.Table([]string{"Allocation", "Name", "Node", "Score Then"}, rows)
}
