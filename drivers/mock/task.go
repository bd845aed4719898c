//go:build linux

package mock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
)

// state is what a handle carries.
type state struct {
	// StartedAt is in nanoseconds since 1970.
	StartedAt int64 `codec:"started_at"`
}

// task is one pretended process.
type task struct {
	config  *drivers.TaskConfig
	spec    *taskConfig
	lengths *durations
	clock   clock.Clock
	started time.Time
	stops   chan stopRequest
	done    chan struct{}
	group   *loop.Group

	mu     sync.Mutex
	exit   *drivers.ExitResult
	failed error
	ended  time.Time
}

type stopRequest struct {
	signal  int
	timeout time.Duration
}

// Start implements drivers.Runner.
func (d *Driver) Start(ctx context.Context, config *drivers.TaskConfig) (*drivers.Started, error) {
	t, err := d.prepare(config, d.clock.Now())
	if err != nil {
		return nil, err
	}
	if t.lengths.startBlockFor > 0 {
		timer := d.clock.NewTimer(t.lengths.startBlockFor)
		defer timer.Stop()
		select {
		case <-timer.C():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if t.spec.StartErr != "" {
		err := errors.New(t.spec.StartErr)
		if t.spec.StartErrRecoverable {
			return nil, drivers.Recoverable(err)
		}
		return nil, err
	}
	encoded, err := drivers.EncodeState(&state{StartedAt: t.started.UnixNano()})
	if err != nil {
		return nil, err
	}
	if err := d.begin(t, true); err != nil {
		return nil, err
	}
	if gone := ctx.Err(); gone != nil {
		// Whoever gave it up may have asked to destroy it before it was known.
		if err := d.Destroy(context.WithoutCancel(ctx), config.ID, true); err != nil && !errors.Is(err, drivers.ErrTaskNotFound) {
			return nil, err
		}
		return nil, fmt.Errorf("start task: %w", gone)
	}
	d.tell(config, "started")
	handle := &drivers.Handle{Version: 1, Config: config, State: drivers.TaskRunning, DriverState: encoded}
	return &drivers.Started{Handle: handle, Network: t.network()}, nil
}

// Recover implements drivers.Runner.
func (d *Driver) Recover(_ context.Context, handle *drivers.Handle) error {
	if _, err := d.find(handle.Config.ID); err == nil {
		return nil
	}
	var s state
	if err := drivers.DecodeConfig(handle.DriverState, &s); err != nil {
		return err
	}
	if s.StartedAt == 0 {
		return errors.New("recover task: its handle tells no start time")
	}
	t, err := d.prepare(handle.Config, time.Unix(0, s.StartedAt))
	if err != nil {
		return err
	}
	return d.begin(t, false)
}

func (d *Driver) prepare(config *drivers.TaskConfig, started time.Time) (*task, error) {
	t := &task{
		config: config, spec: &taskConfig{}, clock: d.clock, started: started,
		stops: make(chan stopRequest, 16), done: make(chan struct{}), group: loop.New(context.Background()),
	}
	if err := drivers.DecodeConfig(config.Config, t.spec); err != nil {
		return nil, err
	}
	var err error
	t.lengths, err = t.spec.durations()
	return t, err
}

// begin lets the task's time pass. Only a fresh one prints and kills plugins.
func (d *Driver) begin(t *task, fresh bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.tasks[t.config.ID]; known {
		return fmt.Errorf("start task: %s is started already", t.config.ID)
	}
	d.tasks[t.config.ID] = t
	if fresh {
		t.group.Go("print", t.print)
		if t.lengths.pluginExitAfter > 0 {
			t.group.Go("plugin exit", func(ctx context.Context) error {
				if sleep(ctx, t.clock, t.lengths.pluginExitAfter) {
					return syscall.Kill(os.Getpid(), syscall.SIGKILL)
				}
				return nil
			})
		}
	}
	t.group.Go("run", t.run)
	return nil
}

// sleep waits for d and reports whether ctx lasted.
func sleep(ctx context.Context, clk clock.Clock, d time.Duration) bool {
	timer := clk.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}

// run is the task's life: it ends by itself, when it is stopped, or by end.
func (t *task) run(ctx context.Context) error {
	var over <-chan time.Time
	if t.lengths.runFor != nil {
		timer := t.clock.NewTimer(t.started.Add(*t.lengths.runFor).Sub(t.clock.Now()))
		defer timer.Stop()
		over = timer.C()
	}
	select {
	case <-over:
		var failed error
		if t.spec.ExitErrMsg != "" {
			failed = errors.New(t.spec.ExitErrMsg)
		}
		t.finish(&drivers.ExitResult{ExitCode: t.spec.ExitCode, Signal: t.spec.ExitSignal, OOMKilled: t.spec.OOMKilled}, failed)
	case req := <-t.stops:
		signal := req.signal
		if t.lengths.killAfter > req.timeout || req.timeout == 0 {
			signal = int(syscall.SIGKILL)
		}
		if t.lengths.killAfter > 0 {
			sleep(ctx, t.clock, min(t.lengths.killAfter, req.timeout))
		}
		t.finish(&drivers.ExitResult{ExitCode: 128 + signal, Signal: signal}, nil)
	case <-ctx.Done():
		t.finish(&drivers.ExitResult{ExitCode: 128 + int(syscall.SIGKILL), Signal: int(syscall.SIGKILL)}, nil)
	}
	return nil
}

func (t *task) finish(exit *drivers.ExitResult, failed error) {
	t.mu.Lock()
	t.exit, t.failed, t.ended = exit, failed, t.clock.Now()
	t.mu.Unlock()
	close(t.done)
}

// print writes what the task says into its log files.
func (t *task) print(ctx context.Context) error {
	if t.config.Logs == nil || t.config.Logs.Disabled {
		return nil
	}
	for _, s := range []struct {
		name, text string
		times      int
	}{{"stderr", t.spec.StderrString, 1}, {"stdout", t.spec.StdoutString, 1 + t.spec.StdoutRepeat}} {
		if s.text == "" {
			continue
		}
		w, err := keeper.NewRotator(t.config.LogDir(), t.config.Name+"."+s.name, t.config.Logs.MaxFiles, int64(t.config.Logs.MaxFileSizeMB)<<20)
		if err != nil {
			return err
		}
		err = t.repeat(ctx, w, s.text, s.times)
		if err := errors.Join(err, w.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (t *task) repeat(ctx context.Context, w io.Writer, text string, times int) error {
	for i := range times {
		if i > 0 && t.lengths.repeat > 0 && !sleep(ctx, t.clock, t.lengths.repeat) {
			return nil
		}
		if _, err := io.Copy(w, strings.NewReader(text)); err != nil {
			return err
		}
	}
	return nil
}

func (t *task) running() bool {
	select {
	case <-t.done:
		return false
	default:
		return true
	}
}

// stop asks the task to end; more than the first few askers needn't be heard.
func (t *task) stop(req stopRequest) {
	select {
	case t.stops <- req:
	default:
	}
}

// end kills the task and waits for its goroutines.
func (t *task) end() {
	t.group.Stop()
	_ = t.group.Wait() // what it failed to print is lost with it
}

func (t *task) result() (*drivers.ExitResult, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed != nil {
		return nil, t.failed
	}
	exit := *t.exit
	return &exit, nil
}

func (t *task) status() *drivers.TaskStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := &drivers.TaskStatus{ID: t.config.ID, Name: t.config.Name, State: drivers.TaskRunning, StartedAt: t.started, Network: t.network()}
	if t.exit != nil {
		out.State, out.CompletedAt, out.Exit = drivers.TaskExited, t.ended, t.exit
	}
	return out
}

func (t *task) network() *drivers.Network {
	if t.spec.DriverIP == "" && len(t.spec.DriverPortMap) == 0 {
		return nil
	}
	out := &drivers.Network{Addr: t.spec.DriverIP, AutoAdvertise: t.spec.DriverAdvertise, PortMap: map[string]int{}}
	for _, ports := range t.spec.DriverPortMap {
		for label, port := range ports {
			out.PortMap[label] = port
		}
	}
	return out
}
