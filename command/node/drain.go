package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/monitor"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// defaultDrainDeadline is how long allocations may take to move.
const defaultDrainDeadline = time.Hour

func drainVerb() connect.Verb {
	return connect.Verb{
		Name: "drain", Usage: "move a node's allocations elsewhere", Args: []string{"[<node id>]"},
		Help: "With -plan nothing is changed: it tells what would move where, in which rounds, and what finds no room elsewhere and why.\n" +
			"Exit code of -plan: 0: everything finds room. 2: something doesn't, or never leaves. 1: an error.",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "plan", Usage: "only tell what a drain would do"},
			&cli.BoolFlag{Name: "verbose", Usage: "with -plan: full ids, all allocations"},
			&cli.BoolFlag{Name: "enable", Usage: "begin"},
			&cli.BoolFlag{Name: "disable", Usage: "end"},
			&cli.StringFlag{Name: "deadline", Usage: "`duration` until what is left is stopped (default 1h)"},
			&cli.BoolFlag{Name: "no-deadline", Usage: "wait however long it takes"},
			&cli.BoolFlag{Name: "force", Usage: "stop everything at once"},
			&cli.BoolFlag{Name: "ignore-system", Usage: "leave system jobs"},
			&cli.BoolFlag{Name: "keep-ineligible", Usage: "with -disable: the node stays closed"},
			&cli.BoolFlag{Name: "detach", Usage: "don't follow"},
			&cli.BoolFlag{Name: "self", Usage: "the agent's own node"},
			&cli.BoolFlag{Name: "yes", Usage: "accepted; nothing is asked"},
			&cli.BoolFlag{Name: "monitor", Usage: "only follow a drain that runs"},
			&cli.StringSliceFlag{Name: "meta", Usage: "`key=value` kept with the drain (repeatable)"},
			&cli.StringFlag{Name: "m", Usage: "`message` kept with the drain"},
		}, view.FormatFlags()...),
		Do: drain,
	}
}

func drain(ctx context.Context, c *connect.Call) error {
	switch {
	case c.Bool("plan"):
		return planDrain(ctx, c)
	case c.Bool("json") || c.String("t") != "":
		return term.Fail("-json and -t show a plan: they need -plan")
	}
	if c.Bool("enable") == c.Bool("disable") && !c.Bool("monitor") {
		return term.Fail("Either the '-enable' or '-disable' flag must be set, unless using '-monitor' or '-plan'")
	}
	spec, err := drainSpec(c)
	if err != nil {
		return err
	}
	id, err := target(ctx, c)
	if err != nil {
		return err
	}
	if c.Bool("monitor") {
		c.Printf("%s: Monitoring node %q: Ctrl-C to detach monitoring\n", view.Time(c.Clock.Now()), id)
		return followDrain(ctx, c, id)
	}
	meta, err := drainMeta(c)
	if err != nil {
		return err
	}
	req := &structs.NodeUpdateDrainRequest{NodeID: id, DrainSpec: spec, MarkEligible: c.Bool("disable") && !c.Bool("keep-ineligible"), Meta: meta}
	already, err := drains(ctx, c, id)
	if err != nil {
		return err
	}
	if _, err := c.Client.DrainNode(ctx, req); err != nil {
		return term.Fail("Error updating drain specification: %v", err)
	}
	switch {
	case already && !c.Bool("disable"):
		c.Printf("Node %q is draining already: the drain goes on with what is set now, its deadline counts from now\n", id)
	case !already && c.Bool("disable"):
		c.Printf("Node %q was not draining\n", id)
	}
	switch {
	case c.Bool("disable"):
		c.Printf("Node %q drain strategy unset\n", id)
		return nil
	case c.Bool("detach"):
		c.Printf("Node %q drain strategy set\n", id)
		return nil
	}
	c.Printf("%s: Ctrl-C to stop monitoring: will not cancel the node drain\n", view.Time(c.Clock.Now()))
	c.Printf("%s: Node %q drain strategy set\n", view.Time(c.Clock.Now()), id)
	return followDrain(ctx, c, id)
}

// drains reports whether a node is being drained.
func drains(ctx context.Context, c *connect.Call, id string) (bool, error) {
	n, _, err := c.Client.Node(ctx, id, nil)
	if err != nil {
		return false, term.Fail("Error querying node: %v", err)
	}
	return n.DrainStrategy != nil, nil
}

// drainMeta is what is kept with a drain for others to read.
func drainMeta(c *connect.Call) (map[string]string, error) {
	var meta map[string]string
	add := func(key, value string) {
		if meta == nil {
			meta = map[string]string{}
		}
		meta[key] = value
	}
	for _, pair := range c.StringSlice("meta") {
		key, value, _ := strings.Cut(pair, "=")
		if key == "" {
			return nil, term.Fail("Error parsing meta: -meta %q is not key=value", pair)
		}
		add(key, value)
	}
	if m := c.String("m"); m != "" {
		add("message", m)
	}
	return meta, nil
}

func drainSpec(c *connect.Call) (*structs.DrainSpec, error) {
	if !c.Bool("enable") && !c.Bool("plan") {
		return nil, nil
	}
	spec := &structs.DrainSpec{Deadline: defaultDrainDeadline, IgnoreSystemJobs: c.Bool("ignore-system")}
	switch {
	case c.Bool("force") && (c.Bool("no-deadline") || c.String("deadline") != ""), c.Bool("no-deadline") && c.String("deadline") != "":
		return nil, term.Fail("-force, -deadline and -no-deadline exclude each other")
	case c.Bool("force"):
		spec.Deadline = -1
	case c.Bool("no-deadline"):
		spec.Deadline = 0
	case c.String("deadline") != "":
		d, err := time.ParseDuration(c.String("deadline"))
		if err != nil || d <= 0 {
			return nil, term.Fail("Failed to parse deadline %q: write a positive duration such as 30m", c.String("deadline"))
		}
		spec.Deadline = d
	}
	return spec, nil
}

// followDrain tells what happens to the node's allocations until the drain is
// over.
func followDrain(ctx context.Context, c *connect.Call, id string) error {
	var index uint64
	seen, done := map[string]string{}, false
	for first := true; ; first = false {
		node, meta, err := c.Client.Node(ctx, id, &api.Query{WaitIndex: index, WaitTime: time.Second})
		if err != nil {
			return term.Fail("Error following node: %v", err)
		}
		index = meta.Index
		if first && node.DrainStrategy == nil {
			c.Printf("%s: No drain strategy set\n", view.Time(c.Clock.Now()))
			return nil
		}
		left, err := tellAllocs(ctx, c, id, seen)
		if err != nil {
			return err
		}
		switch {
		case node.DrainStrategy != nil:
			continue
		case node.LastDrain != nil && node.LastDrain.Status == structs.DrainStatusCanceled:
			c.Printf("%s: Drain of node %s was canceled\n", view.Time(c.Clock.Now()), id)
			return nil
		case !done:
			done = true
			c.Printf("%s: Drain complete for node %s\n", view.Time(c.Clock.Now()), id)
		}
		if left == 0 {
			c.Printf("%s: %s\n", view.Time(c.Clock.Now()), emptied(node))
			return nil
		}
	}
}

// emptied says that nothing is to run any more on a node whose drain is over.
func emptied(n *structs.Node) string {
	if n.Status == structs.NodeStatusDown {
		return fmt.Sprintf("Node %q is down: what may still run there is stopped when it is back", n.ID)
	}
	return fmt.Sprintf("All allocations on node %q have stopped", n.ID)
}

// tellAllocs tells what has changed of a node's allocations since the last time,
// and counts those that are to stop and haven't: what a drain leaves alone is
// none of them.
func tellAllocs(ctx context.Context, c *connect.Call, id string, seen map[string]string) (left int, err error) {
	allocs, _, err := c.Client.NodeAllocations(ctx, id, nil)
	if err != nil {
		return 0, term.Fail("Error following allocations: %v", err)
	}
	for _, a := range allocs {
		if !a.ClientTerminal() && a.ServerTerminal() {
			left++
		}
		before, known := seen[a.ID]
		if !known && a.ClientTerminal() {
			seen[a.ID+" marked"] = "before" // by an earlier drain
		}
		seen[a.ID] = a.ClientStatus
		if known && before != a.ClientStatus {
			c.Printf("%s: Alloc %q status %s -> %s\n", view.Time(c.Clock.Now()), a.ID, before, a.ClientStatus)
		}
		marked := a.ID + " marked"
		if !structs.Value(a.DesiredTransition.Migrate) {
			continue
		}
		if seen[marked] == "" {
			seen[marked] = "yes"
			c.Printf("%s: Alloc %q marked for migration\n", view.Time(c.Clock.Now()), a.ID)
		}
		waits := monitor.Waits(a)
		if waits != "" && waits != seen[a.ID+" waits"] {
			c.Printf("%s: Alloc %q %s\n", view.Time(c.Clock.Now()), a.ID, waits)
		}
		seen[a.ID+" waits"] = waits
	}
	return left, nil
}
