package alloc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/client/service"
	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/client/taskenv"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/failpoint"
	"github.com/steppe-run/steppe/structs"
)

// ErrUnknownTask says that an allocation has no such task.
var ErrUnknownTask = errors.New("unknown task")

// ID of the allocation.
func (r *Runner) ID() string { return r.id }

// Alloc returns the allocation as it was last received. It must not be
// changed.
func (r *Runner) Alloc() *structs.Allocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alloc
}

// Dir is the allocation's directory.
func (r *Runner) Dir() allocdir.Dir { return r.dir }

// Done is closed once every task is dead.
func (r *Runner) Done() <-chan struct{} { return r.done }

// Finished reports whether Done is closed.
func (r *Runner) Finished() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Views returns the tasks as they stand.
func (r *Runner) Views() []View {
	group := r.group()
	views := make([]View, 0, len(r.tasks))
	for _, t := range r.tasks {
		if definition := group.LookupTask(t.Name()); definition != nil {
			views = append(views, View{Task: definition, State: t.State()})
		}
	}
	return views
}

// Status is what the servers are told.
func (r *Runner) Status() *structs.AllocUpdate {
	states := make(map[string]*structs.TaskState, len(r.tasks))
	for _, t := range r.tasks {
		states[t.Name()] = t.State()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return &structs.AllocUpdate{
		ID:                r.id,
		ClientStatus:      r.status,
		ClientDescription: r.statusText,
		TaskStates:        states,
		DeploymentStatus:  r.health,
		NetworkStatus:     r.alloc.NetworkStatus,
		ModifyTime:        r.host.Task.Clock.Now().UnixNano(),
	}
}

// Update takes a newer version of the allocation in: the wish to end it, or a
// change that needs no restart.
func (r *Runner) Update(a *structs.Allocation) error {
	r.mu.Lock()
	old := r.alloc
	a = r.withNetworkLocked(a)
	r.alloc = a
	if a.ServerTerminal() {
		r.stopping = true
	}
	if structs.Value(a.DesiredTransition.NoShutdownDelay) {
		r.noDelay = true
	}
	if a.DeploymentID != old.DeploymentID && !r.stopping {
		r.resetHealth()
	}
	r.mu.Unlock()
	group := r.group()
	for _, t := range r.tasks {
		if definition := group.LookupTask(t.Name()); definition != nil {
			t.Update(a, definition)
		}
	}
	if old.JobVersion() != a.JobVersion() || old.DeploymentStatus.IsCanary() != a.DeploymentStatus.IsCanary() {
		r.reoffer()
	}
	err := r.remember()
	r.poke()
	return err
}

// Stop ends the allocation whatever the servers want.
func (r *Runner) Stop() {
	r.mu.Lock()
	r.stopping = true
	r.mu.Unlock()
	r.poke()
}

// StopNow ends the allocation without any shutdown_delay.
func (r *Runner) StopNow() {
	r.mu.Lock()
	r.noDelay = true
	r.mu.Unlock()
	r.Stop()
}

// Restart ends running tasks and starts them again: the named one, or all.
func (r *Runner) Restart(name, reason string) error {
	if name != "" {
		t := r.task(name)
		if t == nil {
			return fmt.Errorf("restart task %q: %w", name, ErrUnknownTask)
		}
		return t.Restart(task.CauseUser, reason)
	}
	return r.each(func(t *task.Runner) error { return t.Restart(task.CauseUser, reason) })
}

// StopAfterDisconnect is how long the allocation goes on while the servers
// can't be reached; zero means for ever.
func (r *Runner) StopAfterDisconnect() time.Duration {
	group := r.group()
	if d := group.Disconnect; d != nil && d.StopOnClientAfter != nil {
		return *d.StopOnClientAfter
	}
	return structs.Value(group.StopAfterClientDisconnect)
}

// Signal sends a signal to the named task, or to all that run.
func (r *Runner) Signal(ctx context.Context, name, signal string) error {
	const reason = "Signal requested by a user"
	if name != "" {
		t := r.task(name)
		if t == nil {
			return fmt.Errorf("signal task %q: %w", name, ErrUnknownTask)
		}
		return t.Signal(ctx, signal, reason)
	}
	return r.each(func(t *task.Runner) error { return t.Signal(ctx, signal, reason) })
}

// each calls f for every running task; that none runs is an error.
func (r *Runner) each(f func(*task.Runner) error) error {
	var errs []error
	ran := false
	for _, t := range r.tasks {
		err := f(t)
		if errors.Is(err, task.ErrNotRunning) {
			continue
		}
		ran = true
		errs = append(errs, err)
	}
	if !ran {
		return fmt.Errorf("allocation %s: %w", r.id, task.ErrNotRunning)
	}
	return errors.Join(errs...)
}

// Task returns the runner of a task, or nil.
func (r *Runner) Task(name string) *task.Runner { return r.task(name) }

// Tasks returns the runners of all tasks.
func (r *Runner) Tasks() []*task.Runner { return r.tasks }

// TaskNames are the names of the group's tasks.
func (r *Runner) TaskNames() []string { return taskNames(r.group()) }

// DriverEvent adds what a driver tells of a task to the task's events.
func (r *Runner) DriverEvent(name string, e *structs.TaskEvent) {
	if t := r.task(name); t != nil {
		t.Emit(e)
	}
}

// Poke has the group looked at again: a check has changed.
func (r *Runner) Poke() { r.poke() }

// Destroy removes everything the allocation left on the node. Its tasks must
// be dead.
func (r *Runner) Destroy() error {
	if err := r.dir.Destroy(); err != nil {
		return err
	}
	failpoint.Here(failpoint.AllocRemoved)
	err := r.host.Memory.DeleteAlloc(r.id)
	failpoint.Here(failpoint.AllocForgotten)
	return err
}

func (r *Runner) task(name string) *task.Runner {
	for _, t := range r.tasks {
		if t.Name() == name {
			return t
		}
	}
	return nil
}

func (r *Runner) group() *structs.TaskGroup {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alloc.Job.LookupTaskGroup(r.alloc.TaskGroup)
}

func (r *Runner) resetHealth() {
	r.rule, r.judged = RuleFor(r.alloc, r.host.Task.Clock.Now())
	r.judgement, r.health = Judgement{}, nil
}

func (r *Runner) isStopping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopping
}

func (r *Runner) isNoDelay() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.noDelay
}

func (r *Runner) killReason() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping {
		return r.alloc.DesiredDescription
	}
	return ""
}

// finished reports whether every task is dead already.
func (r *Runner) finished() bool {
	for _, v := range r.Views() {
		if !v.dead() {
			return false
		}
	}
	return true
}

func (r *Runner) anyRunning() bool {
	for _, v := range r.Views() {
		if v.running() {
			return true
		}
	}
	return false
}

func (r *Runner) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// watcher is how tasks reach their allocation.
type watcher Runner

// Changed implements task.Watcher.
func (w *watcher) Changed(string) { (*Runner)(w).poke() }

// Up implements task.Watcher: it offers the task's services.
func (w *watcher) Up(_ context.Context, name string, env *taskenv.Env, network *drivers.Network) {
	r := (*Runner)(w)
	r.mu.Lock()
	r.up[name] = running{env, network}
	r.mu.Unlock()
	r.host.Services.Resume(r.id)
	r.offer(name)
}

// Down implements task.Watcher: it takes the task's services back.
func (w *watcher) Down(ctx context.Context, name string) {
	r := (*Runner)(w)
	r.mu.Lock()
	_, was := r.up[name]
	delete(r.up, name)
	r.mu.Unlock()
	if was {
		r.host.Services.Rest(r.id)
	}
	r.host.Services.Remove(ctx, r.id, name)
}

// offer registers the services of a task that is up.
func (r *Runner) offer(name string) {
	r.mu.Lock()
	u, ok := r.up[name]
	a := r.alloc
	r.mu.Unlock()
	definition := r.group().LookupTask(name)
	if !ok || definition == nil || len(definition.Services) == 0 {
		return
	}
	r.add(service.Workload{Alloc: a, Task: name, Services: definition.Services, Env: u.env, Network: u.network})
}

func (r *Runner) add(w service.Workload) {
	w.Node = r.host.Task.Node()
	w.Restart, w.Exec = r.restartUnhealthy, r.runScript
	for _, err := range r.host.Services.Add(w) {
		for _, t := range r.tasks {
			if w.Task == "" || w.Task == t.Name() {
				t.Emit(task.Message(structs.TaskHookMessage, "%v", err))
			}
		}
	}
}

// restartUnhealthy is called when a check asks for a restart.
func (r *Runner) restartUnhealthy(name, reason string) {
	for _, v := range r.Views() {
		if v.Task.Name == name || name == "" && v.Task.IsMain() {
			// A task that doesn't run needs no restart.
			_ = r.task(v.Task.Name).Restart(task.CauseUnhealthy, reason)
		}
	}
}

// groupServices offers the group's services once its main tasks were started, and
// takes them back as soon as the group is about to end by itself.
func (r *Runner) groupServices(ctx context.Context, views []View) {
	group := r.group()
	ready := len(group.Services) > 0
	for _, v := range views {
		if v.Task.IsMain() {
			ready = ready && v.started()
		}
	}
	if f := survey(views); f.mainsDead || f.leaderDead || f.failed != "" {
		r.dropGroupServices(ctx)
		return
	}
	r.mu.Lock()
	start := ready && !r.groupUp && !r.stopping && !r.again && !r.late
	if start {
		r.groupUp = true
	}
	r.mu.Unlock()
	if start {
		r.offerGroup()
	}
}

func (r *Runner) offerGroup() {
	a := r.Alloc()
	env := taskenv.Build(taskenv.Input{Node: r.host.Task.Node(), Region: r.host.Task.Region, Alloc: a})
	r.add(service.Workload{Alloc: a, Services: r.group().Services, Env: env})
}

func (r *Runner) dropGroupServices(ctx context.Context) {
	r.mu.Lock()
	was := r.groupUp
	r.groupUp = false
	r.mu.Unlock()
	if was {
		r.host.Services.Remove(ctx, r.id, "")
	}
}

// reoffer registers anew what is offered, after the job has changed in place.
func (r *Runner) reoffer() {
	r.mu.Lock()
	names := make([]string, 0, len(r.up))
	for name := range r.up {
		names = append(names, name)
	}
	groupUp := r.groupUp && !r.stopping
	r.mu.Unlock()
	for _, name := range names {
		r.offer(name)
	}
	if groupUp {
		r.offerGroup()
	}
}
