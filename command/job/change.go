package job

import (
	"context"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/structs"
)

func evalVerb() connect.Verb {
	return connect.Verb{
		Name: "eval", Usage: "evaluate a job again", Args: []string{"<job>"},
		Flags: detachFlags(&cli.BoolFlag{Name: "force-reschedule", Usage: "replace failed allocations whatever their policy says"}),
		Do: func(ctx context.Context, c *connect.Call) error {
			stub, q, err := find(ctx, c, c.Arg(0))
			if err != nil {
				return err
			}
			resp, err := c.Client.EvaluateJob(ctx, stub.ID, structs.EvalOptions{ForceReschedule: c.Bool("force-reschedule")}, q)
			if err != nil {
				return term.Fail("Error evaluating job: %v", err)
			}
			if c.Bool("detach") {
				c.Printf("Created eval ID: %q \n", resp.EvalID)
				return nil
			}
			return follow(ctx, c, resp.EvalID)
		},
	}
}

func scaleVerb() connect.Verb {
	return connect.Verb{
		Name: "scale", Usage: "change the count of a group", Args: []string{"<job>", "[<group>]", "<count>"},
		Flags: detachFlags(&cli.Uint64Flag{Name: "check-index", Usage: "only if the job's modify `index` is this"}),
		Do:    scale,
	}
}

func scale(ctx context.Context, c *connect.Call) error {
	stub, q, err := find(ctx, c, c.Arg(0))
	if err != nil {
		return err
	}
	group, countText := c.Arg(1), c.Arg(2)
	if c.Args().Len() == 2 {
		group, countText = "", c.Arg(1)
	}
	count, err := strconv.ParseInt(countText, 10, 64)
	if err != nil {
		return term.Fail("Failed to convert count string to int: %q is not a number", countText)
	}
	if group, err = groupToScale(ctx, c, stub.ID, group, q); err != nil {
		return err
	}
	resp, err := c.Client.ScaleJob(ctx, stub.ID, &structs.ScalingRequest{
		Count:   &count,
		Target:  map[string]string{"Namespace": stub.Namespace, "Job": stub.ID, "Group": group},
		Message: "submitted using the command line", JobModifyIndex: c.Uint64("check-index"),
	}, q)
	if err != nil {
		return term.Fail("Error submitting scaling request: %v", err)
	}
	// Jobs that others are made from are not evaluated: there is nothing to follow.
	if c.Bool("detach") || resp.EvalID == "" {
		c.Printf("Job scale successful\n")
	}
	return follow(ctx, c, resp.EvalID)
}

// groupToScale returns the group that was named, if the job has it, or its only
// one if none was.
func groupToScale(ctx context.Context, c *connect.Call, jobID, named string, q *api.Query) (string, error) {
	job, _, err := c.Client.Job(ctx, jobID, q)
	switch {
	case err != nil:
		return "", term.Fail("Error querying job: %v", err)
	case named == "" && len(job.TaskGroups) == 1:
		return structs.Value(job.TaskGroups[0].Name), nil
	case named == "":
		return "", term.Fail("The job has %d groups: name the one to scale", len(job.TaskGroups))
	case job.LookupTaskGroup(named) == nil:
		return "", term.Fail("Group %s not found within job", named)
	}
	return named, nil
}

func promoteVerb() connect.Verb {
	return connect.Verb{
		Name: "promote", Usage: "promote the canaries of a job's newest deployment", Args: []string{"<job>"},
		Flags: detachFlags(&cli.StringSliceFlag{Name: "group", Usage: "`name` of a group (repeatable; default all)"}),
		Do: func(ctx context.Context, c *connect.Call) error {
			stub, q, err := find(ctx, c, c.Arg(0))
			if err != nil {
				return err
			}
			d, _, err := c.Client.LatestDeployment(ctx, stub.ID, q)
			if err != nil {
				return term.Fail("Error retrieving deployment: %v", err)
			}
			if d == nil {
				return term.Fail("Job %q has no deployment to promote", stub.ID)
			}
			resp, err := c.Client.PromoteDeployment(ctx, d.ID, c.StringSlice("group"), q)
			if err != nil {
				return term.Fail("Error promoting deployment %q for job %q: %v", d.ID, stub.ID, err)
			}
			if monitor.TellIfPaused(c.Streams, d) && !c.Bool("detach") {
				return nil
			}
			return follow(ctx, c, resp.EvalID)
		},
	}
}
