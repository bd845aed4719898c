package nodepool

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/jobfile"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/jobspec"
	"github.com/steppe-run/steppe/structs"
)

func applyVerb() connect.Verb {
	return connect.Verb{
		Name: "apply", Usage: "make a node pool, or change one", Args: []string{"<path or ->"},
		Help:  "For a file to begin with see 'steppe node pool init'.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "the file is JSON"}},
		Do: func(ctx context.Context, c *connect.Call) error {
			p, err := readPool(c, c.Arg(0))
			if err != nil {
				return err
			}
			if err := c.Client.SetNodePool(ctx, p); err != nil {
				return term.Fail("Error applying node pool: %v", err)
			}
			c.Printf("Successfully applied node pool %q!\n", p.Name)
			return nil
		},
	}
}

// readPool reads the pool of a file and checks it, so that all faults are told
// without a server.
func readPool(c *connect.Call, path string) (*structs.NodePool, error) {
	text, err := jobfile.Text(c, path)
	if err != nil {
		return nil, term.Fail("Error reading node pool file: %v", err)
	}
	name, parse := filepath.Base(path), jobspec.ParseNodePool
	if path == "-" {
		name = "<stdin>"
	}
	if c.Bool("json") || strings.HasSuffix(path, ".json") {
		parse = jobspec.ParseNodePoolJSON
	}
	p, diags := parse(name, []byte(text))
	var told strings.Builder
	if err := diags.Render(&told, c.Colour()); err != nil {
		return nil, term.Fail("Error parsing node pool file: %v", err)
	}
	if diags.HasErrors() {
		return nil, term.Fail("Error parsing node pool file:\n\n%s", strings.TrimRight(told.String(), "\n"))
	}
	c.Errorf("%s", told.String())
	if err := p.Validate(); err != nil {
		return nil, term.Fail("Error validating node pool %q: %v", p.Name, err)
	}
	return p, nil
}

func deleteVerb() connect.Verb {
	return connect.Verb{
		Name: "delete", Usage: "remove a node pool that nothing uses", Args: []string{"<pool>"},
		Do: func(ctx context.Context, c *connect.Call) error {
			if err := c.Client.DeleteNodePool(ctx, c.Arg(0)); err != nil {
				return term.Fail("Error deleting node pool: %v", err)
			}
			c.Printf("Successfully deleted node pool %q!\n", c.Arg(0))
			return nil
		},
	}
}

func initVerb() connect.Verb {
	return connect.Verb{
		Name: "init", Usage: "write an example node pool file", Args: []string{"[<filename>]"},
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Usage: "`hcl` or json", Value: "hcl"},
			&cli.BoolFlag{Name: "quiet", Usage: "say nothing"},
		},
		Do: func(_ context.Context, c *connect.Call) error {
			format := c.String("out")
			if format != "hcl" && format != "json" {
				return term.Fail("Unknown format %q: write -out hcl or -out json", format)
			}
			name := c.Arg(0)
			if name == "" {
				name = "pool.nomad." + format
			}
			if err := writeNew(name, jobspec.ExampleNodePool(format == "json")); err != nil {
				return err
			}
			if !c.Bool("quiet") {
				c.Printf("Example node pool specification written to %s\n", name)
			}
			return nil
		},
	}
}

// writeNew writes a file that must not be there yet.
func writeNew(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if os.IsExist(err) {
		return term.Fail("File %q already exists", name)
	}
	if err != nil {
		return term.Fail("Failed to write %q: %v", name, err)
	}
	_, err = f.WriteString(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return term.Fail("Failed to write %q: %v", name, err)
	}
	return nil
}
