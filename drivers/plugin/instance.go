package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
)

const (
	// relaunchMin and relaunchMax bound the pause before a plugin that keeps
	// dying is launched again. One that lived longer than relaunchMax starts
	// anew at once.
	relaunchMin = 100 * time.Millisecond
	relaunchMax = 30 * time.Second
	// reopenMin and reopenMax bound the pause before a broken stream of a
	// living plugin is opened again.
	reopenMin = 5 * time.Second
	reopenMax = 2 * time.Minute
	// bootTimeout bounds the first words with a new process.
	bootTimeout = time.Minute
	// deathTimeout is how long a process whose connection broke may take to be
	// seen dead.
	deathTimeout = 3 * time.Second
)

// errDying says of a driver that its process doesn't stay.
var errDying = errors.New("its process keeps dying")

// instance is one driver whose process is kept running. Callers wait for a
// process that is ready; one is ready after it was configured and has its
// tasks back.
type instance struct {
	name    string
	command command
	// config is the plugin's block, encoded.
	config []byte
	node   drivers.NodeConfig
	answer time.Duration
	clock  clock.Clock
	logger *slog.Logger
	board  *board
	reg    *register

	mu      sync.Mutex
	current *child
	// changed is closed and replaced when current does.
	changed chan struct{}
	// failure is why there is no process, for callers who lose patience.
	failure error
	// retired is set when there will be no process any more.
	retired bool
	handles map[string]*drivers.Handle
	// lost are tasks that a new process couldn't take back.
	lost map[string]error
}

// run keeps the process running until ctx ends.
func (in *instance) run(ctx context.Context) error {
	defer in.retire()
	delay := time.Duration(0)
	for ctx.Err() == nil {
		pause(ctx, in.clock, delay)
		born := in.clock.Now()
		p, err := in.boot(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			in.logger.Error("driver plugin can't be started", logx.KeyError, err)
			in.set(nil, err)
			in.board.broken(in.name, err)
			delay = min(max(2*delay, relaunchMin), relaunchMax)
			continue
		}
		in.set(p, nil)
		in.attend(ctx, p)
		in.set(nil, drivers.ErrPluginGone)
		if ctx.Err() != nil {
			p.shutdown()
			in.reg.remove(p.pid)
			return nil
		}
		p.close()
		in.reg.remove(p.pid)
		in.logger.Warn("driver plugin died and is started again", logx.KeyPID, p.pid)
		if in.clock.Now().Sub(born) > relaunchMax {
			delay = 0
		} else if delay == 0 {
			delay = relaunchMin
		} else {
			delay = min(2*delay, relaunchMax)
			in.board.broken(in.name, errDying) // one death alone is no news about its health
		}
	}
	return nil
}

// boot launches a process, configures it and gives it its tasks back.
func (in *instance) boot(ctx context.Context) (*child, error) {
	p, err := launch(ctx, in.command, in.clock, in.logger)
	if err != nil {
		return nil, err
	}
	if err := in.prepare(ctx, p); err != nil {
		p.close()
		in.reg.remove(p.pid)
		return nil, err
	}
	return p, nil
}

func (in *instance) prepare(ctx context.Context, p *child) error {
	if err := in.reg.add(p.pid); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	if err := p.driver.Configure(ctx, in.config, &in.node); err != nil {
		return fmt.Errorf("configure driver %s: %w", in.name, err)
	}
	if err := p.driver.Init(ctx); err != nil {
		return fmt.Errorf("initialise driver %s: %w", in.name, err)
	}
	for id, handle := range in.tasks() {
		err := p.driver.Recover(ctx, handle)
		if errors.Is(err, drivers.ErrPluginGone) {
			return fmt.Errorf("recover task %s: %w", id, err)
		}
		if err != nil {
			in.logger.Warn("driver plugin can't take a task back", logx.KeyTask, id, logx.KeyError, err)
		}
		in.recovered(id, err)
	}
	return nil
}

// attend reads the process' streams until it dies or ctx ends.
func (in *instance) attend(ctx context.Context, p *child) {
	group := loop.New(ctx)
	group.Go("fingerprint", func(ctx context.Context) error {
		in.keepOpen(ctx, func(alive func()) error {
			err := p.driver.Fingerprint(ctx, func(fp *drivers.Fingerprint) error {
				alive()
				in.board.put(in.name, in.plausible(fp))
				pause(ctx, in.clock, printPause) // one that talks without end waits
				return nil
			})
			if ctx.Err() == nil && !p.dying(ctx, in.clock) {
				in.board.broken(in.name, err)
			}
			return err
		})
		return nil
	})
	group.Go("events", func(ctx context.Context) error {
		in.keepOpen(ctx, func(alive func()) error {
			return p.driver.Events(ctx, func(e *drivers.Event) error {
				alive()
				in.board.event(in.name, shortened(e))
				pause(ctx, in.clock, eventPause)
				return nil
			})
		})
		return nil
	})
	select {
	case <-p.gone:
	case <-ctx.Done():
	}
	group.Stop()
	_ = group.Wait() // its functions return nil only
}

// keepOpen opens a stream again and again; one that delivered something
// starts its pauses anew.
func (in *instance) keepOpen(ctx context.Context, stream func(alive func()) error) {
	delay := reopenMin
	for ctx.Err() == nil {
		err := stream(func() { delay = reopenMin })
		if errors.Is(err, drivers.ErrUnsupported) {
			return
		}
		if ctx.Err() == nil {
			in.logger.Debug("a stream of the driver plugin ended", logx.KeyError, err)
		}
		pause(ctx, in.clock, delay)
		delay = min(2*delay, reopenMax)
	}
}

// dying reports whether the process ends within a moment: a stream that broke
// because of that is no news about the driver's health.
func (p *child) dying(ctx context.Context, clk clock.Clock) bool {
	timer := clk.NewTimer(deathTimeout)
	defer timer.Stop()
	select {
	case <-p.gone:
		return true
	case <-ctx.Done():
		return true
	case <-timer.C():
		return false
	}
}

func (in *instance) set(p *child, failure error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.current, in.failure = p, failure
	close(in.changed)
	in.changed = make(chan struct{})
}

func (in *instance) retire() {
	in.mu.Lock()
	in.retired = true
	in.mu.Unlock()
	in.set(nil, drivers.ErrPluginGone)
}

// ready waits for a process other than not. With patience above zero it gives
// up after it.
func (in *instance) ready(ctx context.Context, not *child, patience time.Duration) (*child, error) {
	var expired <-chan time.Time
	if patience > 0 {
		timer := in.clock.NewTimer(patience)
		defer timer.Stop()
		expired = timer.C()
	}
	for {
		in.mu.Lock()
		p, changed, failure, retired := in.current, in.changed, in.failure, in.retired
		in.mu.Unlock()
		if retired {
			return nil, fmt.Errorf("%w (%s): the agent stops", drivers.ErrPluginGone, in.name)
		}
		if p != nil && p != not {
			return p, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-expired:
			if failure == nil {
				failure = errors.New("it doesn't start")
			}
			return nil, fmt.Errorf("%w (%s): %w", drivers.ErrPluginGone, in.name, failure)
		}
	}
}

// mourn waits for the end of a process whose connection broke, and ends it if
// it lingers.
func (in *instance) mourn(ctx context.Context, p *child) {
	if !p.dying(ctx, in.clock) {
		p.close()
	}
}

func (in *instance) remember(h *drivers.Handle) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.handles[h.Config.ID] = h
	delete(in.lost, h.Config.ID)
}

func (in *instance) forget(taskID string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.handles, taskID)
	delete(in.lost, taskID)
}

// recovered notes how a task fared when a new process was given it back.
func (in *instance) recovered(taskID string, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err != nil {
		in.lost[taskID] = err
		delete(in.handles, taskID)
	}
}

// giveBack recovers a task that a process doesn't know although we do: its
// start was answered by a process that died before we had noted the answer.
func (in *instance) giveBack(ctx context.Context, p *child, taskID string) bool {
	handle, ok := in.tasks()[taskID]
	return ok && p.driver.Recover(ctx, handle) == nil
}

// lostTask says why a task couldn't be taken back, nil if it wasn't lost.
func (in *instance) lostTask(taskID string) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.lost[taskID]
}

func (in *instance) tasks() map[string]*drivers.Handle {
	in.mu.Lock()
	defer in.mu.Unlock()
	out := make(map[string]*drivers.Handle, len(in.handles))
	for id, h := range in.handles {
		out[id] = h
	}
	return out
}
