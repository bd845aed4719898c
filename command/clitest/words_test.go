package clitest

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/steppe-run/steppe/internal/clock"
)

const (
	awaitWithin = 20 * time.Second
	awaitStep   = 50 * time.Millisecond
)

// exits CODE COMMAND... runs a command and wants exactly this exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := exitCode(ts, ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func exitCode(ts *testscript.TestScript, err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	ts.Check(err)
	return 0
}

// await PATTERN COMMAND... repeats a command until its output matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await PATTERN COMMAND...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	deadline := clock.Real{}.NewTimer(awaitWithin)
	defer deadline.Stop()
	for {
		exitCode(ts, ts.Exec(args[1], args[2:]...))
		if pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		step := clock.Real{}.NewTimer(awaitStep)
		select {
		case <-deadline.C():
			ts.Fatalf("nothing matched %q within %s", args[0], awaitWithin)
		case <-step.C():
		}
	}
}

// capture NAME PATTERN keeps the pattern's first group, found in the last
// output, as a variable.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	found := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("the output has no group that matches %q", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// cut NAME COUNT keeps only the first characters of a variable.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut NAME COUNT")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Setenv(args[0], ts.Getenv(args[0])[:n])
}

// ports NAME... puts a free port into each of the variables.
func ports(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: ports NAME...")
	}
	free, err := freePorts(len(args))
	ts.Check(err)
	for i, name := range args {
		ts.Setenv(name, strconv.Itoa(free[i]))
	}
}

// ownAgent gives the script an agent of its own.
func ownAgent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: agent")
	}
	dir, err := os.MkdirTemp(ts.Getenv("WORK"), "agent-")
	ts.Check(err)
	a, err := startAgent(dir)
	ts.Check(err)
	ts.Defer(func() { ts.Check(a.stop()) })
	ts.Setenv("STEPPE_ADDR", a.address)
	ts.Setenv("PORT", a.port)
}
