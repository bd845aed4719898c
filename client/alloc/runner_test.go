package alloc

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/client/clienttest"
	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/client/service"
	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/structs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 5 * time.Second

// offers remembers which workloads are offered.
type offers struct {
	mu     sync.Mutex
	now    map[string]service.Workload
	told   []string
	checks map[string]*structs.AllocCheckStatus
}

func (o *offers) Add(w service.Workload) []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now[w.Task] = w
	o.told = append(o.told, "add "+w.Task)
	return nil
}

func (o *offers) Remove(_ context.Context, _, task string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.now[task]; ok {
		o.told = append(o.told, "remove "+task)
	}
	delete(o.now, task)
}

func (o *offers) Rest(string) { o.note("rest") }

func (o *offers) Resume(string) { o.note("resume") }

func (o *offers) note(what string) {
	o.mu.Lock()
	o.told = append(o.told, what)
	o.mu.Unlock()
}

func (o *offers) Checks(string) map[string]*structs.AllocCheckStatus {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.checks
}

func (o *offers) offered(task string) (service.Workload, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w, ok := o.now[task]
	return w, ok
}

// world is a node on which allocations run.
type world struct {
	t       *testing.T
	driver  *clienttest.Driver
	memory  *clienttest.Memory
	clock   *clock.Manual
	offers  *offers
	host    Host
	runners map[string]*Runner
	stops   map[string]func()
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, driver: clienttest.New(), memory: clienttest.NewMemory(),
		clock:  clock.NewManual(time.Unix(1_700_000_000, 0)),
		offers: &offers{now: map[string]service.Workload{}}, runners: map[string]*Runner{}, stops: map[string]func(){},
	}
	node := &structs.Node{ID: "n", Name: "node"}
	w.host = Host{
		Task: task.Host{
			Drivers: clienttest.NewCatalog(w.driver), Memory: w.memory, Clock: w.clock, Logger: logx.Discard(),
			Node: func() *structs.Node { return node }, Region: "global", MaxKillTimeout: 30 * time.Second,
			Random: func() float64 { return 0 },
		},
		Memory: w.memory, Services: w.offers, Dirs: allocdir.Base{Path: t.TempDir()},
		Changed: func(string) {}, Previous: func(id string) *Runner { return w.runners[id] },
	}
	return w
}

func p[T any](v T) *T { return &v }

// group makes an allocation of a group drawn as in parse, without states.
func (w *world) alloc(id, jobType string, tasks ...string) *structs.Allocation {
	g := &structs.TaskGroup{Name: p("g"), RestartPolicy: &structs.RestartPolicy{
		Attempts: p(0), Interval: p(time.Minute), Delay: p(time.Second), Mode: p("fail"),
	}}
	for _, word := range tasks {
		name, kind, _ := strings.Cut(strings.TrimSuffix(word, "]"), "[")
		task := draw(w.t, name, kind)
		task.Driver = clienttest.Name
		g.Tasks = append(g.Tasks, task)
	}
	job := &structs.Job{ID: p("job"), Name: p("job"), Type: p(jobType), Version: p(uint64(0)), TaskGroups: []*structs.TaskGroup{g}}
	return &structs.Allocation{ID: id, Name: "job.g[0]", JobID: "job", Job: job, TaskGroup: "g", Namespace: "default", DesiredStatus: "run"}
}

func (w *world) start(a *structs.Allocation, restored *local.Alloc) *Runner {
	r := New(w.host, a, restored)
	w.runners[a.ID] = r
	ctx, cancel := context.WithCancel(context.Background())
	group := loop.New(ctx)
	group.Go("runner", r.Run)
	w.stops[a.ID] = sync.OnceFunc(func() {
		cancel()
		if err := group.Wait(); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(w.stops[a.ID])
	return r
}

func (w *world) status(r *Runner, want string) *structs.AllocUpdate {
	w.t.Helper()
	var last *structs.AllocUpdate
	testx.Eventually(w.t, patience, r.ID()+" is "+want, func() bool {
		last = r.Status()
		return last.ClientStatus == want
	})
	return last
}

// edited returns a copy of an allocation as the servers would send it next.
func edited(a *structs.Allocation, change func(*structs.Allocation)) *structs.Allocation {
	next := a.Clone()
	change(next)
	return next
}

func stop(a *structs.Allocation) *structs.Allocation {
	return edited(a, func(a *structs.Allocation) {
		a.DesiredStatus, a.DesiredDescription = "stop", "alloc not needed due to job update"
	})
}

func TestBatchAllocationCompletes(t *testing.T) {
	w := newWorld(t)
	r := w.start(w.alloc("a1", "batch", "x", "y"), nil)
	w.status(r, "running")
	testx.Eventually(t, patience, "x runs", func() bool { return w.driver.Exit("a1", "x", 0) })
	testx.Eventually(t, patience, "y runs", func() bool { return w.driver.Exit("a1", "y", 0) })
	u := w.status(r, "complete")
	<-r.Done()
	if len(u.TaskStates) != 2 || u.TaskStates["x"].Failed {
		t.Errorf("states %+v", u.TaskStates)
	}
	if err := r.Destroy(); err != nil {
		t.Fatal(err)
	}
	if r.Dir().Exists() || w.memory.Alloc("a1") != nil {
		t.Error("something is left")
	}
}

func TestFailureEndsTheSiblings(t *testing.T) {
	w := newWorld(t)
	r := w.start(w.alloc("a1", "batch", "x", "y"), nil)
	testx.Eventually(t, patience, "both run", func() bool { return len(w.driver.Running()) == 2 })
	w.driver.Exit("a1", "x", 1)
	u := w.status(r, "failed")
	if !u.TaskStates["x"].Failed || u.TaskStates["y"].Failed {
		t.Errorf("failed: x %v, y %v", u.TaskStates["x"].Failed, u.TaskStates["y"].Failed)
	}
	if !slices.ContainsFunc(u.TaskStates["y"].Events, func(e *structs.TaskEvent) bool { return e.Type == structs.TaskSiblingFailed }) {
		t.Error("y was not told why")
	}
}

func TestLifecycleOrder(t *testing.T) {
	w := newWorld(t)
	r := w.start(w.alloc("a1", "service", "main", "init[pre]", "proxy[pre+]", "note[post]", "clean[stop]"), nil)
	testx.Eventually(t, patience, "prestart tasks run", func() bool { return len(w.driver.Running()) == 2 })
	if calls := w.driver.Calls(); slices.Contains(calls, "start main") {
		t.Fatalf("calls %v", calls)
	}
	w.driver.Exit("a1", "init", 0)
	testx.Eventually(t, patience, "the poststart task runs", func() bool { return w.driver.Exit("a1", "note", 0) })
	if err := r.Update(stop(r.Alloc())); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "the poststop task runs", func() bool { return w.driver.Exit("a1", "clean", 0) })
	w.status(r, "complete")
	var order []string
	for _, call := range w.driver.Calls() {
		if verb, rest, _ := strings.Cut(call, " "); verb == "start" || verb == "stop" {
			order = append(order, verb+" "+strings.Fields(rest)[0])
		}
	}
	for _, pair := range [][2]string{{"start main", "start note"}, {"stop main", "stop proxy"}, {"stop proxy", "start clean"}} {
		if slices.Index(order, pair[0]) >= slices.Index(order, pair[1]) {
			t.Errorf("%s came after %s: %v", pair[0], pair[1], order)
		}
	}
}

func TestServicesComeUpWithTasksAndGoBeforeTheirEnd(t *testing.T) {
	w := newWorld(t)
	a := w.alloc("a1", "service", "web")
	g := a.Job.TaskGroups[0]
	g.Services = []*structs.Service{{Name: "group", Provider: "nomad"}}
	g.ShutdownDelay = p(time.Minute)
	g.Tasks[0].Services = []*structs.Service{{Name: "task", Provider: "nomad"}}
	r := w.start(a, nil)
	testx.Eventually(t, patience, "both are offered", func() bool {
		_, group := w.offers.offered("")
		_, task := w.offers.offered("web")
		return group && task
	})
	if err := r.Update(stop(a)); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "the group's services are gone", func() bool {
		_, group := w.offers.offered("")
		return !group
	})
	if len(w.driver.Running()) != 1 {
		t.Fatal("the task was ended before the group's shutdown_delay")
	}
	w.clock.Advance(time.Minute)
	w.status(r, "complete")
	w.offers.mu.Lock()
	defer w.offers.mu.Unlock()
	// The group's services may come before the task's: both wait for its start.
	told := strings.ReplaceAll(strings.Join(w.offers.told, ", "), "add , resume, add web", "resume, add web, add ")
	told = strings.ReplaceAll(told, "resume, add , add web", "resume, add web, add ")
	if told != "resume, add web, add , remove , rest, remove web" {
		t.Errorf("told %s", told)
	}
}

func TestHealthOfADeployment(t *testing.T) {
	w := newWorld(t)
	a := w.alloc("a1", "service", "web")
	a.DeploymentID = "d1"
	a.Job.TaskGroups[0].Update = &structs.UpdateStrategy{MinHealthyTime: p(10 * time.Second), HealthyDeadline: p(time.Minute)}
	a.DeploymentStatus = &structs.AllocDeploymentStatus{Canary: true}
	r := w.start(a, nil)
	w.status(r, "running")
	if r.Status().DeploymentStatus != nil {
		t.Error("it is judged at once")
	}
	testx.Eventually(t, patience, "it is healthy", func() bool {
		w.clock.Advance(time.Second)
		return r.Status().DeploymentStatus.IsHealthy()
	})
	if !r.Status().DeploymentStatus.IsCanary() {
		t.Error("the canary flag is lost")
	}
	// A new deployment that changes it in place asks anew.
	next := edited(a, func(a *structs.Allocation) { a.DeploymentID, a.Job.Version = "d2", p(uint64(1)) })
	if err := r.Update(next); err != nil {
		t.Fatal(err)
	}
	if r.Status().DeploymentStatus.HasHealth() {
		t.Error("the old verdict stays")
	}
	testx.Eventually(t, patience, "it is healthy again", func() bool {
		w.clock.Advance(time.Second)
		return r.Status().DeploymentStatus.IsHealthy()
	})
	if len(w.driver.Starts()) != 1 {
		t.Error("an update in place has restarted the task")
	}
}

func TestUnhealthyTellsWhy(t *testing.T) {
	w := newWorld(t)
	w.offers.checks = results("failure")
	a := w.alloc("a1", "service", "web")
	a.DeploymentID = "d1"
	a.Job.TaskGroups[0].Update = &structs.UpdateStrategy{MinHealthyTime: p(time.Second), HealthyDeadline: p(time.Minute)}
	r := w.start(a, nil)
	w.status(r, "running")
	testx.Eventually(t, patience, "it is unhealthy", func() bool {
		w.clock.Advance(10 * time.Second)
		return r.Status().DeploymentStatus.IsUnhealthy()
	})
	events := r.Status().TaskStates["web"].Events
	last := events[len(events)-1]
	if last.Type != eventUnhealthy || !strings.Contains(last.DisplayMessage, `check "failure" is failure`) {
		t.Errorf("last event %+v", last)
	}
}

func TestAgentRestartKeepsTheAllocation(t *testing.T) {
	w := newWorld(t)
	a := w.alloc("a1", "service", "web", "init[pre]")
	r := w.start(a, nil)
	testx.Eventually(t, patience, "init runs", func() bool { return w.driver.Exit("a1", "init", 0) })
	testx.Eventually(t, patience, "web runs", func() bool { return r.Task("web").State().State == "running" })
	w.stops["a1"]()
	again := w.start(w.memory.Alloc("a1").Alloc, w.memory.Alloc("a1"))
	testx.Eventually(t, patience, "web is taken back", func() bool { return slices.Contains(w.driver.Calls(), "recover web") })
	u := w.status(again, "running")
	if len(w.driver.Starts()) != 2 || u.TaskStates["web"].Restarts != 0 {
		t.Errorf("%d starts, %d restarts", len(w.driver.Starts()), u.TaskStates["web"].Restarts)
	}
	if err := again.Update(stop(a)); err != nil {
		t.Fatal(err)
	}
	w.status(again, "complete")
}

func TestAllocationThatHadEndedStaysSo(t *testing.T) {
	w := newWorld(t)
	r := w.start(w.alloc("a1", "batch", "x"), nil)
	testx.Eventually(t, patience, "x runs", func() bool { return w.driver.Exit("a1", "x", 0) })
	w.status(r, "complete")
	<-r.Done()
	w.stops["a1"]()
	again := w.start(w.memory.Alloc("a1").Alloc, w.memory.Alloc("a1"))
	<-again.Done()
	if again.Status().ClientStatus != "complete" || len(w.driver.Starts()) != 1 {
		t.Errorf("status %s, %d starts", again.Status().ClientStatus, len(w.driver.Starts()))
	}
}

func TestReplacementWaitsForItsPredecessorAndTakesItsData(t *testing.T) {
	w := newWorld(t)
	old := w.alloc("a1", "service", "web")
	old.Job.TaskGroups[0].EphemeralDisk = &structs.EphemeralDisk{Sticky: p(true)}
	first := w.start(old, nil)
	w.status(first, "running")
	if err := os.WriteFile(filepath.Join(first.Dir().SharedPath(), "data", "db"), []byte("rows"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.driver.Deaf(true)
	if err := first.Update(stop(old)); err != nil {
		t.Fatal(err)
	}
	next := edited(old, func(a *structs.Allocation) { a.ID, a.PreviousAllocation = "a2", "a1" })
	second := w.start(next, nil)
	testx.Eventually(t, patience, "the old one is being ended", func() bool {
		return slices.ContainsFunc(w.driver.Calls(), func(c string) bool { return strings.HasPrefix(c, "stop web") })
	})
	if second.Status().ClientStatus != "pending" || len(w.driver.Starts()) != 1 {
		t.Fatal("the replacement has not waited")
	}
	w.driver.Exit("a1", "web", 0)
	w.status(second, "running")
	if _, err := second.Dir().OpenFile("alloc/data/db"); err != nil {
		t.Error(err)
	}
}

func TestMaxRunDurationFails(t *testing.T) {
	w := newWorld(t)
	a := w.alloc("a1", "batch", "x")
	a.Job.TaskGroups[0].MaxRunDuration = p(time.Hour)
	r := w.start(a, nil)
	w.status(r, "running")
	w.clock.Advance(59 * time.Minute)
	if r.Status().ClientStatus != "running" {
		t.Fatal("it was ended too early")
	}
	testx.Eventually(t, patience, "it fails", func() bool {
		w.clock.Advance(time.Minute)
		return r.Status().ClientStatus == "failed"
	})
}

func TestUnhealthyCheckRestartsItsTask(t *testing.T) {
	w := newWorld(t)
	a := w.alloc("a1", "service", "web")
	a.Job.TaskGroups[0].RestartPolicy.Attempts = p(1)
	a.Job.TaskGroups[0].Tasks[0].Services = []*structs.Service{{Name: "task", Provider: "nomad"}}
	r := w.start(a, nil)
	testx.Eventually(t, patience, "the service is offered", func() bool { _, ok := w.offers.offered("web"); return ok })
	first, _ := w.offers.offered("web")
	first.Restart("web", "check failed")
	testx.Eventually(t, patience, "the task is started again", func() bool {
		w.clock.Advance(time.Second)
		return len(w.driver.Starts()) == 2
	})
	w.status(r, "running")
	testx.Eventually(t, patience, "the service is offered again", func() bool { _, ok := w.offers.offered("web"); return ok })
	again, _ := w.offers.offered("web")
	again.Restart("web", "check failed")
	w.status(r, "failed")
}

func TestUserCommands(t *testing.T) {
	w := newWorld(t)
	r := w.start(w.alloc("a1", "service", "web", "other"), nil)
	testx.Eventually(t, patience, "both run", func() bool { return len(w.driver.Running()) == 2 && r.Status().ClientStatus == "running" })
	testx.Eventually(t, patience, "all can be signalled", func() bool { return r.Signal(t.Context(), "", "SIGHUP") == nil })
	if calls := w.driver.Calls(); !slices.Contains(calls, "signal web SIGHUP") || !slices.Contains(calls, "signal other SIGHUP") {
		t.Errorf("calls %v", calls)
	}
	if err := r.Restart("web", "x"); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "web is started again", func() bool { return len(w.driver.Starts()) == 3 })
	if err := r.Restart("nope", "x"); err == nil {
		t.Error("an unknown task was restarted")
	}
}
