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

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/term"
)

// release is the version of this program, and speaks the version of the public
// surface that it follows: clients and job files ask for features by that one
// (the node attribute nomad.version).
const (
	release = "0.1.0-dev"
	speaks  = "2.0.6"
)

// revision of the source, set by the linker.
var revision = "unknown"

// Main runs the command line and returns the process's exit code.
func Main(ctx context.Context, args []string, s term.Streams) int {
	err := Tree(s).Run(ctx, args)
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
