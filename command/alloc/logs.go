package alloc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

const (
	bytesPerLine     = 120 // a guess, to find where the last lines begin
	defaultTailLines = 10
)

func logsVerb() connect.Verb {
	return connect.Verb{
		Name: "logs", Usage: "show what a task wrote", Args: []string{"[<alloc id>]", "[<task>]"},
		Flags: append(tailFlags(),
			&cli.BoolFlag{Name: "job", Usage: "the argument is a job: choose one of its allocations"},
			&cli.BoolFlag{Name: "stderr", Usage: "show stderr"},
			&cli.BoolFlag{Name: "stdout", Usage: "show stdout (default)"},
			&cli.BoolFlag{Name: "verbose", Usage: "accepted"},
			&cli.StringFlag{Name: "task", Usage: "`name` of the task"},
			&cli.StringFlag{Name: "group", Usage: "with -job: `name` of the group"},
		),
		Do: logs,
	}
}

// tailFlags are the flags of verbs that show a growing file.
func tailFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "f", Usage: "go on as it grows"},
		&cli.BoolFlag{Name: "tail", Usage: "only the end"},
		&cli.Int64Flag{Name: "n", Usage: "with -tail: so many `lines`", Value: -1},
		&cli.Int64Flag{Name: "c", Usage: "with -tail: so many `bytes`", Value: -1},
	}
}

func logs(ctx context.Context, c *connect.Call) error {
	a, _, err := pick(ctx, c, c.Arg(0), true)
	if err != nil {
		return err
	}
	task, err := taskOf(a, taskArg(c))
	var none *unknownTask
	if errors.As(err, &none) {
		return term.Fail("unknown task name %q, found:\n  %s", none.name, strings.Join(none.found, "\n  "))
	}
	if err != nil {
		return err
	}
	kinds := logKinds(c)
	group := loop.New(ctx)
	for kind, out := range kinds {
		group.Go(kind, func(ctx context.Context) error { return streamLog(ctx, c, a.ID, task, kind, out) })
	}
	return group.Wait()
}

// logKinds is where each asked-for stream goes.
func logKinds(c *connect.Call) map[string]io.Writer {
	both := c.Bool("f") && !c.Bool("stdout") && !c.Bool("stderr")
	out := map[string]io.Writer{}
	if c.Bool("stdout") || !c.Bool("stderr") {
		out["stdout"] = c.Out
	}
	if c.Bool("stderr") || both {
		out["stderr"] = c.Err
	}
	if c.Bool("stderr") && !c.Bool("stdout") {
		out["stderr"] = c.Out
	}
	return out
}

func streamLog(ctx context.Context, c *connect.Call, allocID, task, kind string, out io.Writer) error {
	tail := tailOf(c, out)
	err := c.Client.Logs(ctx, allocID, task, kind, tail.options, func(f *structs.StreamFrame) error { return tail.write(f.Data) })
	if err == nil {
		err = tail.flush()
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return term.Fail("Error reading logs: %v", err)
	}
	return nil
}

// tail passes a stream on, or only its last lines.
type tail struct {
	options api.StreamOptions
	lines   int // -1: everything
	out     io.Writer
	held    bytes.Buffer
}

func tailOf(c *connect.Call, out io.Writer) *tail {
	t := &tail{options: api.StreamOptions{Follow: c.Bool("f")}, lines: -1, out: out}
	if !c.Bool("tail") && c.Int64("n") < 0 && c.Int64("c") < 0 {
		return t
	}
	t.options.Origin = "end"
	if n := c.Int64("c"); n >= 0 {
		t.options.Offset = n
		return t
	}
	t.lines = defaultTailLines
	if n := c.Int64("n"); n >= 0 {
		t.lines = int(n)
	}
	t.options.Offset = int64(t.lines) * bytesPerLine
	return t
}

// write passes data on. While the beginning of the last lines isn't known yet,
// without -f, it is held back; with -f the guess must do.
func (t *tail) write(data []byte) error {
	if t.lines < 0 {
		_, err := t.out.Write(data)
		return err
	}
	if t.options.Follow {
		lines := t.lines
		t.lines = -1
		_, err := t.out.Write(lastLines(data, lines))
		return err
	}
	t.held.Write(data)
	return nil
}

func (t *tail) flush() error {
	if t.held.Len() == 0 {
		return nil
	}
	_, err := t.out.Write(lastLines(t.held.Bytes(), t.lines))
	return err
}

func lastLines(data []byte, n int) []byte {
	if n == 0 {
		return nil
	}
	at := len(bytes.TrimSuffix(data, []byte("\n")))
	for ; n > 0 && at >= 0; n-- {
		at = bytes.LastIndexByte(data[:at], '\n')
	}
	return data[at+1:]
}
