// Package job holds the verbs for jobs, one file each: parse arguments, do,
// show.
//
// It must not know other nouns' verbs. Begin reading at Command.
package job

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/past"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/structs"
)

// Command returns the group `job`.
func Command(s term.Streams) *cli.Command {
	group := &cli.Command{Name: "job", Usage: "submit, look at and change jobs"}
	for _, v := range verbs() {
		group.Commands = append(group.Commands, v.Command(s))
	}
	group.Commands = append(group.Commands, periodicGroup(s), tagGroup(s))
	return group
}

// Aliases returns the verbs that also stand at the top: steppe run and kin.
func Aliases(s term.Streams) []*cli.Command {
	top := map[string]bool{"run": true, "plan": true, "stop": true, "init": true, "inspect": true, "validate": true}
	var out []*cli.Command
	for _, v := range verbs() {
		if top[v.Name] {
			v.Usage = "alias of job " + v.Name
			out = append(out, v.Command(s))
		}
	}
	return out
}

func verbs() []connect.Verb {
	return []connect.Verb{
		initVerb(), validateVerb(), planVerb(), runVerb(), statusVerb(), stopVerb(), historyVerb(), revertVerb(),
		scaleVerb(), inspectVerb(), allocsVerb(), deploymentsVerb(), evalVerb(), promoteVerb(), whyVerb(), dispatchVerb(),
	}
}

// detachFlags are the flags of verbs that follow what they did.
func detachFlags(more ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		&cli.BoolFlag{Name: "detach", Usage: "don't follow the change"},
		&cli.BoolFlag{Name: "verbose", Usage: "full ids, more lines"},
	}, more...)
}

// follow shows what an evaluation does, or with -detach only its id.
func follow(ctx context.Context, c *connect.Call, evalID string) error {
	if evalID == "" {
		return nil
	}
	if c.Bool("detach") {
		c.Printf("Evaluation ID: %s\n", evalID)
		return nil
	}
	m := &monitor.Monitor{Client: c.Client, Streams: c.Streams, Verbose: c.Bool("verbose")}
	return m.Eval(ctx, evalID)
}

// find resolves a job by prefix, one that there is, and returns it with a query
// in its namespace.
func find(ctx context.Context, c *connect.Call, prefix string) (*structs.JobListStub, *api.Query, error) {
	stub, err := past.Live(ctx, c, prefix, resolve.Job)
	if err != nil {
		return nil, nil, err
	}
	return stub, &api.Query{Namespace: stub.Namespace}, nil
}
