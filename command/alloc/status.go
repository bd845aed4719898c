package alloc

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/past"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

func statusVerb() connect.Verb {
	return connect.Verb{
		Name: "status", Usage: "show an allocation, its tasks and what happened to them", Args: []string{"[<alloc id>]"},
		Flags: append(view.FormatFlags(),
			connect.UI(),
			&cli.BoolFlag{Name: "short", Usage: "only the tasks' last events"},
			&cli.BoolFlag{Name: "verbose", Usage: "full ids, more lines"},
			&cli.BoolFlag{Name: "stats", Usage: "also what the tasks use now"},
		),
		Do: func(ctx context.Context, c *connect.Call) error {
			if c.Arg(0) == "" {
				return list(ctx, c)
			}
			return Show(ctx, c, c.Arg(0))
		},
	}
}

func list(ctx context.Context, c *connect.Call) error {
	allocs, _, err := c.Client.Allocations(ctx, nil)
	if err != nil {
		return term.Fail("Error querying allocations: %v", err)
	}
	if done, err := view.Formatted(c.Command, c.Streams, allocs); done {
		return err
	}
	c.Printf("%s", monitor.Allocations(allocs, c.Clock.Now(), c.Bool("verbose")))
	return nil
}

// Show shows one allocation by a prefix of its id.
func Show(ctx context.Context, c *connect.Call, prefix string) error {
	a, q, err := find(ctx, c, prefix)
	live := err == nil
	if !live {
		found, err := past.Find(ctx, c, structs.HistoryAllocation, prefix, err)
		if err != nil {
			return err
		}
		past.Say(c, found)
		a = found.Allocation
	}
	if done, err := view.Formatted(c.Command, c.Streams, a); done {
		return err
	}
	now := c.Clock.Now()
	if c.Bool("short") {
		c.Printf("%s%s", shortKeys(a, now), view.Section("Tasks", taskTable(a), c.Colour()))
		return nil
	}
	c.Printf("%s", keys(a, now, c.Bool("verbose")))
	if text := addresses(a); text != "" {
		c.Printf("%s", view.Section("Allocation Addresses:", text, c.Colour()))
	}
	if live {
		if checks, err := c.Client.AllocationChecks(ctx, a.ID, q); err == nil && len(checks) > 0 { // the node may be away
			c.Printf("%s", view.Section("Nomad Service Checks:", checkTable(checks), c.Colour()))
		}
	}
	var usage *structs.AllocResourceUsage
	if live && a.ClientStatus == structs.AllocClientRunning {
		usage, _ = c.Client.AllocationStats(ctx, a.ID, q) // the node may be away
	}
	for _, name := range taskNames(a) {
		showTask(c, a, name, usage)
	}
	if c.Bool("verbose") && a.Metrics != nil {
		c.Printf("%s", view.Section("Placement Metrics", scores(a.Metrics), c.Colour()))
	}
	return nil
}

func shortKeys(a *structs.Allocation, now time.Time) string {
	return view.Keys([]view.Pair{
		{Key: "ID", Value: a.ID}, {Key: "Name", Value: a.Name},
		{Key: "Created", Value: view.Ago(time.Unix(0, a.CreateTime), now, false)},
		{Key: "Modified", Value: view.Ago(time.Unix(0, a.ModifyTime), now, false)},
	})
}

func keys(a *structs.Allocation, now time.Time, verbose bool) string {
	version := ""
	if a.Job != nil {
		version = strconv.FormatUint(structs.Value(a.Job.Version), 10)
	}
	pairs := []view.Pair{
		{Key: "ID", Value: a.ID}, {Key: "Eval ID", Value: view.ID(a.EvalID, verbose)}, {Key: "Name", Value: a.Name},
		{Key: "Node ID", Value: view.ID(a.NodeID, verbose)}, {Key: "Node Name", Value: a.NodeName},
		{Key: "Job ID", Value: a.JobID}, {Key: "Job Version", Value: version},
		{Key: "Client Status", Value: a.ClientStatus}, {Key: "Client Description", Value: a.ClientDescription},
		{Key: "Desired Status", Value: a.DesiredStatus}, {Key: "Desired Description", Value: a.DesiredDescription},
		{Key: "Created", Value: view.Ago(time.Unix(0, a.CreateTime), now, verbose)},
		{Key: "Modified", Value: view.Ago(time.Unix(0, a.ModifyTime), now, verbose)},
	}
	if waits := monitor.Waits(a); waits != "" {
		pairs = append(pairs, view.Pair{Key: "Migration", Value: waits})
	}
	if a.DeploymentID != "" {
		pairs = append(pairs, view.Pair{Key: "Deployment ID", Value: view.ID(a.DeploymentID, verbose)}, view.Pair{Key: "Deployment Health", Value: health(a.DeploymentStatus)})
	}
	if a.NextAllocation != "" {
		pairs = append(pairs, view.Pair{Key: "Replacement Alloc ID", Value: view.ID(a.NextAllocation, verbose)})
	}
	if verbose && a.Metrics != nil {
		pairs = append(pairs,
			view.Pair{Key: "Evaluated Nodes", Value: strconv.Itoa(a.Metrics.NodesEvaluated)},
			view.Pair{Key: "Filtered Nodes", Value: strconv.Itoa(a.Metrics.NodesFiltered)},
			view.Pair{Key: "Exhausted Nodes", Value: strconv.Itoa(a.Metrics.NodesExhausted)},
			view.Pair{Key: "Allocation Time", Value: a.Metrics.AllocationTime.String()},
			view.Pair{Key: "Failures", Value: strconv.Itoa(a.Metrics.CoalescedFailures)})
	}
	return view.Keys(pairs)
}

func health(d *structs.AllocDeploymentStatus) string {
	switch {
	case !d.HasHealth():
		return "unset"
	case d.IsHealthy():
		return "healthy"
	}
	return "unhealthy"
}

func addresses(a *structs.Allocation) string {
	if a.AllocatedResources == nil || len(a.AllocatedResources.Shared.Ports) == 0 {
		return ""
	}
	dynamic := dynamicPorts(a)
	var rows [][]string
	for _, p := range a.AllocatedResources.Shared.Ports {
		address := fmt.Sprintf("%s:%d", p.HostIP, p.Value)
		if p.To > 0 && p.To != p.Value {
			address += fmt.Sprintf(" -> %d", p.To)
		}
		yes := "no"
		if dynamic[p.Label] {
			yes = "yes"
		}
		rows = append(rows, []string{"*" + p.Label, yes, address})
	}
	return view.Table([]string{"Label", "Dynamic", "Address"}, rows)
}

// dynamicPorts are the labels of ports that the scheduler chose: the group
// asked for them by label only.
func dynamicPorts(a *structs.Allocation) map[string]bool {
	networks := a.AllocatedResources.Shared.Networks
	if a.Job != nil {
		if group := a.Job.LookupTaskGroup(a.TaskGroup); group != nil {
			networks = append(networks[:len(networks):len(networks)], group.Networks...)
		}
	}
	dynamic := map[string]bool{}
	for _, n := range networks {
		for _, p := range n.DynamicPorts {
			dynamic[p.Label] = true
		}
	}
	return dynamic
}

func checkTable(checks map[string]*structs.AllocCheckStatus) string {
	var rows [][]string
	for _, ch := range checks {
		task := ch.Task
		if task == "" {
			task = "(group)"
		}
		rows = append(rows, []string{ch.Service, task, ch.Check, ch.Mode, ch.Status})
	}
	sort.Slice(rows, func(i, j int) bool { return strings.Join(rows[i], "\x00") < strings.Join(rows[j], "\x00") })
	return view.Table([]string{"Service", "Task", "Name", "Mode", "Status"}, rows)
}

func scores(m *structs.AllocationMetric) string {
	var names []string
	seen := map[string]bool{}
	for _, node := range m.ScoreMetaData {
		for _, part := range node.Scores {
			if !seen[part.Name] {
				seen[part.Name] = true
				names = append(names, part.Name)
			}
		}
	}
	sort.Strings(names)
	var rows [][]string
	for _, node := range m.ScoreMetaData {
		row := []string{node.NodeID}
		for _, name := range names {
			row = append(row, strconv.FormatFloat(node.Scores.Get(name), 'g', 3, 64))
		}
		rows = append(rows, append(row, strconv.FormatFloat(node.NormScore, 'g', 3, 64)))
	}
	return view.Table(append(append([]string{"Node"}, names...), "final score"), rows)
}
