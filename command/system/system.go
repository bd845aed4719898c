// Package system holds the verbs for the whole region.
//
// It must not know other nouns' verbs. Begin reading at Command.
package system

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
)

// Command returns the group `system`.
func Command(s term.Streams) *cli.Command {
	gc := connect.Verb{
		Name: "gc", Usage: "collect everything that may go",
		Do: func(ctx context.Context, c *connect.Call) error {
			if err := c.Client.GC(ctx); err != nil {
				return term.Fail("Error running system garbage-collection: %v", err)
			}
			return nil
		},
	}
	return &cli.Command{Name: "system", Usage: "act on the whole region", Commands: []*cli.Command{gc.Command(s)}}
}
