package operator

import (
	"context"
	"strconv"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

func brakeGroup(s term.Streams) *cli.Command {
	return &cli.Command{Name: "brake", Usage: "see and release what holds back the loss of many nodes at once", Commands: []*cli.Command{
		brakeStatusVerb().Command(s), brakeReleaseVerb().Command(s),
	}}
}

func brakeStatusVerb() connect.Verb {
	return connect.Verb{
		Name: "status", Usage: "show which nodes' loss is held back, and until when",
		Help: "Where more than loss_brake_percent of at least loss_brake_min_nodes nodes fall silent at once, they can rather not\n" +
			"be heard than be dead: nothing is moved away from them until they return, it is released, or loss_brake_hold is over.",
		Flags: append(view.FormatFlags(), &cli.BoolFlag{Name: "verbose", Usage: "full ids"}),
		Do: func(ctx context.Context, c *connect.Call) error {
			b, err := c.Client.Brake(ctx, nil)
			if err != nil {
				return term.Fail("Error querying the brake: %v", err)
			}
			if done, err := view.Formatted(c.Command, c.Streams, b); done {
				return err
			}
			showBrake(c, b)
			return nil
		},
	}
}

func showBrake(c *connect.Call, b *structs.BrakeStatus) {
	hold := "until they return or are released"
	if b.Hold > 0 {
		hold = b.Hold.String()
	}
	c.Printf("%s\n\n%s", view.OneLine(b.Summary), view.Keys([]view.Pair{
		{Key: "Nodes", Value: strconv.Itoa(b.Nodes)}, {Key: "Held Back", Value: strconv.Itoa(len(b.Held))},
		{Key: "Percent", Value: strconv.Itoa(b.Percent)}, {Key: "Min Nodes", Value: strconv.Itoa(b.MinNodes)}, {Key: "Hold", Value: hold},
	}))
	if len(b.Held) == 0 {
		return
	}
	var rows [][]string
	for _, n := range b.Held {
		rows = append(rows, []string{view.ID(n.ID, c.Bool("verbose")), n.NodePool, n.Datacenter, n.Name, n.SilentSince.Format(time.RFC3339)})
	}
	c.Printf("%s", view.Section("Silent Nodes", view.Table([]string{"ID", "Node Pool", "DC", "Name", "Silent Since"}, rows), c.Colour()))
}

func brakeReleaseVerb() connect.Verb {
	return connect.Verb{
		Name: "release", Usage: "give up the nodes whose loss is held back, so that their work is moved",
		Help: "What runs on them is lost, or unknown where its disconnect block says so, and replaced elsewhere. Nodes that fall\nsilent in the next moments are given up too.",
		Do: func(ctx context.Context, c *connect.Call) error {
			r, err := c.Client.ReleaseBrake(ctx)
			if err != nil {
				return term.Fail("Error releasing the brake: %v", err)
			}
			if len(r.NodeIDs) == 0 {
				c.Printf("No node's loss is held back: nothing was released\n")
				return nil
			}
			c.Printf("Silent nodes that are given up: %d\n", len(r.NodeIDs))
			return nil
		},
	}
}
