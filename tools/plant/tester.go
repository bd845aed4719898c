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
	// sound are tests that are known to pass without any bug.
	sound map[string]bool
}

func newTester(patient time.Duration) (*tester, error) {
	dir, err := os.MkdirTemp("", "plant")
	if err != nil {
		return nil, fmt.Errorf("make a folder for changed files: %w", err)
	}
	return &tester{dir: dir, patient: patient, sound: map[string]bool{}}, nil
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
		said, err := t.run(ctx, overlay, args)
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
		if err := t.passes(ctx, args); err != nil {
			return result{}, err
		}
		return result{caught, strings.TrimSpace(strings.Join(args, " ") + ": " + failure(said))}, nil
	}
	return result{verdict: survived}, nil
}

// passes makes sure that tests pass without any bug.
func (t *tester) passes(ctx context.Context, args []string) error {
	key := strings.Join(args, " ")
	if t.sound[key] {
		return nil
	}
	said, err := t.run(ctx, "", args)
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
func (t *tester) run(ctx context.Context, overlay string, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.patient)
	defer cancel()
	all := []string{"test", "-vet=off", "-failfast", "-timeout", patience.String()}
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

func firstError(said string) string {
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, "#") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
