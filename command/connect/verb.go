package connect

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/term"
)

// Verb describes one command that talks to an agent.
type Verb struct {
	Name    string
	Aliases []string
	Usage   string
	Help    string
	// Args names the arguments in order; one in brackets may be left out, one
	// that ends in ... may be repeated.
	Args  []string
	Flags []cli.Flag
	// StopAtArg ends flag parsing at the second argument: what follows belongs
	// to another program.
	StopAtArg int
	// Deprecated says that the name is an old one of a verb that has moved.
	Deprecated bool
	// ErrorCode is the exit code of wrong use and of errors of the client; 1
	// if not set.
	ErrorCode int
	// Do performs the verb.
	Do func(context.Context, *Call) error
}

// Call is one use of a verb.
type Call struct {
	*cli.Command
	term.Streams
	Client *api.Client
}

// Arg returns the i-th argument, empty when it was left out.
func (c *Call) Arg(i int) string { return c.Args().Get(i) }

// Command makes the command line's form of v.
func (v Verb) Command(s term.Streams) *cli.Command {
	cmd := &cli.Command{
		Name: v.Name, Aliases: v.Aliases, Usage: v.Usage, Description: v.Help, ArgsUsage: strings.Join(v.Args, " "),
		Flags: Flags(v.Flags...),
		OnUsageError: func(_ context.Context, cmd *cli.Command, err error, _ bool) error {
			return WrongFlag(s, cmd, err, max(1, v.ErrorCode))
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if text := v.wrongArgs(cmd.Args().Len()); text != "" {
				return v.wrongUse(cmd, text)
			}
			client, err := Client(cmd, s)
			if err != nil {
				return v.fail(fmt.Sprintf("Error initializing client: %v", err))
			}
			if v.Deprecated {
				s.Errorf("WARNING! The \"%s\" command is deprecated.\n", cmd.FullName())
			}
			if cmd.Bool(uiFlag) {
				s.Errorf("There is no web console yet: -ui opens nothing. The HTTP API answers at %s\n", client.Config().Address)
			}
			return v.Do(ctx, &Call{Command: cmd, Streams: painted(cmd, s), Client: client})
		},
	}
	if v.StopAtArg > 0 {
		cmd.StopOnNthArg = &v.StopAtArg
	}
	return cmd
}

// painted applies the flags for colours; -no-color wins.
func painted(cmd *cli.Command, s term.Streams) term.Streams {
	if cmd.Bool("no-color") || cmd.Bool("force-color") {
		paint := !cmd.Bool("no-color")
		s.Paint = &paint
	}
	return s
}

func (v Verb) wrongArgs(n int) string {
	least, most := 0, len(v.Args)
	for _, a := range v.Args {
		if !strings.HasPrefix(a, "[") {
			least++
		}
		if strings.Contains(a, "...") {
			most = -1
		}
	}
	if n >= least && (most < 0 || n <= most) {
		return ""
	}
	switch {
	case len(v.Args) == 0:
		return "This command takes no arguments"
	case least == 1 && most == 1:
		return "This command takes one argument: " + v.Args[0]
	default:
		return "This command takes these arguments: " + strings.Join(v.Args, " ")
	}
}

func (v Verb) wrongUse(cmd *cli.Command, text string) error {
	return v.fail(fmt.Sprintf("%s\nFor additional help try '%s -help'", text, cmd.FullName()))
}

// WrongFlag tells the fault, then shows how the command is used, and returns
// the exit code.
func WrongFlag(s term.Streams, cmd *cli.Command, err error, code int) error {
	s.Errorf("%v\n\n", err)
	cli.HelpPrinter(s.Err, cli.CommandHelpTemplate, cmd)
	return &term.Exit{Code: code, Text: fmt.Sprintf("For additional help try '%s -help'", cmd.FullName())}
}

func (v Verb) fail(text string) error {
	return &term.Exit{Code: max(1, v.ErrorCode), Text: text}
}
