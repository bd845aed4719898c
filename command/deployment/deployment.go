// Package deployment holds the verbs for deployments.
//
// It must not know other nouns' verbs. Begin reading at Command.
package deployment

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/past"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// Command returns the group `deployment`.
func Command(s term.Streams) *cli.Command {
	group := &cli.Command{Name: "deployment", Usage: "look at deployments and steer them"}
	for _, v := range []connect.Verb{listVerb(), statusVerb(), promoteVerb(), failVerb(), pauseVerb(), resumeVerb()} {
		group.Commands = append(group.Commands, v.Command(s))
	}
	return group
}

func listVerb() connect.Verb {
	return connect.Verb{
		Name: "list", Usage: "list deployments",
		Flags: append(view.FormatFlags(),
			&cli.BoolFlag{Name: "verbose", Usage: "full ids"},
			&cli.StringFlag{Name: "filter", Usage: "filter `expression`"},
		),
		Do: list,
	}
}

func list(ctx context.Context, c *connect.Call) error {
	all, _, err := c.Client.Deployments(ctx, &api.Query{Filter: c.String("filter")})
	if err != nil {
		return term.Fail("Error retrieving deployments: %v", err)
	}
	if done, err := view.Formatted(c.Command, c.Streams, all); done {
		return err
	}
	c.Printf("%s", monitor.Deployments(all, c.Bool("verbose")))
	return nil
}

func statusVerb() connect.Verb {
	return connect.Verb{
		Name: "status", Usage: "show a deployment, or follow it", Args: []string{"[<deployment id>]"},
		Flags: append(view.FormatFlags(),
			connect.UI(),
			&cli.BoolFlag{Name: "verbose", Usage: "full ids, also the allocations"},
			&cli.BoolFlag{Name: "monitor", Usage: "follow it"},
			&cli.DurationFlag{Name: "wait", Usage: "accepted; changes are shown when they happen"},
		),
		Do: func(ctx context.Context, c *connect.Call) error {
			if c.Arg(0) == "" {
				return list(ctx, c)
			}
			return Show(ctx, c, c.Arg(0))
		},
	}
}

// Show shows one deployment by a prefix of its id.
func Show(ctx context.Context, c *connect.Call, prefix string) error {
	d, err := resolve.Deployment(ctx, c.Client, prefix)
	if err != nil {
		return showPast(ctx, c, prefix, err)
	}
	if done, err := view.Formatted(c.Command, c.Streams, d); done {
		return err
	}
	if c.Bool("monitor") {
		m := &monitor.Monitor{Client: c.Client, Streams: c.Streams, Verbose: c.Bool("verbose")}
		return m.Deployment(ctx, d.ID)
	}
	c.Printf("%s", monitor.DeploymentBlock(d, c.Bool("verbose")))
	if c.Bool("verbose") {
		allocs, _, err := c.Client.DeploymentAllocations(ctx, d.ID, nil)
		if err != nil {
			return term.Fail("Error retrieving deployment allocations: %v", err)
		}
		c.Printf("%s", view.Section("Allocations", monitor.Allocations(allocs, c.Clock.Now(), true), c.Colour()))
	}
	return nil
}

// showPast shows a deployment that is gone, as the history has it.
func showPast(ctx context.Context, c *connect.Call, prefix string, missing error) error {
	found, err := past.Find(ctx, c, structs.HistoryDeployment, prefix, missing)
	if err != nil {
		return err
	}
	past.Say(c, found)
	if done, err := view.Formatted(c.Command, c.Streams, found.Deployment); done {
		return err
	}
	c.Printf("%s", monitor.DeploymentBlock(found.Deployment, c.Bool("verbose")))
	return nil
}

// change is one way to steer a deployment.
type change func(context.Context, *connect.Call, *structs.Deployment) (*structs.DeploymentUpdateResponse, error)

func steer(name, usage, failure, done string, flags []cli.Flag, do change) connect.Verb {
	return connect.Verb{
		Name: name, Usage: usage, Args: []string{"<deployment id>"},
		Flags: append(flags,
			&cli.BoolFlag{Name: "detach", Usage: "don't follow the change"},
			&cli.BoolFlag{Name: "verbose", Usage: "full ids"},
		),
		Do: func(ctx context.Context, c *connect.Call) error {
			d, err := resolve.Deployment(ctx, c.Client, c.Arg(0))
			if err != nil {
				return err
			}
			resp, err := do(ctx, c, d)
			if err != nil {
				return term.Fail("Error %s deployment: %v", failure, err)
			}
			if done != "" {
				c.Printf("Deployment %q %s\n", d.ID, done)
			}
			return after(ctx, c, name, resp)
		},
	}
}

// after follows what was done. A deployment that was to fail and did is a
// success.
func after(ctx context.Context, c *connect.Call, name string, resp *structs.DeploymentUpdateResponse) error {
	if resp.RevertedJobVersion != nil {
		c.Printf("Rolled back to job version %d\n", *resp.RevertedJobVersion)
	}
	if resp.EvalID == "" {
		return nil
	}
	if c.Bool("detach") {
		c.Printf("Evaluation ID: %s\n", resp.EvalID)
		return nil
	}
	m := &monitor.Monitor{Client: c.Client, Streams: c.Streams, Verbose: c.Bool("verbose")}
	if name == "fail" {
		m.Wanted = structs.DeploymentStatusFailed
	}
	return m.Eval(ctx, resp.EvalID)
}

func query(d *structs.Deployment) *api.Query { return &api.Query{Namespace: d.Namespace} }

func promoteVerb() connect.Verb {
	flags := []cli.Flag{&cli.StringSliceFlag{Name: "group", Usage: "`name` of a group (repeatable; default all)"}}
	return steer("promote", "promote canaries", "promoting", "", flags,
		func(ctx context.Context, c *connect.Call, d *structs.Deployment) (*structs.DeploymentUpdateResponse, error) {
			resp, err := c.Client.PromoteDeployment(ctx, d.ID, c.StringSlice("group"), query(d))
			if err == nil && monitor.TellIfPaused(c.Streams, d) && !c.Bool("detach") {
				resp.EvalID = "" // nothing follows until somebody resumes it
			}
			return resp, err
		})
}

func failVerb() connect.Verb {
	return steer("fail", "mark a deployment failed", "failing", "failed", nil,
		func(ctx context.Context, c *connect.Call, d *structs.Deployment) (*structs.DeploymentUpdateResponse, error) {
			return c.Client.FailDeployment(ctx, d.ID, query(d))
		})
}

func pauseVerb() connect.Verb {
	return steer("pause", "pause a deployment", "pausing", "paused", nil,
		func(ctx context.Context, c *connect.Call, d *structs.Deployment) (*structs.DeploymentUpdateResponse, error) {
			return c.Client.PauseDeployment(ctx, d.ID, true, query(d))
		})
}

func resumeVerb() connect.Verb {
	return steer("resume", "go on with a paused deployment", "resuming", "resumed", nil,
		func(ctx context.Context, c *connect.Call, d *structs.Deployment) (*structs.DeploymentUpdateResponse, error) {
			return c.Client.PauseDeployment(ctx, d.ID, false, query(d))
		})
}
