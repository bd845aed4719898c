package task

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/client/clienttest"
	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/client/taskenv"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/structs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 5 * time.Second

// world is a task and everything around it.
type world struct {
	t      *testing.T
	driver *clienttest.Driver
	memory *clienttest.Memory
	clock  *clock.Manual
	alloc  *structs.Allocation
	task   *structs.Task
	base   allocdir.Base
	runner *Runner

	mu   sync.Mutex
	told []string // up, down
	stop func()
}

func newWorld(t *testing.T, jobType string, change func(*structs.Task)) *world {
	t.Helper()
	name, id, namespace := "group", "job", "default"
	task := &structs.Task{Name: "web", Driver: clienttest.Name, RestartPolicy: policy(2, "fail"), Config: map[string]any{}}
	if change != nil {
		change(task)
	}
	job := &structs.Job{ID: &id, Name: &id, Namespace: &namespace, Type: &jobType,
		TaskGroups: []*structs.TaskGroup{{Name: &name, Tasks: []*structs.Task{task}}}}
	w := &world{
		t: t, driver: clienttest.New(), memory: clienttest.NewMemory(),
		clock: clock.NewManual(time.Unix(1_700_000_000, 0)), task: task,
		alloc: &structs.Allocation{ID: "11111111-2222-3333-4444-555555555555", Name: "job.group[0]", JobID: id, Job: job, TaskGroup: name, Namespace: namespace},
		base:  allocdir.Base{Path: t.TempDir()},
	}
	if _, err := w.base.Build(w.alloc.ID); err != nil {
		t.Fatal(err)
	}
	w.start(nil)
	return w
}

// start makes a runner and lets it run, as an agent does that was started.
func (w *world) start(restored *local.Task) {
	node := &structs.Node{ID: "n", Name: "node"}
	w.runner = New(Config{
		Host: Host{
			Drivers: clienttest.NewCatalog(w.driver), Memory: w.memory, Clock: w.clock, Logger: logx.Discard(),
			Node: func() *structs.Node { return node }, Region: "global", MaxKillTimeout: 30 * time.Second,
			Random: func() float64 { return 0 },
		},
		Alloc: w.alloc, Task: w.task, Dir: w.base.Dir(w.alloc.ID), Watcher: w, Restored: restored,
	})
	w.runner.Open()
	ctx, cancel := context.WithCancel(context.Background())
	group := loop.New(ctx)
	group.Go("runner", w.runner.Run)
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := group.Wait(); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(w.stop)
}

// restartAgent ends the runner and starts one that knows what was written.
func (w *world) restartAgent() {
	w.stop()
	w.start(w.memory.Task(w.alloc.ID, w.task.Name))
}

func (w *world) Changed(string) {}

func (w *world) Up(_ context.Context, name string, env *taskenv.Env, _ *drivers.Network) {
	w.tell("up " + name + " " + env.Get("NOMAD_TASK_NAME"))
}

func (w *world) Down(_ context.Context, name string) { w.tell("down " + name) }

func (w *world) tell(what string) {
	w.mu.Lock()
	w.told = append(w.told, what)
	w.mu.Unlock()
}

func (w *world) eventually(what string, cond func(*structs.TaskState) bool) *structs.TaskState {
	w.t.Helper()
	var last *structs.TaskState
	testx.Eventually(w.t, patience, what, func() bool {
		last = w.runner.State()
		return cond(last)
	})
	return last
}

func (w *world) running() *structs.TaskState {
	w.t.Helper()
	return w.eventually("the task runs", func(s *structs.TaskState) bool { return s.State == structs.TaskStateRunning })
}

func (w *world) dead() *structs.TaskState {
	w.t.Helper()
	return w.eventually("the task is dead", func(s *structs.TaskState) bool { return s.State == structs.TaskStateDead })
}

func types(s *structs.TaskState) string {
	var out []string
	for _, e := range s.Events {
		out = append(out, e.Type)
		if e.DisplayMessage == "" || e.Time == 0 {
			out = append(out, "(without message or time)")
		}
	}
	return strings.Join(out, ", ")
}

func TestBatchTaskCompletes(t *testing.T) {
	w := newWorld(t, structs.JobTypeBatch, nil)
	w.running()
	w.driver.Exit(w.alloc.ID, "web", 0)
	s := w.dead()
	if s.Failed || s.Restarts != 0 || s.FinishedAt.IsZero() {
		t.Errorf("state %+v", s)
	}
	if got, want := types(s), "Received, Task Setup, Started, Terminated"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	if m := w.memory.Task(w.alloc.ID, "web"); m.State.State != structs.TaskStateDead || m.Handle != nil {
		t.Errorf("memory %+v", m)
	}
}

func TestFailingTaskIsRestartedThenFails(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, nil)
	for i := uint64(0); i < 2; i++ {
		w.running()
		w.driver.Exit(w.alloc.ID, "web", 1)
		s := w.eventually("the task waits for its restart", func(s *structs.TaskState) bool {
			return s.State == structs.TaskStatePending && s.Restarts == i+1
		})
		if last := s.Events[len(s.Events)-1]; last.Type != structs.TaskRestarting || last.StartDelay != int64(8*time.Second) {
			t.Errorf("last event %+v", last)
		}
		w.advance(8 * time.Second)
	}
	w.running()
	w.driver.Exit(w.alloc.ID, "web", 1)
	s := w.dead()
	if !s.Failed || s.Restarts != 2 {
		t.Errorf("state %+v", s)
	}
	if last := s.Events[len(s.Events)-1]; last.Type != structs.TaskNotRestarting || !last.FailsTask {
		t.Errorf("last event %+v", last)
	}
	if len(s.Events) != MaxEvents {
		t.Errorf("%d events are kept", len(s.Events))
	}
}

// advance moves the clock once somebody waits for it.
func (w *world) advance(d time.Duration) {
	w.t.Helper()
	testx.Eventually(w.t, patience, "somebody waits for the clock", func() bool {
		_, waiting := w.clock.Next()
		return waiting
	})
	w.clock.Advance(d)
}

func TestKillStopsInOrder(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, func(task *structs.Task) {
		timeout := time.Hour
		task.KillTimeout, task.KillSignal = &timeout, "SIGTERM"
	})
	w.running()
	w.runner.Kill(Kill{Reason: "because"})
	s := w.dead()
	if s.Failed {
		t.Error("a task that was asked to end has failed")
	}
	if got, want := types(s), "Received, Task Setup, Started, Killing, Terminated, Killed"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	if calls := w.driver.Calls(); !slices.Contains(calls, "stop web 30s SIGTERM") {
		t.Errorf("calls %v: the timeout is not capped, or the signal is wrong", calls)
	}
	if w.told[1] != "down web" {
		t.Errorf("told %v", w.told)
	}
}

func TestShutdownDelayComesBeforeTheSignal(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, func(task *structs.Task) { task.ShutdownDelay = time.Minute })
	w.running()
	w.runner.Kill(Kill{})
	w.eventually("the delay has begun", func(s *structs.TaskState) bool {
		return s.Events[len(s.Events)-1].Type == structs.TaskWaitingShutdownDelay
	})
	if len(w.driver.Running()) != 1 {
		t.Fatal("the task was ended before its delay")
	}
	w.runner.Kill(Kill{NoDelay: true}) // somebody is in a hurry
	w.runner.poke()
	w.dead()
}

func TestRestartByPersonIsNotCounted(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, nil)
	first := w.running()
	if err := w.runner.Restart(CauseUser, "please"); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "the task is started again", func() bool { return len(w.driver.Starts()) == 2 })
	s := w.running()
	if s.Restarts != 1 || s.Failed || first.Restarts != 0 {
		t.Errorf("state %+v", s)
	}
	if used := w.memory.Task(w.alloc.ID, "web").Window.Used; used != 0 {
		t.Errorf("%d restarts are counted", used)
	}
	starts := w.driver.Starts()
	if starts[0].ID == starts[1].ID || !strings.HasPrefix(starts[0].ID, w.alloc.ID+"/web/") {
		t.Errorf("ids %s, %s", starts[0].ID, starts[1].ID)
	}
}

func TestAgentRestartFindsTheTaskAgain(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, nil)
	before := w.running()
	w.restartAgent()
	testx.Eventually(t, patience, "the task is taken back", func() bool { return slices.Contains(w.driver.Calls(), "recover web") })
	after := w.running()
	if len(w.driver.Starts()) != 1 || after.Restarts != 0 || !after.StartedAt.Equal(before.StartedAt) {
		t.Errorf("starts %d, state %+v", len(w.driver.Starts()), after)
	}
	// And it is still ours.
	testx.Eventually(t, patience, "the runner is past recovery", func() bool { return w.runner.Restart(CauseUser, "x") == nil })
	testx.Eventually(t, patience, "the task is started again", func() bool { return len(w.driver.Starts()) == 2 })
}

func TestTaskThatEndedMeanwhileIsNoticed(t *testing.T) {
	w := newWorld(t, structs.JobTypeBatch, nil)
	w.running()
	w.stop()
	w.driver.Exit(w.alloc.ID, "web", 3)
	w.task.RestartPolicy = policy(0, "fail")
	w.start(w.memory.Task(w.alloc.ID, "web"))
	if s := w.dead(); !s.Failed {
		t.Errorf("state %+v", s)
	}
}

func TestLostTaskIsStartedAnew(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, nil)
	w.running()
	w.stop()
	w.driver.Lose()
	w.start(w.memory.Task(w.alloc.ID, "web"))
	testx.Eventually(t, patience, "the task is started again", func() bool { return len(w.driver.Starts()) == 2 })
	s := w.running()
	if s.Restarts != 1 || !strings.Contains(types(s), structs.TaskRestoreFailed) {
		t.Errorf("restarts %d, events %s", s.Restarts, types(s))
	}
}

// The agent dies after the driver has started the task and before that could
// be written down.
func TestInterruptedStartIsTakenOver(t *testing.T) {
	for _, stop := range []bool{false, true} {
		w := newWorld(t, structs.JobTypeService, nil)
		w.running()
		w.stop()
		record := *w.memory.Task(w.alloc.ID, "web")
		handle := *record.Handle
		handle.DriverState, handle.State = nil, drivers.TaskUnknown
		record.Intent, record.Handle = local.IntentStart, &handle
		record.State = &structs.TaskState{State: structs.TaskStatePending}
		w.start(&record)
		if stop {
			w.runner.Kill(Kill{})
			w.dead()
			if left := w.driver.Running(); len(left) != 0 {
				t.Errorf("%v is left", left)
			}
			continue
		}
		w.running()
		if len(w.driver.Starts()) != 1 || len(w.driver.Running()) != 1 {
			t.Errorf("starts %d, running %v", len(w.driver.Starts()), w.driver.Running())
		}
	}
}

func TestAgentThatDiedWhileKillingGoesOnKilling(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, nil)
	w.running()
	w.driver.Deaf(true)
	w.runner.Kill(Kill{})
	testx.Eventually(t, patience, "the driver is asked", func() bool { return slices.Contains(w.driver.Calls(), "stop web 5s") })
	w.restartAgent()
	w.driver.Deaf(false)
	w.driver.Exit(w.alloc.ID, "web", 0)
	w.dead()
	if len(w.driver.Starts()) != 1 {
		t.Error("the task was started again")
	}
}

func TestFatalAndRecoverableStarts(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, nil)
	w.running()
	w.driver.FailStart(drivers.Recoverable(errors.New("registry is away")), errors.New("image does not exist"))
	if err := w.runner.Restart(CauseUser, "x"); err != nil {
		t.Fatal(err)
	}
	w.eventually("the recoverable failure waits", func(s *structs.TaskState) bool { return s.Restarts == 2 })
	w.advance(8 * time.Second)
	s := w.dead()
	if !s.Failed || !strings.Contains(types(s), structs.TaskDriverFailure) {
		t.Errorf("state %+v, events %s", s, types(s))
	}
}

func TestKillInterruptsAStart(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, nil)
	w.running()
	defer w.driver.HoldStart()()
	if err := w.runner.Restart(CauseUser, "x"); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "the second start is under way", func() bool {
		n := 0
		for _, call := range w.driver.Calls() {
			if call == "start web" {
				n++
			}
		}
		return n == 2
	})
	w.runner.Kill(Kill{})
	if s := w.dead(); s.Failed {
		t.Errorf("state %+v", s)
	}
	if running := w.driver.Running(); len(running) != 0 {
		t.Errorf("%v still run", running)
	}
}

func TestInvalidAndUnbuiltConfigurations(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(*structs.Task)
		event  string
		word   string
	}{
		{"config", func(x *structs.Task) { x.Config["invalid"] = 1 }, structs.TaskFailedValidation, "invalid label"},
		{"artifact", func(x *structs.Task) { x.Artifacts = []*structs.TaskArtifact{{}} }, structs.TaskSetupFailure, "not built"},
		{"template", func(x *structs.Task) { x.Templates = []*structs.Template{{}} }, structs.TaskSetupFailure, "not built"},
		{"driver", func(x *structs.Task) { x.Driver = "nope" }, structs.TaskDriverFailure, "unknown on this node"},
		{"volume", func(x *structs.Task) { v := "data"; x.VolumeMounts = []*structs.VolumeMount{{Volume: &v}} }, structs.TaskFailedValidation, "not declared"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t, structs.JobTypeService, c.change)
			s := w.dead()
			if !s.Failed || !strings.Contains(types(s), c.event) {
				t.Fatalf("failed %v, events %s", s.Failed, types(s))
			}
			found := false
			for _, e := range s.Events {
				found = found || e.Type == c.event && strings.Contains(e.DisplayMessage, c.word)
			}
			if !found {
				t.Errorf("no event %q says %q", c.event, c.word)
			}
		})
	}
}

func TestConfigHandedToTheDriver(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, func(task *structs.Task) {
		cpu, memory, most := 250, 64, 128
		task.Resources = &structs.Resources{CPU: &cpu, MemoryMB: &memory, MemoryMaxMB: &most}
		task.Env = map[string]string{"WHERE": "${NOMAD_TASK_DIR}"}
	})
	w.running()
	config := w.driver.Starts()[0]
	if config.Resources.Linux.MemoryLimitBytes != 128<<20 || config.Resources.Linux.CPUShares != 250 {
		t.Errorf("resources %+v", config.Resources.Linux)
	}
	if config.AllocDir != w.base.Dir(w.alloc.ID).Path() || config.Env["WHERE"] != config.TaskDir()+"/local" {
		t.Errorf("directory %s, env %v", config.AllocDir, config.Env["WHERE"])
	}
	if config.Logs == nil || config.Logs.MaxFiles != 10 || config.Logs.MaxFileSizeMB != 10 {
		t.Errorf("logs %+v", config.Logs)
	}
}
