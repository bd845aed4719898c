// Package server holds the verbs for the servers of a region.
//
// It must not know other nouns' verbs. Begin reading at Command.
package server

import (
	"context"
	"fmt"
	"net"
	"sort"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// Command returns the group `server`.
func Command(s term.Streams) *cli.Command {
	return &cli.Command{Name: "server", Usage: "look at servers, join and remove them", Commands: []*cli.Command{
		membersVerb().Command(s), joinVerb().Command(s), forceLeaveVerb().Command(s),
	}}
}

// Aliases returns the old names that still work.
func Aliases(s term.Streams) []*cli.Command {
	var out []*cli.Command
	for old, v := range map[string]connect.Verb{"server-members": membersVerb(), "server-join": joinVerb(), "server-force-leave": forceLeaveVerb()} {
		v.Name, v.Deprecated = old, true
		hidden := v.Command(s)
		hidden.Hidden = true
		out = append(out, hidden)
	}
	return out
}

func membersVerb() connect.Verb {
	return connect.Verb{
		Name: "members", Usage: "list servers, and which one leads",
		Flags: append(view.FormatFlags(),
			connect.UI(),
			&cli.BoolFlag{Name: "detailed", Usage: "also the tags"},
			&cli.BoolFlag{Name: "verbose", Usage: "also the tags"},
		),
		Do: members,
	}
}

func members(ctx context.Context, c *connect.Call) error {
	resp, err := c.Client.Members(ctx)
	if err != nil {
		return term.Fail("Error querying servers: %v", err)
	}
	if done, err := view.Formatted(c.Command, c.Streams, resp.Members); done {
		return err
	}
	if resp == nil || len(resp.Members) == 0 {
		c.Printf("Agent doesn't know any servers\n")
		return nil
	}
	leader, leaderErr := c.Client.Leader(ctx)
	sort.Slice(resp.Members, func(i, j int) bool { return resp.Members[i].Name < resp.Members[j].Name })
	var rows [][]string
	for _, m := range resp.Members {
		row := []string{m.Name, m.Addr, strconv.Itoa(int(m.Port)), m.Status, view.Bool(isLeader(m, leader)), m.Tags["raft_vsn"], m.Tags["build"], m.Tags["dc"], m.Tags["region"]}
		if c.Bool("detailed") || c.Bool("verbose") {
			row = append(row, tags(m.Tags))
		}
		rows = append(rows, row)
	}
	headings := []string{"Name", "Address", "Port", "Status", "Leader", "Raft Version", "Build", "Datacenter", "Region"}
	if c.Bool("detailed") || c.Bool("verbose") {
		headings = append(headings, "Tags")
	}
	c.Printf("%s", view.Table(headings, rows))
	if leaderErr != nil {
		return term.Fail("\nError determining leaders: %v", leaderErr)
	}
	return nil
}

func isLeader(m *structs.AgentMember, leader string) bool {
	host, port, err := net.SplitHostPort(leader)
	if err != nil {
		return false
	}
	if addr := m.Tags["rpc_addr"]; addr == leader {
		return true
	}
	return m.Addr == host && m.Tags["port"] == port
}

func tags(m map[string]string) string {
	var out []string
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	sort.Strings(out)
	return fmt.Sprint(out)
}

func joinVerb() connect.Verb {
	return connect.Verb{
		Name: "join", Usage: "join servers", Args: []string{"<addr>", "[<addr>...]"},
		Do: func(ctx context.Context, c *connect.Call) error {
			n, err := c.Client.Join(ctx, c.Args().Slice()...)
			if err != nil {
				return term.Fail("Error joining: %v", err)
			}
			c.Printf("Joined %d servers successfully\n", n)
			return nil
		},
	}
}

func forceLeaveVerb() connect.Verb {
	return connect.Verb{
		Name: "force-leave", Usage: "push a failed server out", Args: []string{"<server name>"},
		Flags: []cli.Flag{&cli.BoolFlag{Name: "prune", Usage: "also forget it"}},
		Do: func(ctx context.Context, c *connect.Call) error {
			if err := c.Client.ForceLeave(ctx, c.Arg(0), c.Bool("prune")); err != nil {
				return term.Fail("Error force-leaving server %s: %v", c.Arg(0), err)
			}
			return nil
		},
	}
}
