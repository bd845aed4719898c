// Package term is what a command reads and writes: the streams, the
// environment and whether a person sits in front of them.
//
// It must not know any noun. Begin reading at Streams.
package term

import (
	"fmt"
	"io"
	"os"
	"strings"

	xterm "golang.org/x/term"

	"github.com/steppe-run/steppe/internal/clock"
)

// Streams are one command's surroundings.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	Clock    clock.Clock
	// Environ is the whole environment, for variables by prefix.
	Environ func() []string
	// Paint overrules, when set, the environment and the look of the output.
	Paint *bool
}

// System returns the process's own surroundings.
func System() Streams {
	return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Clock: clock.Real{}, Environ: os.Environ}
}

// Printf writes to the output. A closed pipe is the reader's wish, not a fault.
func (s Streams) Printf(format string, args ...any) { _, _ = fmt.Fprintf(s.Out, format, args...) }

// Errorf writes to the error output, see Printf.
func (s Streams) Errorf(format string, args ...any) { _, _ = fmt.Fprintf(s.Err, format, args...) }

// OutIsTerminal tells whether a person reads the output.
func (s Streams) OutIsTerminal() bool { return isTerminal(s.Out) }

// InIsTerminal tells whether a person types the input.
func (s Streams) InIsTerminal() bool { return isTerminal(s.In) }

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && xterm.IsTerminal(int(f.Fd()))
}

// Colour tells whether the output may be coloured: by a flag, else by the
// environment, else when a person reads it.
func (s Streams) Colour() bool {
	if s.Paint != nil {
		return *s.Paint
	}
	if s.anySet("NO_COLOR", "STEPPE_CLI_NO_COLOR", "NOMAD_CLI_NO_COLOR") {
		return false
	}
	return s.anySet("STEPPE_CLI_FORCE_COLOR", "NOMAD_CLI_FORCE_COLOR") || s.OutIsTerminal()
}

func (s Streams) anySet(names ...string) bool {
	for _, name := range names {
		if s.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// Hint writes a line of advice to the error output, unless the user has
// switched hints off.
func (s Streams) Hint(text string) {
	for _, name := range []string{"STEPPE_CLI_SHOW_HINTS", "NOMAD_CLI_SHOW_HINTS"} {
		if v := strings.ToLower(s.Getenv(name)); v == "false" || v == "0" {
			return
		}
	}
	s.Errorf("\n==> %s\n", text)
}

// Exit is an error that carries an exit code. Text may be empty.
type Exit struct {
	Code int
	Text string
	// Cause, when known, is the error behind it.
	Cause error
}

// Error implements error.
func (e *Exit) Error() string { return e.Text }

// Unwrap gives the cause.
func (e *Exit) Unwrap() error { return e.Cause }

// ExitCode implements the command library's interface.
func (e *Exit) ExitCode() int { return e.Code }

// Fail returns an error for exit code 1 with a formatted text; an error among
// the arguments is its cause.
func Fail(format string, args ...any) error {
	exit := &Exit{Code: 1, Text: fmt.Sprintf(format, args...)}
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			exit.Cause = err
		}
	}
	return exit
}
