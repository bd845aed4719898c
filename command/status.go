package command

import (
	"context"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/alloc"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/deployment"
	"github.com/steppe-run/steppe/command/eval"
	"github.com/steppe-run/steppe/command/job"
	"github.com/steppe-run/steppe/command/node"
	"github.com/steppe-run/steppe/command/term"
)

// candidate is one object that an identifier may mean.
type candidate struct {
	kind, id string
	show     func(context.Context, *connect.Call, string) error
}

func statusVerb() connect.Verb {
	return connect.Verb{
		Name: "status", Usage: "find out what an id prefix is and show it; without one, list jobs", Args: []string{"[<identifier>]"},
		Flags: []cli.Flag{&cli.BoolFlag{Name: "verbose", Usage: "full ids, more lines"}, connect.UI()},
		Do: func(ctx context.Context, c *connect.Call) error {
			id := c.Arg(0)
			if id == "" {
				return job.List(ctx, c)
			}
			found, err := lookup(ctx, c.Client, id)
			if err != nil {
				return term.Fail("Error querying search with id %q: %v", id, err)
			}
			return showOnly(ctx, c, id, found)
		},
	}
}

func showOnly(ctx context.Context, c *connect.Call, id string, found []candidate) error {
	for _, f := range found {
		if f.id == id {
			return f.show(ctx, c, f.id)
		}
	}
	if job.Gone(ctx, c, id) {
		return job.Show(ctx, c, id)
	}
	switch len(found) {
	case 0:
		return term.Fail("Unable to resolve ID: %q", id)
	case 1:
		return found[0].show(ctx, c, found[0].id)
	}
	var lines []string
	for _, f := range found {
		lines = append(lines, f.kind+" "+f.id)
	}
	return term.Fail("Several things begin with %q:\n  %s\nGive more of the one you mean.", id, strings.Join(lines, "\n  "))
}

// lookup finds what begins with id among jobs and, when it can be the
// beginning of a UUID, everything else.
func lookup(ctx context.Context, c *api.Client, id string) ([]candidate, error) {
	var out []candidate
	jobs, _, err := c.Jobs(ctx, &api.Query{Prefix: id})
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		out = append(out, candidate{"job", j.ID, job.Show})
	}
	if strings.Trim(strings.ToLower(id), "0123456789abcdef-") != "" || len(id) < 2 {
		return out, nil
	}
	q := &api.Query{Prefix: strings.ToLower(id)}
	allocs, _, err := c.Allocations(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, a := range allocs {
		out = append(out, candidate{"allocation", a.ID, alloc.Show})
	}
	nodes, _, err := c.Nodes(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		out = append(out, candidate{"node", n.ID, node.Show})
	}
	evals, _, err := c.Evaluations(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, e := range evals {
		out = append(out, candidate{"evaluation", e.ID, eval.Show})
	}
	deployments, _, err := c.Deployments(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, d := range deployments {
		out = append(out, candidate{"deployment", d.ID, deployment.Show})
	}
	return out, nil
}
