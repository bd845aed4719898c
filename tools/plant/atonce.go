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
			result, err := t.with(ctx, c.number, binaries)
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
		said, err := t.gotool(ctx, "build", "-overlay", t.overlayPath(), "./"+changes[0].room.path)
		if err != nil && ctx.Err() == nil { // all errors, please
			said, err = t.gotool(ctx, "build", "-gcflags=-e", "-overlay", t.overlayPath(), "./"+changes[0].room.path)
		}
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
	files, texts := map[string][]*change{}, map[string]string{}
	for i, c := range changes {
		c.number = i + 1
		files[c.file] = append(files[c.file], c)
	}
	for file, list := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("change a room: %w", err)
		}
		texts[file] = weave(string(text), list)
		texts[filepath.Join(filepath.Dir(file), "planted_switches.go")] = switchesOf(string(text))
	}
	return t.overlayTexts(texts)
}

// overlayTexts writes what makes go see files with other texts.
func (t *tester) overlayTexts(texts map[string]string) error {
	replace := map[string]string{}
	for file, text := range texts {
		real, err := filepath.Abs(file)
		if err != nil {
			return fmt.Errorf("find %s: %w", file, err)
		}
		to := filepath.Join(t.dir, file)
		replace[real] = to
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, []byte(text), 0o600)); err != nil {
			return fmt.Errorf("write a changed room: %w", err)
		}
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err == nil {
		err = os.WriteFile(t.overlayPath(), text, 0o600)
	}
	return err
}

// testsOf are the packages that arguments of go test name, with its flags.
func testsOf(args []string) []*binary {
	var out []*binary
	var flags []string
	for _, a := range args {
		switch {
		case a == "." || strings.HasPrefix(a, "./"):
			out = append(out, &binary{dir: a})
		case a == "-run":
			flags = append(flags, "-test.run")
		default:
			flags = append(flags, a)
		}
	}
	for _, b := range out {
		b.args = flags
	}
	return out
}

// compile builds the tests of some packages with the changes woven in.
func (t *tester) compile(ctx context.Context, stage int, args []string) ([]*binary, error) {
	out := testsOf(args)
	for i, b := range out {
		if err := t.build(ctx, b, fmt.Sprintf("%d-%d-", stage, i)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// build builds a test, unless it has a path already.
func (t *tester) build(ctx context.Context, b *binary, prefix string) error {
	if b.path == "" {
		b.path = filepath.Join(t.dir, prefix+strings.ReplaceAll(strings.TrimPrefix(b.dir[1:], "/"), "/", "-")+".test")
		said, err := t.gotool(ctx, "test", "-c", "-vet=off", "-overlay", t.overlayPath(), "-o", b.path, b.dir)
		if err != nil {
			return fmt.Errorf("go test -c %s: %w: %s", b.dir, err, said)
		}
	}
	b.args = append([]string{"-test.failfast"}, b.args...)
	if help, _ := t.exec(ctx, b, 0, patience, "-h"); strings.Contains(help, "rapid.nofailfile") {
		b.args = append(b.args, "-rapid.nofailfile")
	}
	return nil
}

// with runs tests with a change switched on. Those that fail as things are prove
// nothing: that is an error.
func (t *tester) with(ctx context.Context, change int, tests []*binary) (result, error) {
	for _, b := range tests {
		if b.took == 0 {
			if err := t.measure(ctx, b); err != nil {
				return result{}, err
			}
		}
		said, err := t.exec(ctx, b, change, t.limit(b))
		if err != nil && endless(said) && ctx.Err() == nil {
			// The machine may be slower than it was: then they get longer.
			was := t.limit(b)
			if err := t.measure(ctx, b); err != nil {
				return result{}, err
			}
			if t.limit(b) > was {
				said, err = t.exec(ctx, b, change, 2*t.limit(b))
			}
		}
		switch why := failure(said); {
		case ctx.Err() != nil:
			return result{}, ctx.Err()
		case err != nil && why == "":
			return result{}, fmt.Errorf("%s with change %d was ended, by no test: %w: %s", b.dir, change, err, lastLine(said))
		case err != nil:
			return result{caught, b.dir + ": " + why}, nil
		}
	}
	return result{verdict: survived}, nil
}

// limit is how long tests may run: what a change makes endless is not waited for
// longer than need be.
func (t *tester) limit(b *binary) time.Duration { return 3*b.took + t.slack }

// measure runs tests as things are.
func (t *tester) measure(ctx context.Context, b *binary) error {
	at := time.Now()
	said, err := t.exec(ctx, b, 0, 4*patience)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%s fails without any change, so it proves nothing: %s", b.dir, failure(said))
	}
	b.took = time.Since(at)
	return nil
}

// exec runs a test binary where its package is, with a change switched on or, 0,
// none.
func (t *tester) exec(ctx context.Context, b *binary, change int, limit time.Duration, more ...string) (string, error) {
	args := append(append([]string{"-test.timeout", limit.String()}, b.args...), more...)
	cmd := t.shell(ctx, frugalBinary, append([]string{b.path}, args...))
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), switchName+"="+strconv.Itoa(change))
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
