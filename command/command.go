// Package command is the command line: it parses arguments, hands them to one
// verb, and turns what comes back into an exit code. Each noun has a room of
// its own below, one file a verb: parse, do, show.
//
// It must not know servers or clients; it talks to them over HTTP like any
// other program (the agent itself, in command/agent, is the exception). Begin
// reading at Main.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"
)

// version is set by the linker.
var version = "dev"

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
}

// System returns the process's own streams.
func System() Streams {
	return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv}
}

// Main runs the command line and returns the process's exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	err := tree(s).Run(ctx, args)
	var exit cli.ExitCoder
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if text := err.Error(); text != "" {
			_, _ = fmt.Fprintln(s.Err, text) // nobody is left to tell
		}
		return exit.ExitCode()
	default:
		_, _ = fmt.Fprintln(s.Err, err) // nobody is left to tell
		return 1
	}
}
