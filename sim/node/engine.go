package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/sim/virtual"
)

// DriverName is what jobs call the driver of simulated nodes.
const DriverName = "mock_driver"

// Engine is what runs tasks on one machine. Like real processes they outlive the
// agent; they end with the machine.
type Engine struct {
	runtime *virtual.Runtime
	tasks   map[string]*Task
	// look has the agent look after a task has ended.
	look func()
	// Started counts the starts of each allocation's tasks.
	Started map[string]int
	// refuse makes starts fail for a while.
	refuse bool
	// behave ends what tasks do wrong.
	behave bool
}

// Task is one start of a task.
type Task struct {
	Config *drivers.TaskConfig
	spec   spec
	done   chan struct{}
	exit   *drivers.ExitResult // nil while it runs
	ended  time.Time
}

// spec is the part of a task's `config` block that simulated tasks obey; the
// names are the mock driver's.
type spec struct {
	RunFor      time.Duration // 0: it doesn't end by itself
	ExitCode    int
	StartError  string
	Recoverable bool
	StartBlock  time.Duration
	KillAfter   time.Duration
	// FailFirst is how many starts of an allocation's task exit with ExitCode
	// after RunFor; the later ones stay.
	FailFirst int
}

func newEngine(r *virtual.Runtime) *Engine {
	return &Engine{runtime: r, tasks: map[string]*Task{}, Started: map[string]int{}}
}

// Running lists the tasks that run, in the order of their ids.
func (e *Engine) Running() []*Task {
	var out []*Task
	for _, t := range e.tasks {
		if t.exit == nil {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b *Task) int { return strings.Compare(a.Config.ID, b.Config.ID) })
	return out
}

// Fail ends a running task by itself, with an exit code.
func (e *Engine) Fail(t *Task, code int) { e.end(t, &drivers.ExitResult{ExitCode: code}) }

// Refuse has all starts fail from now on, or not any more.
func (e *Engine) Refuse(refuse bool) { e.refuse = refuse }

// Behave has tasks that end with an error not do so any more.
func (e *Engine) Behave() { e.behave = true }

// reboot ends every task, as a restart of the machine does.
func (e *Engine) reboot() { e.tasks = map[string]*Task{} }

func (e *Engine) end(t *Task, exit *drivers.ExitResult) {
	if t.exit != nil {
		return
	}
	t.exit, t.ended = exit, e.runtime.Now()
	close(t.done)
	if e.look != nil {
		e.look()
	}
}

// driver is the engine as one agent sees it.
type driver struct {
	drivers.Driver // what isn't overridden no simulated job asks for
	name           string
	e              *Engine
	m              *virtual.Machine
}

// Start implements drivers.Runner.
func (d driver) Start(ctx context.Context, config *drivers.TaskConfig) (*drivers.Started, error) {
	if t := d.e.tasks[config.ID]; t != nil {
		return &drivers.Started{Handle: handleOf(config)}, nil
	}
	var s spec
	if err := json.Unmarshal(config.Config, &s); err != nil {
		return nil, fmt.Errorf("read task configuration: %w", err)
	}
	if s.StartBlock > 0 {
		if err := loop.Sleep(ctx, d.m, s.StartBlock); err != nil {
			return nil, err
		}
	}
	err := errors.New(s.StartError)
	switch {
	case d.e.refuse:
		return nil, drivers.Recoverable(errors.New("the machine can't start anything now"))
	case s.StartError != "" && s.Recoverable:
		return nil, drivers.Recoverable(err)
	case s.StartError != "":
		return nil, err
	}
	d.e.begin(config, s, s.RunFor)
	return &drivers.Started{Handle: handleOf(config)}, nil
}

// begin has a task run, and end by itself after a while if its spec says so.
func (e *Engine) begin(config *drivers.TaskConfig, s spec, left time.Duration) {
	t := &Task{Config: config, spec: s, done: make(chan struct{})}
	e.tasks[config.ID] = t
	starts := config.AllocID + "/" + config.Name
	e.Started[starts]++
	if s.RunFor > 0 && (s.FailFirst == 0 || e.Started[starts] <= s.FailFirst && !e.behave) {
		e.runtime.After(left, func() {
			if e.behave {
				e.end(t, &drivers.ExitResult{})
				return
			}
			e.Fail(t, s.ExitCode)
		})
	}
}

func handleOf(config *drivers.TaskConfig) *drivers.Handle {
	return &drivers.Handle{Config: config, State: drivers.TaskRunning}
}

// Wait implements drivers.Runner.
func (d driver) Wait(ctx context.Context, id string) (*drivers.ExitResult, error) {
	t := d.e.tasks[id]
	if t == nil {
		return nil, drivers.ErrTaskNotFound
	}
	if _, err := loop.Await(ctx, t.done); err != nil {
		return nil, err
	}
	return t.exit, nil
}

// Stop implements drivers.Runner.
func (d driver) Stop(ctx context.Context, id string, timeout time.Duration, _ string) error {
	t := d.e.tasks[id]
	if t == nil {
		return drivers.ErrTaskNotFound
	}
	code := 0
	if t.spec.KillAfter > timeout {
		code = 137
	}
	d.e.runtime.After(min(t.spec.KillAfter, timeout), func() { d.e.end(t, &drivers.ExitResult{ExitCode: code}) })
	_, err := loop.Await(ctx, t.done)
	return err
}

// Destroy implements drivers.Runner.
func (d driver) Destroy(_ context.Context, id string, force bool) error {
	t := d.e.tasks[id]
	switch {
	case t == nil:
		return drivers.ErrTaskNotFound
	case t.exit == nil && !force:
		return errors.New("destroy task: it still runs")
	}
	d.e.end(t, &drivers.ExitResult{ExitCode: 137})
	delete(d.e.tasks, id)
	return nil
}

// Recover implements drivers.Runner.
func (d driver) Recover(_ context.Context, h *drivers.Handle) error {
	if d.e.tasks[h.Config.ID] == nil {
		return drivers.ErrTaskNotFound
	}
	return nil
}

// Signal implements drivers.Commander.
func (d driver) Signal(context.Context, string, string) error { return nil }

// encode is the spec as Start reads it.
func (s spec) encode() []byte {
	data, _ := json.Marshal(s) // texts and numbers can be written
	return data
}

func specOf(config map[string]any) (s spec, err error) {
	read := func(key string, into func(text string) error) {
		value, given := config[key]
		if !given || err != nil {
			return
		}
		if failed := into(fmt.Sprint(value)); failed != nil {
			err = fmt.Errorf("%s: %w", key, failed)
		}
	}
	span := func(to *time.Duration) func(string) error {
		return func(text string) (err error) { *to, err = time.ParseDuration(text); return err }
	}
	number := func(to *int) func(string) error {
		return func(text string) (err error) { *to, err = strconv.Atoi(text); return err }
	}
	read("run_for", span(&s.RunFor))
	read("exit_code", number(&s.ExitCode))
	read("fail_first", number(&s.FailFirst))
	read("start_block_for", span(&s.StartBlock))
	read("kill_after", span(&s.KillAfter))
	read("start_error", func(text string) error { s.StartError = text; return nil })
	read("start_error_recoverable", func(text string) (err error) { s.Recoverable, err = strconv.ParseBool(text); return err })
	return s, err
}
