package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// endPatience is how long a process may take to end in order.
const endPatience = 15 * time.Second

// child is a process that the run started.
type child struct {
	cmd  *exec.Cmd
	said *os.File // its error output, and its output unless that is read
	out  io.ReadCloser
	in   io.WriteCloser
}

// start starts this program again with other arguments. It ends when ctx does.
// It is in a process group of its own, so that an interrupt typed at the
// terminal reaches the run alone, which then ends its processes in order; a run
// that is killed takes them with it, and leaves only its files.
func start(ctx context.Context, dir, name, program string, args ...string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, program, args...)}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.cmd.Env = append(os.Environ(), "HOME="+dir)
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(os.Interrupt) }
	c.cmd.WaitDelay = endPatience
	var err error
	if c.said, err = os.Create(filepath.Join(dir, name+".log")); err != nil {
		return nil, err
	}
	c.cmd.Stderr = c.said
	if c.in, err = c.cmd.StdinPipe(); err == nil {
		c.out, err = c.cmd.StdoutPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), c.said.Close())
	}
	return c, nil
}

// wait waits until it has ended. Being asked to end is no error.
func (c *child) wait(ctx context.Context) error {
	err := c.cmd.Wait()
	closed := c.said.Close()
	if ctx.Err() != nil {
		return closed
	}
	if err != nil {
		err = fmt.Errorf("%s ended: %w\n%s", filepath.Base(c.said.Name()), err, c.tail())
	}
	return errors.Join(err, closed)
}

// tail is the end of what it said.
func (c *child) tail() string {
	text, err := os.ReadFile(c.said.Name())
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-10):], []byte("\n")))
}

// crowd is the process of the simulated nodes, as the run speaks to it.
type crowd struct {
	*child
	answers *bufio.Reader
}

// ask sends one command and reads the answer.
func (c *crowd) ask(command string) (Progress, error) {
	if _, err := io.WriteString(c.in, command+"\n"); err != nil {
		return Progress{}, fmt.Errorf("ask the simulated nodes: %w", err)
	}
	line, err := c.answers.ReadBytes('\n')
	if err != nil {
		return Progress{}, fmt.Errorf("hear from the simulated nodes: %w", err)
	}
	var p Progress
	if err := json.Unmarshal(line, &p); err != nil {
		return Progress{}, fmt.Errorf("hear from the simulated nodes: %q: %w", strings.TrimSpace(string(line)), err)
	}
	return p, nil
}
