package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	metrics "github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/structs"
)

// fakeAgent is an agent of which tests say how it is.
type fakeAgent struct {
	health  structs.AgentHealthResponse
	servers []string
	reloads int
}

func (a *fakeAgent) Self(context.Context) (*structs.AgentSelf, error) {
	return &structs.AgentSelf{Config: map[string]any{"Region": "global"}, Member: structs.AgentMember{Name: "me"}}, nil
}

func (a *fakeAgent) Health(context.Context) *structs.AgentHealthResponse { return &a.health }

func (a *fakeAgent) Reload(context.Context) error {
	a.reloads++
	if a.reloads > 1 {
		return errors.New("the configuration is not usable")
	}
	return nil
}

func (a *fakeAgent) Servers() []string { return a.servers }

func (a *fakeAgent) SetServers(addrs []string) error {
	a.servers = addrs
	return nil
}

// fakeLogs writes a few lines and waits.
type fakeLogs struct{}

func (fakeLogs) Follow(ctx context.Context, opts backend.LogOptions, line func([]byte) error) error {
	for i := range 3 {
		if err := line(fmt.Appendf(nil, "%s %v line %d\n", opts.Level, opts.JSON, i)); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func own(t *testing.T, url string) *api.Client {
	t.Helper()
	c, err := api.New(api.Config{Address: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAgentTellsAboutItself(t *testing.T) {
	agent := &fakeAgent{servers: []string{"10.0.0.1:4647"}}
	agent.health.Server = &structs.AgentHealth{Ok: true, Message: "ok"}
	agent.health.Client = &structs.AgentHealth{Ok: false, Message: "no drivers"}
	_, url := serve(t, door.Config{Server: newFakeServer(), Node: fakeNode{id: someNode}, Agent: agent, Logs: fakeLogs{}})
	c := own(t, url)
	if self, err := c.AgentSelf(t.Context()); err != nil || self.Member.Name != "me" {
		t.Errorf("self %+v %v", self, err)
	}
	if h, err := c.AgentHealth(t.Context()); err != nil || !h.Server.Ok || h.Client.Ok {
		t.Errorf("health %+v %v", h, err)
	}
	if got := ask(t, "GET", url+"/v1/agent/health", ""); got.status != 500 || !strings.HasPrefix(got.body, `{"client"`) {
		t.Errorf("health %d %q", got.status, got.body)
	}
	if got := ask(t, "GET", url+"/v1/agent/health?type=server", ""); got.status != 200 || strings.Contains(got.body, "client") {
		t.Errorf("health of the server %d %q", got.status, got.body)
	}
	if servers, err := c.AgentServers(t.Context()); err != nil || len(servers) != 1 {
		t.Errorf("servers %v %v", servers, err)
	}
	if got := ask(t, "PUT", url+"/v1/agent/servers?address=a&address=b", ""); got.status != 200 || strings.Join(agent.servers, ",") != "a,b" {
		t.Errorf("set servers %d %q %v", got.status, got.body, agent.servers)
	}
	if err := c.ReloadAgent(t.Context()); err != nil {
		t.Errorf("reload: %v", err)
	}
	if got := ask(t, "PUT", url+"/v1/agent/reload", ""); got.status != 500 || !strings.Contains(got.body, "not usable") {
		t.Errorf("second reload %d %q", got.status, got.body)
	}
}

func TestAgentsLogIsFollowed(t *testing.T) {
	_, url := serve(t, door.Config{Server: newFakeServer(), Logs: fakeLogs{}})
	enough := errors.New("enough")
	var lines []string
	err := own(t, url).Monitor(t.Context(), api.MonitorOptions{Level: "warn", JSON: true}, func(f *structs.StreamFrame) error {
		lines = append(lines, string(f.Data))
		if len(lines) == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || lines[2] != "warn true line 2\n" {
		t.Errorf("%q %v", lines, err)
	}
	if got := ask(t, "GET", url+"/v1/agent/monitor?log_level=loud", ""); got.status != 400 || got.body != "Unknown log level: loud" {
		t.Errorf("%d %q", got.status, got.body)
	}
}

func TestRequestsAreMeasured(t *testing.T) {
	sink := metrics.NewInmemSink(time.Minute, time.Hour)
	cfg := metrics.DefaultConfig("steppe")
	cfg.EnableHostname, cfg.EnableRuntimeMetrics = false, false
	m, err := metrics.New(cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "steppe_tests_total", Help: "Tests."})
	registry.MustRegister(counter)
	_, url := serve(t, door.Config{Server: newFakeServer(), Metrics: m, Sink: sink, Prometheus: registry})
	ask(t, "GET", url+"/v1/status/leader", "")
	got := ask(t, "GET", url+"/v1/metrics?pretty", "")
	if got.status != 200 || !strings.Contains(got.body, `"path": "/v1/status/leader"`) || !strings.Contains(got.body, `"status": "2xx"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := ask(t, "GET", url+"/v1/metrics?format=prometheus", ""); got.status != 200 || !strings.Contains(got.body, "steppe_tests_total 0") {
		t.Errorf("%d %s", got.status, got.body)
	}
	_, without := serve(t, door.Config{Server: newFakeServer(), Logger: slog.New(slog.DiscardHandler)})
	if got := ask(t, "GET", without+"/v1/metrics?format=prometheus", ""); got.status != 415 || got.body != "Prometheus is not enabled" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestOwnClientWalksThroughAJob(t *testing.T) {
	srv, url := realServer(t)
	node := addNode(t, srv, "one")
	c := own(t, url)
	ctx := t.Context()
	text := "job \"web\" {\n  group \"g\" {\n    task \"t\" {\n      driver = \"mock\"\n    }\n  }\n}\n"
	job, err := c.ParseJob(ctx, &structs.JobsParseRequest{JobHCL: text})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := c.ValidateJob(ctx, job, nil); err != nil || len(v.ValidationErrors) != 0 {
		t.Errorf("validate %+v %v", v, err)
	}
	source := &structs.JobSubmission{Source: text, Format: "hcl2"}
	resp, err := c.RegisterJob(ctx, &structs.JobRegisterRequest{Job: job, Submission: source}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var index uint64
	for {
		eval, meta, err := c.Evaluation(ctx, resp.EvalID, true, &api.Query{WaitIndex: index, WaitTime: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if eval.Status == structs.EvalStatusComplete {
			break
		}
		if meta.Index <= index {
			t.Fatalf("evaluation is still %s", eval.Status)
		}
		index = meta.Index
	}
	allocs, _, err := c.EvaluationAllocations(ctx, resp.EvalID, nil)
	if err != nil || len(allocs) != 1 || allocs[0].NodeID != node.ID {
		t.Fatalf("allocations %+v %v", allocs, err)
	}
	if got, err := c.JobSubmission(ctx, "web", 0, nil); err != nil || got.Source != text {
		t.Errorf("submission %+v %v", got, err)
	}
	if err := c.TagJobVersion(ctx, "web", "gold", &structs.TagVersionRequest{Latest: true, Description: "good"}, nil); err != nil {
		t.Errorf("tag: %v", err)
	}
	versions, _, err := c.JobVersions(ctx, "web", true, nil)
	if err != nil || versions.Versions[0].VersionTag == nil || versions.Versions[0].VersionTag.Name != "gold" {
		t.Errorf("versions %+v %v", versions, err)
	}
	if err := c.UntagJobVersion(ctx, "web", "gold", nil); err != nil {
		t.Errorf("untag: %v", err)
	}
	if err := c.MarkJobStable(ctx, "web", 0, true, nil); err != nil {
		t.Errorf("stable: %v", err)
	}
	if stop, err := c.StopJob(ctx, "web", api.StopOptions{}, nil); err != nil || stop.EvalID == "" {
		t.Errorf("stop %+v %v", stop, err)
	}
	statuses := ask(t, "GET", url+"/v1/jobs/statuses", "")
	if statuses.status != 200 || !strings.Contains(statuses.body, `"ID":"web"`) || !strings.Contains(statuses.body, `"GroupCountSum":1`) {
		t.Errorf("statuses %d %s", statuses.status, statuses.body)
	}
	if cfg, _, err := c.SchedulerConfig(ctx, nil); err != nil || cfg.SchedulerAlgorithm == "" {
		t.Errorf("scheduler %+v %v", cfg, err)
	}
	if raft, err := c.RaftConfiguration(ctx, nil); err != nil || len(raft.Servers) != 1 {
		t.Errorf("raft %+v %v", raft, err)
	}
	if found, err := c.Search(ctx, &structs.SearchRequest{Prefix: "we", Context: "all"}, nil); err != nil || len(found.Matches["jobs"]) != 1 {
		t.Errorf("search %+v %v", found, err)
	}
	if found, err := c.FuzzySearch(ctx, &structs.FuzzySearchRequest{Text: "eb", Context: "all"}, nil); err != nil || len(found.Matches["jobs"]) != 1 {
		t.Errorf("fuzzy search %+v %v", found, err)
	}
}
