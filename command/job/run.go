package job

import (
	"context"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/jobfile"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

func runVerb() connect.Verb {
	return connect.Verb{
		Name: "run", Usage: "submit a job and follow its deployment", Args: []string{"<path or URL or ->"},
		Help: "Exit code 0: done. 1: an error, or the deployment failed. 2: not everything could be placed.",
		Flags: append(jobfile.Flags(), detachFlags(
			connect.UI(),
			&cli.BoolFlag{Name: "output", Usage: "print the job as JSON, don't submit"},
			&cli.BoolFlag{Name: "policy-override", Usage: "accepted, there are no policies to override"},
			&cli.BoolFlag{Name: "preserve-counts", Usage: "keep the counts that groups have now"},
			&cli.BoolFlag{Name: "preserve-resources", Usage: "keep the resources that tasks have now"},
			&cli.StringFlag{Name: "check-index", Usage: "only if the job's modify `index` is this; 0: only if it doesn't exist"},
			&cli.IntFlag{Name: "eval-priority", Usage: "`priority` of the evaluation"},
		)...),
		Do: run,
	}
}

func run(ctx context.Context, c *connect.Call) error {
	src, err := jobfile.Read(ctx, c, c.Arg(0), c.Bool("json"))
	if err != nil {
		return err
	}
	if c.Bool("output") {
		return view.JSON(c.Out, struct{ Job *structs.Job }{src.Job})
	}
	adviseDrivers(ctx, c, src)
	req := &structs.JobRegisterRequest{
		Job: src.Job, Submission: src.Submission(), PolicyOverride: c.Bool("policy-override"),
		PreserveCounts: c.Bool("preserve-counts"), PreserveResources: c.Bool("preserve-resources"), EvalPriority: c.Int("eval-priority"),
	}
	if text := c.String("check-index"); text != "" {
		if req.JobModifyIndex, err = strconv.ParseUint(text, 10, 64); err != nil {
			return term.Fail("Error parsing check-index value %q: it is not a number", text)
		}
		req.EnforceIndex = true
	}
	resp, err := c.Client.RegisterJob(ctx, req, src.Query())
	if err != nil {
		return registerError(err)
	}
	if resp.Warnings != "" {
		c.Printf("Job Warnings:\n%s\n\n", strings.Join(view.Lines(resp.Warnings), "\n"))
	}
	if resp.EvalID == "" {
		c.Printf("Job registration successful\n")
		src.Job.Canonicalize()
		if next := nextLaunch(src.Job, c.Clock.Now()); next != "" {
			c.Printf("Approximate next launch time: %s\n", next)
		}
		return nil
	}
	if c.Bool("detach") {
		c.Printf("Job registration successful\n")
	}
	return follow(ctx, c, resp.EvalID)
}

// enforcing is how the servers' answer to a wrong check-index begins.
const enforcing = "Enforcing job modify index"

func registerError(err error) error {
	text := err.Error()
	if at := strings.Index(text, enforcing); at >= 0 {
		return term.Fail("%s\nJob not updated", strings.TrimSuffix(text[at:], ")"))
	}
	return term.Fail("Error submitting job: %v", err)
}
