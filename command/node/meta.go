package node

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/resolve"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// metaCommand returns the group `node meta`.
func metaCommand(s term.Streams) *cli.Command {
	return &cli.Command{Name: "meta", Usage: "read and set the metadata of a node", Commands: []*cli.Command{
		metaApplyVerb().Command(s), metaReadVerb().Command(s),
	}}
}

func nodeFlag() cli.Flag {
	return &cli.StringFlag{Name: "node-id", Usage: "the `node`, by its ID or how that begins (default: the agent's own)"}
}

func metaApplyVerb() connect.Verb {
	return connect.Verb{
		Name: "apply", Usage: "set or unset metadata of a node", Args: []string{"[key=value...]"},
		Help:  "What is set here wins over the configuration, survives the agent, and is what jobs see as ${meta.key}.",
		Flags: []cli.Flag{nodeFlag(), &cli.StringFlag{Name: "unset", Usage: "comma separated `keys` to take away"}},
		Do: func(ctx context.Context, c *connect.Call) error {
			meta, err := metaChanges(c.Args().Slice(), c.String("unset"))
			if err != nil {
				return err
			}
			id, err := metaNode(ctx, c)
			if err != nil {
				return err
			}
			if _, err := c.Client.ApplyNodeMeta(ctx, id, meta); err != nil {
				return term.Fail("Error applying dynamic node metadata: %v", err)
			}
			return nil
		},
	}
}

// metaChanges reads key=value arguments and the keys to take away.
func metaChanges(args []string, unset string) (map[string]*string, error) {
	out := map[string]*string{}
	for _, key := range strings.FieldsFunc(unset, func(r rune) bool { return r == ',' }) {
		out[strings.TrimSpace(key)] = nil
	}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, term.Fail("%q is no key=value", arg)
		}
		out[key] = &value
	}
	if len(out) == 0 {
		return nil, term.Fail("Must provide either key=value arguments or -unset")
	}
	return out, nil
}

// metaNode is the id of the node that is meant, "" for the agent's own.
func metaNode(ctx context.Context, c *connect.Call) (string, error) {
	if c.String("node-id") == "" {
		return "", nil
	}
	stub, err := resolve.Node(ctx, c.Client, c.String("node-id"))
	if err != nil {
		return "", err
	}
	return stub.ID, nil
}

func metaReadVerb() connect.Verb {
	return connect.Verb{
		Name: "read", Usage: "show the metadata of a node: all, what was set at run time, what is configured",
		Flags: append(view.FormatFlags(), nodeFlag()),
		Do: func(ctx context.Context, c *connect.Call) error {
			id, err := metaNode(ctx, c)
			if err != nil {
				return err
			}
			meta, err := c.Client.NodeMeta(ctx, id)
			if err != nil {
				return term.Fail("Error reading dynamic node metadata: %v", err)
			}
			if done, err := view.Formatted(c.Command, c.Streams, meta); done {
				return err
			}
			c.Printf("%s", metaText(meta, c.Colour()))
			return nil
		},
	}
}

// metaText shows the three kinds of metadata. A key that is configured and was
// taken away at run time shows as <unset>.
func metaText(meta *structs.NodeMetaResponse, bold bool) string {
	dynamic := map[string]string{}
	for key, value := range meta.Dynamic {
		dynamic[key] = structs.ValueOr(value, "<unset>")
	}
	return view.Section("All Meta", metaKeys(meta.Meta), bold) +
		view.Section("Dynamic Meta", metaKeys(dynamic), bold) +
		view.Section("Static Meta", metaKeys(meta.Static), bold)
}

func metaKeys(all map[string]string) string {
	var pairs []view.Pair
	for _, key := range slices.Sorted(maps.Keys(all)) {
		pairs = append(pairs, view.Pair{Key: key, Value: all[key]})
	}
	return view.Keys(pairs)
}
