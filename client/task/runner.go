// Package task runs one task of an allocation through its driver: it prepares
// the directory and the environment, starts, waits, restarts by the policy,
// ends it with signal, patience and force, and finds it again after the agent
// itself was restarted.
//
// What to do next is decided by Step, a pure function; Runner performs it and
// writes down its intent before it acts. The package must not know the other
// tasks of the allocation, nor servers.
//
// Begin reading at Step, then Runner.Run.
package task

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/client/taskenv"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// Memory stores what must survive the agent.
type Memory interface {
	PutTask(allocID, name string, t *local.Task) error
}

// Watcher is told what happens to a task, from the task's own goroutine. Its
// methods must not call back into the Runner's methods that wait.
type Watcher interface {
	// Changed says that State has something new to tell.
	Changed(task string)
	// Up says that the task runs, with this environment.
	Up(ctx context.Context, task string, env *taskenv.Env, network *drivers.Network)
	// Down says that the task has ended or is about to be ended: whatever
	// leads others to it must be gone when Down returns.
	Down(ctx context.Context, task string)
}

// Logs reads what tasks print through drivers that don't write log files
// themselves, also while this agent is away.
type Logs interface {
	// Collect has a FIFO read from now on; it makes the FIFO if need be.
	Collect(ctx context.Context, s drivers.LogStream) error
	// Release takes the rest of a FIFO and removes it.
	Release(ctx context.Context, fifo string) error
}

// Host is what the node offers to every task.
type Host struct {
	Drivers drivers.Catalog
	Memory  Memory
	// Logs may be nil: drivers that need it are then refused.
	Logs   Logs
	Clock  clock.Clock
	Logger *slog.Logger
	// Node is the node as it is known now.
	Node func() *structs.Node
	// Region the node is in.
	Region string
	// Environ is what tasks without an image see of the agent's environment.
	Environ map[string]string
	// MaxKillTimeout caps kill_timeout.
	MaxKillTimeout time.Duration
	// Random returns a number in [0, 1); it must be safe for concurrent use.
	Random func() float64
	// NewID makes identifiers; nil means random ones.
	NewID func() string
}

// Config is what makes one task.
type Config struct {
	Host    Host
	Alloc   *structs.Allocation
	Task    *structs.Task
	Dir     allocdir.Dir
	Watcher Watcher
	// Network is the namespace made for the allocation, if any.
	Network *drivers.NetworkIsolation
	// Restored is what was remembered of the task before the agent was
	// restarted; nil for a new one.
	Restored *local.Task
}

// Runner is one task. Its methods are safe for concurrent use.
type Runner struct {
	host    Host
	dir     allocdir.Dir
	watcher Watcher
	name    string
	allocID string
	logger  *slog.Logger
	wake    chan struct{}
	renewed chan struct{}
	saving  sync.Mutex // held before mu: what was taken first is written first

	mu        sync.Mutex
	alloc     *structs.Allocation
	task      *structs.Task
	isolation *drivers.NetworkIsolation
	desired   Desired
	kill      Kill
	restart   Cause // why Desired.Restart is set
	phase     Phase
	dueAt     time.Time
	exit      *exit
	cause     Cause // why the phase is PhaseExited
	memory    local.Task
	state     structs.TaskState
	env       *taskenv.Env
	driver    drivers.Driver
	caps      *drivers.Capabilities
	interrupt context.CancelFunc // ends a start or a wait that is under way
	restored  bool
	collected bool // its FIFOs are read for it
	unsaved   bool // the last try to write it down has failed
}

// exit is how a start of the task ended.
type exit struct {
	taskID string
	result *drivers.ExitResult
	err    error
}

// Kill says how and why a task is ended.
type Kill struct {
	// Event is emitted first, if set.
	Event *structs.TaskEvent
	// Reason goes into the Killing event.
	Reason string
	// NoDelay leaves the task's shutdown_delay out.
	NoDelay bool
	// Fail marks the task as failed.
	Fail bool
}

// New makes a runner; it starts nothing.
func New(cfg Config) *Runner {
	r := &Runner{
		host: cfg.Host, dir: cfg.Dir, watcher: cfg.Watcher,
		name: cfg.Task.Name, allocID: cfg.Alloc.ID,
		logger:    cfg.Host.Logger.With(logx.KeyAlloc, cfg.Alloc.ID, logx.KeyTask, cfg.Task.Name),
		wake:      make(chan struct{}, 1),
		renewed:   make(chan struct{}, 1),
		alloc:     cfg.Alloc,
		task:      cfg.Task,
		isolation: cfg.Network,
		phase:     PhaseNew,
		state:     structs.TaskState{State: structs.TaskStatePending},
	}
	if cfg.Restored == nil {
		r.emit(receivedEvent())
		return r
	}
	r.memory = *cfg.Restored
	r.restored = true
	if cfg.Restored.State != nil {
		r.state = *cfg.Restored.State.Clone()
	}
	if r.state.State == structs.TaskStateDead {
		r.phase = PhaseDead
	}
	if r.memory.Intent == local.IntentStop {
		r.desired.Stop = true
		r.kill = Kill{Fail: r.memory.Fail, NoDelay: r.memory.NoDelay}
	}
	return r
}

// Run works on the task until it is dead or ctx ends; in the latter case the
// task itself goes on.
func (r *Runner) Run(ctx context.Context) error {
	group := loop.New(ctx)
	group.Go("task", func(ctx context.Context) error {
		defer group.Stop()
		return r.steps(ctx, group)
	})
	return group.Wait()
}

func (r *Runner) steps(ctx context.Context, group *loop.Group) error {
	r.mu.Lock()
	restored := r.restored
	r.mu.Unlock()
	if restored {
		r.recover(ctx, group)
	}
	for ctx.Err() == nil {
		desired, observed, wait := r.look()
		switch Step(desired, observed) {
		case ActReturn:
			if !r.isUnsaved() {
				return nil
			}
			r.awaitSave(ctx, 0)
		case ActWait:
			r.awaitSave(ctx, wait)
		case ActPrepare:
			r.prepare(ctx)
		case ActStart:
			r.start(ctx, group)
		case ActKill:
			r.end(ctx)
		case ActDecide:
			r.decide(ctx)
		case ActFinish:
			r.finish(ctx, false)
		}
	}
	return ctx.Err()
}

// look returns what Step needs, and how long to wait at most (zero: no limit).
func (r *Runner) look() (Desired, Observed, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase == PhaseRunning && r.exit != nil && r.exit.taskID == r.memory.TaskID {
		r.exitedLocked()
	}
	o := Observed{Phase: r.phase}
	var wait time.Duration
	if r.phase == PhaseBackoff {
		wait = r.dueAt.Sub(r.host.Clock.Now())
		o.Due = wait <= 0
	}
	return r.desired, o, wait
}

// await returns when something changed or the time is over.
func (r *Runner) await(ctx context.Context, wait time.Duration) {
	_, _ = loop.Wait(ctx, r.host.Clock, max(wait, 0), r.wake) // callers look at ctx themselves
}

// Open lets the task start: its place in the group's order has come.
func (r *Runner) Open() {
	r.change(func() { r.desired.Gate = true })
}

// Kill asks for the end of the task; the first call's reason counts.
func (r *Runner) Kill(k Kill) {
	r.mu.Lock()
	if r.phase == PhaseDead || r.desired.Stop {
		if k.NoDelay {
			r.kill.NoDelay = true
		}
		r.mu.Unlock()
		return
	}
	r.desired.Stop = true
	r.kill = k
	if r.interrupt != nil {
		r.interrupt()
	}
	r.mu.Unlock()
	if k.Event != nil {
		r.emit(k.Event)
	}
	r.poke()
}

// Restart ends a running task and starts it again. One that waits for its
// next start is started at once if a person asks. A failing check counts
// against the restart policy; a person's wish doesn't.
func (r *Runner) Restart(cause Cause, reason string) error {
	r.mu.Lock()
	if r.phase != PhaseRunning && (r.phase != PhaseBackoff || cause != CauseUser) {
		phase := r.phase
		r.mu.Unlock()
		return fmt.Errorf("restart task %q: %w (%s)", r.name, ErrNotRunning, phase)
	}
	if r.desired.Restart || r.desired.Stop {
		r.mu.Unlock()
		return nil
	}
	r.desired.Restart = true
	r.restart = cause
	r.mu.Unlock()
	r.emit(RestartSignal(reason))
	r.poke()
	return nil
}

// Update hands over a newer version of the allocation that doesn't need a
// restart; it is used from the next start on.
func (r *Runner) Update(alloc *structs.Allocation, task *structs.Task) {
	r.change(func() { r.alloc, r.task = alloc, task })
}

// State returns a copy of what people see of the task.
func (r *Runner) State() *structs.TaskState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Clone()
}

// Isolate names the network that was made for the allocation, which says its
// address from now on. It comes before Run.
func (r *Runner) Isolate(network *drivers.NetworkIsolation, a *structs.Allocation) {
	r.change(func() { r.isolation, r.alloc = network, a })
}

// Name of the task.
func (r *Runner) Name() string { return r.name }

// Emit adds an event to the task's list.
func (r *Runner) Emit(e *structs.TaskEvent) { r.emit(e) }

func (r *Runner) change(f func()) {
	r.mu.Lock()
	f()
	r.mu.Unlock()
	r.poke()
}

func (r *Runner) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Runner) emit(e *structs.TaskEvent) {
	r.mu.Lock()
	r.emitLocked(e)
	r.mu.Unlock()
	r.watcher.Changed(r.name)
}

func (r *Runner) emitLocked(e *structs.TaskEvent) {
	if e.Time == 0 {
		e.Time = r.host.Clock.Now().UnixNano()
	}
	if e.Details == nil {
		e.Details = map[string]string{}
	}
	r.state.Events = appendEvent(r.state.Events, e)
}
