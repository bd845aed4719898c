package command

import (
	"context"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/term"
)

// unbuilt are the verbs that users know and that Steppe doesn't have yet, by
// group; those of no group are verbs or whole groups of the top.
var unbuilt = map[string]string{
	"": "acl action agent-info check client-config config debug fmt license login monitor namespace quota recommendation " +
		"scaling sentinel setup start ui var volume windows",
	"alloc":      "pause",
	"deployment": "unblock",
	"eval":       "delete",
	"job":        "action restart scaling-events start",
	"node":       "config identity intro",
	"operator":   "api autopilot client-state debug gossip metrics raft root utilization",
	"service":    "delete",
	"system":     "reconcile",

	"operator snapshot": "redact restore state",
}

// addUnbuilt adds the verbs that are missing, each with the answer that it is.
func addUnbuilt(all []*cli.Command) []*cli.Command {
	for _, group := range all {
		for _, inner := range group.Commands {
			for _, name := range strings.Fields(unbuilt[group.Name+" "+inner.Name]) {
				inner.Commands = append(inner.Commands, notBuilt(name))
			}
		}
		for _, name := range strings.Fields(unbuilt[group.Name]) {
			group.Commands = append(group.Commands, notBuilt(name))
		}
	}
	for _, name := range strings.Fields(unbuilt[""]) {
		all = append(all, notBuilt(name))
	}
	return all
}

// notBuiltCategory marks a verb that only says that it is missing.
const notBuiltCategory = "not built yet"

// NotBuilt tells whether a command of the tree only says that it is missing.
func NotBuilt(cmd *cli.Command) bool { return cmd.Category == notBuiltCategory }

// notBuilt answers whatever is asked of it, help too, with the same sentence.
func notBuilt(name string) *cli.Command {
	return &cli.Command{
		Name: name, Category: notBuiltCategory, Hidden: true, SkipFlagParsing: true,
		Action: func(_ context.Context, cmd *cli.Command) error {
			return term.Fail("'%s' is not built yet. For what there is try '%s -help'", cmd.FullName(), parentName(cmd))
		},
	}
}

func parentName(cmd *cli.Command) string {
	return strings.TrimSuffix(cmd.FullName(), " "+cmd.Name)
}
