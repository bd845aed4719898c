package main

import (
	"fmt"
	"os"
	"strings"
)

// bug is one small mutation of the real code.
type bug struct {
	name string
	// breaks says what goes wrong with it.
	breaks string
	file   string
	// was is in the file exactly once; becomes takes its place.
	was, becomes string
	// tests are the arguments of `go test`, tried in this order, of which one
	// must fail.
	tests [][]string
}

// readBugs reads a list of bugs. A bug is written so, in any order after its name:
//
//	== its-name
//	What it breaks.
//	file server/deployer/examine.go
//	-the lines that are replaced
//	+the lines that take their place
//	test ./server/deployer -run TestSomething
func readBugs(path string) ([]*bug, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the list of bugs: %w", err)
	}
	var bugs []*bug
	names := map[string]bool{}
	for i, line := range strings.Split(string(text), "\n") {
		name, isName := strings.CutPrefix(line, "== ")
		switch {
		case isName:
			if names[name] {
				return nil, fmt.Errorf("%s:%d: %s is here twice", path, i+1, name)
			}
			names[name] = true
			bugs = append(bugs, &bug{name: name})
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case len(bugs) == 0:
			return nil, fmt.Errorf("%s:%d: a bug begins with == and its name", path, i+1)
		default:
			bugs[len(bugs)-1].add(line)
		}
	}
	for _, b := range bugs {
		if b.breaks == "" || b.file == "" || b.was == "" || len(b.tests) == 0 {
			return nil, fmt.Errorf("%s: %s lacks what it breaks, its file, what it replaces or its tests", path, b.name)
		}
	}
	return bugs, nil
}

// add takes one line of a bug in.
func (b *bug) add(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case line[0] == '-':
		b.was = joined(b.was, line[1:])
	case line[0] == '+':
		b.becomes = joined(b.becomes, line[1:])
	case word == "file":
		b.file = rest
	case word == "test":
		b.tests = append(b.tests, strings.Fields(rest))
	default:
		b.breaks = strings.TrimSpace(b.breaks + " " + line)
	}
}

func joined(text, line string) string {
	if text == "" {
		return line
	}
	return text + "\n" + line
}

// apply returns the bug's file with the bug in it.
func (b *bug) apply() (string, error) {
	text, err := os.ReadFile(b.file)
	if err != nil {
		return "", fmt.Errorf("plant %s: %w", b.name, err)
	}
	if n := strings.Count(string(text), b.was); n != 1 {
		return "", fmt.Errorf("plant %s: %s has %d places like this, not one:\n%s", b.name, b.file, n, b.was)
	}
	return strings.Replace(string(text), b.was, b.becomes, 1), nil
}
