package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/client/taskenv"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const patience = 5 * time.Second

// catalog remembers what it was told; it fails while broken.
type catalog struct {
	mu     sync.Mutex
	regs   map[string]*structs.ServiceRegistration
	broken bool
	refuse string // the name of a service that is refused
	calls  int
	told   int // registrations that came with the calls
	syncs  int
}

func (c *catalog) SyncServices(ctx context.Context, regs []*structs.ServiceRegistration) error {
	c.mu.Lock()
	c.syncs++
	if !c.broken && c.refuse == "" {
		clear(c.regs)
	}
	c.mu.Unlock()
	return c.UpsertServices(ctx, regs)
}

func newCatalog() *catalog { return &catalog{regs: map[string]*structs.ServiceRegistration{}} }

func (c *catalog) UpsertServices(_ context.Context, regs []*structs.ServiceRegistration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	c.told += len(regs)
	if c.broken {
		return errors.New("no servers")
	}
	for _, reg := range regs {
		if reg.ServiceName == c.refuse {
			return fmt.Errorf("register services: %w: not of this node", link.ErrRefused)
		}
	}
	for _, reg := range regs {
		c.regs[reg.ID] = reg
	}
	return nil
}

func (c *catalog) DeleteServices(_ context.Context, _ string, ids []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if c.broken {
		return errors.New("no servers")
	}
	for _, id := range ids {
		delete(c.regs, id)
	}
	return nil
}

func (c *catalog) setBroken(broken bool) {
	c.mu.Lock()
	c.broken = broken
	c.mu.Unlock()
}

func (c *catalog) ids() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for id := range c.regs {
		out = append(out, id)
	}
	sort.Strings(out)
	return out
}

func run(t *testing.T, cfg Config) *Manager {
	t.Helper()
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Logger == nil {
		cfg.Logger = logx.Discard()
	}
	m := NewManager(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	group := loop.New(ctx)
	group.Go("manager", m.Run)
	t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func workload(task string, port int, services ...*structs.Service) Workload {
	name := "job"
	a := &structs.Allocation{
		ID: "a1", Name: "job.group[0]", JobID: name, TaskGroup: "group", Namespace: "default",
		Job: &structs.Job{ID: &name, Name: &name},
		AllocatedResources: &structs.AllocatedResources{Shared: structs.AllocatedSharedResources{
			Ports: []structs.PortMapping{{Label: "http", Value: port, To: 80, HostIP: "127.0.0.1"}},
		}},
	}
	node := &structs.Node{ID: "n1", Datacenter: "dc1", Attributes: map[string]string{"unique.network.ip-address": "127.0.0.1"}}
	return Workload{
		Alloc: a, Task: task, Node: node, Services: services,
		Env: taskenv.Build(taskenv.Input{Node: node, Alloc: a}),
	}
}

func nomad(change func(*structs.Service)) *structs.Service {
	s := &structs.Service{Name: "web", Provider: "nomad", PortLabel: "http", Tags: []string{"in-${node.datacenter}"}}
	if change != nil {
		change(s)
	}
	return s
}

func TestRegistrationAndDeregistration(t *testing.T) {
	c := newCatalog()
	m := run(t, Config{Catalog: c})
	if errs := m.Add(workload("server", 8000, nomad(nil))); len(errs) > 0 {
		t.Fatal(errs)
	}
	if errs := m.Add(workload("", 8000, nomad(func(s *structs.Service) { s.Name = "${BASE}-x" }))); len(errs) > 0 {
		t.Fatal(errs)
	}
	want := []string{"_nomad-task-a1-group-group-job-group-x-http", "_nomad-task-a1-server-web-http"}
	testx.Eventually(t, patience, "both services are registered", func() bool { return slices.Equal(c.ids(), want) })
	c.mu.Lock()
	reg := *c.regs[want[1]]
	c.mu.Unlock()
	if reg.Address != "127.0.0.1" || reg.Port != 8000 || !slices.Equal(reg.Tags, []string{"in-dc1"}) || reg.NodeID != "n1" || reg.JobID != "job" {
		t.Errorf("registration %+v", reg)
	}
	m.Remove(t.Context(), "a1", "server")
	if got := c.ids(); !slices.Equal(got, want[:1]) {
		t.Errorf("after Remove has returned %v are registered", got)
	}
}

func TestCatalogThatFailsIsTriedAgain(t *testing.T) {
	c := newCatalog()
	c.setBroken(true)
	clk := clock.NewManual(time.Unix(0, 0))
	m := run(t, Config{Catalog: c, Clock: clk})
	m.Add(workload("server", 8000, nomad(nil)))
	testx.Eventually(t, patience, "the catalogue was asked", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.calls > 0
	})
	c.setBroken(false)
	testx.Eventually(t, patience, "the service is registered", func() bool {
		clk.Advance(retryMin)
		return len(c.ids()) == 1
	})
}

// One registration that the servers refuse must not keep the others of the
// node out, and is tried again: the reason may pass.
func TestRefusedServiceDoesNotBlockTheOthers(t *testing.T) {
	c := newCatalog()
	c.refuse = "bad"
	clk := clock.NewManual(time.Unix(0, 0))
	var log syncBuffer
	m := run(t, Config{Catalog: c, Clock: clk, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	bad := func(s *structs.Service) { s.Name = "bad" }
	m.Add(workload("server", 8000, nomad(nil), nomad(bad), nomad(func(s *structs.Service) { s.Name = "api" })))
	want := []string{"_nomad-task-a1-server-api-http", "_nomad-task-a1-server-web-http"}
	testx.Eventually(t, patience, "the others are registered", func() bool { return slices.Equal(c.ids(), want) })
	asked := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.calls
	}
	before := asked()
	testx.Eventually(t, patience, "the refused one is tried again", func() bool {
		clk.Advance(retryMax)
		return asked() >= before+3
	})
	if told := strings.Count(log.String(), "bad"); told != 1 {
		t.Errorf("the refusal is told %d times:\n%s", told, log.String())
	}
	c.mu.Lock()
	c.refuse = ""
	c.mu.Unlock()
	testx.Eventually(t, patience, "it is taken in the end", func() bool {
		clk.Advance(retryMax)
		return len(c.ids()) == 3
	})
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestChangedServicesReplaceTheirOldSelves(t *testing.T) {
	c := newCatalog()
	m := run(t, Config{Catalog: c})
	m.Add(workload("server", 8000, nomad(nil), nomad(func(s *structs.Service) { s.Name = "old" })))
	testx.Eventually(t, patience, "two services", func() bool { return len(c.ids()) == 2 })
	m.Add(workload("server", 8000, nomad(func(s *structs.Service) { s.Tags = []string{"new"} })))
	testx.Eventually(t, patience, "one service, changed", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		reg := c.regs["_nomad-task-a1-server-web-http"]
		return len(c.regs) == 1 && reg != nil && slices.Equal(reg.Tags, []string{"new"})
	})
}

func TestAddressModes(t *testing.T) {
	network := &drivers.Network{Addr: "172.17.0.2", PortMap: map[string]int{"http": 80}}
	auto := &drivers.Network{Addr: "172.17.0.2", PortMap: map[string]int{"http": 80}, AutoAdvertise: true}
	status := &structs.AllocNetworkStatus{Address: "172.26.64.7"}
	for _, c := range []struct {
		what, mode, label, fixed string
		network                  *drivers.Network
		status                   *structs.AllocNetworkStatus
		ip                       string
		port                     int
		err                      string
	}{
		{what: "auto", label: "http", ip: "127.0.0.1", port: 8000},
		{what: "auto, the driver doesn't advertise", label: "http", network: network, ip: "127.0.0.1", port: 8000},
		{what: "auto, the driver advertises", label: "http", network: auto, ip: "172.17.0.2", port: 80},
		{what: "host", mode: "host", label: "http", network: auto, ip: "127.0.0.1", port: 8000},
		{what: "driver", mode: "driver", label: "http", network: network, ip: "172.17.0.2", port: 80},
		{what: "driver, by number", mode: "driver", label: "9000", network: network, ip: "172.17.0.2", port: 9000},
		{what: "driver without network", mode: "driver", label: "http", err: "tells no address"},
		{what: "alloc", mode: "alloc", label: "http", status: status, ip: "172.26.64.7", port: 80},
		{what: "alloc without network", mode: "alloc", label: "http", err: "no network of its own"},
		{what: "fixed address", label: "http", fixed: "${attr.unique.network.ip-address}", ip: "127.0.0.1", port: 8000},
		{what: "no port", ip: "127.0.0.1"},
		{what: "unknown label", label: "nope", err: "not among the ports"},
		{what: "unknown mode", mode: "magic", label: "http", err: "unknown"},
	} {
		w := workload("server", 8000)
		w.Network, w.Alloc.NetworkStatus = c.network, c.status
		ip, port, err := address(w, c.mode, c.label, c.fixed)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want one that says %q", c.what, err, c.err)
			}
			continue
		}
		if err != nil || ip != c.ip || port != c.port {
			t.Errorf("%s: %s:%d, %v; want %s:%d", c.what, ip, port, err, c.ip, c.port)
		}
	}
}

func TestCanaryTags(t *testing.T) {
	w := workload("server", 8000)
	s := nomad(func(s *structs.Service) { s.CanaryTags = []string{"canary"} })
	if got := tags(w, s); !slices.Equal(got, []string{"in-dc1"}) {
		t.Errorf("tags %v", got)
	}
	w.Alloc.DeploymentStatus = &structs.AllocDeploymentStatus{Canary: true}
	if got := tags(w, s); !slices.Equal(got, []string{"canary"}) {
		t.Errorf("canary tags %v", got)
	}
}

func check(kind string, change func(*structs.ServiceCheck)) func(*structs.Service) {
	return func(s *structs.Service) {
		c := structs.ServiceCheck{Type: kind, Path: "/health", Interval: 50 * time.Millisecond, Timeout: time.Second}
		if change != nil {
			change(&c)
		}
		s.Checks = append(s.Checks, c)
	}
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	var port int
	if _, err := fmt.Sscan(text, &port); err != nil {
		t.Fatal(err)
	}
	return port
}

func only(t *testing.T, m *Manager) *structs.AllocCheckStatus {
	t.Helper()
	checks := m.Checks("a1")
	if len(checks) != 1 {
		t.Fatalf("%d checks", len(checks))
	}
	for id, c := range checks {
		if id != c.ID {
			t.Errorf("check %s is listed as %s", c.ID, id)
		}
		return c
	}
	return nil
}

func TestHTTPCheckAsksAsTheJobSays(t *testing.T) {
	var seen atomic.Value
	var status atomic.Int32
	status.Store(http.StatusOK)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		seen.Store(fmt.Sprintf("%s %s %s %s %s", r.Method, r.URL, r.Header.Get("X-One"), r.Host, body))
		w.WriteHeader(int(status.Load()))
		if _, err := io.WriteString(w, "I am ill"); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	changed := make(chan string, 100)
	m := run(t, Config{Changed: func(id string) { changed <- id }})
	m.Add(workload("server", portOf(t, server.Listener.Addr().String()), nomad(check("http", func(c *structs.ServiceCheck) {
		c.Protocol, c.TLSSkipVerify, c.Method, c.Body = "https", true, "POST", "ping"
		c.Path = "/health?from=${node.datacenter}"
		c.Header = map[string][]string{"X-One": {"1"}, "Host": {"web.test"}}
	}))))
	testx.Eventually(t, patience, "the check succeeds", func() bool { return only(t, m).Status == StatusSuccess })
	if id := <-changed; id != "a1" {
		t.Errorf("told of %s", id)
	}
	if got, want := seen.Load(), "POST /health?from=dc1 1 web.test ping"; got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	status.Store(http.StatusServiceUnavailable)
	testx.Eventually(t, patience, "the check fails", func() bool { return only(t, m).Status == StatusFailure })
	got := only(t, m)
	if got.StatusCode != 503 || !strings.Contains(got.Output, "I am ill") || got.Mode != ModeHealthiness || got.Task != "server" || got.Service != "web" {
		t.Errorf("result %+v", got)
	}
}

func TestTCPCheck(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := run(t, Config{})
	m.Add(workload("server", portOf(t, l.Addr().String()), nomad(check("tcp", func(c *structs.ServiceCheck) { c.OnUpdate = "ignore" }))))
	testx.Eventually(t, patience, "the check succeeds", func() bool { return only(t, m).Status == StatusSuccess })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "the check fails", func() bool { return only(t, m).Status == StatusFailure })
	if got := only(t, m); got.Mode != ModeReadiness || got.Output == "" {
		t.Errorf("result %+v", got)
	}
	m.Remove(t.Context(), "a1", "server")
	if got := m.Checks("a1"); len(got) != 0 {
		t.Errorf("checks %v are left", got)
	}
}

func TestSlowAnswerIsAFailure(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	m := run(t, Config{})
	m.Add(workload("server", portOf(t, server.Listener.Addr().String()), nomad(check("http", func(c *structs.ServiceCheck) { c.Timeout = 50 * time.Millisecond }))))
	testx.Eventually(t, patience, "the check fails", func() bool { return only(t, m).Status == StatusFailure })
}

func TestCheckRestartCountsFailuresInARow(t *testing.T) {
	var healthy atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !healthy.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	healthy.Store(true)
	restarts := make(chan string, 10)
	grace := time.Duration(0)
	w := workload("server", portOf(t, server.Listener.Addr().String()), nomad(check("http", func(c *structs.ServiceCheck) {
		c.CheckRestart = &structs.CheckRestart{Limit: 3, Grace: &grace}
	})))
	w.Restart = func(task, reason string) { restarts <- task + ": " + reason }
	m := run(t, Config{})
	m.Add(w)
	testx.Eventually(t, patience, "the check succeeds", func() bool { return only(t, m).Status == StatusSuccess })
	healthy.Store(false)
	select {
	case got := <-restarts:
		if !strings.HasPrefix(got, "server: ") || !strings.Contains(got, "3 times") {
			t.Errorf("restart %q", got)
		}
	case <-time.After(patience):
		t.Fatal("no restart was asked for")
	}
}

// While a task of the group is being restarted its checks fail, of course:
// that must not ask for the next restart.
func TestChecksOfAGroupRestWhileATaskIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := portOf(t, l.Addr().String())
	grace := time.Duration(0)
	restarts := make(chan string, 10)
	w := workload("", port, nomad(check("tcp", func(c *structs.ServiceCheck) {
		c.Interval = 10 * time.Millisecond
		c.CheckRestart = &structs.CheckRestart{Limit: 2, Grace: &grace}
	})))
	w.Restart = func(_, reason string) { restarts <- reason }
	m := run(t, Config{})
	m.Add(w)
	testx.Eventually(t, patience, "the check succeeds", func() bool { return only(t, m).Status == StatusSuccess })
	m.Rest("a1")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	failed := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		p := m.probes[key{"a1", ""}][0]
		if p.result.Status == StatusFailure {
			return p.failures
		}
		return -1
	}
	testx.Eventually(t, patience, "the check fails", func() bool { return failed() == 0 })
	if len(restarts) > 0 {
		t.Fatalf("a restart was asked for: %s", <-restarts)
	}
	m.Resume("a1")
	select {
	case <-restarts:
	case <-time.After(patience):
		t.Fatal("the checks don't count any more")
	}
}

// after tells a probe what it found and reports whether a restart is due.
func (p *probe) after(now time.Time, o Outcome) bool {
	early := p.schedule(now, o.OK || o.Warning)
	if !early || !p.rule.patient() {
		p.result.Status = p.rule.next(p.result.Status, &p.tally, o)
	}
	return p.overLimit(now, early, o)
}

func TestScheduleOfProbes(t *testing.T) {
	now := time.Unix(0, 0)
	good, bad := Outcome{OK: true}, Outcome{}
	rule := newThresholds(&structs.ServiceCheck{})
	p := &probe{interval: time.Second, ramp: firstProbe, limit: 2, armed: now, rule: rule}
	var gaps []time.Duration
	for range 6 {
		if p.after(now, bad) {
			break
		}
		gaps = append(gaps, p.due.Sub(now))
		now = p.due
	}
	want := []time.Duration{100, 200, 400, 800, 1000}
	for i := range want {
		want[i] *= time.Millisecond
	}
	if !slices.Equal(gaps, want) {
		t.Errorf("gaps %v, want %v: early probes are quick and don't count, the limit is 2", gaps, want)
	}
	p = &probe{interval: time.Second, limit: 2, armed: now, rule: rule}
	p.after(now, bad)
	p.after(now, good)
	if p.after(now, bad) {
		t.Error("a success between does not reset the count")
	}
	p = &probe{interval: time.Second, limit: 1, armed: now.Add(time.Minute), rule: rule}
	if p.after(now, bad) {
		t.Error("a failure within the grace counts")
	}
}

func TestWhatCannotBeOffered(t *testing.T) {
	m := run(t, Config{})
	errs := m.Add(workload("server", 8000,
		nomad(func(s *structs.Service) { s.Provider = "consul" }),
		nomad(func(s *structs.Service) { s.PortLabel = "nope" }),
		nomad(check("ping", nil)),
		nomad(func(s *structs.Service) { s.PortLabel = ""; check("http", nil)(s) }),
	))
	if len(errs) != 4 {
		t.Fatalf("errors %v", errs)
	}
	for i, word := range []string{"not built yet", "not among the ports", "use http, tcp, grpc or script", "no port to ask at"} {
		if !strings.Contains(errs[i].Error(), word) {
			t.Errorf("error %d: %v, want one that says %q", i, errs[i], word)
		}
	}
}
