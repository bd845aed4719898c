package operator

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/internal/archive"
)

func snapshotGroup(s term.Streams) *cli.Command {
	return &cli.Command{Name: "snapshot", Usage: "save the state of the servers, and look at what was saved", Commands: []*cli.Command{
		snapshotInspectVerb().Command(s), snapshotSaveVerb().Command(s),
	}}
}

func snapshotSaveVerb() connect.Verb {
	return connect.Verb{
		Name: "save", Usage: "save the state of the region into a file", Args: []string{"file"},
		Help: "Jobs, nodes, allocations, evaluations, deployments: all that the servers know, for `steppe sim replay`. Restoring it\n" +
			"is not built yet. The file holds the secrets by which nodes prove who they are: only its owner may read it.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "stale", Usage: "let any server answer, not only the leader"}},
		Do: func(ctx context.Context, c *connect.Call) error {
			if err := saveSnapshot(ctx, c, c.Arg(0)); err != nil {
				return term.Fail("Failed to get snapshot file: %v", err)
			}
			c.Printf("State file written to %s\n", c.Arg(0))
			return nil
		},
	}
}

// saveSnapshot writes the file only if all of it has come.
func saveSnapshot(ctx context.Context, c *connect.Call, path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	err = errors.Join(c.Client.SaveSnapshot(ctx, c.Bool("stale"), f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func snapshotInspectVerb() connect.Verb {
	return connect.Verb{
		Name: "inspect", Usage: "show what a saved file holds", Args: []string{"file"},
		Help:  "The file is read whole, and its checksums are verified.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "as JSON"}},
		Do: func(_ context.Context, c *connect.Call) error {
			f, err := os.Open(c.Arg(0))
			if err != nil {
				return term.Fail("Error opening snapshot file: %v", err)
			}
			defer f.Close() //nolint:errcheck // was only read
			var meta archive.Meta
			err = archive.Read(f, 1<<62, func(m archive.Meta) (io.Writer, error) {
				meta = m
				return io.Discard, nil
			})
			if err != nil {
				return term.Fail("Error inspecting snapshot %s: %v", c.Arg(0), err)
			}
			if c.Bool("json") {
				return view.JSON(c.Out, meta)
			}
			showSnapshot(c, meta)
			return nil
		},
	}
}

func showSnapshot(c *connect.Call, m archive.Meta) {
	c.Printf("%s\n", view.Keys([]view.Pair{
		{Key: "Created", Value: m.Time.UTC().Format(time.RFC3339)}, {Key: "ID", Value: m.ID()},
		{Key: "Size", Value: strconv.FormatInt(m.Size, 10)}, {Key: "Index", Value: strconv.FormatUint(m.Index, 10)},
		{Key: "Term", Value: strconv.FormatUint(m.Term, 10)}, {Key: "Version", Value: m.Version},
		{Key: "Server", Value: m.Server}, {Key: "Region", Value: m.Region},
	}))
	var rows [][]string
	count, bytes := 0, int64(0)
	for _, t := range m.Tables {
		rows = append(rows, []string{t.Name, strconv.Itoa(t.Count), strconv.FormatInt(t.Bytes, 10)})
		count, bytes = count+t.Count, bytes+t.Bytes
	}
	rows = append(rows, []string{"Total", strconv.Itoa(count), strconv.FormatInt(bytes, 10)})
	c.Printf("\n%s", view.Table([]string{"Type", "Count", "Size"}, rows))
}
