package alloc

import (
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

func fsVerb() connect.Verb {
	return connect.Verb{
		Name: "fs", Usage: "look at an allocation's files", Args: []string{"<alloc id>", "[<path>]"},
		Flags: append(tailFlags(),
			&cli.BoolFlag{Name: "H", Usage: "sizes in bytes"},
			&cli.BoolFlag{Name: "stat", Usage: "describe the file, don't show it"},
			&cli.BoolFlag{Name: "job", Usage: "the argument is a job: choose one of its allocations"},
			&cli.BoolFlag{Name: "verbose", Usage: "accepted"},
			&cli.StringFlag{Name: "group", Usage: "with -job: `name` of the group"},
		),
		Do: files,
	}
}

func files(ctx context.Context, c *connect.Call) error {
	a, q, err := pick(ctx, c, c.Arg(0), true)
	if err != nil {
		return err
	}
	path := c.Arg(1)
	if path == "" {
		path = "/"
	}
	info, err := c.Client.StatFile(ctx, a.ID, path, q)
	if err != nil {
		return term.Fail("Error reading file: %v", err)
	}
	switch {
	case c.Bool("stat"):
		row := append(fileRow(c, info)[:3], info.ContentType, info.Name)
		c.Printf("%s", view.Table([]string{"Mode", "Size", "Modified Time", "Content Type", "Name"}, [][]string{row}))
		return nil
	case info.IsDir:
		return listFolder(ctx, c, a.ID, path, q)
	default:
		return showFile(ctx, c, a.ID, path, q)
	}
}

func fileRow(c *connect.Call, f *structs.AllocFileInfo) []string {
	size := view.Bytes(uint64(max(0, f.Size)))
	if c.Bool("H") {
		size = strconv.FormatInt(f.Size, 10)
	}
	name := f.Name
	if f.IsDir {
		name += "/"
	}
	return []string{f.FileMode, size, view.Time(f.ModTime), name}
}

func listFolder(ctx context.Context, c *connect.Call, id, path string, q *api.Query) error {
	all, err := c.Client.ListFiles(ctx, id, path, q)
	if err != nil {
		return term.Fail("Error listing alloc dir: %v", err)
	}
	var rows [][]string
	for _, f := range all {
		rows = append(rows, fileRow(c, f))
	}
	c.Printf("%s", view.Table([]string{"Mode", "Size", "Modified Time", "Name"}, rows))
	return nil
}

func showFile(ctx context.Context, c *connect.Call, id, path string, q *api.Query) error {
	t := tailOf(c, c.Out)
	if !t.options.Follow && t.options.Origin == "" {
		body, err := c.Client.CatFile(ctx, id, path, q)
		if err != nil {
			return term.Fail("Error reading file: %v", err)
		}
		defer func() { _ = body.Close() }() // only read
		if _, err := io.Copy(c.Out, body); err != nil {
			return term.Fail("Error tailing file: %v", err)
		}
		return nil
	}
	err := c.Client.StreamFile(ctx, id, path, t.options, func(f *structs.StreamFrame) error { return t.write(f.Data) })
	if err == nil {
		err = t.flush()
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return term.Fail("Error tailing file: %v", err)
	}
	return nil
}
