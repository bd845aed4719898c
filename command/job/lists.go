package job

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
)

func allocsVerb() connect.Verb {
	return connect.Verb{
		Name: "allocs", Usage: "list a job's allocations", Args: []string{"<job>"},
		Flags: append(view.FormatFlags(),
			&cli.BoolFlag{Name: "verbose", Usage: "full ids, more lines"},
			&cli.BoolFlag{Name: "all", Usage: "also those of earlier jobs of this name"},
		),
		Do: func(ctx context.Context, c *connect.Call) error {
			stub, q, err := find(ctx, c, c.Arg(0))
			if err != nil {
				return err
			}
			allocs, _, err := c.Client.JobAllocations(ctx, stub.ID, c.Bool("all"), q)
			if err != nil {
				return term.Fail("Error retrieving allocations: %v", err)
			}
			if done, err := view.Formatted(c.Command, c.Streams, allocs); done {
				return err
			}
			c.Printf("%s", monitor.Allocations(allocs, c.Clock.Now(), c.Bool("verbose")))
			return nil
		},
	}
}

func deploymentsVerb() connect.Verb {
	return connect.Verb{
		Name: "deployments", Usage: "list a job's deployments", Args: []string{"<job>"},
		Flags: append(view.FormatFlags(),
			&cli.BoolFlag{Name: "latest", Usage: "show only the newest"},
			&cli.BoolFlag{Name: "verbose", Usage: "full ids"},
			&cli.BoolFlag{Name: "all", Usage: "also those of earlier jobs of this name"},
		),
		Do: deployments,
	}
}

func deployments(ctx context.Context, c *connect.Call) error {
	stub, q, err := find(ctx, c, c.Arg(0))
	if err != nil {
		return err
	}
	if c.Bool("latest") {
		d, _, err := c.Client.LatestDeployment(ctx, stub.ID, q)
		if err != nil {
			return term.Fail("Error retrieving deployments: %v", err)
		}
		if done, err := view.Formatted(c.Command, c.Streams, d); done {
			return err
		}
		if d == nil {
			c.Printf("No deployments found\n")
			return nil
		}
		c.Printf("%s", monitor.DeploymentBlock(d, c.Bool("verbose")))
		return nil
	}
	all, _, err := c.Client.JobDeployments(ctx, stub.ID, c.Bool("all"), q)
	if err != nil {
		return term.Fail("Error retrieving deployments: %v", err)
	}
	if done, err := view.Formatted(c.Command, c.Streams, all); done {
		return err
	}
	c.Printf("%s", monitor.Deployments(all, c.Bool("verbose")))
	return nil
}
