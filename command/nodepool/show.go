package nodepool

import (
	"context"
	"maps"
	"slices"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

func listVerb() connect.Verb {
	return connect.Verb{
		Name: "list", Usage: "list node pools", Flags: listFlags(),
		Do: func(ctx context.Context, c *connect.Call) error {
			pools, meta, err := c.Client.NodePools(ctx, listQuery(c))
			if err != nil {
				return term.Fail("Error querying node pools: %v", err)
			}
			if done, err := view.Formatted(c.Command, c.Streams, pools); done {
				return err
			}
			var rows [][]string
			for _, p := range pools {
				rows = append(rows, []string{p.Name, orNone(p.Description)})
			}
			c.Printf("%s", view.Table([]string{"Name", "Description"}, rows))
			tellNext(c, meta, "")
			return nil
		},
	}
}

func infoVerb() connect.Verb {
	return connect.Verb{
		Name: "info", Usage: "show a node pool", Args: []string{"<pool>"}, Flags: view.FormatFlags(),
		Do: func(ctx context.Context, c *connect.Call) error {
			p, err := resolve.NodePool(ctx, c.Client, c.Arg(0))
			if err != nil {
				return err
			}
			if done, err := view.Formatted(c.Command, c.Streams, p); done {
				return err
			}
			c.Printf("%s", view.Keys([]view.Pair{
				{Key: "Name", Value: p.Name}, {Key: "Description", Value: p.Description},
				{Key: "Node Identity TTL", Value: p.NodeIdentityTTL.String()},
			}))
			c.Printf("%s", view.Section("Metadata", metadata(p), c.Colour()))
			c.Printf("%s", view.Section("Scheduler Configuration", schedulerConfig(p), c.Colour()))
			return nil
		},
	}
}

func metadata(p *structs.NodePool) string {
	if len(p.Meta) == 0 {
		return "No metadata\n"
	}
	var pairs []view.Pair
	for _, key := range slices.Sorted(maps.Keys(p.Meta)) {
		pairs = append(pairs, view.Pair{Key: key, Value: p.Meta[key]})
	}
	return view.Keys(pairs)
}

// schedulerConfig shows what the pool sets itself; the rest is the cluster's.
func schedulerConfig(p *structs.NodePool) string {
	var pairs []view.Pair
	if c := p.SchedulerConfiguration; c != nil {
		if c.SchedulerAlgorithm != "" {
			pairs = append(pairs, view.Pair{Key: "Scheduler Algorithm", Value: c.SchedulerAlgorithm})
		}
		if on := c.MemoryOversubscriptionEnabled; on != nil {
			pairs = append(pairs, view.Pair{Key: "Memory Oversubscription Enabled", Value: view.Bool(*on)})
		}
	}
	if pairs == nil {
		return "No scheduler configuration\n"
	}
	return view.Keys(pairs)
}

func jobsVerb() connect.Verb {
	return connect.Verb{
		Name: "jobs", Usage: "list the jobs that ask for a node pool", Args: []string{"<pool>"}, Flags: listFlags(),
		Do: func(ctx context.Context, c *connect.Call) error {
			name, err := pool(ctx, c)
			if err != nil {
				return err
			}
			jobs, meta, err := c.Client.NodePoolJobs(ctx, name, listQuery(c))
			if err != nil {
				return term.Fail("Error querying jobs: %v", err)
			}
			if done, err := view.Formatted(c.Command, c.Streams, jobs); done {
				return err
			}
			if len(jobs) == 0 {
				c.Printf("No jobs\n")
				return nil
			}
			c.Printf("%s", monitor.Jobs(jobs, c.Client.Config().Namespace == "*"))
			tellNext(c, meta, " "+name)
			return nil
		},
	}
}

func nodesVerb() connect.Verb {
	return connect.Verb{
		Name: "nodes", Usage: "list the nodes of a node pool", Args: []string{"<pool>"},
		Flags: listFlags(&cli.BoolFlag{Name: "verbose", Usage: "full ids"}),
		Do: func(ctx context.Context, c *connect.Call) error {
			name, err := pool(ctx, c)
			if err != nil {
				return err
			}
			nodes, meta, err := c.Client.NodePoolNodes(ctx, name, listQuery(c))
			if err != nil {
				return term.Fail("Error querying nodes: %v", err)
			}
			if done, err := view.Formatted(c.Command, c.Streams, nodes); done {
				return err
			}
			if len(nodes) == 0 {
				c.Printf("No nodes\n")
				return nil
			}
			var rows [][]string
			for _, n := range nodes {
				rows = append(rows, []string{
					view.ID(n.ID, c.Bool("verbose")), n.Datacenter, n.Name, orNone(n.NodeClass), view.Bool(n.Drain), n.SchedulingEligibility, n.Status,
				})
			}
			c.Printf("%s", view.Table([]string{"ID", "DC", "Name", "Class", "Drain", "Eligibility", "Status"}, rows))
			tellNext(c, meta, " "+name)
			return nil
		},
	}
}

func orNone(text string) string {
	if text == "" {
		return "<none>"
	}
	return text
}
