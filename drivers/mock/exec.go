//go:build linux

package mock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/drivers"
)

// Exec implements drivers.Commander.
func (d *Driver) Exec(ctx context.Context, taskID string, command []string, timeout time.Duration) (*drivers.ExecResult, error) {
	return drivers.Collect(ctx, command, timeout, func(ctx context.Context, req *drivers.ExecRequest) (*drivers.ExitResult, error) {
		return d.ExecStreaming(ctx, taskID, req)
	})
}

// ExecStreaming implements drivers.Commander. A task without exec_command
// knows these commands: `echo WORD...` prints its words, `warn WORD...` prints
// them to the error stream, `cat` prints its input, `exit N` ends with N,
// `sleep D` takes D.
func (d *Driver) ExecStreaming(ctx context.Context, taskID string, req *drivers.ExecRequest) (*drivers.ExitResult, error) {
	t, err := d.find(taskID)
	if err != nil {
		return nil, err
	}
	if !t.running() {
		return nil, errors.New("exec: the task has ended")
	}
	if len(req.Command) == 0 {
		return nil, errors.New("exec: the command is empty")
	}
	if t.spec.ExecCommand != nil {
		return t.answer(ctx, req)
	}
	return t.perform(ctx, req)
}

// answer gives what exec_command says.
func (t *task) answer(ctx context.Context, req *drivers.ExecRequest) (*drivers.ExitResult, error) {
	c := t.spec.ExecCommand
	length, err := duration("exec_command.run_for", c.RunFor)
	if err != nil {
		return nil, err
	}
	if length > 0 && !sleep(ctx, t.clock, length) {
		return nil, ctx.Err()
	}
	if err := errors.Join(say(req.Stdout, c.StdoutString), say(req.Stderr, c.StderrString)); err != nil {
		return nil, err
	}
	return &drivers.ExitResult{ExitCode: c.ExitCode}, nil
}

func (t *task) perform(ctx context.Context, req *drivers.ExecRequest) (*drivers.ExitResult, error) {
	words := req.Command[1:]
	switch req.Command[0] {
	case "echo":
		return &drivers.ExitResult{}, say(req.Stdout, strings.Join(words, " ")+"\n")
	case "warn":
		return &drivers.ExitResult{}, say(req.Stderr, strings.Join(words, " ")+"\n")
	case "cat":
		if req.Stdin == nil || req.Stdout == nil {
			return &drivers.ExitResult{}, nil
		}
		_, err := io.Copy(req.Stdout, req.Stdin)
		return &drivers.ExitResult{}, err
	case "exit":
		code, err := strconv.Atoi(strings.Join(words, ""))
		return &drivers.ExitResult{ExitCode: code}, err
	case "sleep":
		length, err := duration("sleep", strings.Join(words, ""))
		if err == nil && !sleep(ctx, t.clock, length) {
			err = ctx.Err()
		}
		return &drivers.ExitResult{}, err
	}
	return nil, fmt.Errorf("exec: the mock driver doesn't know the command %q", req.Command[0])
}

func say(w io.Writer, text string) error {
	if w == nil || text == "" {
		return nil
	}
	_, err := io.WriteString(w, text)
	return err
}
