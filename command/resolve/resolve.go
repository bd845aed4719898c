// Package resolve finds the one object that a person means by a prefix of its
// id.
//
// It must not know what is then done with it. Begin reading at Alloc.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/structs"
)

// ErrNone is behind the error of a lookup that found nothing.
var ErrNone = errors.New("nothing has an ID that begins like this")

// ErrSeveral is behind the error of a lookup that found more than one.
var ErrSeveral = errors.New("several have an ID that begins like this")

// minPrefix is the shortest prefix that is looked up.
const minPrefix = 2

// Prefix prepares a typed id for a lookup: lower case, dashes where a UUID has
// them, an even number of characters.
func Prefix(id string) (string, error) {
	id = strings.ToLower(strings.TrimSpace(id))
	if len(id) < minPrefix {
		return "", term.Fail("Identifier must contain at least two characters.")
	}
	return id, nil
}

// Job returns the id and namespace of the job that prefix means: one whose id
// is equal, or the only one that begins with it.
func Job(ctx context.Context, c *api.Client, prefix string) (*structs.JobListStub, error) {
	jobs, _, err := c.Jobs(ctx, &api.Query{Prefix: prefix})
	if err != nil {
		return nil, term.Fail("Error querying job: %v", err)
	}
	var lines []string
	for _, j := range jobs {
		if j.ID == prefix {
			return j, nil
		}
		lines = append(lines, fmt.Sprintf("%s (%s, %s)", j.ID, j.Type, j.Status))
	}
	if len(jobs) == 1 {
		return jobs[0], nil
	}
	return nil, noneOrMany(fmt.Sprintf("No job(s) with prefix or ID %q found", prefix), prefix, lines)
}

// JobOf returns Job among the jobs of a kind. One of another kind whose id is
// equal is meant all the same, and nothing to act on.
func JobOf(kind string, is func(*structs.JobListStub) bool) func(context.Context, *api.Client, string) (*structs.JobListStub, error) {
	return func(ctx context.Context, c *api.Client, prefix string) (*structs.JobListStub, error) {
		jobs, _, err := c.Jobs(ctx, &api.Query{Prefix: prefix})
		if err != nil {
			return nil, term.Fail("Error querying job prefix %q: %v", prefix, err)
		}
		none := fmt.Sprintf("No %s job(s) with prefix or ID %q found", kind, prefix)
		var of []*structs.JobListStub
		var lines []string
		for _, j := range jobs {
			switch {
			case j.ID == prefix && is(j):
				return j, nil
			case j.ID == prefix:
				return nil, term.Fail("%s: the job %q is not %s", none, j.ID, kind)
			case is(j):
				of = append(of, j)
				lines = append(lines, fmt.Sprintf("%s (%s, %s)", j.ID, j.Type, j.Status))
			}
		}
		if len(of) == 1 {
			return of[0], nil
		}
		return nil, noneOrMany(none, prefix, lines)
	}
}

// Alloc returns the allocation that prefix means.
func Alloc(ctx context.Context, c *api.Client, prefix string) (*structs.AllocationListStub, error) {
	id, err := Prefix(prefix)
	if err != nil {
		return nil, err
	}
	found, _, err := c.Allocations(ctx, &api.Query{Prefix: id, Namespace: "*"})
	if err != nil {
		return nil, term.Fail("Error querying allocation: %v", err)
	}
	return only(found, prefix, fmt.Sprintf("No allocation(s) with prefix or id %q found", prefix), func(a *structs.AllocationListStub) string {
		return fmt.Sprintf("%s (%s, %s)", a.ID, a.Name, a.ClientStatus)
	})
}

// Node returns the node that prefix means.
func Node(ctx context.Context, c *api.Client, prefix string) (*structs.NodeListStub, error) {
	id, err := Prefix(prefix)
	if err != nil {
		return nil, err
	}
	found, _, err := c.Nodes(ctx, &api.Query{Prefix: id})
	if err != nil {
		return nil, term.Fail("Error querying node: %v", err)
	}
	return only(found, prefix, fmt.Sprintf("No node(s) with prefix %q found", prefix), func(n *structs.NodeListStub) string {
		return fmt.Sprintf("%s (%s, %s)", n.ID, n.Name, n.Status)
	})
}

// NodePool returns the node pool that prefix means: one of that name, or the
// only one whose name begins with it.
func NodePool(ctx context.Context, c *api.Client, prefix string) (*structs.NodePool, error) {
	found, _, err := c.NodePools(ctx, &api.Query{Prefix: prefix})
	if err != nil {
		return nil, term.Fail("Error querying node pool: %v", err)
	}
	for _, p := range found {
		if p.Name == prefix {
			return p, nil
		}
	}
	return only(found, prefix, fmt.Sprintf("No node pool with prefix %q found", prefix), func(p *structs.NodePool) string { return p.Name })
}

// Eval returns the evaluation that prefix means.
func Eval(ctx context.Context, c *api.Client, prefix string) (*structs.Evaluation, error) {
	id, err := Prefix(prefix)
	if err != nil {
		return nil, err
	}
	found, _, err := c.Evaluations(ctx, &api.Query{Prefix: id, Namespace: "*"})
	if err != nil {
		return nil, term.Fail("Error querying evaluation: %v", err)
	}
	return only(found, prefix, fmt.Sprintf("No evaluation(s) with prefix or id %q found", prefix), func(e *structs.Evaluation) string {
		return fmt.Sprintf("%s (%s, %s)", e.ID, e.JobID, e.Status)
	})
}

// Deployment returns the deployment that prefix means.
func Deployment(ctx context.Context, c *api.Client, prefix string) (*structs.Deployment, error) {
	id, err := Prefix(prefix)
	if err != nil {
		return nil, err
	}
	found, _, err := c.Deployments(ctx, &api.Query{Prefix: id, Namespace: "*"})
	if err != nil {
		return nil, term.Fail("Error retrieving deployment: %v", err)
	}
	return only(found, prefix, fmt.Sprintf("Error retrieving deployment: Deployment ID %q matched no deployments", prefix), func(d *structs.Deployment) string {
		return fmt.Sprintf("%s (%s version %d, %s)", d.ID, d.JobID, d.JobVersion, d.Status)
	})
}

func only[T any](found []T, prefix, none string, line func(T) string) (T, error) {
	if len(found) == 1 {
		return found[0], nil
	}
	lines := make([]string, len(found))
	for i, f := range found {
		lines[i] = line(f)
	}
	var zero T
	return zero, noneOrMany(none, prefix, lines)
}

func noneOrMany(none, prefix string, lines []string) error {
	if len(lines) == 0 {
		return &term.Exit{Code: 1, Text: none, Cause: ErrNone}
	}
	text := fmt.Sprintf("Prefix %q matches several:\n  %s\nGive more of the one you mean.", prefix, strings.Join(lines, "\n  "))
	return &term.Exit{Code: 1, Text: text, Cause: ErrSeveral}
}
