// Package service holds the verbs for registered services.
//
// It must not know other nouns' verbs. Begin reading at Command.
package service

import (
	"context"
	"fmt"
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
		Name: "list", Usage: "list services",
		Flags: append(view.FormatFlags(), &cli.StringFlag{Name: "name", Usage: "only services of this `name`"}),
		Do: func(ctx context.Context, c *connect.Call) error {
			all, _, err := c.Client.Services(ctx, everything())
			if err != nil {
				return term.Fail("Error listing service registrations: %v", err)
			}
			if name := c.String("name"); name != "" {
				all = named(all, name)
			}
			if done, err := view.Formatted(c.Command, c.Streams, all); done {
				return err
			}
			var rows [][]string
			for _, ns := range all {
				for _, s := range ns.Services {
					rows = append(rows, []string{s.ServiceName, "[" + strings.Join(s.Tags, ",") + "]", fmt.Sprintf("%d of %d", s.Healthy, s.Instances)})
				}
			}
			if len(rows) == 0 {
				c.Printf("No service registrations found\n")
				return nil
			}
			sort.Slice(rows, func(i, j int) bool { return rows[i][0] < rows[j][0] })
			c.Printf("%s", view.Table([]string{"Service Name", "Tags", "Healthy"}, rows))
			return nil
		},
	}
}

// named keeps the services of one name.
func named(all []*structs.ServiceRegistrationListStub, name string) []*structs.ServiceRegistrationListStub {
	out := []*structs.ServiceRegistrationListStub{}
	for _, ns := range all {
		kept := *ns
		kept.Services = nil
		for _, s := range ns.Services {
			if s.ServiceName == name {
				kept.Services = append(kept.Services, s)
			}
		}
		if len(kept.Services) > 0 {
			out = append(out, &kept)
		}
	}
	return out
}

func infoVerb() connect.Verb {
	return connect.Verb{
		Name: "info", Usage: "show a service's instances", Args: []string{"<service>"},
		Flags: append(view.FormatFlags(),
			&cli.BoolFlag{Name: "verbose", Usage: "full ids, more lines"},
			&cli.StringFlag{Name: "filter", Usage: "filter `expression`"},
			&cli.IntFlag{Name: "per-page", Usage: "so `many` at once"},
			&cli.StringFlag{Name: "page-token", Usage: "where the page begins"},
		),
		Do: info,
	}
}

func info(ctx context.Context, c *connect.Call) error {
	q := everything()
	q.Filter, q.PerPage, q.NextToken = c.String("filter"), c.Int("per-page"), c.String("page-token")
	all, meta, err := c.Client.Service(ctx, c.Arg(0), q)
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
		rows = append(rows, []string{s.JobID, address(s), "[" + strings.Join(s.Tags, ",") + "]", view.ID(s.NodeID, false), view.ID(s.AllocID, false), healthOf(s)})
	}
	c.Printf("%s", view.Table([]string{"Job ID", "Address", "Tags", "Node ID", "Alloc ID", "Health"}, rows))
	if meta.NextToken != "" {
		c.Printf("\nResults have been paginated. To get the next page run:\n\nsteppe service info -per-page %d -page-token %s %s\n", q.PerPage, meta.NextToken, c.Arg(0))
	}
	return nil
}

// everything asks for the instances that aren't healthy, too: people want to see
// what is wrong.
func everything() *api.Query {
	return &api.Query{Params: map[string]string{api.ParamHealthy: "false"}}
}

// healthOf is an instance's health in a word.
func healthOf(s *structs.ServiceRegistration) string {
	if s.Health == "" {
		return "no checks"
	}
	return s.Health
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
		{Key: "Health", Value: healthOf(s)},
	})
}
