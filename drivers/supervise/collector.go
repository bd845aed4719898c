//go:build linux

package supervise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/process"
)

const (
	// collectorWatch is how often it is looked whether the collector lives.
	collectorWatch = time.Second
	// collectorTries is how often a stream is offered to a collector; one that
	// is about to end leaves it to the next.
	collectorTries = 20
	// collectorPause is the time between two of them.
	collectorPause = 25 * time.Millisecond
)

// Collector has the FIFOs of tasks read into log files by a process that
// outlives this one: the node's log collector. It is started when there is
// something to read, found again by a later agent, and started again when it
// was killed. Its Run must run beside it.
//
// While a stream is collected its FIFO is also held open here: a task that
// prints in the moment between two collectors waits, and isn't killed.
type Collector struct {
	dir      string
	launcher *Launcher
	clock    clock.Clock
	logger   *slog.Logger

	mu      sync.Mutex
	process process.Identity
	held    map[string]*holding
}

// holding is one stream that is collected, and our end of its FIFO.
type holding struct {
	stream keeper.Stream
	fifo   *os.File
}

// NewCollector returns the collector that works in dir; image is as in
// NewLauncher.
func NewCollector(dir string, image []byte, logger *slog.Logger) *Collector {
	return &Collector{dir: dir, launcher: NewLauncher(image), clock: clock.Real{}, logger: logger, held: map[string]*holding{}}
}

// Run keeps the collector alive while it has something to read, until ctx ends.
// The collector itself goes on.
func (c *Collector) Run(ctx context.Context) error {
	group := loop.New(ctx)
	group.Go("reap", c.launcher.Run)
	group.Go("watch", c.watch)
	err := group.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for fifo, h := range c.held {
		_ = h.fifo.Close() // the collector has its own
		delete(c.held, fifo)
	}
	return err
}

func (c *Collector) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		timer := c.clock.NewTimer(collectorWatch)
		select {
		case <-ctx.Done():
		case <-timer.C():
			c.revive(ctx)
		}
		timer.Stop()
	}
	return ctx.Err()
}

// revive starts a collector in place of one that was killed.
func (c *Collector) revive(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.held) == 0 || c.process.Alive() {
		return
	}
	c.logger.Warn("the log collector is gone and is started again", logx.KeyCount, len(c.held))
	for _, h := range c.held {
		if err := c.offer(ctx, h.stream); err != nil && ctx.Err() == nil {
			c.logger.Error("output of a task is not collected and is tried again", logx.KeyPath, h.stream.FIFO, logx.KeyError, err)
			c.process = process.Identity{}
		}
	}
}

// Collect makes the stream's FIFO, if there is none, and has it read from now
// on. It may be called again for a stream that is read already.
func (c *Collector) Collect(ctx context.Context, s drivers.LogStream) error {
	if err := makeFIFO(s.FIFO); err != nil {
		return err
	}
	stream := keeper.Stream{FIFO: s.FIFO, Dir: s.Dir, Name: s.Name, MaxFiles: s.Policy.MaxFiles, MaxBytes: int64(s.Policy.MaxFileSizeMB) << 20}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.hold(stream); err != nil {
		return err
	}
	if err := c.offer(ctx, stream); err != nil {
		return fmt.Errorf("collect output: %w", err)
	}
	return nil
}

// makeFIFO leaves one that is there as it is: a task may write to it.
func makeFIFO(path string) error {
	err := unix.Mkfifo(path, 0o600)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make FIFO %s: %w", path, err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("make FIFO: %w", err)
	}
	if info.Mode().Type() != fs.ModeNamedPipe {
		return fmt.Errorf("make FIFO: %s is something else already", path)
	}
	return nil
}

// hold opens the FIFO, so that it always has a reader. The caller holds mu.
func (c *Collector) hold(s keeper.Stream) error {
	if old := c.held[s.FIFO]; old != nil {
		_ = old.fifo.Close() // the file may be another one by now
		delete(c.held, s.FIFO)
	}
	f, err := os.OpenFile(s.FIFO, os.O_RDWR|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open FIFO: %w", err)
	}
	c.held[s.FIFO] = &holding{stream: s, fifo: f}
	return nil
}

// Release has the rest of a FIFO read and written, and removes it. One that
// isn't collected is only removed.
func (c *Collector) Release(ctx context.Context, fifo string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, asked := At(c.dir).ask(ctx, keeper.Request{Op: keeper.OpRelease, Stream: &keeper.Stream{FIFO: fifo}})
	if h := c.held[fifo]; h != nil {
		_ = h.fifo.Close() // nothing is written through it
		delete(c.held, fifo)
	}
	if err := os.Remove(fifo); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove FIFO: %w", err)
	}
	if asked != nil && c.process.Alive() {
		return fmt.Errorf("release output: %w", asked)
	}
	return nil // a collector that is gone reads nothing any more
}

// offer gives a stream to the collector that runs, or to a new one. The caller
// holds mu.
func (c *Collector) offer(ctx context.Context, s keeper.Stream) error {
	var status *keeper.Status
	for try := 1; ; try++ {
		response, err := At(c.dir).ask(ctx, keeper.Request{Op: keeper.OpCollect, Stream: &s})
		if err == nil {
			c.process = response.Status.Supervisor
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if status, err = c.launch(ctx); err == nil {
			c.process = status.Supervisor
		}
		if try == collectorTries {
			return errors.Join(err, fmt.Errorf("the log collector takes no streams after %d tries", try))
		}
		if err == nil {
			continue
		}
		// An earlier one may be about to end, and still hold the directory.
		timer := c.clock.NewTimer(collectorPause)
		select {
		case <-ctx.Done():
		case <-timer.C():
		}
		timer.Stop()
	}
}

func (c *Collector) launch(ctx context.Context) (*keeper.Status, error) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make collector's directory: %w", err)
	}
	path, args, err := c.launcher.program()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	return c.launcher.launch(ctx, path, append(args, keeper.CollectorArg, c.dir), nil, 0)
}
