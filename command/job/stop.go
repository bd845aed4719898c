package job

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/structs"
)

func stopVerb() connect.Verb {
	return connect.Verb{
		Name: "stop", Usage: "stop jobs, and follow their end", Args: []string{"<job>", "[<job>...]"},
		Flags: detachFlags(
			&cli.BoolFlag{Name: "global", Usage: "in all regions"},
			&cli.BoolFlag{Name: "no-shutdown-delay", Usage: "ignore shutdown_delay"},
			&cli.BoolFlag{Name: "yes", Usage: "don't ask"},
			&cli.BoolFlag{Name: "purge", Usage: "forget the job"},
			&cli.IntFlag{Name: "eval-priority", Usage: "`priority` of the evaluation"},
		),
		Do: stop,
	}
}

// stop stops each job; the first error that isn't success is the exit code.
func stop(ctx context.Context, c *connect.Call) error {
	var first error
	for _, prefix := range c.Args().Slice() {
		err := stopOne(ctx, c, prefix)
		if err == nil {
			continue
		}
		if first == nil {
			first = err
			continue
		}
		c.Errorf("%v\n", err)
	}
	return first
}

func stopOne(ctx context.Context, c *connect.Call, prefix string) error {
	stub, q, err := find(ctx, c, prefix)
	if err != nil {
		return err
	}
	if stub.ID != prefix && !c.Bool("yes") {
		if err := confirm(c, fmt.Sprintf("Stop job %q? [y/N] ", stub.ID)); err != nil {
			return err
		}
	}
	running, err := activeDeployment(ctx, c, stub, q)
	if err != nil {
		return err
	}
	resp, err := c.Client.StopJob(ctx, stub.ID, api.StopOptions{
		Purge: c.Bool("purge"), NoShutdownDelay: c.Bool("no-shutdown-delay"), EvalPriority: c.Int("eval-priority"),
		Global: c.Bool("global"),
	}, q)
	if err != nil {
		return term.Fail("Error deregistering job: %v", err)
	}
	if resp.EvalID == "" {
		return nil
	}
	if c.Bool("detach") {
		c.Printf("%s\n", resp.EvalID)
		return nil
	}
	if err := follow(ctx, c, resp.EvalID); err != nil || running == nil {
		return err
	}
	return followEnd(ctx, c, running)
}

// activeDeployment is the job's deployment that still goes on, if any; stopping
// the job will cancel it.
func activeDeployment(ctx context.Context, c *connect.Call, stub *structs.JobListStub, q *api.Query) (*structs.Deployment, error) {
	if c.Bool("detach") {
		return nil, nil
	}
	d, _, err := c.Client.LatestDeployment(ctx, stub.ID, q)
	if err != nil {
		return nil, term.Fail("Error retrieving deployment: %v", err)
	}
	if d == nil || !d.Active() {
		return nil, nil
	}
	return d, nil
}

// followEnd follows a deployment that the stop of its job cancels. One that is
// forgotten together with the job was cancelled too.
func followEnd(ctx context.Context, c *connect.Call, d *structs.Deployment) error {
	m := &monitor.Monitor{Client: c.Client, Streams: c.Streams, Verbose: c.Bool("verbose")}
	err := m.Deployment(ctx, d.ID)
	var status *api.StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
		return term.Fail("Deployment %q was cancelled: its job is stopped", d.ID)
	}
	return err
}

// errDeclined ends a verb whose question was not answered with yes.
var errDeclined = errors.New("cancelled")

// confirm asks a person; without one it refuses and names the flag.
func confirm(c *connect.Call, question string) error {
	if !c.InIsTerminal() {
		return term.Fail("%s\nNobody is here to answer: give the full id, or -yes.", strings.TrimSuffix(question, " [y/N] "))
	}
	c.Printf("%s", question)
	line, err := bufio.NewReader(c.In).ReadString('\n')
	if err != nil || strings.ToLower(strings.TrimSpace(line)) != "y" {
		return term.Fail("%v", errDeclined)
	}
	return nil
}
