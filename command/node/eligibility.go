package node

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/structs"
)

func eligibilityVerb() connect.Verb {
	return connect.Verb{
		Name: "eligibility", Usage: "open a node for placements, or close it", Args: []string{"[<node id>]"},
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "enable", Usage: "open it"},
			&cli.BoolFlag{Name: "disable", Usage: "close it"},
			&cli.BoolFlag{Name: "self", Usage: "the agent's own node"},
		},
		Do: func(ctx context.Context, c *connect.Call) error {
			if c.Bool("enable") == c.Bool("disable") {
				return term.Fail("Either the '-enable' or '-disable' flag must be set")
			}
			id, err := target(ctx, c)
			if err != nil {
				return err
			}
			eligibility, text := structs.NodeEligible, "eligible for scheduling"
			if c.Bool("disable") {
				eligibility, text = structs.NodeIneligible, "ineligible for scheduling"
			}
			if _, err := c.Client.SetNodeEligibility(ctx, id, eligibility); err != nil {
				return term.Fail("Error updating scheduling eligibility: %v", err)
			}
			c.Printf("Node %q scheduling eligibility set: %s\n", id, text)
			return nil
		},
	}
}
