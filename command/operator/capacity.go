package operator

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/jobfile"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/command/why"
	"github.com/steppe-run/steppe/structs"
)

func capacityVerb() connect.Verb {
	return connect.Verb{
		Name: "capacity", Usage: "say how many more of a job fit, and what binds first",
		Help: "Each group is counted by itself, until no node takes another. One with ports, devices, cores or limits on hosts\nis counted up to some 100,000, and the answer is then the least that fits. Nothing is registered.",
		Flags: append(append(view.FormatFlags(),
			&cli.StringFlag{Name: "job", Usage: "`path or URL or -` of the job file"},
			&cli.BoolFlag{Name: "verbose", Usage: "full ids"},
		), jobfile.VarFlags()...),
		Do: func(ctx context.Context, c *connect.Call) error {
			if c.String("job") == "" {
				return term.Fail("Name the job file with -job")
			}
			src, err := jobfile.Read(ctx, c, c.String("job"), false)
			if err != nil {
				return err
			}
			r, err := c.Client.Capacity(ctx, src.Job, src.Query())
			if err != nil {
				return term.Fail("Error counting capacity: %v", err)
			}
			if done, err := view.Formatted(c.Command, c.Streams, r); done {
				return err
			}
			show(c, r)
			return nil
		},
	}
}

func show(c *connect.Call, r *structs.CapacityReport) {
	c.Printf("%s\n", view.OneLine(r.Summary))
	for _, g := range r.Groups {
		body := ""
		if len(r.Groups) > 1 {
			body = view.OneLine(g.Summary) + "\n"
		}
		more := strconv.Itoa(g.Count)
		if g.AtLeast {
			more += " at least"
		}
		pairs := []view.Pair{{Key: "Fit More", Value: more}, {Key: "On Nodes", Value: strconv.Itoa(g.NodesUsed)}}
		if g.Preempting != nil {
			pairs = append(pairs, view.Pair{Key: "By Preempting", Value: preempting(g.Preempting)})
		}
		body += view.Keys(append(pairs, []view.Pair{
			{Key: "Wanted", Value: strconv.Itoa(g.Wanted)}, {Key: "Placed", Value: strconv.Itoa(g.Placed)},
			{Key: "Binds First", Value: binds(g)},
			{Key: "By Node Pool", Value: shares(g.ByPool)}, {Key: "By Datacenter", Value: shares(g.ByDatacenter)},
			{Key: "By Node Class", Value: shares(g.ByClass)},
		}...))
		c.Printf("%s", view.Section(fmt.Sprintf("Task Group %q", view.Clean(g.Group)), body, c.Colour()))
		c.Printf("%s", view.Section("Once They Are Placed", why.Counts(g.Next, c.Bool("verbose")), c.Colour()))
	}
	if r.Warnings != "" {
		c.Printf("\nJob Warnings:\n%s\n", strings.Join(view.Lines(r.Warnings), "\n"))
	}
}

func preempting(p *structs.PreemptCapacity) string {
	if p.AtLeast {
		return fmt.Sprintf("%d at least (allocations that go: %d)", p.Count, p.Preempted)
	}
	return fmt.Sprintf("%d (allocations that go: %d)", p.Count, p.Preempted)
}

func binds(g *structs.GroupCapacity) string {
	if len(g.Binds) == 0 {
		return ""
	}
	return fmt.Sprintf("%s (nodes: %d)", g.Binds[0].Reason, g.Binds[0].Nodes)
}

func shares(by map[string]int) string {
	names := make([]string, 0, len(by))
	for n := range by {
		names = append(names, n)
	}
	sort.Strings(names)
	for i, n := range names {
		names[i] = fmt.Sprintf("%s %d", n, by[n])
	}
	return strings.Join(names, ", ")
}
