// Package operator holds the verbs for those who run a cluster.
//
// It must not know other nouns' verbs. Begin reading at Command.
package operator

import (
	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/term"
)

// Command returns the group `operator`.
func Command(s term.Streams) *cli.Command {
	return &cli.Command{Name: "operator", Usage: "plan and look after a cluster", Commands: []*cli.Command{
		brakeGroup(s), capacityVerb().Command(s), historyVerb().Command(s), schedulerGroup(s), snapshotGroup(s),
	}}
}
