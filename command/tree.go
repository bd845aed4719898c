package command

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/agent"
	"github.com/steppe-run/steppe/command/demo"
	"github.com/steppe-run/steppe/command/term"
)

// tree is every command there is.
func tree(s term.Streams) *cli.Command {
	return &cli.Command{
		Name:                          "steppe",
		Usage:                         "run jobs and services on a group of machines",
		Writer:                        s.Out,
		ErrWriter:                     s.Err,
		Reader:                        s.In,
		DisableSliceFlagSeparator:     true,
		CustomRootCommandHelpTemplate: "",
		ExitErrHandler:                func(context.Context, *cli.Command, error) {},
		Commands: []*cli.Command{
			agent.Command(agent.Process{Version: version, Out: s.Out, Err: s.Err}),
			demoService(s),
			versionCommand(s),
		},
	}
}

func versionCommand(s term.Streams) *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version",
		Action: func(context.Context, *cli.Command) error {
			_, err := fmt.Fprintf(s.Out, "Steppe %s\n", version)
			return err
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
