package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// binary is a compiled test with all changes of a room in it.
type binary struct {
	path, dir string
	args      []string
	took      time.Duration // without any change; 0: not known to pass yet
}

// tryAll weaves changes of one room into it, builds the tests once, and runs them
// with each of the changes: those near it first, the others with what these let
// live.
func (t *tester) tryAll(ctx context.Context, changes []*change, tests [][]string, out io.Writer) (map[verdict]int, error) {
	count := map[verdict]int{}
	changes, dropped, err := t.weave(ctx, changes, tests[0])
	if err != nil {
		return nil, err
	}
	count[noBuild] = dropped
	for i, args := range tests {
		if len(changes) == 0 {
			break
		}
		binaries, err := t.compile(ctx, i, args)
		if err != nil {
			return nil, err
		}
		var left []*change
		for _, c := range changes {
			at := time.Now()
			result, err := t.with(ctx, c, binaries)
			if err != nil {
				return nil, err
			}
			if result.verdict != caught {
				left = append(left, c)
				continue
			}
			count[caught]++
			_, _ = fmt.Fprintf(out, "%-8s %6.1fs  %s  %s\n", caught, time.Since(at).Seconds(), c, result.by)
		}
		changes = left
	}
	for _, c := range changes {
		count[survived]++
		_, _ = fmt.Fprintf(out, "%-8s          %s\n", survived, c)
	}
	return count, nil
}

var buildError = regexp.MustCompile(`(?m)^(\S+\.go):(\d+):\d+: `)

// weave writes the overlay with as many of the changes as build together.
func (t *tester) weave(ctx context.Context, changes []*change, args []string) (woven []*change, dropped int, err error) {
	for {
		if err := t.overlayAll(changes); err != nil {
			return nil, 0, err
		}
		said, err := t.gotool(ctx, append([]string{"build", "-gcflags=-e", "-overlay", t.overlayPath()}, "./"+changes[0].room.path)...)
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		if err == nil {
			return changes, dropped, nil
		}
		before := len(changes)
		for _, m := range buildError.FindAllStringSubmatch(said, -1) {
			line, _ := strconv.Atoi(m[2])
			for _, c := range culprits(changes, t.originalOf(m[1]), line) {
				changes = slices.DeleteFunc(changes, func(o *change) bool { return o == c })
			}
		}
		dropped += before - len(changes)
		if before == len(changes) || len(changes) == 0 {
			return nil, 0, fmt.Errorf("go build %s: %s", strings.Join(args, " "), said)
		}
	}
}

func (t *tester) overlayPath() string { return filepath.Join(t.dir, "woven.json") }

// originalOf returns the file that a file of the overlay takes the place of, as the
// compiler names either.
func (t *tester) originalOf(name string) string {
	abs, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	if rel, err := filepath.Rel(t.dir, abs); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return filepath.Clean(name)
}

// overlayAll writes what makes go see a room with all changes woven in.
func (t *tester) overlayAll(changes []*change) error {
	replace := map[string]string{}
	put := func(file, text string) error {
		real, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		to := filepath.Join(t.dir, file)
		replace[real] = to
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, []byte(text), 0o600))
	}
	files := map[string][]*change{}
	for i, c := range changes {
		c.number = i + 1
		files[c.file] = append(files[c.file], c)
	}
	for file, list := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("change a room: %w", err)
		}
		if err := errors.Join(put(file, weave(string(text), list)), put(filepath.Join(filepath.Dir(file), "planted_switches.go"), switchesOf(string(text)))); err != nil {
			return fmt.Errorf("write a changed room: %w", err)
		}
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err == nil {
		err = os.WriteFile(t.overlayPath(), text, 0o600)
	}
	return err
}

// compile builds the tests of some packages with the changes woven in.
func (t *tester) compile(ctx context.Context, stage int, args []string) ([]*binary, error) {
	var out []*binary
	var flags []string
	for _, a := range args {
		if strings.HasPrefix(a, "./") {
			out = append(out, &binary{dir: a})
			continue
		}
		if a == "-run" {
			a = "-test.run"
		}
		flags = append(flags, a)
	}
	for i, b := range out {
		b.path = filepath.Join(t.dir, fmt.Sprintf("%d-%d-%s.test", stage, i, strings.ReplaceAll(b.dir[2:], "/", "-")))
		said, err := t.gotool(ctx, "test", "-c", "-vet=off", "-overlay", t.overlayPath(), "-o", b.path, b.dir)
		if err != nil {
			return nil, fmt.Errorf("go test -c %s: %w: %s", b.dir, err, said)
		}
		b.args = append([]string{"-test.failfast"}, flags...)
		if help, _ := t.exec(ctx, b, nil, patience, "-h"); strings.Contains(help, "rapid.nofailfile") {
			b.args = append(b.args, "-rapid.nofailfile")
		}
	}
	return out, nil
}

// with runs tests with a change switched on. Those that fail as things are prove
// nothing: that is an error.
func (t *tester) with(ctx context.Context, c *change, tests []*binary) (result, error) {
	for _, b := range tests {
		if b.took == 0 {
			at := time.Now()
			if said, err := t.exec(ctx, b, nil, 4*patience); err != nil {
				return result{}, fmt.Errorf("%s fails without any change, so it proves nothing: %s", b.dir, failure(said))
			}
			b.took = time.Since(at)
		}
		// Tests that a change makes endless are not waited for longer than need be.
		said, err := t.exec(ctx, b, c, 3*b.took+15*time.Second)
		if ctx.Err() != nil {
			return result{}, ctx.Err()
		}
		if err != nil {
			return result{caught, strings.TrimSpace(b.dir + ": " + failure(said))}, nil
		}
	}
	return result{verdict: survived}, nil
}

// exec runs a test binary where its package is.
func (t *tester) exec(ctx context.Context, b *binary, c *change, limit time.Duration, more ...string) (string, error) {
	args := append(append([]string{"-test.timeout", limit.String()}, b.args...), more...)
	cmd := t.shell(ctx, frugalBinary, append([]string{b.path}, args...))
	cmd.Dir = b.dir
	if c != nil {
		cmd.Env = append(os.Environ(), switchName+"="+strconv.Itoa(c.number))
	}
	said, err := cmd.CombinedOutput()
	return string(said), err
}

// frugalBinary is frugal for a test binary.
const frugalBinary = `ulimit -v 6291456; exec "$@"`

func (t *tester) gotool(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.patient)
	defer cancel()
	said, err := t.shell(ctx, frugal, args).CombinedOutput()
	return string(said), err
}

// shell runs a script with arguments; what hangs is ended with what it started.
func (t *tester) shell(ctx context.Context, script string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}
