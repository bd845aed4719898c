package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/sim/chance"
	"github.com/steppe-run/steppe/sim/story"
)

const randomDescription = `Makes up stories, one for each seed: jobs of all kinds, changes, drains, and every
fault there is, at random; plays them as "sim run" does, as many at once as there
are processors. A story in which something is wrong is named with the line that
plays it again: "sim random -seed N" leaves out of that story what isn't needed
for the fault, and tells the rest.

With -shards the outcome of each thousand seeds is kept in a folder: what is there
already isn't played again, so that a long run can be interrupted and resumed.`

// shardSize is how many seeds are kept together.
const shardSize = 1000

func randomVerb(s term.Streams) *cli.Command {
	return &cli.Command{
		Name: "random", Usage: "play made-up stories of simulated clusters", Description: randomDescription,
		Flags: append([]cli.Flag{
			&cli.Uint64Flag{Name: "seed", Usage: "play the story of this `seed` only, as short as it can be, and tell it"},
			&cli.Uint64Flag{Name: "from", Value: 1, Usage: "the first `seed`"},
			&cli.Uint64Flag{Name: "runs", Value: 3000, Usage: "how many `stories`"},
			&cli.StringFlag{Name: "shards", Usage: "`folder` that keeps what was played"},
			&cli.StringFlag{Name: "revision", Usage: "`name` of the program's version: shards of another one are played anew"},
			&cli.StringFlag{Name: "summary", Usage: "`file` for a table of faults and features (Markdown)"},
			&cli.BoolFlag{Name: "whole", Usage: "with -seed: leave nothing out of the story"},
		}, tellFlags()...),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return term.Fail("This command takes no arguments, only flags: %q is too much", cmd.Args().First())
			}
			if cmd.IsSet("seed") {
				return tellSeed(cmd, s)
			}
			// Stories leave much garbage and live on little memory.
			debug.SetGCPercent(-1)
			debug.SetMemoryLimit(512 << 20)
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
			defer stop()
			return runRandom(ctx, cmd, s)
		},
	}
}

// tellSeed plays the story of one seed.
func tellSeed(cmd *cli.Command, s term.Streams) error {
	seed := cmd.Uint64("seed")
	told, err := chance.Story(seed)
	if err != nil {
		return term.Fail("Error making up story %d: %v", seed, err)
	}
	if !cmd.Bool("whole") {
		if told, err = chance.Shortest(told); err != nil {
			return term.Fail("Error playing story %d: %v", seed, err)
		}
	}
	s.Printf("%s\n", told)
	result, err := story.Run(told, tellOptions(cmd, s))
	if err != nil {
		return term.Fail("Error playing story %d: %v", seed, err)
	}
	conclude(s, "story", result)
	if result.Broken() {
		return &term.Exit{Code: 1}
	}
	return nil
}

func runRandom(ctx context.Context, cmd *cli.Command, s term.Streams) error {
	began := s.Clock.Now()
	sum, err := play(ctx, cmd, s)
	switch {
	case errors.Is(err, context.Canceled):
		return &term.Exit{Code: 130, Text: "Interrupted. What is in the folder of -shards will not be played again."}
	case err != nil:
		return term.Fail("Error playing stories: %v", err)
	}
	if file := cmd.String("summary"); file != "" {
		if err := writeSummary(file, head(cmd), sum); err != nil {
			return term.Fail("Error writing summary: %v", err)
		}
	}
	for _, f := range sum.Failures {
		s.Printf("%s\n", f)
	}
	s.Printf("%d stories, %d entries of logs, %.0f h of clusters' time in %s; %d broken\n",
		sum.Stories, sum.Entries, sum.Lived.Hours(), s.Clock.Now().Sub(began).Round(time.Second/10), len(sum.Failures))
	if len(sum.Failures) > 0 {
		return &term.Exit{Code: 1}
	}
	return nil
}

// play plays the seeds that are asked for.
func play(ctx context.Context, cmd *cli.Command, s term.Streams) (*chance.Tally, error) {
	from, runs := cmd.Uint64("from"), cmd.Uint64("runs")
	told := uint64(0)
	done := func(played uint64) {
		if played/shardSize > told/shardSize && !cmd.Bool("quiet") {
			s.Errorf("%d of %d\n", played, runs)
		}
		told = max(told, played)
	}
	folder := cmd.String("shards")
	if folder == "" {
		return chance.Play(ctx, from, runs, done)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // nothing is written through it any more
	return chance.Shards{Dir: dir, Size: shardSize, Revision: cmd.String("revision")}.Play(ctx, from, runs, done)
}

// head says above a summary what was played, and by which program.
func head(cmd *cli.Command) string {
	from, runs, by := cmd.Uint64("from"), cmd.Uint64("runs"), ""
	if revision := cmd.String("revision"); revision != "" {
		by = ", played by revision " + revision
	}
	return fmt.Sprintf("# What was simulated\n\nThe made-up stories of the seeds %d to %d%s.\n\n", from, from+runs-1, by)
}

func writeSummary(file, head string, sum *chance.Tally) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = f.WriteString(head)
	return errors.Join(err, sum.Markdown(f), f.Close())
}
