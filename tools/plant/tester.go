package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// verdict is what became of a bug.
type verdict string

const (
	caught   verdict = "caught"
	survived verdict = "SURVIVED"
	noBuild  verdict = "DOES NOT BUILD"
)

// result is a verdict and the tests that reached it.
type result struct {
	verdict verdict
	by      string
}

// tester runs tests on code with a bug in it.
type tester struct {
	dir     string
	patient time.Duration
	// slack is what tests get beyond three times what they take.
	slack time.Duration
	// sound are tests that are known to pass without any bug.
	sound map[string]bool
}

func newTester(patient time.Duration) (*tester, error) {
	dir, err := os.MkdirTemp("", "plant")
	if err != nil {
		return nil, fmt.Errorf("make a folder for changed files: %w", err)
	}
	return &tester{dir: dir, patient: patient, slack: 15 * time.Second, sound: map[string]bool{}}, nil
}

func (t *tester) close() { _ = os.RemoveAll(t.dir) }

// try runs tests one after the other on code in which a file is replaced, until
// one fails. Tests that fail as things are prove nothing: that is an error.
func (t *tester) try(ctx context.Context, file, source string, tests [][]string) (result, error) {
	overlay, err := t.overlay(file, source)
	if err != nil {
		return result{}, err
	}
	for _, args := range tests {
		said, err := t.run(ctx, overlay, args, patience)
		switch {
		case ctx.Err() != nil:
			return result{}, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			return result{}, fmt.Errorf("go test %s did not end within %s, building included", strings.Join(args, " "), t.patient)
		case err == nil:
			continue
		case strings.Contains(said, "[build failed]") || strings.Contains(said, "[setup failed]"):
			return result{noBuild, firstError(said)}, nil
		}
		why, err := t.judge(ctx, args, said)
		if err != nil {
			return result{}, err
		}
		return result{caught, strings.Join(args, " ") + ": " + why}, nil
	}
	return result{verdict: survived}, nil
}

// judge says why tests failed with a bug. They prove nothing if they fail without
// it too, if something else ended them, or if the machine is too slow.
func (t *tester) judge(ctx context.Context, args []string, said string) (string, error) {
	why, limit := failure(said), patience
	switch {
	case why == "":
		return "", fmt.Errorf("go test %s was ended, by no test: %s", strings.Join(args, " "), lastLine(said))
	case endless(said): // by the bug, if they take no third of the time without it, now
		limit = patience / 3
		delete(t.sound, strings.Join(args, " "))
	}
	return why, t.passes(ctx, args, limit)
}

// passes makes sure that tests pass without any bug.
func (t *tester) passes(ctx context.Context, args []string, limit time.Duration) error {
	key := strings.Join(args, " ")
	if t.sound[key] {
		return nil
	}
	said, err := t.run(ctx, "", args, limit)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("go test %s fails without any bug, so it proves nothing: %s", key, failure(said))
	}
	t.sound[key] = true
	return nil
}

// overlay writes what makes `go test` see a file as it is with the bug.
func (t *tester) overlay(file, source string) (string, error) {
	real, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	changed := filepath.Join(t.dir, filepath.Base(file))
	overlay := filepath.Join(t.dir, "overlay.json")
	text, err := json.Marshal(map[string]map[string]string{"Replace": {real: changed}})
	if err == nil {
		err = os.WriteFile(changed, []byte(source), 0o600)
	}
	if err == nil {
		err = os.WriteFile(overlay, text, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("write the changed file: %w", err)
	}
	return overlay, nil
}

// patience is how long the tests of one package may run, building aside.
const patience = 45 * time.Second

// frugal runs go with no more than 6 GiB of addresses a process: a loop that a
// bug makes endless may take all of the machine's memory.
const frugal = `ulimit -v 6291456; exec go "$@"`

// run runs tests. Tests that don't end fail of themselves; should building not end
// either, the error is context.DeadlineExceeded.
func (t *tester) run(ctx context.Context, overlay string, args []string, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.patient)
	defer cancel()
	all := []string{"test", "-vet=off", "-failfast", "-timeout", limit.String()}
	if overlay != "" {
		all = append(all, "-overlay", overlay)
	}
	said, err := t.shell(ctx, frugal, append(all, args...)).CombinedOutput()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return string(said), ctx.Err()
	}
	return string(said), err
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)|^(panic: .*|fatal error: .*)$|(seed \d+) fails`)

// failure is the shortest thing that can be said about a failed run.
func failure(said string) string {
	var all []string
	for _, m := range failed.FindAllStringSubmatch(said, 6) {
		all = append(all, m[1]+m[2]+m[3])
	}
	return strings.Join(all, ", ")
}

// endless reports whether tests were ended because they took too long.
func endless(said string) bool { return strings.Contains(said, "panic: test timed out") }

func lastLine(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	return lines[len(lines)-1]
}

func firstError(said string) string {
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, "#") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
