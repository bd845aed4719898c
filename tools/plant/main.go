// Package main proves that the tests catch bugs. It plants one at a time into
// the real code, by an overlay that leaves the tree as it is, and runs the tests
// that must notice.
//
//	go run ./tools/plant                       every bug of bugs.txt
//	go run ./tools/plant -only deployer        those whose name contains deployer
//	go run ./tools/plant -random 50 -seed 7    fifty small changes at random
//
// A bug is caught if its tests pass without it and fail with it; one that
// survives ends the program with status 1. What random changes survived, and
// why, stands in survivors.md.
//
// It must not know what the code is about: bugs are text, random changes are
// syntax. Begin reading at plant.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := plant(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "plant:", err)
		os.Exit(1)
	}
}

// errSurvived says that there are bugs that no test notices.
var errSurvived = errors.New("not every bug was caught")

// options are what the command line says.
type options struct {
	bugs    string
	only    string
	random  int
	seed    uint64
	rooms   string
	runs    int
	from    uint64
	patient time.Duration
	slack   time.Duration
}

func plant(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("plant", flag.ContinueOnError)
	flags.StringVar(&o.bugs, "bugs", "tools/plant/bugs.txt", "the list of bugs")
	flags.StringVar(&o.only, "only", "", "only bugs whose name contains one of these words, comma-separated")
	flags.IntVar(&o.random, "random", 0, "make this many changes at random instead")
	flags.Uint64Var(&o.seed, "seed", 1, "which random changes")
	flags.StringVar(&o.rooms, "rooms", "", "random: only rooms whose path contains one of these words, comma-separated")
	flags.IntVar(&o.runs, "runs", 60, "random: how many made-up stories are played")
	flags.Uint64Var(&o.from, "from", 1, "random: the first of them")
	flags.DurationVar(&o.patient, "timeout", 10*time.Minute, "how long one run of go test may take, building included")
	flags.DurationVar(&o.slack, "slack", 15*time.Second, "what tests may take beyond three times what they take without a bug")
	if err := flags.Parse(args); err != nil {
		return err
	}
	t, err := newTester(o.patient)
	if err != nil {
		return err
	}
	defer t.close()
	t.slack = o.slack
	if o.random > 0 {
		return atRandom(ctx, t, o, out)
	}
	return fromList(ctx, t, o, out)
}

// fromList plants the bugs of the list.
func fromList(ctx context.Context, t *tester, o options, out io.Writer) error {
	bugs, err := readBugs(o.bugs)
	if err != nil {
		return err
	}
	bugs = slices.DeleteFunc(bugs, func(b *bug) bool { return !contains(b.name, o.only) })
	began, failed := time.Now(), 0
	bed, err := t.sow(ctx, bugs)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%d bugs, %d of them woven together, %s\n", len(bugs), len(bed.numbers), time.Since(began).Round(time.Second))
	for _, b := range bugs {
		at := time.Now()
		result, err := bed.try(ctx, b)
		if err != nil {
			return fmt.Errorf("plant %s: %w", b.name, err)
		}
		if result.verdict != caught {
			failed++
		}
		_, _ = fmt.Fprintf(out, "%-14s %6.1fs  %-34s %s\n", result.verdict, time.Since(at).Seconds(), b.name, result.by)
	}
	_, _ = fmt.Fprintf(out, "%d bugs, %d not caught, %s\n", len(bugs), failed, time.Since(began).Round(time.Second))
	switch {
	case len(bugs) == 0:
		return fmt.Errorf("no bug's name contains %q", o.only)
	case failed > 0:
		return errSurvived
	}
	return nil
}

// contains reports whether a text contains one of the words of a list; an empty
// list holds everything.
func contains(text, words string) bool {
	for word := range strings.SplitSeq(words, ",") {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}
