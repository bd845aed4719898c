package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

// grpcServer serves the standard protocol for health until the test ends.
func grpcServer(t *testing.T, options ...grpc.ServerOption) (*health.Server, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, server := health.NewServer(), grpc.NewServer(options...)
	healthpb.RegisterHealthServer(server, h)
	group := loop.New(context.Background())
	group.Go("serve", func(context.Context) error { return server.Serve(l) })
	t.Cleanup(func() {
		server.Stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	return h, portOf(t, l.Addr().String())
}

func TestGRPCChecksAskForTheNamedService(t *testing.T) {
	h, port := grpcServer(t)
	h.SetServingStatus("shop", healthpb.HealthCheckResponse_SERVING)
	m := run(t, Config{})
	m.Add(workload("server", port, nomad(check("grpc", func(c *structs.ServiceCheck) { c.GRPCService = "shop" }))))
	testx.Eventually(t, patience, "the check succeeds", func() bool { return only(t, m).Status == StatusSuccess })
	h.SetServingStatus("shop", healthpb.HealthCheckResponse_NOT_SERVING)
	testx.Eventually(t, patience, "the check fails", func() bool { return only(t, m).Status == StatusFailure })
	if got := only(t, m).Output; !strings.Contains(got, "/shop: NOT_SERVING") {
		t.Errorf("output %q", got)
	}
}

func TestAGRPCServiceThatNobodyKnowsIsAFailure(t *testing.T) {
	_, port := grpcServer(t)
	m := run(t, Config{})
	m.Add(workload("server", port, nomad(check("grpc", func(c *structs.ServiceCheck) { c.GRPCService = "nope" }))))
	testx.Eventually(t, patience, "the check fails", func() bool {
		got := only(t, m)
		return got.Status == StatusFailure && strings.Contains(got.Output, "unknown service")
	})
}

func TestGRPCChecksOverTLSKnowTheServersName(t *testing.T) {
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	defer pair.Close()
	creds := credentials.NewTLS(&tls.Config{Certificates: pair.TLS.Certificates, NextProtos: []string{"h2"}})
	_, port := grpcServer(t, grpc.Creds(creds))
	for skip, want := range map[bool]string{true: StatusSuccess, false: StatusFailure} {
		m := run(t, Config{})
		m.Add(workload("server", port, nomad(check("grpc", func(c *structs.ServiceCheck) {
			c.GRPCUseTLS, c.TLSSkipVerify, c.TLSServerName = true, skip, "example.com"
		}))))
		testx.Eventually(t, patience, fmt.Sprint("skipping is ", skip), func() bool { return only(t, m).Status == want })
	}
}

func TestHTTPChecksTellTheServersName(t *testing.T) {
	names := make(chan string, 100)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- hello.ServerName
		return nil, nil
	}}
	server.StartTLS()
	defer server.Close()
	m := run(t, Config{})
	m.Add(workload("server", portOf(t, server.Listener.Addr().String()), nomad(check("http", func(c *structs.ServiceCheck) {
		c.Protocol, c.TLSSkipVerify, c.TLSServerName = "https", true, "web.${node.datacenter}.test"
	}))))
	testx.Eventually(t, patience, "the check succeeds", func() bool { return only(t, m).Status == StatusSuccess })
	if name := <-names; name != "web.dc1.test" {
		t.Errorf("the server was asked for as %q", name)
	}
}

// A service that floods, never ends its answer or sends us elsewhere costs a
// bounded amount and a failure or success of this check, nothing else.
func TestHostileAnswersAreBounded(t *testing.T) {
	var followed atomic.Bool
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/flood", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		block := []byte(strings.Repeat("\xff", 64<<10))
		for range 1 << 14 { // a gigabyte, if it were read
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 100 {
			w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 4<<10))
		}
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/followed", http.StatusFound) })
	mux.HandleFunc("/followed", func(http.ResponseWriter, *http.Request) { followed.Store(true) })
	server := httptest.NewServer(mux)
	defer server.Close()
	defer close(release)
	for path, want := range map[string]struct{ status, output string }{
		"/flood":     {StatusFailure, "500"},
		"/headers":   {StatusFailure, "exceeded"},
		"/endless":   {StatusFailure, "deadline"},
		"/elsewhere": {StatusSuccess, "302"},
	} {
		m := run(t, Config{})
		m.Add(workload("server", portOf(t, server.Listener.Addr().String()), nomad(check("http", func(c *structs.ServiceCheck) { c.Path, c.Timeout = path, 300*time.Millisecond }))))
		testx.Eventually(t, patience, path+" is answered for", func() bool { return only(t, m).Output != "not probed yet" })
		if got := only(t, m); got.Status != want.status || !strings.Contains(got.Output, want.output) || len(got.Output) > 4*maxOutput {
			t.Errorf("%s: %s, %d bytes of output: %.200q", path, got.Status, len(got.Output), got.Output)
		}
	}
	if followed.Load() {
		t.Error("a check followed a redirection")
	}
}

func TestScriptChecksAreJudgedByTheirExitCode(t *testing.T) {
	for name, c := range map[string]struct {
		exec   Exec
		status string
		output string
	}{
		"well": {func(_ context.Context, task string, command []string) (int, string, error) {
			return 0, task + " " + strings.Join(command, " "), nil
		}, StatusSuccess, "server /bin/probe -a ${X}"},
		"warning": {func(context.Context, string, []string) (int, string, error) { return 1, "slow\xff", nil }, StatusWarning, "slow\uFFFD"},
		"bad": {func(context.Context, string, []string) (int, string, error) {
			return 2, strings.Repeat("x", 1<<20), nil
		}, StatusFailure, "xxx"},
		"not there": {func(context.Context, string, []string) (int, string, error) { return 0, "", errors.New("no such file") }, StatusFailure, "no such file"},
		"hangs": {func(ctx context.Context, _ string, _ []string) (int, string, error) {
			<-ctx.Done()
			return 0, "so far", ctx.Err()
		}, StatusFailure, "it took longer than 50ms\nso far"},
		"nobody runs it": {nil, StatusFailure, "can't be run"},
	} {
		m := run(t, Config{})
		w := workload("server", 8000, nomad(check("script", func(c *structs.ServiceCheck) {
			c.Command, c.Args, c.Timeout = "/bin/probe", []string{"-a", "${X}"}, 50*time.Millisecond
		})))
		w.Exec = c.exec
		if errs := m.Add(w); len(errs) > 0 {
			t.Fatal(name, errs)
		}
		testx.Eventually(t, patience, name, func() bool { return only(t, m).Status == c.status })
		if got := only(t, m).Output; !strings.Contains(got, c.output) || len(got) > 4*maxOutput {
			t.Errorf("%s: output %.100q", name, got)
		}
	}
}

// The status follows from probes in a row: drawn as their outcomes (+ good,
// w warning, - bad), the statuses as they are after each.
func TestStatusFollowsFromProbesInARow(t *testing.T) {
	letters := map[string]byte{StatusSuccess: 'S', StatusWarning: 'W', StatusFailure: 'F', StatusPending: 'P'}
	outcomes := map[rune]Outcome{'+': {OK: true}, 'w': {Warning: true}, '-': {}}
	for _, c := range []struct {
		what         string
		check        structs.ServiceCheck
		probes, want string
	}{
		{"plain", structs.ServiceCheck{}, "-+w-", "FSWF"},
		{"successes needed", structs.ServiceCheck{SuccessBeforePassing: 3}, "++-+++", "PPFFFS"},
		{"failures needed", structs.ServiceCheck{FailuresBeforeCritical: 3}, "+--+---", "SSSSSSF"},
		{"a warning before", structs.ServiceCheck{FailuresBeforeCritical: 3, FailuresBeforeWarning: 1}, "+---", "SWWF"},
		{"begins well", structs.ServiceCheck{InitialStatus: "passing", FailuresBeforeCritical: 2}, "--", "SF"},
		{"begins badly", structs.ServiceCheck{InitialStatus: "critical", SuccessBeforePassing: 2}, "++", "FS"},
		{"begins with a warning", structs.ServiceCheck{InitialStatus: "warning", FailuresBeforeCritical: 2}, "-+", "WS"},
	} {
		status, rule, count := initialStatus(&c.check), newThresholds(&c.check), tally{}
		var got []byte
		for _, letter := range c.probes {
			status = rule.next(status, &count, outcomes[letter])
			got = append(got, letters[status])
		}
		if string(got) != c.want {
			t.Errorf("%s: %s after %s, want %s", c.what, got, c.probes, c.want)
		}
	}
}

// What begins well is given the time that its service needs to listen.
func TestAServiceThatBeginsWellMayNeedAMoment(t *testing.T) {
	now := time.Unix(0, 0)
	rule := newThresholds(&structs.ServiceCheck{InitialStatus: "passing"})
	p := &probe{interval: time.Second, ramp: firstProbe, rule: rule, result: structs.AllocCheckStatus{Status: StatusSuccess}}
	var seen []string
	for range 5 {
		p.after(now, Outcome{})
		seen = append(seen, p.result.Status)
		now = p.due
	}
	if want := []string{StatusSuccess, StatusSuccess, StatusSuccess, StatusSuccess, StatusFailure}; !slices.Equal(seen, want) {
		t.Errorf("statuses %v, want %v", seen, want)
	}
}

func TestWarningsCountForARestartUnlessTheyAreIgnored(t *testing.T) {
	now := time.Unix(0, 0)
	for lenient, want := range map[bool]bool{true: false, false: true} {
		p := &probe{interval: time.Second, limit: 1, lenient: lenient, rule: newThresholds(&structs.ServiceCheck{})}
		if got := p.after(now, Outcome{Warning: true}); got != want {
			t.Errorf("ignoring warnings is %v: a restart is asked for: %v", lenient, got)
		}
	}
}

func (c *catalog) health(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.regs[id]; r != nil {
		return r.Health
	}
	return "not registered"
}

func TestTheHealthOfAnInstanceIsThatOfItsWorstCheck(t *testing.T) {
	var ill atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if ill.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	c := newCatalog()
	m := run(t, Config{Catalog: c})
	m.Add(workload("server", portOf(t, server.Listener.Addr().String()),
		nomad(func(s *structs.Service) {
			check("http", nil)(s)
			check("tcp", func(c *structs.ServiceCheck) { c.Name = "second" })(s)
		}),
		nomad(func(s *structs.Service) { s.Name = "plain" }),
	))
	const web, plain = "_nomad-task-a1-server-web-http", "_nomad-task-a1-server-plain-http"
	testx.Eventually(t, patience, "the instance is healthy", func() bool { return c.health(web) == StatusSuccess })
	ill.Store(true)
	testx.Eventually(t, patience, "one failing check makes it fail", func() bool { return c.health(web) == StatusFailure })
	if got := c.health(plain); got != "" {
		t.Errorf("a service without checks is told to be %q", got)
	}
	ill.Store(false)
	testx.Eventually(t, patience, "the instance is healthy again", func() bool { return c.health(web) == StatusSuccess })
}

// One check of 1,000 that flips costs one message with one registration.
func TestOnlyWhatChangedIsTold(t *testing.T) {
	const count = 1000
	var ill atomic.Bool
	c := newCatalog()
	m := run(t, Config{Catalog: c, Ask: func(_ context.Context, p Probe) Outcome { return Outcome{OK: p.Service != "s7" || !ill.Load()} }})
	var services []*structs.Service
	for i := range count {
		services = append(services, nomad(func(s *structs.Service) {
			s.Name = fmt.Sprint("s", i)
			check("tcp", func(c *structs.ServiceCheck) { c.Interval = 300 * time.Millisecond })(s)
		}))
	}
	m.Add(workload("server", 8000, services...))
	healthy := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		n := 0
		for _, r := range c.regs {
			if r.Health == StatusSuccess {
				n++
			}
		}
		return n
	}
	testx.Eventually(t, 4*patience, "all are healthy", func() bool { return healthy() == count })
	c.mu.Lock()
	calls, told := c.calls, c.told
	c.mu.Unlock()
	if calls > 20 {
		t.Errorf("%d messages until all are healthy: they are not gathered", calls)
	}
	ill.Store(true)
	testx.Eventually(t, patience, "one is not", func() bool { return healthy() == count-1 })
	c.mu.Lock()
	defer c.mu.Unlock()
	packed, err := link.PackNoun(c.regs["_nomad-task-a1-server-s7-http"])
	if err != nil {
		t.Fatal(err)
	}
	if calls, told = c.calls-calls, c.told-told; calls != 1 || told != 1 || len(packed) > 512 {
		t.Errorf("one flip of %d cost %d messages with %d registrations of %d bytes", count, calls, told, len(packed))
	}
}

func TestTheCatalogueIsRepaired(t *testing.T) {
	c := newCatalog()
	clk := clock.NewManual(time.Unix(0, 0))
	m := run(t, Config{Catalog: c, Clock: clk})
	m.Add(workload("server", 8000, nomad(nil)))
	const web = "_nomad-task-a1-server-web-http"
	testx.Eventually(t, patience, "it is registered", func() bool { return c.health(web) == "" })
	spoil := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		clear(c.regs)
		c.regs["stale"] = &structs.ServiceRegistration{ID: "stale"}
	}
	repaired := func() bool { return slices.Equal(c.ids(), []string{web}) }
	spoil()
	m.Reregister()
	testx.Eventually(t, patience, "it is repaired when the node is asked to", repaired)
	spoil()
	testx.Eventually(t, patience, "it is repaired after a while, unasked", func() bool {
		clk.Advance(syncEvery)
		return repaired()
	})
	c.setBroken(true)
	spoil()
	m.Reregister()
	testx.Eventually(t, patience, "the servers were away", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.syncs >= 3
	})
	c.setBroken(false)
	testx.Eventually(t, patience, "it is repaired once they are back", func() bool {
		clk.Advance(retryMax)
		return repaired()
	})
}
