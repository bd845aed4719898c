// Package node holds the verbs for nodes, one file each.
//
// It must not know other nouns' verbs. Begin reading at Command.
package node

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/nodepool"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
)

// Command returns the group `node`.
func Command(s term.Streams) *cli.Command {
	return &cli.Command{Name: "node", Usage: "look at nodes and open or close them", Commands: []*cli.Command{
		statusVerb().Command(s), eligibilityVerb().Command(s), drainVerb().Command(s), whyNotVerb().Command(s), nodepool.Command(s), metaCommand(s),
	}}
}

// Aliases returns the old names that still work.
func Aliases(s term.Streams) []*cli.Command {
	var out []*cli.Command
	for _, v := range []connect.Verb{statusVerb(), drainVerb()} {
		v.Name, v.Deprecated = "node-"+v.Name, true
		hidden := v.Command(s)
		hidden.Hidden = true
		out = append(out, hidden)
	}
	return out
}

// target is the node that a verb means: by prefix, or with -self the agent's.
func target(ctx context.Context, c *connect.Call) (string, error) {
	if c.Bool("self") {
		self, err := c.Client.AgentSelf(ctx)
		if err != nil {
			return "", term.Fail("Error querying agent info: %v", err)
		}
		id := self.Stats["client"]["node_id"]
		if id == "" {
			return "", term.Fail("This agent runs no tasks, so it is no node: name one, or ask another agent with -address")
		}
		return id, nil
	}
	if c.Arg(0) == "" {
		return "", term.Fail("Name a node, or use -self")
	}
	stub, err := resolve.Node(ctx, c.Client, c.Arg(0))
	if err != nil {
		return "", err
	}
	return stub.ID, nil
}
