package alloc

import (
	"context"
	"fmt"
	"sort"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

func stopVerb() connect.Verb {
	return connect.Verb{
		Name: "stop", Usage: "stop an allocation; another one replaces it", Args: []string{"<alloc id>"},
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "detach", Usage: "don't follow the change"},
			&cli.BoolFlag{Name: "verbose", Usage: "full ids"},
			&cli.BoolFlag{Name: "no-shutdown-delay", Usage: "ignore shutdown_delay"},
		},
		Do: func(ctx context.Context, c *connect.Call) error {
			a, q, err := find(ctx, c, c.Arg(0))
			if err != nil {
				return err
			}
			resp, err := c.Client.StopAllocation(ctx, a.ID, c.Bool("no-shutdown-delay"), q)
			if err != nil {
				return term.Fail("Error stopping allocation: %v", err)
			}
			if c.Bool("detach") {
				c.Printf("%s\n", resp.EvalID)
				return nil
			}
			m := &monitor.Monitor{Client: c.Client, Streams: c.Streams, Verbose: c.Bool("verbose")}
			return m.Eval(ctx, resp.EvalID)
		},
	}
}

func restartVerb() connect.Verb {
	return connect.Verb{
		Name: "restart", Usage: "restart tasks where they are", Args: []string{"<alloc id>", "[<task>]"},
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all-tasks", Usage: "also tasks that have ended"},
			&cli.BoolFlag{Name: "verbose", Usage: "full ids"},
			&cli.StringFlag{Name: "task", Usage: "`name` of the task"},
		},
		Do: func(ctx context.Context, c *connect.Call) error {
			a, q, err := find(ctx, c, c.Arg(0))
			if err != nil {
				return err
			}
			task := taskArg(c)
			if task != "" {
				if c.Bool("all-tasks") {
					return term.Fail("Either a task or -all-tasks, not both")
				}
				if task, err = taskOf(a, task); err != nil {
					return err
				}
			}
			req := structs.AllocationRestartRequest{TaskName: task, AllTasks: c.Bool("all-tasks")}
			if err := c.Client.RestartAllocation(ctx, a.ID, req, q); err != nil {
				return term.Fail("Failed to restart allocation:\n\n%v", err)
			}
			return nil
		},
	}
}

func signalVerb() connect.Verb {
	return connect.Verb{
		Name: "signal", Usage: "send a signal to tasks", Args: []string{"<alloc id>", "[<task>]"},
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "s", Usage: "`name` of the signal", Value: "SIGKILL"},
			&cli.BoolFlag{Name: "verbose", Usage: "full ids"},
			&cli.StringFlag{Name: "task", Usage: "`name` of the task"},
		},
		Do: func(ctx context.Context, c *connect.Call) error {
			a, q, err := find(ctx, c, c.Arg(0))
			if err != nil {
				return err
			}
			task := taskArg(c)
			if task != "" {
				if task, err = taskOf(a, task); err != nil {
					return err
				}
			}
			if err := c.Client.SignalAllocation(ctx, a.ID, task, c.String("s"), q); err != nil {
				return term.Fail("Error signalling allocation: %v", err)
			}
			return nil
		},
	}
}

func checksVerb() connect.Verb {
	return connect.Verb{
		Name: "checks", Usage: "show an allocation's service checks", Args: []string{"<alloc id>"},
		Flags: append(view.FormatFlags(), &cli.BoolFlag{Name: "verbose", Usage: "full ids"}),
		Do: func(ctx context.Context, c *connect.Call) error {
			a, q, err := find(ctx, c, c.Arg(0))
			if err != nil {
				return err
			}
			checks, err := c.Client.AllocationChecks(ctx, a.ID, q)
			if err != nil {
				return term.Fail("Error querying checks: %v", err)
			}
			if done, err := view.Formatted(c.Command, c.Streams, checks); done {
				return err
			}
			c.Printf("Status of %d Nomad Service Checks\n", len(checks))
			for _, id := range sortedIDs(checks) {
				c.Printf("\n%s", checkKeys(checks[id]))
			}
			return nil
		},
	}
}

func sortedIDs(checks map[string]*structs.AllocCheckStatus) []string {
	ids := make([]string, 0, len(checks))
	for id := range checks {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	return ids
}

func checkKeys(ch *structs.AllocCheckStatus) string {
	out := ""
	for _, p := range []view.Pair{
		{Key: "ID", Value: ch.ID}, {Key: "Name", Value: ch.Check}, {Key: "Group", Value: ch.Group}, {Key: "Task", Value: ch.Task},
		{Key: "Service", Value: ch.Service}, {Key: "Status", Value: ch.Status}, {Key: "Mode", Value: ch.Mode},
		{Key: "Timestamp", Value: view.Nanos(ch.Timestamp * 1e9)}, {Key: "Output", Value: ch.Output},
	} {
		out += fmt.Sprintf("%-9s =  %s\n", p.Key, view.Clean(p.Value))
	}
	return out
}
