package job

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/past"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

func inspectVerb() connect.Verb {
	return connect.Verb{
		Name: "inspect", Usage: "show a job as JSON, or as it was written", Args: []string{"<job>"},
		Flags: append(view.FormatFlags(),
			&cli.BoolFlag{Name: "hcl", Usage: "as it was written"},
			&cli.BoolFlag{Name: "with-vars", Usage: "with -hcl: also the variables"},
			&cli.StringFlag{Name: "version", Usage: "this `version`"},
		),
		Do: inspect,
	}
}

func inspect(ctx context.Context, c *connect.Call) error {
	at, err := seek(ctx, c, c.Arg(0))
	if err != nil {
		return err
	}
	if at.gone != nil && c.Bool("hcl") {
		return term.Fail("Error getting job submission: the history keeps jobs, not how they were written: leave out -hcl")
	}
	job, err := readVersion(ctx, c, at)
	if err != nil {
		return err
	}
	if at.gone != nil {
		past.SayBeside(c, at.gone)
	}
	if c.Bool("hcl") {
		return showSource(ctx, c, job, at.q)
	}
	wrapped := struct{ Job *structs.Job }{job}
	if c.String("t") != "" {
		return view.Template(c.Out, c.String("t"), job)
	}
	return view.JSON(c.Out, wrapped)
}

func readVersion(ctx context.Context, c *connect.Call, at *sought) (*structs.Job, error) {
	text := c.String("version")
	if text == "" && at.gone != nil {
		return at.gone.Job, nil
	}
	if text == "" {
		job, _, err := c.Client.Job(ctx, at.stub.ID, at.q)
		if err != nil {
			return nil, term.Fail("Error inspecting job: %v", err)
		}
		return job, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, term.Fail("Error parsing job version: %q is not a number", text)
	}
	versions, err := at.versions(ctx, c)
	if err != nil {
		return nil, err
	}
	if j := numbered(versions, n); j != nil {
		return j, nil
	}
	return nil, term.Fail("Error inspecting job: it has no version %d any more", n)
}

func showSource(ctx context.Context, c *connect.Call, job *structs.Job, q *api.Query) error {
	sub, err := c.Client.JobSubmission(ctx, structs.Value(job.ID), structs.Value(job.Version), q)
	if err != nil {
		return term.Fail("Error getting job submission: %v", err)
	}
	c.Printf("%s", sub.Source)
	if !c.Bool("with-vars") {
		return nil
	}
	flags, err := json.MarshalIndent(sub.VariableFlags, "", "    ")
	if err != nil {
		return term.Fail("Error encoding variables: %v", err)
	}
	c.Printf("\n# Variables given as flags: %s\n# Variables given as files:\n%s\n", flags, sub.Variables)
	return nil
}
