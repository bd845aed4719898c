//go:build linux

package supervise

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/creack/pty"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
)

// quiet is how long an ended command's output must be silent to be taken as
// complete: what it left running may hold the streams open for ever.
const quiet = 100 * time.Millisecond

// Exec runs a program beside the task with the request's streams, and returns
// how it ended. It is killed when ctx ends.
func (t *Task) Exec(ctx context.Context, path string, req *drivers.ExecRequest) (*keeper.Exit, error) {
	streams, err := openStreams(req, t.clock)
	if err != nil {
		return nil, err
	}
	defer streams.close()
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	err = send(conn, keeper.Request{Op: keeper.OpExec, Command: req.Command, Path: path, TTY: req.TTY}, streams.theirs[:]...)
	streams.handedOver()
	if err != nil {
		return nil, err
	}
	answers := bufio.NewReader(conn)
	if _, err := receive(answers); err != nil {
		return nil, err
	}
	streams.pump(ctx, req)
	response, err := receive(answers)
	streams.finish(req)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case response.Exit == nil:
		return nil, errors.New("the supervisor told no exit status")
	}
	return response.Exit, nil
}

// streams are both ends of an executed command's standard streams.
type streams struct {
	theirs [3]*os.File
	// stdin is our end of its input; outputs are those of its output.
	stdin   *os.File
	outputs []output
	group   *loop.Group
	clock   clock.Clock
	exited  atomic.Bool
}

type output struct {
	from *os.File
	to   io.Writer
}

func openStreams(req *drivers.ExecRequest, clk clock.Clock) (*streams, error) {
	s := &streams{clock: clk}
	if req.TTY {
		master, slave, err := pty.Open()
		if err != nil {
			return nil, fmt.Errorf("open terminal: %w", err)
		}
		s.theirs = [3]*os.File{slave, slave, slave}
		s.stdin = master
		s.outputs = []output{{master, req.Stdout}}
		return s, nil
	}
	for i := range s.theirs {
		r, w, err := os.Pipe()
		if err != nil {
			s.close()
			return nil, fmt.Errorf("open streams: %w", err)
		}
		switch i {
		case 0:
			s.theirs[i], s.stdin = r, w
		case 1:
			s.theirs[i] = w
			s.outputs = append(s.outputs, output{r, req.Stdout})
		case 2:
			s.theirs[i] = w
			s.outputs = append(s.outputs, output{r, req.Stderr})
		}
	}
	return s, nil
}

// handedOver closes our copies of the command's ends.
func (s *streams) handedOver() {
	for i, f := range s.theirs {
		if f != nil {
			_ = f.Close() // a terminal's three are one: closing it again does nothing
		}
		s.theirs[i] = nil
	}
}

func (s *streams) close() {
	s.handedOver()
	if s.stdin != nil {
		_ = s.stdin.Close()
	}
	for _, o := range s.outputs {
		_ = o.from.Close()
	}
}

// pump moves bytes until finish.
func (s *streams) pump(ctx context.Context, req *drivers.ExecRequest) {
	s.group = loop.New(ctx)
	s.group.Go("stdin", func(context.Context) error { s.feed(req); return nil })
	for _, o := range s.outputs {
		s.group.Go("output", func(context.Context) error { s.drain(o); return nil })
	}
	if req.TTY && req.Resize != nil {
		s.group.Go("resize", func(ctx context.Context) error { s.resize(ctx, req.Resize); return nil })
	}
}

func (s *streams) feed(req *drivers.ExecRequest) {
	if req.Stdin != nil {
		_, _ = io.Copy(s.stdin, req.Stdin) // a command needn't read its input
	}
	if req.TTY {
		// The terminal stays; its end is typed.
		_, _ = s.stdin.Write([]byte{4})
		return
	}
	_ = s.stdin.Close()
}

// drain copies a stream to its end, or, once the command has ended, until it
// falls silent.
func (s *streams) drain(o output) {
	buf := make([]byte, 32<<10)
	for {
		if s.exited.Load() {
			_ = o.from.SetReadDeadline(s.clock.Now().Add(quiet))
		}
		n, err := o.from.Read(buf)
		if n > 0 && o.to != nil {
			if _, werr := o.to.Write(buf[:n]); werr != nil {
				o.to = nil // nobody listens; the command goes on
			}
		}
		if err != nil && (!errors.Is(err, os.ErrDeadlineExceeded) || s.exited.Load()) {
			return
		}
	}
}

func (s *streams) resize(ctx context.Context, sizes <-chan drivers.TerminalSize) {
	for {
		select {
		case <-ctx.Done():
			return
		case size, ok := <-sizes:
			if !ok {
				return
			}
			// A terminal of an odd size is better than none.
			_ = pty.Setsize(s.stdin, &pty.Winsize{Rows: uint16(size.Height), Cols: uint16(size.Width)})
		}
	}
}

// finish takes the rest of the output after the command has ended.
func (s *streams) finish(req *drivers.ExecRequest) {
	s.exited.Store(true)
	for _, o := range s.outputs {
		_ = o.from.SetReadDeadline(s.clock.Now().Add(quiet))
	}
	if closer, ok := req.Stdin.(io.Closer); ok {
		_ = closer.Close()
	}
	if !req.TTY {
		_ = s.stdin.Close()
	}
	s.group.Stop()
	_ = s.group.Wait() // its functions return nil only
}
