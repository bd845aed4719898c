// Package story plays what people write about a region: jobs, faults, time that
// passes, and what they expect of it. One line is one sentence; the manual of
// sentences is docs/simulation.md.
//
// It must not know how stories come about. Begin reading at Parse, then Play.
package story

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Story is a text that can be played.
type Story struct {
	Servers, Nodes int
	// CPU (MHz) and MemoryMB are what each node has.
	CPU, MemoryMB int
	Seed          uint64
	// Begin is when the story begins; zero: cluster.Begin.
	Begin time.Time
	// BrakeFrom is how many nodes there must be for the loss of many to be held
	// back; 0: as many as are by default.
	BrakeFrom int
	Lines     []Line
	// Described is the number of the first line that describes the cluster or its
	// time, 0 if none does.
	Described int
}

// Line is one sentence.
type Line struct {
	// Number in the file, from 1.
	Number int
	Text   string
	// Answer is what is written below it, and what `show` must say.
	Answer string

	words []string
	verb  *verb
}

// Error points at a line of a story.
type Error struct {
	Line int
	What string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.What) }

// Errors are all that is wrong with a story.
type Errors []*Error

// Error implements error.
func (e Errors) Error() string {
	lines := make([]string, 0, len(e))
	for _, one := range e {
		lines = append(lines, one.Error())
	}
	return strings.Join(lines, "\n")
}

// Parse reads a story. It returns Errors with everything that is wrong.
func Parse(text string) (*Story, error) {
	s, err := read(text)
	if err != nil {
		return nil, err
	}
	if strangers := s.Strangers(nil); len(strangers) > 0 {
		return nil, strangers
	}
	return s, nil
}

// read reads sentences, whatever jobs they are about.
func read(text string) (*Story, error) {
	s := &Story{Servers: 1, Nodes: 1, CPU: 4000, MemoryMB: 4000, Seed: 1}
	var faults Errors
	for i, raw := range strings.Split(text, "\n") {
		line := Line{Number: i + 1, Text: strings.TrimSpace(raw)}
		if line.Text == "" || strings.HasPrefix(line.Text, "#") {
			continue
		}
		if err := s.add(line); err != nil {
			faults = append(faults, &Error{line.Number, err.Error()})
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return s, nil
}

// ParseSteps reads what happens to a region that is there already: a story
// without the cluster, and without what judges by how stories' clusters are made.
func ParseSteps(text string) (*Story, error) {
	s, err := read(text)
	if err != nil {
		return nil, err
	}
	var faults Errors
	if s.Described > 0 {
		faults = append(faults, &Error{s.Described, "the cluster and its time are those of the snapshot: leave this out"})
	}
	for _, l := range s.Lines {
		if slices.Contains([]string{"settle", "expect NAME on all nodes within TIME", "NAME joins ..."}, l.verb.form) {
			faults = append(faults, &Error{l.Number, fmt.Sprintf("%q is only for stories that describe their cluster. %s", l.Text, instead)})
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	s.Servers, s.Nodes = 3, 0
	return s, nil
}

// instead is what to say where a cluster isn't described.
const instead = "Here say: wait 10m, expect NAME N running within TIME, or NAME joins like OTHER"

// add takes one line in.
func (s *Story) add(line Line) (err error) {
	line.words = strings.Fields(line.Text)
	switch first := line.words[0]; {
	case strings.HasPrefix(first, "|"):
		if len(s.Lines) == 0 {
			return errors.New("there is nothing that this could be the answer to")
		}
		s.Lines[len(s.Lines)-1].Answer += strings.TrimPrefix(strings.TrimPrefix(line.Text, "|"), " ") + "\n"
		return nil
	case opens(line.words) && len(s.Lines) > 0:
		return errors.New("the cluster comes first, before anything happens to it")
	case opens(line.words):
		if s.Described == 0 && line.words[0] != "seed" {
			s.Described = line.Number
		}
		return s.describe(line.words)
	}
	if line.verb, err = find(line.words); err == nil {
		s.Lines = append(s.Lines, line)
	}
	return err
}

// opens reports whether a line says what there is before anything happens.
func opens(words []string) bool {
	first, second := words[0], ""
	if len(words) > 1 {
		second = words[1]
	}
	return first == "seed" || first == "a" && second == "cluster" || first == "it" && second == "is" || brakes(words)
}

// brakes reports whether a line says from how many nodes on the brake holds.
func brakes(words []string) bool {
	return len(words) == 6 && strings.Join(words[:4], " ") == "the brake holds from" && words[5] == "nodes"
}

// Bounds of a story.
const (
	MaxServers = 7
	maxNodes   = 1000
)

// describe reads "a cluster of 3 servers and 20 nodes of 4000 MHz and 8000 MB"
// "seed 7", "it is 2026-03-29T00:30:00Z" and "the brake holds from 5 nodes".
func (s *Story) describe(words []string) (err error) {
	switch {
	case words[0] == "seed" && len(words) == 2:
		if s.Seed, err = strconv.ParseUint(words[1], 10, 64); err != nil {
			return fmt.Errorf("%q is no number of a seed", words[1])
		}
		return nil
	case words[0] == "seed":
		return fmt.Errorf("say: seed NUMBER")
	case words[0] == "it" && len(words) == 3:
		if s.Begin, err = time.Parse(time.RFC3339, words[2]); err != nil {
			return fmt.Errorf("%q is no time such as 2026-03-29T00:30:00Z", words[2])
		}
		return nil
	case brakes(words):
		if s.BrakeFrom, err = strconv.Atoi(words[4]); err != nil || s.BrakeFrom < 1 {
			return fmt.Errorf("say: the brake holds from 5 nodes")
		}
		return nil
	case words[0] == "it":
		return fmt.Errorf("say: it is 2026-03-29T00:30:00Z")
	}
	for i := 1; i < len(words); i++ {
		n, err := strconv.Atoi(words[i-1])
		if err != nil {
			continue
		}
		switch strings.TrimSuffix(words[i], "s") {
		case "server":
			s.Servers = n
		case "node":
			s.Nodes = n
		case "MHz":
			s.CPU = n
		case "MB":
			s.MemoryMB = n
		default:
			return fmt.Errorf("%d %s? Say: a cluster of 3 servers and 20 nodes of 4000 MHz and 8000 MB", n, words[i])
		}
	}
	switch {
	case s.Servers < 1 || s.Servers > MaxServers:
		return fmt.Errorf("a cluster has 1 to %d servers, not %d", MaxServers, s.Servers)
	case s.Nodes < 0 || s.Nodes > maxNodes:
		return fmt.Errorf("a cluster has up to %d nodes, not %d", maxNodes, s.Nodes)
	case s.CPU < 1 || s.MemoryMB < 1:
		return fmt.Errorf("a node has at least 1 MHz and 1 MB")
	}
	return nil
}

// String is the story as text.
func (s *Story) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "a cluster of %d servers and %d nodes of %d MHz and %d MB\nseed %d\n", s.Servers, s.Nodes, s.CPU, s.MemoryMB, s.Seed)
	if !s.Begin.IsZero() {
		fmt.Fprintf(&b, "it is %s\n", s.Begin.Format(time.RFC3339))
	}
	if s.BrakeFrom > 0 {
		fmt.Fprintf(&b, "the brake holds from %d nodes\n", s.BrakeFrom)
	}
	b.WriteByte('\n')
	for _, l := range s.Lines {
		b.WriteString(l.Text + "\n")
		for answer := range strings.Lines(l.Answer) {
			b.WriteString("| " + answer)
		}
	}
	return b.String()
}

// Answered is the text of the story as it was written, with what its lines show
// now below them.
func (s *Story) Answered(text string) string {
	answers := map[int]string{}
	for _, l := range s.Lines {
		answers[l.Number] = l.Answer
	}
	var out strings.Builder
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "|") {
			continue
		}
		out.WriteString(line + "\n")
		for answer := range strings.Lines(answers[i+1]) {
			out.WriteString("| " + answer)
		}
	}
	return out.String()
}

// Without is the story with some of its lines left out.
func (s *Story) Without(from, to int) *Story {
	shorter := *s
	shorter.Lines = append(append([]Line(nil), s.Lines[:from]...), s.Lines[to:]...)
	return &shorter
}
