package command

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/agent"
	"github.com/steppe-run/steppe/command/agent/certs"
	"github.com/steppe-run/steppe/command/alloc"
	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/demo"
	"github.com/steppe-run/steppe/command/deployment"
	"github.com/steppe-run/steppe/command/eval"
	"github.com/steppe-run/steppe/command/job"
	"github.com/steppe-run/steppe/command/node"
	"github.com/steppe-run/steppe/command/operator"
	"github.com/steppe-run/steppe/command/plugin"
	"github.com/steppe-run/steppe/command/server"
	"github.com/steppe-run/steppe/command/service"
	"github.com/steppe-run/steppe/command/sim"
	"github.com/steppe-run/steppe/command/system"
	"github.com/steppe-run/steppe/command/term"
)

// Tree is every command there is.
func Tree(s term.Streams) *cli.Command {
	return &cli.Command{
		Name:                          "steppe",
		Usage:                         "run jobs and services on a group of machines",
		Writer:                        s.Out,
		ErrWriter:                     s.Err,
		Reader:                        s.In,
		DisableSliceFlagSeparator:     true,
		CustomRootCommandHelpTemplate: "",
		ExitErrHandler:                func(context.Context, *cli.Command, error) {},
		OnUsageError: func(_ context.Context, _ *cli.Command, err error, _ bool) error {
			return term.Fail("%v\nFor help try 'steppe -help'", err)
		},
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version", Local: true},
		},
		Commands: verbs(s),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Bool("version") && !cmd.Args().Present() {
				return printVersion(s)
			}
			return unknownVerb(ctx, cmd)
		},
	}
}

// exitUnknown is the exit code for a command that doesn't exist.
const exitUnknown = 127

func unknownVerb(_ context.Context, cmd *cli.Command) error {
	if cmd.Args().Present() {
		return &term.Exit{Code: exitUnknown, Text: fmt.Sprintf("There is no command %q. For a list try 'steppe -help'", cmd.Args().First())}
	}
	if err := cli.ShowRootCommandHelp(cmd); err != nil {
		return err
	}
	return &term.Exit{Code: exitUnknown}
}

func verbs(s term.Streams) []*cli.Command {
	all := []*cli.Command{
		agent.Command(agent.Process{Version: release, Revision: revision, Speaks: speaks, Out: s.Out, Err: s.Err}),
		alloc.Command(s), deployment.Command(s), eval.Command(s), job.Command(s), node.Command(s), operator.Command(s),
		server.Command(s), service.Command(s), sim.Command(s), system.Command(s), certs.Command(s),
		statusVerb().Command(s), demoService(s), versionCommand(s), pluginCommand(), supervisorCommand(),
	}
	all = addUnbuilt(all)
	for _, aliases := range [][]*cli.Command{job.Aliases(s), alloc.Aliases(s), node.Aliases(s), eval.Aliases(s), server.Aliases(s)} {
		all = append(all, aliases...)
	}
	settle(s, all)
	return all
}

// settle gives every command the manners that the library lacks: a group
// answers without a verb, and a verb takes "h" and "help" for what they are,
// arguments. Only -h, -help and --help ask it for help, also beside arguments.
func settle(s term.Streams, all []*cli.Command) {
	for _, cmd := range all {
		if cmd.OnUsageError == nil {
			cmd.OnUsageError = func(_ context.Context, cmd *cli.Command, err error, _ bool) error {
				return connect.WrongFlag(s, cmd, err, 1)
			}
		}
		if len(cmd.Commands) == 0 {
			cmd.HideHelpCommand = true
			cmd.CommandNotFound = helpBesideArguments
			continue
		}
		if cmd.Action == nil {
			cmd.Action = bareGroup
		}
		settle(s, cmd.Commands)
	}
}

// helpBesideArguments is what the library calls for -help with an argument: it
// takes the argument for the name of a verb.
func helpBesideArguments(_ context.Context, cmd *cli.Command, _ string) {
	cli.HelpPrinter(cmd.Root().Writer, cli.CommandHelpTemplate, cmd)
}

// bareGroup answers a group without a verb, or with one it doesn't have.
func bareGroup(_ context.Context, cmd *cli.Command) error {
	if cmd.Args().Present() {
		return term.Fail("There is no command '%s %s'. For a list try '%s -help'", cmd.FullName(), cmd.Args().First(), cmd.FullName())
	}
	if err := cli.ShowSubcommandHelp(cmd); err != nil {
		return err
	}
	return &term.Exit{Code: 1}
}

func versionCommand(s term.Streams) *cli.Command {
	return &cli.Command{
		Name:   "version",
		Usage:  "print the version",
		Action: func(context.Context, *cli.Command) error { return printVersion(s) },
	}
}

func printVersion(s term.Streams) error {
	_, err := fmt.Fprintf(s.Out, "Steppe v%s\nSpeaks Nomad %s\nRevision %s\n", release, speaks, revision)
	return err
}

// pluginCommand is how the agent starts a built-in driver.
func pluginCommand() *cli.Command {
	return &cli.Command{
		Name: "plugin", Usage: "serve a built-in driver (started by the agent)", ArgsUsage: "NAME", Hidden: true, SkipFlagParsing: true,
		Action: func(ctx context.Context, cmd *cli.Command) error { return plugin.Serve(ctx, cmd.Args().First()) },
	}
}

// supervisorCommand is how a driver starts what stays with a task, where the
// small supervisor is not embedded.
func supervisorCommand() *cli.Command {
	return &cli.Command{
		Name: "supervisor", Usage: "stay with one task (started by a driver)", Hidden: true, SkipFlagParsing: true,
		Action: func(_ context.Context, cmd *cli.Command) error {
			if code := plugin.Supervise(cmd.Args().Slice()); code != 0 {
				return &term.Exit{Code: code}
			}
			return nil
		},
	}
}

func demoService(s term.Streams) *cli.Command {
	return &cli.Command{
		Name:  "demo-service",
		Usage: "the small web service of examples/hello.hcl",
		Action: func(ctx context.Context, _ *cli.Command) error {
			return demo.New(s.Getenv, s.Out).Run(ctx)
		},
	}
}
