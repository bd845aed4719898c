package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/sim/replay"
	"github.com/steppe-run/steppe/sim/story"
	"github.com/steppe-run/steppe/structs"
)

const replayDescription = `Asks "what if" of a real cluster: it begins with the snapshot of one instead of
nothing, plays what is told of it, and prints what has changed. SNAPSHOT is a file
of "operator snapshot save", or the folder of a snapshot in a server's data
directory (server/raft/snapshots/...). It is only read, and the cluster that it is
of isn't asked for anything.

Nodes have their names, attributes, resources and metadata; what ran on them runs,
in place of the real tasks, until it is stopped. Nodes that were down stay away.
Sentences are those of docs/simulation.md, from STORY-FILE or -e:

  steppe sim replay backup.snap -e 'rack-7-node-3 dies' -e 'drain rack-7-node-4'

Without any the cluster is left alone, which should change nothing. After the last
sentence -wait passes. Exit code 1 if an expectation or a promise didn't hold.`

func replayVerb(s term.Streams) *cli.Command {
	return &cli.Command{
		Name: "replay", Usage: "ask what would become of a real cluster, from its snapshot", ArgsUsage: "SNAPSHOT [STORY-FILE]", Description: replayDescription,
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "e", Usage: "a `sentence`, after those of the file; may be repeated"},
			&cli.DurationFlag{Name: "wait", Value: 10 * time.Minute, Usage: "`time` to let pass after the last sentence"},
			&cli.IntFlag{Name: "servers", Value: 3, Usage: "`number` of simulated servers"},
			&cli.BoolFlag{Name: "json", Usage: "print only what has changed, as JSON"},
		}, tellFlags()...),
		DisableSliceFlagSeparator: true,
		Action: func(_ context.Context, cmd *cli.Command) error {
			if n := cmd.Args().Len(); n < 1 || n > 2 {
				return term.Fail("This command takes a snapshot, and a story to play with it if there is one")
			}
			return runReplay(cmd, s)
		},
	}
}

func runReplay(cmd *cli.Command, s term.Streams) error {
	told, err := stepsOf(cmd, s)
	if err != nil {
		return err
	}
	if told.Servers = cmd.Int("servers"); told.Servers < 1 || told.Servers > story.MaxServers {
		return term.Fail("-servers is %d: give 1 to %d", told.Servers, story.MaxServers)
	}
	path := cmd.Args().First()
	origin, err := replay.Open(path)
	if err != nil {
		return term.Fail("Error reading snapshot %s: %v", path, err)
	}
	if strangers := told.Strangers(origin); len(strangers) > 0 {
		return term.Fail("Error in story: neither the snapshot nor the story has this:\n%s", placed(source(cmd), strangers))
	}
	options := story.Options{Origin: origin, Wait: max(0, cmd.Duration("wait"))}
	if !cmd.Bool("quiet") && !cmd.Bool("json") {
		options.Trace = s.Out
	}
	if cmd.Bool("logs") {
		options.Logger = logger(s.Err)
	}
	result, err := story.Run(told, options)
	if err != nil {
		return term.Fail("Error playing with snapshot %s: %v", path, err)
	}
	if result.Last == nil {
		return term.Fail("Every simulated server is down in the end: nobody can tell what has changed")
	}
	if options.Trace != nil && len(told.Lines) > 0 {
		s.Printf("\n")
	}
	if err := tellChanges(cmd, s, replay.Compare(origin.Snapshot, result.Last, origin.At, result.End)); err != nil {
		return err
	}
	if result.Broken() {
		return &term.Exit{Code: 1, Text: strings.TrimSuffix(wrong(source(cmd), result), "\n")}
	}
	return nil
}

// source is where the sentences came from, for who is told of one.
func source(cmd *cli.Command) string {
	file, told := cmd.Args().Get(1), len(cmd.StringSlice("e")) > 0
	switch {
	case file == "":
		return "-e"
	case told:
		return "story" // from both
	}
	return file
}

// stepsOf reads what is to happen, from the file and from the flags.
func stepsOf(cmd *cli.Command, s term.Streams) (*story.Story, error) {
	told := &story.Story{Seed: 1}
	if file := cmd.Args().Get(1); file != "" {
		text, err := readStory(s, file)
		if err != nil {
			return nil, term.Fail("Error reading story: %v", err)
		}
		if told, err = story.ParseSteps(text); err != nil {
			return nil, term.Fail("Error in story:\n%s", placed(file, err))
		}
	}
	for i, sentence := range cmd.StringSlice("e") {
		more, err := story.ParseSteps(strings.ReplaceAll(sentence, "\n", " "))
		if err != nil {
			return nil, term.Fail("Error in story:\n%s", placed("-e", err))
		}
		for _, l := range more.Lines {
			l.Number = i + 1
			told.Lines = append(told.Lines, l)
		}
	}
	return told, nil
}

func tellChanges(cmd *cli.Command, s term.Streams, c *replay.Changes) error {
	if cmd.Bool("json") {
		out := json.NewEncoder(s.Out)
		out.SetIndent("", "  ")
		return out.Encode(c)
	}
	s.Printf("What has changed from %s to %s (%s)\n", stamp(c.From), stamp(c.To), c.To.Sub(c.From).Round(time.Second))
	if c.None() {
		s.Printf("nothing\n")
		return nil
	}
	if len(c.Jobs) > 0 {
		s.Printf("\n%s", view.Table([]string{
			"Job", "Status", "Running", "Placed", "Moved", "Stopped", "Lost", "Failed", "Complete", "Unknown", "Waiting", "Deployment",
		}, jobRows(c.Jobs)))
	}
	if len(c.Nodes) > 0 {
		rows := make([][]string, 0, len(c.Nodes))
		for _, n := range c.Nodes {
			rows = append(rows, []string{n.Name, turned(n.Was, n.Is)})
		}
		s.Printf("\n%s", view.Table([]string{"Node", "Status"}, rows))
	}
	return nil
}

func jobRows(jobs []*replay.Job) [][]string {
	rows := make([][]string, 0, len(jobs))
	for _, j := range jobs {
		name := j.ID
		if j.Namespace != structs.DefaultNamespace {
			name = j.Namespace + "/" + j.ID
		}
		row := []string{name, turned(j.Was, j.Is), turned(strconv.Itoa(j.RanBefore), strconv.Itoa(j.Run))}
		for _, n := range []int{j.Placed, j.Moved, j.Stopped, j.Lost, j.Failed, j.Completed, j.Unknown, j.Waiting} {
			row = append(row, strconv.Itoa(n))
		}
		rows = append(rows, append(row, j.Deployment))
	}
	return rows
}

// turned tells from what to what something has changed.
func turned(was, is string) string {
	switch {
	case was == is:
		return is
	case was == "":
		return "new, " + is
	case is == "":
		return was + ", gone"
	}
	return fmt.Sprintf("%s -> %s", was, is)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
