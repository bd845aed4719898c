// Package alloc runs the allocations of a node: one Runner for each. It puts
// the tasks of a group into their order, derives the allocation's status and
// health from theirs, and offers the group's services.
//
// What it decides is in pure functions: Order, Status, Judge. It must not know
// drivers beyond what a task needs, nor servers.
//
// Begin reading at Order, then Runner.Run.
package alloc

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/client/service"
	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/client/taskenv"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/failpoint"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// eventUnhealthy is the type of the event that tells why an allocation was
// found unhealthy.
const eventUnhealthy = "Alloc Unhealthy"

// Memory stores what must survive the agent.
type Memory interface {
	task.Memory
	PutAlloc(a *local.Alloc) error
	DeleteAlloc(id string) error
}

// Services registers what is offered and probes its checks.
type Services interface {
	Add(w service.Workload) []error
	Remove(ctx context.Context, allocID, task string)
	// Rest and Resume say that a task of the group is down for a restart, and
	// up again.
	Rest(allocID string)
	Resume(allocID string)
	Checks(allocID string) map[string]*structs.AllocCheckStatus
}

// Host is what the node offers to every allocation.
type Host struct {
	Task     task.Host
	Memory   Memory
	Services Services
	Dirs     allocdir.Base
	// Networks makes the networks of groups; nil makes none.
	Networks Networks
	// Changed is called when Status has something new to tell.
	Changed func(allocID string)
	// Elsewhere brings the disks of allocations on other nodes; nil: nothing
	// comes from there.
	Elsewhere Elsewhere
	// Previous returns the runner of an allocation on this node, or nil.
	Previous func(allocID string) *Runner
}

// Runner is one allocation. Its methods are safe for concurrent use.
type Runner struct {
	host   Host
	id     string
	dir    allocdir.Dir
	logger *slog.Logger
	wake   chan struct{}
	done   chan struct{} // closed once every task is dead
	saving sync.Mutex    // held before mu: what was taken first is written first

	mu         sync.Mutex
	alloc      *structs.Allocation
	tasks      []*task.Runner
	up         map[string]running // what Up told of running tasks
	groupUp    bool
	stopping   bool
	noDelay    bool
	again      bool      // the tasks are being ended to begin again
	cleaning   bool      // all but the poststop tasks, whose turn it is, are dead for good
	over       bool      // every task is dead for good
	late       bool      // its max_run_duration is over
	stopAt     time.Time // when tasks may be killed: after the group's shutdown_delay
	rule       Rule
	judged     bool // whether health is asked for
	judgement  Judgement
	health     *structs.AllocDeploymentStatus
	status     string
	statusText string
	restored   *local.Alloc
	prepared   bool // its predecessor has ended, what it left is taken over; written by Run alone
	netDriver  string
	network    *drivers.NetworkIsolation
	netStatus  *structs.AllocNetworkStatus // where the allocation is reached
}

// running is what is known of a task that is up.
type running struct {
	env     *taskenv.Env
	network *drivers.Network
}

// New makes the runner of an allocation that was received, or of one that was
// remembered.
func New(host Host, a *structs.Allocation, restored *local.Alloc) *Runner {
	r := &Runner{
		host: host, id: a.ID, alloc: a, restored: restored,
		dir:      host.Dirs.Dir(a.ID),
		logger:   host.Task.Logger.With(logx.KeyAlloc, a.ID),
		wake:     make(chan struct{}, 1),
		done:     make(chan struct{}),
		up:       map[string]running{},
		status:   structs.AllocClientPending,
		stopping: a.ServerTerminal(),
		prepared: a.PreviousAllocation == "", // there is nothing to wait for
	}
	if restored != nil {
		// Earlier releases wrote nothing of it, but what is remembered of a task
		// comes from after it.
		r.prepared = r.prepared || restored.Prepared || len(restored.Tasks) > 0
		r.network, r.netDriver, r.again = restored.Network, restored.NetworkDriver, restored.Again
		r.netStatus = a.NetworkStatus
	}
	r.resetHealth()
	if restored != nil && restored.Health.HasHealth() {
		r.health = restored.Health
		r.judgement = Judgement{Known: true, Healthy: restored.Health.IsHealthy()}
	}
	r.makeTasks()
	r.statusLocked(r.Views())
	return r
}

// makeTasks makes a runner for each task of the group.
func (r *Runner) makeTasks() {
	group := r.group()
	if group == nil {
		return
	}
	for _, t := range group.Tasks {
		cfg := task.Config{Host: r.host.Task, Alloc: r.alloc, Task: t, Dir: r.dir, Watcher: (*watcher)(r), Network: r.network}
		if r.restored != nil {
			cfg.Restored = r.restored.Tasks[t.Name]
		}
		r.tasks = append(r.tasks, task.New(cfg))
	}
}

// Run works on the allocation until all of its tasks are dead or ctx ends; in
// the latter case the tasks go on.
func (r *Runner) Run(ctx context.Context) error {
	if r.group() == nil {
		return fmt.Errorf("run allocation %s: its job has no group %q", r.id, r.alloc.TaskGroup)
	}
	if err := r.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		r.giveUp(err)
	}
	group := loop.New(ctx)
	for _, t := range r.tasks {
		group.Go("task "+t.Name(), func(ctx context.Context) error { return r.lives(ctx, t) })
	}
	group.Go("order", r.control)
	return group.Wait()
}

// prepare makes what the tasks share.
func (r *Runner) prepare(ctx context.Context) error {
	if r.restored == nil {
		if err := r.remember(); err != nil {
			return err
		}
		failpoint.Here(failpoint.AllocRemembered)
	}
	if !r.prepared {
		if err := r.awaitPrevious(ctx); err != nil {
			return err
		}
	}
	if r.finished() {
		return nil
	}
	if err := r.makeNetwork(ctx); err != nil {
		return err
	}
	if _, err := r.host.Dirs.Build(r.id); err != nil {
		return err
	}
	failpoint.Here(failpoint.AllocBuilt)
	if r.prepared {
		return nil
	}
	// An agent that dies before this is written does it again: what was moved
	// already isn't found any more, and no task has run.
	if err := r.adoptDisk(); err != nil {
		return err
	}
	if err := r.fetchDisk(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	r.prepared = true
	r.mu.Unlock()
	err := r.remember()
	failpoint.Here(failpoint.AllocPrepared)
	return err
}

// giveUp fails every task: the allocation can't be run here.
func (r *Runner) giveUp(err error) {
	event := task.Message(structs.TaskSetupFailure, "%v", err)
	event.FailsTask, event.SetupError = true, err.Error()
	for _, t := range r.tasks {
		t.Kill(task.Kill{Event: event, Fail: true})
	}
}

// control puts the group in order whenever something changes.
func (r *Runner) control(ctx context.Context) error {
	for {
		wait, done := r.order(ctx)
		if done {
			close(r.done)
			r.host.Changed(r.id)
			return nil
		}
		if err := r.await(ctx, wait); err != nil {
			return err
		}
	}
}

// await returns when something changed or the time is over (zero: no limit).
func (r *Runner) await(ctx context.Context, wait time.Duration) error {
	_, err := loop.Wait(ctx, r.host.Task.Clock, max(wait, 0), r.wake)
	return err
}

// order takes one look at the group and acts on it. It returns how long to
// wait at most for the next one (zero: no limit), and whether all is over.
func (r *Runner) order(ctx context.Context) (time.Duration, bool) {
	now := r.host.Task.Clock.Now()
	views := r.Views()
	r.groupServices(ctx, views)
	aim, wait := r.aim(ctx, now, views)
	orders := Order(views, aim)
	if orders.Renew {
		r.renew()
		return 0, false
	}
	for _, t := range r.tasks {
		if event, kill := orders.Kill[t.Name()]; kill {
			t.Kill(task.Kill{Event: event, Reason: r.killReason(), NoDelay: r.isNoDelay()})
		}
	}
	r.open(orders.Open)
	wait = soonest(wait, r.judge(now, views))
	wait = soonest(wait, r.limit(ctx, now, views))
	r.refresh(views)
	return wait, orders.Done && r.conclude(ctx)
}

// conclude clears up after every task is dead, unless somebody has asked for
// all of them again in this very moment.
func (r *Runner) conclude(ctx context.Context) bool {
	r.mu.Lock()
	r.over = !r.again
	over := r.over
	r.mu.Unlock()
	if over {
		r.host.Services.Remove(ctx, r.id, "")
		r.dropNetwork(ctx)
		failpoint.Here(failpoint.AllocConcluded)
		if err := r.dir.DropSecrets(); err != nil {
			r.logger.Warn("secrets of an ended allocation are still mounted", logx.KeyError, err)
		}
	}
	return over
}

func (r *Runner) open(names []string) {
	for _, name := range names {
		if t := r.task(name); t != nil {
			t.Open()
		}
	}
}

// aim says what is to become of the group now, and how long its
// shutdown_delay still lasts. What leads others here is gone before it ends. A
// wish to begin again that isn't written down yet is waited for: it may fail.
func (r *Runner) aim(ctx context.Context, now time.Time, views []View) (Aim, time.Duration) {
	r.saving.Lock()
	r.mu.Lock()
	stopping, stopAt, noDelay, again := r.stopping, r.stopAt, r.noDelay, r.again
	r.cleaning = !again && survey(views).restDead
	r.mu.Unlock()
	r.saving.Unlock()
	switch {
	case !stopping && again:
		r.dropGroupServices(ctx)
		return AimAgain, 0
	case !stopping:
		return AimRun, 0
	}
	if stopAt.IsZero() {
		r.dropGroupServices(ctx)
		stopAt = now
		if r.anyRunning() {
			stopAt = now.Add(r.group().GetShutdownDelay())
		}
		r.mu.Lock()
		r.stopAt = stopAt
		r.mu.Unlock()
	}
	if noDelay || !now.Before(stopAt) {
		return AimEnd, 0
	}
	return AimHold, stopAt.Sub(now)
}

// limit ends a group that has run longer than max_run_duration; what cleans up
// after the others still does.
func (r *Runner) limit(ctx context.Context, now time.Time, views []View) time.Duration {
	most := structs.Value(r.group().MaxRunDuration)
	if most <= 0 {
		return 0
	}
	var began time.Time
	for _, v := range views {
		if v.started() && (began.IsZero() || v.State.StartedAt.Before(began)) {
			began = v.State.StartedAt
		}
	}
	if began.IsZero() {
		return 0
	}
	if left := began.Add(most).Sub(now); left > 0 {
		return left
	}
	r.mu.Lock()
	r.late = true
	r.mu.Unlock()
	r.dropGroupServices(ctx)
	for _, v := range views {
		if !v.Task.IsPoststop() {
			r.task(v.Task.Name).Kill(task.Kill{Reason: fmt.Sprintf("max_run_duration of %s is over", most), Fail: true})
		}
	}
	return 0
}

// judge looks at the allocation's health and returns when to look again.
func (r *Runner) judge(now time.Time, views []View) time.Duration {
	evidence := Evidence{Tasks: views, Checks: r.host.Services.Checks(r.id), Expected: countChecks(r.group())}
	r.mu.Lock()
	if !r.judged || r.judgement.Known || r.stopping || r.again {
		r.mu.Unlock()
		return 0
	}
	r.judgement = Judge(r.rule, r.judgement, now, evidence)
	j := r.judgement
	if j.Known {
		r.health = &structs.AllocDeploymentStatus{Healthy: &j.Healthy, Timestamp: now.UTC(), Canary: r.alloc.DeploymentStatus.IsCanary()}
	}
	r.mu.Unlock()
	if !j.Known {
		return j.Wake.Sub(now)
	}
	if !j.Healthy {
		for _, t := range r.tasks {
			t.Emit(task.Message(eventUnhealthy, "Allocation is unhealthy: %s", j.Reason))
		}
	}
	if err := r.remember(); err != nil {
		r.logger.Error("allocation could not be written down", logx.KeyError, err)
	}
	return 0
}

// refresh takes over what the tasks have become.
func (r *Runner) refresh(views []View) {
	r.mu.Lock()
	r.statusLocked(views)
	r.mu.Unlock()
	r.host.Changed(r.id)
}

func (r *Runner) statusLocked(views []View) {
	r.status, r.statusText = Status(views)
	if r.again && !r.stopping {
		// Between its end and its new beginning it isn't over.
		r.status, r.statusText = structs.AllocClientRunning, "Tasks are being restarted"
	}
}

// remember writes the allocation down.
func (r *Runner) remember() error {
	r.saving.Lock()
	defer r.saving.Unlock()
	return r.write()
}

// write is remember for whoever holds saving.
func (r *Runner) write() error {
	r.mu.Lock()
	record := &local.Alloc{Alloc: r.alloc, Network: r.network, NetworkDriver: r.netDriver, Health: r.health, Prepared: r.prepared, Again: r.again}
	r.mu.Unlock()
	return r.host.Memory.PutAlloc(record)
}

func soonest(a, b time.Duration) time.Duration {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}
