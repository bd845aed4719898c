package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/client/alloc"
	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/client/clienttest"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// servers is a control plane of one node.
type servers struct {
	named     *link.ServiceSet // what WatchServices tells
	mu        sync.Mutex
	sets      []*link.AllocSet
	wake      chan struct{} // closed when sets grows
	nodes     []*structs.Node
	reported  map[string]*structs.AllocUpdate
	reports   int
	services  map[string]*structs.ServiceRegistration
	forgotten bool
	away      bool // heartbeats fail
	told      bool // the node knows that it is forgotten
	broken    bool
	ttl       time.Duration
	// slow is called with each report before the node has its answer, if set.
	slow func(updates []*structs.AllocUpdate)
}

func newServers() *servers {
	return &servers{
		wake: make(chan struct{}), reported: map[string]*structs.AllocUpdate{},
		services: map[string]*structs.ServiceRegistration{}, ttl: time.Second,
	}
}

var errAway = errors.New("the servers are away")

func (s *servers) Register(_ context.Context, n *structs.Node) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return 0, errAway
	}
	s.nodes = append(s.nodes, n)
	if s.told {
		s.forgotten, s.told = false, false
	}
	return s.ttl, nil
}

func (s *servers) Heartbeat(context.Context) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return 0, errAway
	}
	if s.forgotten {
		s.told = true
		return 0, link.ErrNodeUnknown
	}
	return s.ttl, nil
}

func (s *servers) WatchAllocs(ctx context.Context, from uint64, each func(*link.AllocSet) error) error {
	at := 0
	for {
		s.mu.Lock()
		sets, wake := s.sets[at:], s.wake
		at = len(s.sets)
		s.mu.Unlock()
		for _, set := range sets {
			if set.Index <= from {
				continue
			}
			if err := each(set); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
	}
}

func (s *servers) UpdateAllocs(_ context.Context, updates []*structs.AllocUpdate) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return errAway
	}
	s.reports++
	for _, u := range updates {
		s.reported[u.ID] = u
	}
	if slow := s.slow; slow != nil {
		s.mu.Unlock()
		slow(updates)
		s.mu.Lock()
	}
	return nil
}

func (s *servers) UpsertServices(_ context.Context, regs []*structs.ServiceRegistration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, reg := range regs {
		s.services[reg.ID] = reg
	}
	return nil
}

func (s *servers) SyncServices(_ context.Context, regs []*structs.ServiceRegistration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return errAway
	}
	s.services = map[string]*structs.ServiceRegistration{}
	for _, reg := range regs {
		s.services[reg.ID] = reg
	}
	return nil
}

func (s *servers) WatchServices(ctx context.Context, _ uint64, each func(*link.ServiceSet) error) error {
	s.mu.Lock()
	named := s.named
	s.mu.Unlock()
	if named != nil {
		if err := each(named); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *servers) DeleteServices(_ context.Context, _ string, ids []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.services, id)
	}
	return nil
}

// send delivers a set to the node.
func (s *servers) send(set link.AllocSet) {
	s.mu.Lock()
	set.Index = uint64(len(s.sets) + 1)
	s.sets = append(s.sets, &set)
	close(s.wake)
	s.wake = make(chan struct{})
	s.mu.Unlock()
}

func (s *servers) status(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.reported[id]; u != nil {
		return u.ClientStatus
	}
	return ""
}

func (s *servers) registrations() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.nodes)
}

// world is a node with its servers and its driver.
type world struct {
	t       *testing.T
	servers *servers
	driver  *clienttest.Driver
	cfg     Config
	client  *Client
	stop    func()
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, servers: newServers(), driver: clienttest.New()}
	w.cfg = Config{StateDir: t.TempDir(), AllocDir: t.TempDir(), NetworkInterface: "lo", Speaks: "1.2.3", Version: "0.1.0", NoHostUUID: true, Meta: map[string]string{"rack": "r1"},
		GC: GCConfig{DiskUsageThreshold: 100, InodeUsageThreshold: 100}} // whatever the disk of this machine holds
	if change != nil {
		change(&w.cfg)
	}
	t.Cleanup(func() { // secrets may be mounted
		base := allocdir.Base{Path: w.cfg.AllocDir}
		entries, err := os.ReadDir(base.Path)
		for _, entry := range entries {
			err = errors.Join(err, base.Dir(entry.Name()).Destroy())
		}
		if err != nil {
			t.Error(err)
		}
	})
	w.start()
	return w
}

// make makes the client and doesn't run it.
func (w *world) make() *Client {
	w.t.Helper()
	c, err := New(w.cfg, Deps{
		Connect: func(Identity, http.Handler) (Session, error) { return w.servers, nil },
		Drivers: clienttest.NewCatalog(w.driver), Logger: logx.Discard(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) start() {
	w.t.Helper()
	c := w.make()
	w.client = c
	ctx, cancel := context.WithCancel(context.Background())
	group := loop.New(ctx)
	group.Go("client", c.Run)
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := group.Wait(); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(w.stop)
}

func p[T any](v T) *T { return &v }

func sample(id, kind string) *structs.Allocation {
	task := &structs.Task{Name: "web", Driver: clienttest.Name, Services: []*structs.Service{{Name: "web", Provider: "nomad"}}}
	group := &structs.TaskGroup{Name: p("g"), Tasks: []*structs.Task{task}, RestartPolicy: &structs.RestartPolicy{
		Attempts: p(1), Interval: p(time.Minute), Delay: p(time.Millisecond), Mode: p("fail")}}
	job := &structs.Job{ID: p("job"), Name: p("job"), Type: &kind, Version: p(uint64(0)), TaskGroups: []*structs.TaskGroup{group}}
	return &structs.Allocation{ID: id, Name: "job.g[0]", JobID: "job", Job: job, TaskGroup: "g", Namespace: "default", DesiredStatus: "run"}
}

func stopped(a *structs.Allocation) *structs.Allocation {
	b := a.Clone()
	b.DesiredStatus = "stop"
	return b
}

func (w *world) eventually(id, status string) {
	w.t.Helper()
	testx.Eventually(w.t, patience, id+" is reported as "+status, func() bool { return w.servers.status(id) == status })
}

func TestNodeRegistersWhatItIs(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.DefaultIneligible, c.Datacenter = true, "dc7" })
	testx.Eventually(t, patience, "the node is registered", func() bool { return w.servers.registrations() > 0 })
	w.servers.mu.Lock()
	n := w.servers.nodes[0]
	w.servers.mu.Unlock()
	id := w.client.Identity()
	if n.ID != id.NodeID || n.SecretID != id.SecretID || n.Datacenter != "dc7" || n.NodePool != "default" || n.SchedulingEligibility != structs.NodeIneligible || n.Status != structs.NodeStatusReady {
		t.Errorf("node %+v", n)
	}
	if d := n.Drivers[clienttest.Name]; d == nil || !d.Healthy || n.Attributes["driver."+clienttest.Name] != "1" {
		t.Errorf("the first registration came without the driver: %v", n.Drivers)
	}
	if n.Attributes["nomad.version"] != "1.2.3" || n.Attributes["steppe.version"] != "0.1.0" || n.Attributes["nomad.service_discovery"] != "true" || n.Meta["rack"] != "r1" || n.NodeResources.MinDynamicPort != 20000 {
		t.Errorf("attributes %v, meta %v", n.Attributes, n.Meta)
	}
	w.stop()
	w.start()
	if w.client.Identity() != id {
		t.Error("the node has a new identity after a restart")
	}
}

func TestForgottenNodeRegistersAgain(t *testing.T) {
	w := newWorld(t, nil)
	a := sample("a1", "service")
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{a}})
	w.eventually("a1", "running")
	w.servers.mu.Lock()
	w.servers.forgotten = true
	w.servers.reported = map[string]*structs.AllocUpdate{}
	w.servers.services = map[string]*structs.ServiceRegistration{}
	w.servers.mu.Unlock()
	testx.Eventually(t, patience, "the node registers again", func() bool {
		w.servers.mu.Lock()
		defer w.servers.mu.Unlock()
		return !w.servers.forgotten
	})
	w.eventually("a1", "running")
	testx.Eventually(t, patience, "its services do so too", func() bool {
		w.servers.mu.Lock()
		defer w.servers.mu.Unlock()
		return len(w.servers.services) == 1
	})
}

func TestAllocationRunsStopsAndGoes(t *testing.T) {
	w := newWorld(t, nil)
	testx.Eventually(t, patience, "the node is registered", func() bool { return w.servers.registrations() > 0 })
	a := sample("a1", "service")
	began := time.Now()
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{a}})
	w.eventually("a1", "running")
	if took := time.Since(began); took > 300*time.Millisecond {
		t.Errorf("it took %s until the servers knew that it runs", took)
	}
	w.servers.send(link.AllocSet{Upserts: []*structs.Allocation{stopped(a)}})
	w.eventually("a1", "complete")
	dir := w.client.runner("a1").Dir()
	w.servers.send(link.AllocSet{Removed: []string{"a1"}})
	testx.Eventually(t, patience, "its directory is gone", func() bool { return !dir.Exists() })
	w.servers.mu.Lock()
	defer w.servers.mu.Unlock()
	if len(w.servers.services) != 0 {
		t.Errorf("services %v are left", w.servers.services)
	}
}

func TestWhatIsSentAgainIsNotWorkedInAgain(t *testing.T) {
	w := newWorld(t, nil)
	a := sample("a1", "service")
	a.AllocModifyIndex = 7
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{a}})
	w.eventually("a1", "running")
	again := a.Clone()
	next := a.Clone()
	next.AllocModifyIndex, next.Name = 8, "job.g[0]!"
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{again}})
	b := sample("b1", "service")
	w.servers.send(link.AllocSet{Upserts: []*structs.Allocation{b}}) // comes after it
	w.eventually("b1", "running")
	if w.client.runner("a1").Alloc() != a {
		t.Error("the same allocation was worked in twice")
	}
	w.servers.send(link.AllocSet{Upserts: []*structs.Allocation{next}})
	testx.Eventually(t, patience, "the change is worked in", func() bool { return w.client.runner("a1").Alloc() == next })
}

func TestFullSetEndsWhatIsNotInIt(t *testing.T) {
	w := newWorld(t, nil)
	a, b := sample("a1", "service"), sample("b1", "service")
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{a, b}})
	w.eventually("b1", "running")
	w.eventually("a1", "running")
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{b}})
	testx.Eventually(t, patience, "a1 is gone", func() bool { return w.client.runner("a1") == nil && len(w.driver.Running()) == 1 })
}

func TestAgentRestartKeepsTasks(t *testing.T) {
	w := newWorld(t, nil)
	a, b := sample("a1", "service"), sample("b1", "batch")
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{a, b}})
	w.eventually("a1", "running")
	w.eventually("b1", "running")
	before := w.driver.Running()
	w.stop()
	if after := w.driver.Running(); len(after) != len(before) {
		t.Fatalf("%d of %d tasks are left when the agent has ended", len(after), len(before))
	}
	w.driver.Exit("b1", "web", 0) // while nobody looks
	w.servers.mu.Lock()
	w.servers.reported = map[string]*structs.AllocUpdate{}
	w.servers.mu.Unlock()
	w.start()
	w.eventually("a1", "running")
	w.eventually("b1", "complete")
	if starts := len(w.driver.Starts()); starts != 2 {
		t.Errorf("%d starts for 2 tasks", starts)
	}
	// What the servers want is still done.
	w.servers.send(link.AllocSet{Upserts: []*structs.Allocation{stopped(a)}})
	w.eventually("a1", "complete")
}

// The one that is replaced sorts after its replacement.
func TestReplacementFindsItsPredecessorAfterTheAgent(t *testing.T) {
	w := newWorld(t, nil)
	old, next := sample("z1", "service"), sample("a1", "service")
	next.PreviousAllocation = "z1"
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{old}})
	w.eventually("z1", "running")
	w.driver.Deaf(true)
	w.servers.send(link.AllocSet{Upserts: []*structs.Allocation{stopped(old), next}})
	stops := func() (n int) {
		for _, call := range w.driver.Calls() {
			if strings.HasPrefix(call, "stop ") {
				n++
			}
		}
		return n
	}
	testx.Eventually(t, patience, "the old one is being ended", func() bool { return stops() == 1 && w.client.runner("a1") != nil })
	w.stop()
	w.servers.mu.Lock()
	w.servers.sets = nil // what is remembered has to do
	w.servers.mu.Unlock()
	w.start()
	testx.Eventually(t, patience, "the old one is being ended again", func() bool { return stops() == 2 })
	if n := len(w.driver.Starts()); n != 1 {
		t.Errorf("%d starts: the replacement has not waited", n)
	}
	w.driver.Exit("z1", "web", 0)
	w.eventually("a1", "running")
}

func TestLostMemoryLeavesNothingRunning(t *testing.T) {
	w := newWorld(t, nil)
	const lost = "11111111-2222-3333-4444-555555555555"
	a := sample(lost, "service")
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{a}})
	w.eventually(lost, "running")
	id, dir := w.client.Identity(), w.client.runner(lost).Dir()
	w.stop()
	if err := os.WriteFile(w.cfg.StateDir+"/state.db", []byte("garbage, and more of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(w.cfg.AllocDir, "backups", "alloc", "data") // whose name is no allocation's
	if err := os.MkdirAll(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	w.servers.mu.Lock()
	w.servers.sets = nil // they know nothing of the new node
	w.servers.mu.Unlock()
	w.start()
	if w.client.Identity() == id {
		t.Fatal("the identity was not lost: the test shows nothing")
	}
	testx.Eventually(t, patience, "what ran before is ended and removed", func() bool {
		return len(w.driver.Running()) == 0 && !dir.Exists()
	})
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{sample("b1", "service")}})
	w.eventually("b1", "running")
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a directory that is no allocation's was removed: %v", err)
	}
}

func TestServersThatAreAwayAreTriedAgain(t *testing.T) {
	w := newWorld(t, nil)
	w.servers.mu.Lock()
	w.servers.broken = true
	w.servers.mu.Unlock()
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{sample("a1", "service")}})
	w.servers.mu.Lock()
	w.servers.broken = false
	w.servers.mu.Unlock()
	w.eventually("a1", "running")
}

func TestWhatMustNotRunAloneStops(t *testing.T) {
	w := newWorld(t, nil)
	alone, tied := sample("a1", "service"), sample("b1", "service")
	tied.Job.TaskGroups[0].Disconnect = &structs.DisconnectStrategy{StopOnClientAfter: p(time.Second)}
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{alone, tied}})
	w.eventually("a1", "running")
	w.eventually("b1", "running")
	w.servers.mu.Lock()
	w.servers.away = true
	w.servers.mu.Unlock()
	w.eventually("b1", "complete")
	if w.servers.status("a1") != "running" {
		t.Error("an allocation without such a rule was stopped too")
	}
}

func TestDevelopmentNodeEndsItsTasks(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Dev = true })
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{sample("a1", "service")}})
	w.eventually("a1", "running")
	w.stop()
	if left := w.driver.Running(); len(left) != 0 {
		t.Errorf("%v still run", left)
	}
	if w.client.runner("a1").Dir().Exists() {
		t.Error("the directory is left")
	}
}

func TestFinishedAllocationsAreCollected(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.GC.MaxAllocs = 2 })
	for i := range 5 {
		id := fmt.Sprintf("a%d", i)
		a := sample(id, "batch")
		a.CreateTime = int64(i)
		w.servers.send(link.AllocSet{Upserts: []*structs.Allocation{a}})
		testx.Eventually(t, patience, id+" runs", func() bool { return w.driver.Exit(id, "web", 0) })
		w.eventually(id, "complete")
	}
	testx.Eventually(t, patience, "two are left", func() bool {
		poke(w.client.gcWake)
		return len(w.client.runners()) == 2
	})
	if w.client.runner("a4") == nil {
		t.Error("the newest was removed")
	}
	w.client.GC()
	if left := w.client.runners(); len(left) != 0 {
		t.Errorf("%d are left", len(left))
	}
}

func TestManyAllocationsAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	testx.Eventually(t, patience, "the node is registered", func() bool { return w.servers.registrations() > 0 })
	var all []*structs.Allocation
	for i := range 60 {
		all = append(all, sample(fmt.Sprintf("a%03d", i), "service"))
	}
	w.servers.send(link.AllocSet{Full: true, Upserts: all})
	testx.Eventually(t, patience, "all run", func() bool {
		return !slices.ContainsFunc(all, func(a *structs.Allocation) bool { return w.servers.status(a.ID) != "running" })
	})
	w.servers.mu.Lock()
	defer w.servers.mu.Unlock()
	if w.servers.reports > len(all)/2 {
		t.Errorf("%d reports for %d allocations: they are not batched", w.servers.reports, len(all))
	}
}

func TestConfigurationThatCannotWork(t *testing.T) {
	if _, err := New(Config{}, Deps{}); err == nil {
		t.Error("a client without directories was made")
	}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{StateDir: file, AllocDir: t.TempDir()}, Deps{}); err == nil {
		t.Error("a client was made whose state_dir is a file")
	}
	refusal := errors.New("no certificate")
	deps := Deps{Connect: func(Identity, http.Handler) (Session, error) { return nil, refusal }}
	dir := t.TempDir()
	if _, err := New(Config{StateDir: dir, AllocDir: dir}, deps); !errors.Is(err, refusal) {
		t.Errorf("error %v", err)
	}
}

func TestWhatIsKnownIsToldBeforeWhatIsNew(t *testing.T) {
	var list []*structs.Allocation
	for _, id := range []string{"new1", "old1", "new2", "old2"} {
		list = append(list, &structs.Allocation{ID: id})
	}
	var got []string
	for _, a := range knownFirst(list, func(id string) *alloc.Runner {
		if strings.HasPrefix(id, "old") {
			return &alloc.Runner{}
		}
		return nil
	}) {
		got = append(got, a.ID)
	}
	if want := []string{"old1", "old2", "new1", "new2"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
