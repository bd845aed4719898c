package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/sim/replay"
	"github.com/steppe-run/steppe/sim/story"
)

const runDescription = `Plays a story: a cluster, what its users do, what breaks, and what is expected of
it. Servers and node agents are the real ones; machines, network, disks, tasks
and time are simulated, so that hours take seconds and the same story always
goes the same way. After every entry of the log the promises of docs/simulation.md
are checked; "settle" ends every fault and checks that everything comes to an end.

  a cluster of 3 servers and 5 nodes of 4000 MHz and 8000 MB
  job web service count=4 max_parallel=1 min_healthy=10s
  expect web 4 running within 1m
  leader dies
  node-2 dies
  expect web 4 running within 2m
  show web
  settle

Exit code 1 if an expectation or a promise didn't hold.`

// maxStory bounds a story's file in bytes.
const maxStory = 1 << 20

func runVerb(s term.Streams) *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "play a story of a simulated cluster", ArgsUsage: "FILE...", Description: runDescription,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "rewrite", Usage: "write what is shown into the file, as what is expected from now on"},
			&cli.StringFlag{Name: "save", Usage: "`file` for a snapshot of what the cluster is in the end, for \"sim replay\""},
		}, tellFlags()...),
		Action: func(_ context.Context, cmd *cli.Command) error {
			if !cmd.Args().Present() {
				return term.Fail("This command takes the files of stories, or - for one on standard input")
			}
			if cmd.String("save") != "" && cmd.Args().Len() > 1 {
				return term.Fail("-save is for one story, not for %d", cmd.Args().Len())
			}
			broken := false
			for _, file := range cmd.Args().Slice() {
				held, err := runFile(cmd, s, file)
				if err != nil {
					return err
				}
				broken = broken || !held
			}
			if broken {
				return &term.Exit{Code: 1}
			}
			return nil
		},
	}
}

func tellFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "quiet", Usage: "print only what is wrong"},
		&cli.BoolFlag{Name: "logs", Usage: "print also what servers and nodes log"},
	}
}

// runFile plays one file and reports whether all of it held.
func runFile(cmd *cli.Command, s term.Streams, file string) (held bool, err error) {
	text, err := readStory(s, file)
	if err != nil {
		return false, term.Fail("Error reading story: %v", err)
	}
	told, err := story.Parse(text)
	if err != nil {
		return false, term.Fail("Error in story:\n%s", placed(file, err))
	}
	options := tellOptions(cmd, s)
	options.Rewrite = cmd.Bool("rewrite")
	result, err := story.Run(told, options)
	if err != nil {
		return false, term.Fail("Error playing story %s: %v", file, err)
	}
	if options.Rewrite && file != "-" {
		if err := os.WriteFile(file, []byte(told.Answered(text)), 0o644); err != nil {
			return false, term.Fail("Error writing story: %v", err)
		}
	}
	if to := cmd.String("save"); to != "" {
		if err := saveLast(to, result); err != nil {
			return false, term.Fail("Error saving snapshot: %v", err)
		}
	}
	conclude(s, file, result)
	return !result.Broken(), nil
}

// saveLast writes what the cluster has come to.
func saveLast(to string, r *story.Result) error {
	if r.Last == nil {
		return errors.New("every server is down in the end")
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(replay.Save(f, r.Last, r.End), f.Close())
}

// placed tells what is wrong with a story as file:line.
func placed(file string, err error) string {
	var all story.Errors
	if !errors.As(err, &all) {
		return err.Error()
	}
	lines := make([]string, 0, len(all))
	for _, one := range all {
		lines = append(lines, fmt.Sprintf("%s:%d: %s", file, one.Line, one.What))
	}
	return strings.Join(lines, "\n")
}

// wrong tells what was wrong with a story, a line each.
func wrong(file string, r *story.Result) string {
	var b strings.Builder
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "%s: %s\n", file, v)
	}
	if len(r.Failures) > 0 {
		b.WriteString(placed(file, r.Failures) + "\n")
	}
	return b.String()
}

func readStory(s term.Streams, file string) (string, error) {
	from := s.In
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close() //nolint:errcheck // was only read
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxStory+1))
	if err == nil && len(text) > maxStory {
		err = term.Fail("%s is longer than %d bytes", file, maxStory)
	}
	return string(text), err
}

// tellOptions are how a story is told while it is played.
func tellOptions(cmd *cli.Command, s term.Streams) story.Options {
	var o story.Options
	if !cmd.Bool("quiet") {
		o.Trace = s.Out
	}
	if cmd.Bool("logs") {
		o.Logger = logger(s.Out)
	}
	return o
}

// logger writes what servers and nodes log, without the time at which it was
// simulated: the same story says the same.
func logger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// conclude prints how a story went.
func conclude(s term.Streams, name string, r *story.Result) {
	if r.Broken() {
		s.Printf("%s", wrong(name, r))
		s.Printf("%s: broken, %d violations of promises, %d expectations not met\n", name, len(r.Violations), len(r.Failures))
		return
	}
	s.Printf("%s: holds; %d entries of the log, %s of the cluster's time\n", name, r.Entries, r.Took.Round(time.Second))
}
