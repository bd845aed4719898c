//go:build linux

package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
)

const (
	// finishTime is how long a destroyed task's last words are waited for.
	finishTime = 3 * time.Second
	// maxEntry bounds one log entry; the engine splits lines at 16 KiB.
	maxEntry = 1 << 20
)

// readable reports whether the engine can read back what a logging driver
// keeps.
func readable(kind string) bool { return kind == "json-file" || kind == "local" || kind == "journald" }

// follower copies a container's output into the task's log files. How far it
// has come is kept in a file, so that the next one goes on from there.
type follower struct {
	group *loop.Group
	done  chan struct{}
}

// follow starts following. It returns a follower that does nothing when there
// is nothing to follow.
func (d *Driver) follow(t *task) *follower {
	f := &follower{group: loop.New(d.group.Context()), done: make(chan struct{})}
	p := t.config.Logs
	if p == nil || p.Disabled || !t.state.Logs || d.config.DisableLogCollection {
		close(f.done)
		return f
	}
	engine := d.engine
	f.group.Go("follow logs", func(ctx context.Context) error {
		defer close(f.done)
		sink, err := openSink(t.config)
		if err != nil {
			d.logger.Error("a container's logs can't be written", logx.KeyTask, t.config.ID, logx.KeyError, err)
			return nil
		}
		defer sink.close()
		d.followUntilEnd(ctx, engine, t, sink)
		return nil
	})
	return f
}

// finish waits a while for the follower to come to the container's end.
func (f *follower) finish(ctx context.Context, clk clock.Clock) {
	timer := clk.NewTimer(finishTime)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C():
	case <-ctx.Done():
	}
}

// stop ends following.
func (f *follower) stop() {
	f.group.Stop()
	_ = f.group.Wait() // its function returns nil only
}

// followUntilEnd reads until the container has ended and all is read, however
// often the engine goes away meanwhile.
func (d *Driver) followUntilEnd(ctx context.Context, engine *client.Client, t *task, s *sink) {
	for ctx.Err() == nil {
		ended := false
		if c, err := inspect(ctx, engine, t.state.Container); err == nil {
			// Asked before reading: what ended before is read to its end.
			ended = !c.State.Running
		} else if errdefs.IsNotFound(err) {
			return
		}
		err := s.read(ctx, engine, t)
		if ended && err == nil || errdefs.IsNotFound(err) {
			return
		}
		if err != nil && ctx.Err() == nil {
			d.logger.Debug("following a container's logs was interrupted", logx.KeyTask, t.config.ID, logx.KeyError, err)
		}
		pause(ctx, d.clock, 200*time.Millisecond)
	}
}

// sink is where a task's output goes, and the position of the last entry in it.
type sink struct {
	outputs  [2]*keeper.Rotator
	position *os.File
	// last is the time of the newest entry written, in the engine's text, and
	// count how many entries of that very time were.
	last  string
	count int
}

func openSink(t *drivers.TaskConfig) (*sink, error) {
	s := &sink{}
	if err := os.MkdirAll(t.LogDir(), 0o755); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	for i, stream := range []string{"stdout", "stderr"} {
		w, err := keeper.NewRotator(t.LogDir(), t.Name+"."+stream, t.Logs.MaxFiles, int64(t.Logs.MaxFileSizeMB)<<20)
		if err != nil {
			return nil, err
		}
		s.outputs[i] = w
	}
	private := filepath.Join(t.TaskDir(), "private")
	if err := os.MkdirAll(private, 0o700); err != nil {
		return nil, fmt.Errorf("make directory for log position: %w", err)
	}
	suffix := t.ID[strings.LastIndexByte(t.ID, '/')+1:]
	f, err := os.OpenFile(filepath.Join(private, "docker-logs-"+suffix), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log position: %w", err)
	}
	s.position = f
	data, err := io.ReadAll(io.LimitReader(f, 200))
	if err != nil {
		return nil, fmt.Errorf("read log position: %w", err)
	}
	if fields := strings.Fields(string(data)); len(fields) == 2 {
		if n, err := strconv.Atoi(fields[1]); err == nil {
			s.last, s.count = fields[0], n
		}
	}
	return s, nil
}

func (s *sink) close() {
	for _, w := range s.outputs {
		_ = w.Close()
	}
	_ = s.position.Close()
}

// read follows the container from the position on; nil means that the engine
// has come to its end.
func (s *sink) read(ctx context.Context, engine *client.Client, t *task) error {
	options := client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true, Timestamps: true}
	if at, err := time.Parse(time.RFC3339Nano, s.last); err == nil {
		options.Since = fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond())
	}
	body, err := engine.ContainerLogs(ctx, t.state.Container, options)
	if err != nil {
		return fmt.Errorf("follow logs: %w", err)
	}
	defer func() { _ = body.Close() }()
	// Entries of the position's very time that are written already.
	skip := skipper{at: s.last, left: s.count}
	each := func(stream int, entry []byte) error {
		stamp, rest, found := bytes.Cut(entry, []byte(" "))
		if !found {
			return errors.New("follow logs: an entry has no time")
		}
		if skip.skips(string(stamp)) {
			return nil
		}
		return s.write(stream, string(stamp), rest)
	}
	if t.state.TTY {
		return readLines(body, each)
	}
	return readFrames(body, each)
}

// skipper drops the entries that an earlier reading has written.
type skipper struct {
	at   string
	left int
}

func (s *skipper) skips(stamp string) bool {
	if s.at == "" {
		return false
	}
	// The engine writes nine decimals, so that text compares as time.
	if stamp < s.at {
		return true
	}
	if stamp == s.at && s.left > 0 {
		s.left--
		return true
	}
	return false
}

// write appends an entry and then notes the position: a death between the two
// repeats one entry and loses none.
func (s *sink) write(stream int, stamp string, data []byte) error {
	if _, err := s.outputs[stream].Write(data); err != nil {
		return err
	}
	if stamp == s.last {
		s.count++
	} else {
		s.last, s.count = stamp, 1
	}
	if _, err := s.position.WriteAt(fmt.Appendf(nil, "%-40s %10d\n", s.last, s.count), 0); err != nil {
		return fmt.Errorf("note log position: %w", err)
	}
	return nil
}

// readFrames reads the engine's framed form: a header of eight bytes (the
// stream, three of nothing, the size) before each entry.
func readFrames(r io.Reader, each func(int, []byte) error) error {
	in := bufio.NewReaderSize(r, 32<<10)
	var header [8]byte
	for {
		if _, err := io.ReadFull(in, header[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("follow logs: %w", err)
		}
		size := binary.BigEndian.Uint32(header[4:])
		if size > maxEntry {
			return fmt.Errorf("follow logs: an entry of %d bytes is too large", size)
		}
		entry := make([]byte, size)
		if _, err := io.ReadFull(in, entry); err != nil {
			return fmt.Errorf("follow logs: %w", err)
		}
		stream := 0
		switch header[0] {
		case 2:
			stream = 1
		case 3:
			return fmt.Errorf("follow logs: %s", entry)
		}
		if err := each(stream, entry); err != nil {
			return err
		}
	}
}

// readLines reads the form of containers with a terminal: lines.
func readLines(r io.Reader, each func(int, []byte) error) error {
	in := bufio.NewReaderSize(r, 32<<10)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			if err := each(0, line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow logs: %w", err)
		}
	}
}
