package alloc

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"
	xterm "golang.org/x/term"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

func execVerb() connect.Verb {
	return connect.Verb{
		Name: "exec", Usage: "run a command inside a task", Args: []string{"<alloc id>", "<command>", "[args...]"},
		StopAtArg: 1,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "job", Usage: "the argument is a job: choose one of its allocations"},
			&cli.BoolFlag{Name: "i", Usage: "pass the standard input on", Value: true},
			&cli.BoolFlag{Name: "t", Usage: "give the command a terminal (default when there is one)"},
			&cli.StringFlag{Name: "e", Usage: "escape `character`, accepted; Ctrl-C reaches the command", Value: "~"},
			&cli.StringFlag{Name: "task", Usage: "`name` of the task"},
			&cli.StringFlag{Name: "group", Usage: "with -job: `name` of the group"},
		},
		Do: execute,
	}
}

func execute(ctx context.Context, c *connect.Call) error {
	a, q, err := pick(ctx, c, c.Arg(0), false)
	if err != nil {
		return err
	}
	task, err := taskOf(a, c.String("task"))
	if err != nil {
		return err
	}
	tty := c.InIsTerminal() && c.OutIsTerminal()
	if c.IsSet("t") {
		tty = c.Bool("t")
	}
	options := api.ExecOptions{AllocID: a.ID, Task: task, Command: c.Args().Slice()[1:], TTY: tty, Stdout: c.Out, Stderr: c.Err}
	if c.Bool("i") {
		options.Stdin = c.In
	}
	code, err := session(ctx, c, options, q)
	if err != nil {
		return term.Fail("failed to exec into task: %v", err)
	}
	if code != 0 {
		return &term.Exit{Code: code}
	}
	return nil
}

// session runs the command; with a terminal, that is raw meanwhile and its
// size follows.
func session(ctx context.Context, c *connect.Call, o api.ExecOptions, q *api.Query) (int, error) {
	in, isFile := c.In.(*os.File)
	if !o.TTY || !isFile || !c.InIsTerminal() {
		return c.Client.Exec(ctx, o, q)
	}
	before, err := xterm.MakeRaw(int(in.Fd()))
	if err != nil {
		return 0, err
	}
	defer func() { _ = xterm.Restore(int(in.Fd()), before) }() // nothing else can be done
	sizes := make(chan structs.TerminalSize, 1)
	o.Sizes = sizes
	group := loop.New(ctx)
	group.Go("terminal size", func(ctx context.Context) error { return watchSize(ctx, int(in.Fd()), sizes) })
	code, err := c.Client.Exec(ctx, o, q)
	group.Stop()
	if waitErr := group.Wait(); err == nil {
		err = waitErr
	}
	return code, err
}

func watchSize(ctx context.Context, fd int, sizes chan<- structs.TerminalSize) error {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	defer signal.Stop(changed)
	for {
		if width, height, err := xterm.GetSize(fd); err == nil { // no size is no fault
			select {
			case sizes <- structs.TerminalSize{Height: height, Width: width}:
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
