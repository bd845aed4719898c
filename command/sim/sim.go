// Package sim holds the verbs that play stories of simulated clusters and measure
// servers with simulated nodes.
//
// It must not know how they are simulated. Begin reading at Command.
package sim

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/sim/load"
	"github.com/steppe-run/steppe/structs"
)

// Command returns the group `sim`.
func Command(s term.Streams) *cli.Command {
	return &cli.Command{Name: "sim", Usage: "play stories of simulated clusters, measure servers with simulated nodes",
		Commands: []*cli.Command{runVerb(s), replayVerb(s), randomVerb(s), loadVerb(s), nodesVerb(s)}}
}

// loadDescription is for people; the keys of -json are those of load.Report.
const loadDescription = `Starts a server as a process of its own (Raft on disk, HTTP on loopback) and a
second process with simulated nodes that speak the real node link. Registers
jobs, waits until all of their allocations run, and prints how fast that went
and what it cost: placements a second, time from submit to running, bytes of log
and memory an allocation, the server's processor time and memory (asked of the
server itself, GET /v1/steppe/figures), and how many nodes were used.

Both processes and all files are gone at the end, also after an interrupt. Nodes
share the machine with the server: on a small one they take part of its speed.`

func loadVerb(s term.Streams) *cli.Command {
	return &cli.Command{
		Name: "load", Usage: "place jobs on simulated nodes and print how fast that goes and what it costs", Description: loadDescription,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "nodes", Value: 100, Usage: "`number` of simulated nodes"},
			&cli.IntFlag{Name: "jobs", Value: 100, Usage: "`number` of jobs to register"},
			&cli.IntFlag{Name: "count", Value: 10, Usage: "`allocations` of each job"},
			&cli.IntFlag{Name: "connections", Value: 32, Usage: "`number` of HTTP connections that register jobs"},
			&cli.BoolFlag{Name: "equal", Usage: "nodes of one size instead of four"},
			&cli.StringFlag{Name: "type", Value: structs.JobTypeService, Usage: "`type` of the jobs: service or batch"},
			&cli.BoolFlag{Name: "spread", Usage: "spread each job evenly over the racks"},
			&cli.IntFlag{Name: "ports", Usage: "`number` of dynamic ports an allocation asks for"},
			&cli.IntFlag{Name: "cpu", Value: 20, Usage: "`MHz` an allocation asks for"},
			&cli.IntFlag{Name: "memory", Value: 32, Usage: "`MB` an allocation asks for"},
			&cli.StringFlag{Name: "algorithm", Usage: "the scheduler's `algorithm`: binpack or spread"},
			&cli.IntFlag{Name: "sizing", Value: 10_000, Usage: "at most so many `allocations` more are placed and held before they run, to tell the memory of pending and running ones apart; 0 doesn't"},
			&cli.DurationFlag{Name: "timeout", Value: 5 * time.Minute, Usage: "give up after this `time`"},
			&cli.StringFlag{Name: "dir", Usage: "`folder` for the server's data while the run lasts (default: the system's for temporary files)"},
			&cli.BoolFlag{Name: "json", Usage: "one JSON object on the last line of the output"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return term.Fail("This command takes no arguments, only flags: %q is too much", cmd.Args().First())
			}
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
			defer stop()
			return runLoad(ctx, cmd, s)
		},
	}
}

func runLoad(ctx context.Context, cmd *cli.Command, s term.Streams) error {
	program, err := os.Executable()
	if err != nil {
		return term.Fail("Error finding this program's own file: %v", err)
	}
	report, err := load.Run(ctx, load.Options{
		Nodes: cmd.Int("nodes"), Jobs: cmd.Int("jobs"), Count: cmd.Int("count"), Connections: cmd.Int("connections"),
		Equal: cmd.Bool("equal"), Type: cmd.String("type"), Spread: cmd.Bool("spread"), Ports: cmd.Int("ports"),
		CPU: cmd.Int("cpu"), MemoryMB: cmd.Int("memory"), Algorithm: cmd.String("algorithm"), Sizing: cmd.Int("sizing"),
		Timeout: cmd.Duration("timeout"), Program: program, Dir: cmd.String("dir"),
	}, s.Err)
	switch {
	case errors.Is(err, context.Canceled):
		return &term.Exit{Code: 130, Text: "Interrupted. Both processes have ended, their files are removed."}
	case err != nil:
		return term.Fail("Error measuring: %v", err)
	}
	if err := show(report, cmd.Bool("json"), s); err != nil {
		return err
	}
	if report.Placed == 0 {
		return term.Fail("None of %d allocations found room: ask for less (-cpu, -memory).", report.Asked)
	}
	return nil
}

func show(report *load.Report, asJSON bool, s term.Streams) error {
	if !asJSON {
		return report.Write(s.Out)
	}
	line, err := json.Marshal(report)
	if err != nil {
		return term.Fail("Error writing the report: %v", err)
	}
	s.Printf("%s\n", line)
	return nil
}

// nodesVerb is the second process.
func nodesVerb(s term.Streams) *cli.Command {
	return &cli.Command{
		Name: "nodes", Usage: "simulate nodes (started by `sim load`)", Hidden: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "server"}, &cli.StringFlag{Name: "ca"}, &cli.IntFlag{Name: "nodes"}, &cli.BoolFlag{Name: "equal"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			// A signal ends the process as it is: it has nothing to tidy up.
			err := load.Serve(ctx, load.FleetOptions{
				Server: cmd.String("server"), CA: cmd.String("ca"), Nodes: cmd.Int("nodes"), Equal: cmd.Bool("equal"),
			}, s.In, s.Out)
			if err != nil {
				return term.Fail("Error simulating nodes: %v", err)
			}
			return nil
		},
	}
}
