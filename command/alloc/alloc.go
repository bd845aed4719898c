// Package alloc holds the verbs for allocations, one file each.
//
// It must not know other nouns' verbs. Begin reading at Command.
package alloc

import (
	"context"
	"sort"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
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
			v.Name = "alloc-status"
			hidden := v.Command(s)
			hidden.Hidden = true
			out = append(out, hidden)
		}
	}
	return out
}

func verbs() []connect.Verb {
	return []connect.Verb{statusVerb(), logsVerb(), execVerb(), fsVerb(), stopVerb(), restartVerb(), signalVerb(), checksVerb()}
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

// pick finds an allocation by prefix, or with -job one of a job's running
// allocations.
func pick(ctx context.Context, c *connect.Call, id string) (*structs.Allocation, *api.Query, error) {
	if !c.Bool("job") {
		return find(ctx, c, id)
	}
	stub, err := resolve.Job(ctx, c.Client, id)
	if err != nil {
		return nil, nil, err
	}
	allocs, _, err := c.Client.JobAllocations(ctx, stub.ID, false, &api.Query{Namespace: stub.Namespace})
	if err != nil {
		return nil, nil, term.Fail("Error querying allocations: %v", err)
	}
	for _, a := range allocs {
		group := c.String("group")
		if a.ClientStatus == structs.AllocClientRunning && (group == "" || group == a.TaskGroup) {
			return find(ctx, c, a.ID)
		}
	}
	return nil, nil, term.Fail("Job %q has no running allocation to choose", stub.ID)
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
	return "", term.Fail("Could not find task named: %s, found:\n  %s", name, strings.Join(names, "\n  "))
}

// taskArg is the task given as second argument or by -task.
func taskArg(c *connect.Call) string {
	if t := c.String("task"); t != "" {
		return t
	}
	return c.Arg(1)
}
