// Package service holds the verbs for registered services.
//
// It must not know other nouns' verbs. Begin reading at Command.
package service

import (
	"context"
	"sort"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// Command returns the group `service`.
func Command(s term.Streams) *cli.Command {
	return &cli.Command{Name: "service", Usage: "look at registered services", Commands: []*cli.Command{
		listVerb().Command(s), infoVerb().Command(s),
	}}
}

func listVerb() connect.Verb {
	return connect.Verb{
		Name: "list", Usage: "list services", Flags: view.FormatFlags(),
		Do: func(ctx context.Context, c *connect.Call) error {
			all, _, err := c.Client.Services(ctx, nil)
			if err != nil {
				return term.Fail("Error listing service registrations: %v", err)
			}
			if done, err := view.Formatted(c.Command, c.Streams, all); done {
				return err
			}
			var rows [][]string
			for _, ns := range all {
				for _, s := range ns.Services {
					rows = append(rows, []string{s.ServiceName, "[" + strings.Join(s.Tags, ",") + "]"})
				}
			}
			if len(rows) == 0 {
				c.Printf("No service registrations found\n")
				return nil
			}
			sort.Slice(rows, func(i, j int) bool { return rows[i][0] < rows[j][0] })
			c.Printf("%s", view.Table([]string{"Service Name", "Tags"}, rows))
			return nil
		},
	}
}

func infoVerb() connect.Verb {
	return connect.Verb{
		Name: "info", Usage: "show a service's instances", Args: []string{"<service>"},
		Flags: append(view.FormatFlags(),
			&cli.BoolFlag{Name: "verbose", Usage: "full ids, more lines"},
			&cli.StringFlag{Name: "filter", Usage: "filter `expression`"},
		),
		Do: info,
	}
}

func info(ctx context.Context, c *connect.Call) error {
	all, _, err := c.Client.Service(ctx, c.Arg(0), &api.Query{Filter: c.String("filter")})
	if err != nil {
		return term.Fail("Error listing service registrations: %v", err)
	}
	if len(all) == 0 {
		return term.Fail("No service registrations with prefix %q found", c.Arg(0))
	}
	if done, err := view.Formatted(c.Command, c.Streams, all); done {
		return err
	}
	if c.Bool("verbose") {
		for i, s := range all {
			if i > 0 {
				c.Printf("\n")
			}
			c.Printf("%s", registration(s))
		}
		return nil
	}
	var rows [][]string
	for _, s := range all {
		rows = append(rows, []string{s.JobID, address(s), "[" + strings.Join(s.Tags, ",") + "]", view.ID(s.NodeID, false), view.ID(s.AllocID, false)})
	}
	c.Printf("%s", view.Table([]string{"Job ID", "Address", "Tags", "Node ID", "Alloc ID"}, rows))
	return nil
}

func address(s *structs.ServiceRegistration) string {
	if s.Port > 0 {
		return s.Address + ":" + strconv.Itoa(s.Port)
	}
	return s.Address
}

func registration(s *structs.ServiceRegistration) string {
	return view.Keys([]view.Pair{
		{Key: "ID", Value: s.ID}, {Key: "Service Name", Value: s.ServiceName}, {Key: "Namespace", Value: s.Namespace},
		{Key: "Job ID", Value: s.JobID}, {Key: "Alloc ID", Value: s.AllocID}, {Key: "Node ID", Value: s.NodeID},
		{Key: "Datacenter", Value: s.Datacenter}, {Key: "Address", Value: address(s)}, {Key: "Tags", Value: "[" + strings.Join(s.Tags, ",") + "]"},
	})
}
