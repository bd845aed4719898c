package node

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

func statusVerb() connect.Verb {
	return connect.Verb{
		Name: "status", Usage: "list nodes, or show one", Args: []string{"[<node id>]"},
		Flags: append(view.FormatFlags(),
			connect.UI(),
			&cli.BoolFlag{Name: "short", Usage: "fewer lines"},
			&cli.BoolFlag{Name: "os", Usage: "also the operating system"},
			&cli.BoolFlag{Name: "quiet", Usage: "only full ids"},
			&cli.BoolFlag{Name: "verbose", Usage: "full ids, more lines"},
			&cli.BoolFlag{Name: "allocs", Usage: "also how many allocations run"},
			&cli.BoolFlag{Name: "self", Usage: "the agent's own node"},
			&cli.BoolFlag{Name: "stats", Usage: "also what the machine uses"},
			&cli.StringFlag{Name: "filter", Usage: "filter `expression`"},
			&cli.IntFlag{Name: "per-page", Usage: "so `many` at once"},
			&cli.StringFlag{Name: "page-token", Usage: "where the page begins"},
		),
		Do: func(ctx context.Context, c *connect.Call) error {
			if c.Arg(0) == "" && !c.Bool("self") {
				return list(ctx, c)
			}
			id, err := target(ctx, c)
			if err != nil {
				return err
			}
			return show(ctx, c, id)
		},
	}
}

// Show shows one node by a prefix of its id.
func Show(ctx context.Context, c *connect.Call, prefix string) error {
	stub, err := resolve.Node(ctx, c.Client, prefix)
	if err != nil {
		return err
	}
	return show(ctx, c, stub.ID)
}

func list(ctx context.Context, c *connect.Call) error {
	q := &api.Query{Filter: c.String("filter"), PerPage: c.Int("per-page"), NextToken: c.String("page-token")}
	if c.Bool("os") {
		q.Params = map[string]string{"os": "true"}
	}
	nodes, meta, err := c.Client.Nodes(ctx, q)
	if err != nil {
		return term.Fail("Error querying node status: %v", err)
	}
	if done, err := view.Formatted(c.Command, c.Streams, nodes); done {
		return err
	}
	if c.Bool("quiet") {
		for _, n := range nodes {
			c.Printf("%s\n", n.ID)
		}
		return nil
	}
	if len(nodes) == 0 {
		c.Printf("No nodes registered\n")
		return nil
	}
	table, err := nodeTable(ctx, c, nodes)
	if err != nil {
		return err
	}
	c.Printf("%s", table)
	if meta.NextToken != "" {
		c.Printf("\nResults have been paginated. To get the next page run:\n\nsteppe node status -per-page %d -page-token %s\n", c.Int("per-page"), meta.NextToken)
	}
	return nil
}

func nodeTable(ctx context.Context, c *connect.Call, nodes []*structs.NodeListStub) (string, error) {
	verbose := c.Bool("verbose")
	headings := []string{"ID", "Node Pool", "DC", "Name", "Class"}
	if c.Bool("os") {
		headings = append(headings, "OS")
	}
	if verbose {
		headings = append(headings, "Address", "Version")
	}
	headings = append(headings, "Drain", "Eligibility", "Status")
	if c.Bool("allocs") {
		headings = append(headings, "Running Allocs")
	}
	var rows [][]string
	for _, n := range nodes {
		row := []string{view.ID(n.ID, verbose), n.NodePool, n.Datacenter, n.Name, orNone(n.NodeClass)}
		if c.Bool("os") {
			row = append(row, n.Attributes["os.name"])
		}
		if verbose {
			row = append(row, n.Address, n.Version)
		}
		row = append(row, view.Bool(n.Drain), n.SchedulingEligibility, n.Status)
		if c.Bool("allocs") {
			count, err := runningOn(ctx, c, n.ID)
			if err != nil {
				return "", err
			}
			row = append(row, strconv.Itoa(count))
		}
		rows = append(rows, row)
	}
	return view.Table(headings, rows), nil
}

func runningOn(ctx context.Context, c *connect.Call, id string) (int, error) {
	allocs, _, err := c.Client.NodeAllocations(ctx, id, nil)
	if err != nil {
		return 0, term.Fail("Error querying node allocations: %v", err)
	}
	count := 0
	for _, a := range allocs {
		if a.ClientStatus == structs.AllocClientRunning {
			count++
		}
	}
	return count, nil
}

func show(ctx context.Context, c *connect.Call, id string) error {
	n, _, err := c.Client.Node(ctx, id, nil)
	if err != nil {
		return term.Fail("Error querying node info: %v", err)
	}
	if done, err := view.Formatted(c.Command, c.Streams, n); done {
		return err
	}
	allocs, _, err := c.Client.NodeAllocations(ctx, id, nil)
	if err != nil {
		return term.Fail("Error querying node allocations: %v", err)
	}
	stats, _ := c.Client.NodeStats(ctx, id) // the node may be away
	verbose, bold := c.Bool("verbose"), c.Colour()
	c.Printf("%s", nodeKeys(n, stats, c.Bool("short"), verbose))
	stubs := stubsOf(allocs)
	if c.Bool("short") {
		c.Printf("%s", view.Section("Allocations", monitor.NodeAllocations(stubs, c.Clock.Now(), verbose), bold))
		c.Printf("%s", waiting(allocs, verbose, bold))
		return nil
	}
	if verbose {
		c.Printf("%s", view.Section("Host Volumes", volumeTable(n), bold))
		c.Printf("%s", view.Section("Drivers", driverTable(n), bold))
	}
	c.Printf("%s", view.Section("Node Events", eventTable(n, verbose), bold))
	c.Printf("%s", view.Section("Allocated Resources", allocatedTable(n, allocs), bold))
	if stats != nil {
		c.Printf("%s", view.Section("Allocation Resource Utilization", utilizationTable(n, usageOf(ctx, c, allocs)), bold))
		c.Printf("%s", view.Section("Host Resource Utilization", hostTable(n, stats), bold))
		if c.Bool("stats") {
			c.Printf("%s", statsSections(stats, bold))
		}
	}
	c.Printf("%s", view.Section("Allocations", monitor.NodeAllocations(stubs, c.Clock.Now(), verbose), bold))
	c.Printf("%s", waiting(allocs, verbose, bold))
	if verbose {
		c.Printf("%s", view.Section("Attributes", mapKeys(n.Attributes), bold))
		c.Printf("%s", view.Section("Meta", mapKeys(n.Meta), bold))
	}
	return nil
}

func nodeKeys(n *structs.Node, stats *structs.HostStats, short, verbose bool) string {
	pairs := []view.Pair{
		{Key: "ID", Value: n.ID}, {Key: "Name", Value: n.Name}, {Key: "Node Pool", Value: n.NodePool}, {Key: "Class", Value: n.NodeClass},
		{Key: "DC", Value: n.Datacenter}, {Key: "Drain", Value: drainText(n)}, {Key: "Eligibility", Value: n.SchedulingEligibility},
		{Key: "Status", Value: n.Status}, {Key: "CSI Controllers", Value: ""}, {Key: "CSI Drivers", Value: ""},
	}
	if short {
		return view.Keys(append(pairs, view.Pair{Key: "Drivers", Value: driverNames(n, false)}))
	}
	uptime := ""
	if stats != nil {
		uptime = view.Duration(time.Duration(stats.Uptime) * time.Second)
	}
	pairs = append(pairs, view.Pair{Key: "Uptime", Value: uptime})
	if verbose {
		return view.Keys(pairs) // the rest follows in tables
	}
	return view.Keys(append(pairs,
		view.Pair{Key: "Host Volumes", Value: joined(n.HostVolumes)},
		view.Pair{Key: "Host Networks", Value: joined(n.HostNetworks)},
		view.Pair{Key: "CSI Volumes", Value: ""},
		view.Pair{Key: "Driver Status", Value: driverNames(n, true)}))
}

func drainText(n *structs.Node) string {
	if n.DrainStrategy == nil {
		return "false"
	}
	switch {
	case n.DrainStrategy.Deadline < 0:
		return "true; force drain"
	case n.DrainStrategy.Deadline == 0:
		return "true; no deadline"
	}
	return "true; deadline " + view.Time(n.DrainStrategy.ForceDeadline)
}

func joined[T any](m map[string]T) string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return strings.Join(names, ",")
}

func driverNames(n *structs.Node, unhealthy bool) string {
	var names []string
	for name, d := range n.Drivers {
		switch {
		case d.Detected && d.Healthy:
			names = append(names, name)
		case d.Detected && unhealthy:
			names = append(names, name+" (unhealthy)")
		}
	}
	sort.Strings(names)
	return strings.Join(names, ",")
}

func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}

func mapKeys(m map[string]string) string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := strings.HasPrefix(names[i], "unique."), strings.HasPrefix(names[j], "unique.")
		if a != b {
			return b
		}
		return names[i] < names[j]
	})
	var pairs []view.Pair
	for _, name := range names {
		pairs = append(pairs, view.Pair{Key: name, Value: m[name]})
	}
	return view.Keys(pairs)
}

func eventTable(n *structs.Node, verbose bool) string {
	headings := []string{"Time", "Subsystem", "Message"}
	if verbose {
		headings = append(headings, "Details")
	}
	var rows [][]string
	for i := len(n.Events) - 1; i >= 0; i-- {
		e := n.Events[i]
		row := []string{view.Time(e.Timestamp), e.Subsystem, e.Message}
		if verbose {
			row = append(row, details(e.Details))
		}
		rows = append(rows, row)
	}
	return view.Table(headings, rows)
}

func details(m map[string]string) string {
	var out []string
	for k, v := range m {
		out = append(out, fmt.Sprintf("%s: %s", k, v))
	}
	sort.Strings(out)
	return strings.Join(out, ", ")
}
