//go:build linux

package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/process"
)

const (
	// streamsName holds the streams that are read, as JSON.
	streamsName = "streams.json"
	// lockName is locked by the collector that runs.
	lockName = "lock"
	// collectorIdle is how long a collector that was never given a stream
	// waits for one.
	collectorIdle = 30 * time.Second
	// releaseMost bounds what is still taken of a released FIFO, which somebody
	// may go on writing to.
	releaseMost = 1 << 20
)

// errEnding is told to those who come in a collector's last moment.
var errEnding = errors.New("the collector is about to end: start another")

// collector reads FIFOs into rotated files.
type collector struct {
	clock    clock.Clock
	self     process.Identity
	listener *net.UnixListener
	lock     *os.File
	reading  *loop.Group
	ended    chan struct{}

	mu      sync.Mutex
	over    bool
	streams map[string]*reading
}

// reading is one stream as it is read.
type reading struct {
	stream Stream
	fifo   *os.File
	done   chan struct{}
}

// collectorMain runs a collector in dir and returns the exit code.
func collectorMain(dir string) int {
	report := json.NewEncoder(os.Stdout)
	c, err := newCollector(dir)
	if err != nil {
		_ = report.Encode(Report{Error: err.Error()})
		return 1
	}
	status := c.status()
	_ = report.Encode(Report{Status: &status}) // what it reads is wanted also by the next agent
	if detach() != nil || c.run(context.Background()) != nil {
		return 1
	}
	return 0
}

// newCollector goes on where an earlier collector in dir has ended.
func newCollector(dir string) (*collector, error) {
	if err := os.Chdir(dir); err != nil {
		return nil, fmt.Errorf("enter collector's directory: %w", err)
	}
	_ = unix.Prctl(unix.PR_SET_NAME, namePointer("steppe-logs"), 0, 0, 0) // a name for people only
	c := &collector{clock: clock.Real{}, reading: loop.New(context.Background()), ended: make(chan struct{}), streams: map[string]*reading{}}
	var err error
	if c.lock, err = os.OpenFile(lockName, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("lock collector's directory: %w", err)
	}
	if err := unix.Flock(int(c.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("lock collector's directory, another one runs: %w", err)
	}
	if c.self, err = process.Of(os.Getpid()); err != nil {
		return nil, err
	}
	var known []Stream
	data, err := os.ReadFile(streamsName)
	if err == nil {
		err = json.Unmarshal(data, &known) // torn by a crash of the machine: the agent tells it anew
	}
	if err != nil {
		known = nil
	}
	for _, s := range known {
		_ = c.begin(s) // it was removed meanwhile
	}
	if err := os.Remove(SocketName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove old socket: %w", err)
	}
	if c.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: SocketName, Net: "unix"}); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return c, replace(StateName, c.status())
}

func (c *collector) status() Status { return Status{Version: Version, Supervisor: c.self} }

// run answers until nothing is left to read.
func (c *collector) run(ctx context.Context) error {
	serving := loop.New(ctx)
	serving.Go("accept", func(context.Context) error { c.accept(serving); return nil })
	serving.Go("idle", func(context.Context) error { c.awaitFirst(); return nil })
	<-c.ended
	_ = c.listener.Close()
	return errors.Join(serving.Wait(), c.reading.Wait(), c.lock.Close())
}

// awaitFirst ends a collector that nobody uses.
func (c *collector) awaitFirst() {
	timer := c.clock.NewTimer(collectorIdle)
	defer timer.Stop()
	select {
	case <-timer.C():
		c.mu.Lock()
		c.endIfIdle()
		c.mu.Unlock()
	case <-c.ended:
	}
}

// endIfIdle ends the collector if it reads nothing. The caller holds mu.
func (c *collector) endIfIdle() {
	if len(c.streams) == 0 && !c.over {
		c.over = true
		close(c.ended)
	}
}

func (c *collector) accept(serving *loop.Group) {
	for {
		conn, err := c.listener.AcceptUnix()
		if err != nil {
			return
		}
		serving.Go("answer", func(context.Context) error {
			defer func() { _ = conn.Close() }()
			c.answer(conn)
			return nil
		})
	}
}

func (c *collector) answer(conn *net.UnixConn) {
	req, files, err := readRequest(conn, c.clock)
	for _, f := range files {
		_ = f.Close() // not asked for
	}
	status := c.status()
	if err == nil {
		err = c.perform(req)
	}
	if err != nil {
		reply(conn, Response{Error: err.Error()})
		return
	}
	reply(conn, Response{Status: &status})
}

func (c *collector) perform(req *Request) error {
	if req.Stream == nil && req.Op != OpStatus {
		return fmt.Errorf("the request %q names no stream", req.Op)
	}
	switch req.Op {
	case OpStatus:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.prune()
		return nil
	case OpCollect:
		return c.collect(*req.Stream)
	case OpRelease:
		return c.release(req.Stream.FIFO)
	}
	return fmt.Errorf("the collector doesn't know the request %q", req.Op)
}

func (c *collector) collect(s Stream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return errEnding
	}
	if known := c.streams[s.FIFO]; known != nil {
		if sameFile(known.fifo, s.FIFO) {
			return nil
		}
		c.drop(s.FIFO)
	}
	c.prune()
	if err := c.begin(s); err != nil {
		return err
	}
	return c.write()
}

// begin starts reading. The FIFO is opened for writing too, so that it doesn't
// come to its end whenever a task has closed it.
func (c *collector) begin(s Stream) error {
	f, err := os.OpenFile(s.FIFO, os.O_RDWR|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open FIFO: %w", err)
	}
	info, err := f.Stat()
	if err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		return errors.Join(fmt.Errorf("%s is not a FIFO", s.FIFO), err, f.Close())
	}
	w, err := NewRotator(s.Dir, s.Name, s.MaxFiles, s.MaxBytes)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r := &reading{stream: s, fifo: f, done: make(chan struct{})}
	c.streams[s.FIFO] = r
	c.reading.Go(s.Name, func(context.Context) error {
		copyFIFO(w, f)
		close(r.done)
		return f.Close()
	})
	return nil
}

// copyFIFO takes what comes until the read deadline passes, and then what is
// there already. What can't be written is dropped: a full disk must not stop
// the task.
func copyFIFO(w *Rotator, f *os.File) {
	defer func() { _ = w.Close() }()
	buf := make([]byte, 16<<10)
	for {
		n, err := f.Read(buf)
		_, _ = w.Write(buf[:n])
		if err != nil {
			break
		}
	}
	raw, err := f.SyscallConn()
	if err != nil || f.SetReadDeadline(time.Time{}) != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		for taken := 0; taken < releaseMost; {
			n, err := unix.Read(int(fd), buf)
			if err != nil || n <= 0 {
				return true // it is empty
			}
			_, _ = w.Write(buf[:n])
			taken += n
		}
		return true
	})
}

// release ends the reading of a FIFO and waits until the rest is written.
func (c *collector) release(fifo string) error {
	c.mu.Lock()
	r := c.drop(fifo)
	c.mu.Unlock()
	if r != nil {
		<-r.done
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.write()
	c.endIfIdle()
	return err
}

// drop has the rest of a FIFO read, and forgets it. The caller holds mu.
func (c *collector) drop(fifo string) *reading {
	r := c.streams[fifo]
	if r != nil {
		delete(c.streams, fifo)
		_ = r.fifo.SetReadDeadline(c.clock.Now()) // it is a pipe
	}
	return r
}

// prune forgets FIFOs that were removed without a word. The caller holds mu.
func (c *collector) prune() {
	for fifo, r := range c.streams {
		if !sameFile(r.fifo, fifo) {
			c.drop(fifo)
		}
	}
}

func sameFile(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(open, there)
}

// write writes down what is read, for the next collector.
func (c *collector) write() error {
	streams := make([]Stream, 0, len(c.streams))
	for _, r := range c.streams {
		streams = append(streams, r.stream)
	}
	return replace(streamsName, streams)
}
