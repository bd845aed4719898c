// Package alloc holds the verbs for allocations, one file each.
//
// It must not know other nouns' verbs. Begin reading at Command.
package alloc

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/past"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/structs"
)

// Command returns the group `alloc`.
func Command(s term.Streams) *cli.Command {
	group := &cli.Command{Name: "alloc", Usage: "look at allocations and act on them"}
	for _, v := range verbs() {
		group.Commands = append(group.Commands, v.Command(s))
	}
	return group
}

// Aliases returns the verbs that also stand at the top: steppe logs and kin.
func Aliases(s term.Streams) []*cli.Command {
	top := map[string]bool{"logs": true, "exec": true, "fs": true}
	var out []*cli.Command
	for _, v := range verbs() {
		name := v.Name
		if top[name] {
			v.Usage = "alias of alloc " + name
			out = append(out, v.Command(s))
		}
		if name == "status" {
			v.Name, v.Deprecated = "alloc-status", true
			hidden := v.Command(s)
			hidden.Hidden = true
			out = append(out, hidden)
		}
	}
	return out
}

func verbs() []connect.Verb {
	return []connect.Verb{statusVerb(), logsVerb(), execVerb(), fsVerb(), stopVerb(), restartVerb(), signalVerb(), checksVerb(), whyVerb(), forwardVerb()}
}

// find resolves an allocation by prefix and reads it.
func find(ctx context.Context, c *connect.Call, prefix string) (*structs.Allocation, *api.Query, error) {
	if prefix == "" {
		return nil, nil, term.Fail("An allocation ID is required")
	}
	stub, err := resolve.Alloc(ctx, c.Client, prefix)
	if err != nil {
		return nil, nil, err
	}
	q := &api.Query{Namespace: stub.Namespace}
	a, _, err := c.Client.Allocation(ctx, stub.ID, q)
	if err != nil {
		return nil, nil, term.Fail("Error querying allocation: %v", err)
	}
	return a, q, nil
}

// pick finds an allocation by prefix, or with -job one of a job's allocations:
// the newest that runs, else, if it may have ended, the newest.
func pick(ctx context.Context, c *connect.Call, id string, mayHaveEnded bool) (*structs.Allocation, *api.Query, error) {
	if !c.Bool("job") || id == "" {
		return find(ctx, c, id)
	}
	stub, err := past.Live(ctx, c, id, resolve.Job)
	if err != nil {
		return nil, nil, err
	}
	allocs, _, err := c.Client.JobAllocations(ctx, stub.ID, false, &api.Query{Namespace: stub.Namespace})
	if err != nil {
		return nil, nil, term.Fail("Error querying allocations: %v", err)
	}
	if best := preferred(allocs, c.String("group"), mayHaveEnded); best != nil {
		return find(ctx, c, best.ID)
	}
	if mayHaveEnded {
		return nil, nil, term.Fail("Job %q has no allocation to choose", stub.ID)
	}
	return nil, nil, term.Fail("Job %q has no running allocation to choose", stub.ID)
}

// preferred is the newest running allocation of a group, of any if none is
// named; else the newest one that has ended, if that will do.
func preferred(allocs []*structs.AllocationListStub, group string, mayHaveEnded bool) *structs.AllocationListStub {
	var best *structs.AllocationListStub
	for _, a := range allocs {
		running := a.ClientStatus == structs.AllocClientRunning
		if group != "" && group != a.TaskGroup || !running && !mayHaveEnded {
			continue
		}
		if best == nil {
			best = a
			continue
		}
		if before := best.ClientStatus == structs.AllocClientRunning; running && !before || running == before && a.CreateIndex > best.CreateIndex {
			best = a
		}
	}
	return best
}

// taskOf finds the task that a verb means: the named one, or the only one.
func taskOf(a *structs.Allocation, name string) (string, error) {
	var names []string
	for task := range a.TaskStates {
		names = append(names, task)
	}
	if len(names) == 0 && a.AllocatedResources != nil {
		for task := range a.AllocatedResources.Tasks {
			names = append(names, task)
		}
	}
	sort.Strings(names)
	if name == "" && len(names) == 1 {
		return names[0], nil
	}
	for _, n := range names {
		if n == name {
			return n, nil
		}
	}
	if name == "" {
		return "", term.Fail("Allocation %q has several tasks, name one: %s", a.ID, strings.Join(names, ", "))
	}
	return "", &unknownTask{name: name, found: names}
}

// unknownTask is the error for a task that an allocation doesn't have.
type unknownTask struct {
	name  string
	found []string
}

func (u *unknownTask) Error() string {
	return fmt.Sprintf("Could not find task named: %s, found:\n  %s", u.name, strings.Join(u.found, "\n  "))
}

// taskArg is the task given as second argument or by -task.
func taskArg(c *connect.Call) string {
	if t := c.String("task"); t != "" {
		return t
	}
	return c.Arg(1)
}
