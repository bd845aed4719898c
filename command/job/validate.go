package job

import (
	"context"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/jobfile"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/jobspec"
)

func validateVerb() connect.Verb {
	return connect.Verb{
		Name: "validate", Usage: "check a job file", Args: []string{"<path or URL or ->"}, Flags: jobfile.Flags(),
		Do: func(ctx context.Context, c *connect.Call) error {
			src, err := jobfile.Read(ctx, c, c.Arg(0), c.Bool("json"))
			if err != nil {
				return err
			}
			adviseDrivers(ctx, c, src)
			resp, err := c.Client.ValidateJob(ctx, src.Job, src.Query())
			if err != nil {
				return term.Fail("Error validating job: %v", err)
			}
			if resp.Error != "" {
				return term.Fail("Job validation errors:\n%s", resp.Error)
			}
			if resp.Warnings != "" {
				c.Printf("Job Warnings:\n%s\n\n", strings.Join(view.Lines(resp.Warnings), "\n"))
			}
			c.Printf("Job validation successful\n")
			return nil
		},
	}
}

// exampleName is the file that init writes unless told otherwise.
const exampleName = "example.nomad.hcl"

func initVerb() connect.Verb {
	return connect.Verb{
		Name: "init", Usage: "write an example job file", Args: []string{"[<filename>]"},
		Flags: []cli.Flag{&cli.BoolFlag{Name: "short", Usage: "without the explanations"}},
		Do: func(_ context.Context, c *connect.Call) error {
			name := c.Arg(0)
			if name == "" {
				name = exampleName
			}
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if os.IsExist(err) {
				return term.Fail("Job '%s' already exists", name)
			}
			if err != nil {
				return term.Fail("Failed to write '%s': %v", name, err)
			}
			_, err = f.WriteString(jobspec.Example(c.Bool("short")))
			if closeErr := f.Close(); err == nil {
				err = closeErr
			}
			if err != nil {
				return term.Fail("Failed to write '%s': %v", name, err)
			}
			c.Printf("Example job file written to %s\n", name)
			return nil
		},
	}
}
