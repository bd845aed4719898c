package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
)

// drainTime is how long output of an ended plugin is still read. Its children
// may hold its streams open for ever; nobody may wait for that.
const drainTime = 100 * time.Millisecond

// launcher starts one plugin process for the library, and unlike its own way
// notices the process' end although a child keeps the streams open.
type launcher struct {
	cmd      *exec.Cmd
	clock    clock.Clock
	stdout   *os.File
	stderr   *os.File
	lifeline *os.File
	group    *loop.Group
	exited   chan struct{}
}

// newLauncher prepares cmd; with lifeline the process learns of our end.
func newLauncher(cmd *exec.Cmd, lifeline bool, clk clock.Clock) (*launcher, error) {
	l := &launcher{cmd: cmd, clock: clk, group: loop.New(context.Background()), exited: make(chan struct{})}
	// A group of its own: the terminal's Ctrl-C is for the agent.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var ours []*os.File
	pipe := func() (*os.File, *os.File, error) {
		r, w, err := os.Pipe()
		if err == nil {
			ours = append(ours, r, w)
		}
		return r, w, err
	}
	var errs [3]error
	var out, errw, lifeRead *os.File
	l.stdout, out, errs[0] = pipe()
	l.stderr, errw, errs[1] = pipe()
	if lifeline {
		lifeRead, l.lifeline, errs[2] = pipe()
	}
	if err := errors.Join(errs[:]...); err != nil {
		closeFiles(ours...)
		return nil, fmt.Errorf("make pipes for plugin: %w", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, out, errw
	if lifeline {
		cmd.ExtraFiles = []*os.File{lifeRead}
		cmd.Env = append(cmd.Env, lifelineEnv+"=3")
	}
	return l, nil
}

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// Start implements runner.Runner.
func (l *launcher) Start(context.Context) error {
	err := l.cmd.Start()
	closeFiles(l.cmd.Stdout.(*os.File), l.cmd.Stderr.(*os.File))
	closeFiles(l.cmd.ExtraFiles...)
	if err != nil {
		closeFiles(l.stdout, l.stderr, l.lifeline)
		return fmt.Errorf("start plugin: %w", err)
	}
	l.group.Go("reap", func(context.Context) error {
		_ = l.cmd.Wait() // how it ended is in ProcessState
		closeFiles(l.lifeline)
		limit := l.clock.Now().Add(drainTime)
		_ = l.stdout.SetReadDeadline(limit)
		_ = l.stderr.SetReadDeadline(limit)
		close(l.exited)
		return nil
	})
	return nil
}

// Wait implements runner.Runner.
func (l *launcher) Wait(context.Context) error {
	<-l.exited
	_ = l.group.Wait()
	closeFiles(l.stdout, l.stderr)
	if state := l.cmd.ProcessState; state != nil && !state.Success() {
		return fmt.Errorf("plugin ended: %s", state)
	}
	return nil
}

// Kill implements runner.Runner.
func (l *launcher) Kill(context.Context) error {
	if l.cmd.Process == nil {
		return nil
	}
	if err := l.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Stdout implements runner.Runner.
func (l *launcher) Stdout() io.ReadCloser { return l.stdout }

// Stderr implements runner.Runner.
func (l *launcher) Stderr() io.ReadCloser { return l.stderr }

// Name implements runner.Runner.
func (l *launcher) Name() string { return l.cmd.Path }

// ID implements runner.Runner.
func (l *launcher) ID() string {
	if l.cmd.Process == nil {
		return ""
	}
	return strconv.Itoa(l.cmd.Process.Pid)
}

// Diagnose implements runner.Runner.
func (l *launcher) Diagnose(context.Context) string {
	return "Check that the file is a driver plugin built for this machine, and what it printed in the agent's log."
}

// PluginToHost implements runner.Runner: both live in one place.
func (l *launcher) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

// HostToPlugin implements runner.Runner.
func (l *launcher) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}
