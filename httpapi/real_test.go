package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/internal/archive"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

// realServer is a region of one server with its API on a real socket.
func realServer(t *testing.T) (*server.Server, string) {
	t.Helper()
	identity, err := certs.DevCA(filepath.Join(t.TempDir(), "ca"), "global", certs.RoleServer)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Config{
		Name: "test", Region: "global", DataDir: t.TempDir(), Dev: true, TLS: identity,
		LinkAddr: "127.0.0.1:0", SerfAddr: "127.0.0.1:0", Version: "0.0.1",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	_, url := serve(t, door.Config{Name: "test", Server: srv})
	testx.Eventually(t, 10*time.Second, "the server leads", srv.Leading)
	return srv, url
}

// published is the client that others have written their tools with.
func published(t *testing.T, url string) *nomad.Client {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	c, err := nomad.NewClient(&nomad.Config{Address: url, HttpClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func theirJob(id string, count int) *nomad.Job {
	task := nomad.NewTask("main", "mock").SetConfig("run_for", "1h").Require(&nomad.Resources{CPU: ptr(100), MemoryMB: ptr(64)})
	group := nomad.NewTaskGroup("group", count).AddTask(task)
	job := nomad.NewServiceJob(id, id, "global", 50).AddTaskGroup(group)
	job.Datacenters = []string{"dc1"}
	return job
}

func ptr[T any](v T) *T { return &v }

// testNode could take a few allocations; nobody runs them.
func testNode(name string) *structs.Node {
	return &structs.Node{
		ID: ids.New(), SecretID: ids.New(), Name: name, Datacenter: "dc1", NodePool: structs.NodePoolDefault, ComputedClass: "c",
		HTTPAddr: "127.0.0.1:4646", Status: structs.NodeStatusReady, SchedulingEligibility: structs.NodeEligible,
		Attributes: map[string]string{"kernel.name": "linux", "driver.mock": "1", "nomad.version": "0.0.1", "os.name": "debian"},
		Drivers:    map[string]*structs.DriverInfo{"mock": {Detected: true, Healthy: true}},
		NodeResources: &structs.NodeResources{
			Cpu:    structs.NodeCpuResources{CpuShares: 4000, TotalCpuCores: 4},
			Memory: structs.NodeMemoryResources{MemoryMB: 4000}, Disk: structs.NodeDiskResources{DiskMB: 100_000},
			MinDynamicPort: 20000, MaxDynamicPort: 32000,
		},
	}
}

// addNode registers a testNode.
func addNode(t *testing.T, srv *server.Server, name string) *structs.Node {
	t.Helper()
	n := testNode(name)
	if _, _, err := srv.RegisterNode(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPublishedClientRunsAJob(t *testing.T) {
	srv, url := realServer(t)
	node := addNode(t, srv, "one")
	c := published(t, url)

	plan, _, err := c.Jobs().Plan(theirJob("web", 2), true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if plan.JobModifyIndex != 0 || plan.Diff.Type != "Added" || plan.Annotations.DesiredTGUpdates["group"].Place != 2 || len(plan.FailedTGAllocs) != 0 {
		t.Errorf("plan %+v, diff %+v", plan, plan.Diff)
	}
	resp, meta, err := c.Jobs().Register(theirJob("web", 2), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.EvalID == "" || resp.JobModifyIndex == 0 || meta.LastIndex == 0 {
		t.Errorf("register %+v %+v", resp, meta)
	}
	testx.Eventually(t, 10*time.Second, "the evaluation is complete", func() bool {
		e, _, err := c.Evaluations().Info(resp.EvalID, nil)
		return err == nil && e.Status == "complete"
	})
	allocs, _, err := c.Jobs().Allocations("web", false, nil)
	if err != nil || len(allocs) != 2 {
		t.Fatalf("allocations %v %v", allocs, err)
	}
	if allocs[0].NodeID != node.ID || allocs[0].JobVersion != 0 || allocs[0].NodeName != "one" {
		t.Errorf("allocation %+v", allocs[0])
	}
	whole, _, err := c.Allocations().Info(allocs[0].ID, nil)
	if err != nil || whole.Job == nil || *whole.Job.ID != "web" || whole.Metrics == nil {
		t.Errorf("allocation %+v %v", whole, err)
	}
	job, read, err := c.Jobs().Info("web", nil)
	if err != nil || *job.ID != "web" || *job.TaskGroups[0].Count != 2 || !read.KnownLeader || read.LastIndex == 0 {
		t.Errorf("job %+v %+v %v", job, read, err)
	}
	if d, _, err := c.Jobs().LatestDeployment("web", nil); err != nil || d == nil || d.JobID != "web" {
		t.Errorf("deployment %+v %v", d, err)
	}
	if s, _, err := c.Jobs().Summary("web", nil); err != nil || s.Summary["group"].Starting != 2 {
		t.Errorf("summary %+v %v", s, err)
	}
	if n, _, err := c.Nodes().Info(node.ID, nil); err != nil || n.Name != "one" {
		t.Errorf("node %+v %v", n, err)
	}
	if list, _, err := c.Nodes().List(nil); err != nil || len(list) != 1 || list[0].Version != "0.0.1" || list[0].Address != "127.0.0.1" {
		t.Errorf("nodes %+v %v", list, err)
	}
	if got, _, err := c.Nodes().Allocations(node.ID, nil); err != nil || len(got) != 2 {
		t.Errorf("allocations of the node %+v %v", got, err)
	}
	// Options left alone are sent as zeros.
	if eval, _, err := c.Jobs().DeregisterOpts("web", &nomad.DeregisterOptions{Purge: true}, nil); err != nil || eval == "" {
		t.Errorf("stop: evaluation %q, %v", eval, err)
	}
	if _, _, err := c.Jobs().Info("web", nil); err == nil {
		t.Error("the purged job is still there")
	}
}

func TestPublishedClientSeesRefusals(t *testing.T) {
	srv, url := realServer(t)
	addNode(t, srv, "one")
	c := published(t, url)
	_, _, err := c.Jobs().Info("nothing", nil)
	refused(t, err, 404, "job not found")
	_, _, err = c.Allocations().Info(ids.New(), nil)
	refused(t, err, 404, "alloc not found")
	_, _, err = c.Evaluations().Info(ids.New(), nil)
	refused(t, err, 404, "eval not found")
	_, _, err = c.Nodes().Info(ids.New(), nil)
	refused(t, err, 404, "node not found")
	_, _, err = c.Deployments().Info(ids.New(), nil)
	refused(t, err, 404, "deployment not found")
	_, _, err = c.Jobs().EnforceRegister(theirJob("web", 1), 7, nil)
	refused(t, err, 500, "Enforcing job modify index 7: job does not exist")
	if _, _, err = c.Jobs().EnforceRegister(theirJob("web", 1), 0, nil); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Jobs().EnforceRegister(theirJob("web", 1), 0, nil)
	refused(t, err, 500, "Enforcing job modify index 0: job already exists")
	broken := theirJob("bad", -1)
	_, _, err = c.Jobs().Register(broken, nil)
	refused(t, err, 500, "count")
	_, _, err = c.Jobs().List(&nomad.QueryOptions{Filter: "Name =="})
	refused(t, err, 400, "failed to create result paginator")
	_, _, err = c.Jobs().List(&nomad.QueryOptions{Filter: `Nonsense == "x"`})
	refused(t, err, 400, "Nonsense")
	_, _, err = c.Jobs().List(&nomad.QueryOptions{NextToken: "garbage", PerPage: 1})
	refused(t, err, 400, "failed to create result paginator")
	_, err = c.Raw().Query("/v1/acl/policies", new(any), nil)
	refused(t, err, 501, "not built yet")
}

func refused(t *testing.T, err error, code int, text string) {
	t.Helper()
	var got nomad.UnexpectedResponseError
	if !errors.As(err, &got) || got.StatusCode() != code || !strings.Contains(got.Body(), text) {
		t.Errorf("got %v, want %d %q", err, code, text)
	}
}

func TestPublishedClientPagesAndFilters(t *testing.T) {
	srv, url := realServer(t)
	addNode(t, srv, "one")
	c := published(t, url)
	for _, id := range []string{"delta", "alpha", "charlie", "bravo", "alpine"} {
		if _, _, err := c.Jobs().Register(theirJob(id, 1), nil); err != nil {
			t.Fatal(err)
		}
	}
	collect := func(q nomad.QueryOptions) string {
		t.Helper()
		var out []string
		for {
			var jobs []*nomad.JobListStub // the client's own List would sort them
			meta, err := c.Raw().Query("/v1/jobs", &jobs, &q)
			if err != nil {
				t.Fatal(err)
			}
			if q.PerPage > 0 && len(jobs) > int(q.PerPage) {
				t.Errorf("a page of %d", len(jobs))
			}
			for _, j := range jobs {
				out = append(out, j.ID)
			}
			if meta.NextToken == "" {
				return strings.Join(out, " ")
			}
			q.NextToken = meta.NextToken
		}
	}
	for want, q := range map[string]nomad.QueryOptions{
		"alpha alpine bravo charlie delta":  {PerPage: 2},
		"delta charlie bravo alpine alpha":  {PerPage: 2, Reverse: true},
		"alpha alpine":                      {Prefix: "al"},
		"bravo delta":                       {PerPage: 1, Filter: `ID == "delta" or ID == "bravo"`},
		"alpha alpine bravo charlie  delta": {PerPage: 100, Filter: `Type == "service"`, Namespace: "*"},
	} {
		if got := collect(q); got != strings.ReplaceAll(want, "  ", " ") {
			t.Errorf("%+v: %s, want %s", q, got, want)
		}
	}
	var ids []string
	q := &nomad.QueryOptions{PerPage: 2}
	for {
		var page []*nomad.Evaluation // the client's own List would sort them
		meta, err := c.Raw().Query("/v1/evaluations", &page, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			ids = append(ids, e.JobID)
		}
		if meta.NextToken == "" {
			break
		}
		q.NextToken = meta.NextToken
	}
	if len(ids) < 5 || ids[0] != "delta" {
		t.Errorf("evaluations in the order of creation: %v", ids)
	}
}

func TestPublishedClientWaitsForChanges(t *testing.T) {
	srv, url := realServer(t)
	addNode(t, srv, "one")
	c := published(t, url)
	_, meta, err := c.Jobs().List(nil)
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		jobs []*nomad.JobListStub
		meta *nomad.QueryMeta
		err  error
	}
	got := make(chan result, 1)
	go func() {
		jobs, m, err := c.Jobs().List(&nomad.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: time.Minute})
		got <- result{jobs, m, err}
	}()
	select {
	case r := <-got:
		t.Fatalf("the query didn't wait: %+v", r)
	case <-time.After(150 * time.Millisecond):
	}
	if _, _, err := c.Jobs().Register(theirJob("web", 1), nil); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-got:
		if r.err != nil || len(r.jobs) != 1 || r.meta.LastIndex <= meta.LastIndex {
			t.Errorf("%+v", r)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the query never woke")
	}
	begun := time.Now()
	if _, _, err := c.Nodes().List(&nomad.QueryOptions{WaitIndex: 1 << 40, WaitTime: 50 * time.Millisecond}); err != nil || time.Since(begun) < 50*time.Millisecond {
		t.Errorf("time-out after %s: %v", time.Since(begun), err)
	}
}

func TestPublishedClientFollowsEvents(t *testing.T) {
	srv, url := realServer(t)
	addNode(t, srv, "one")
	c := published(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	events, err := c.EventStream().Stream(ctx, map[nomad.Topic][]string{nomad.TopicJob: {"web"}, nomad.TopicEvaluation: {"*"}}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"other", "web"} {
		if _, _, err := c.Jobs().Register(theirJob(id, 1), nil); err != nil {
			t.Fatal(err)
		}
	}
	for batch := range events {
		if ctx.Err() != nil {
			break
		}
		if batch.Err != nil {
			t.Fatal(batch.Err)
		}
		for _, e := range batch.Events {
			if e.Topic == nomad.TopicJob {
				job, err := e.Job()
				if err != nil || *job.ID != "web" || e.Type != "JobRegistered" || batch.Index == 0 {
					t.Errorf("event %+v: %v", e, err)
				}
				cancel()
			}
		}
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Error("the job's event never came")
	}
}

func TestPublishedClientSteersJobs(t *testing.T) {
	srv, url := realServer(t)
	node := addNode(t, srv, "one")
	c := published(t, url)
	job := theirJob("team/web", 1)
	if _, _, err := c.Jobs().Register(job, nil); err != nil {
		t.Fatal(err)
	}
	job.TaskGroups[0].Tasks[0].Config["run_for"] = "2h"
	if _, _, err := c.Jobs().Register(job, nil); err != nil {
		t.Fatal(err)
	}
	versions, diffs, _, err := c.Jobs().Versions("team/web", true, nil)
	if err != nil || len(versions) != 2 || len(diffs) != 1 || diffs[0].Type != "Edited" {
		t.Errorf("versions %v, diffs %v: %v", len(versions), diffs, err)
	}
	if _, err := c.Jobs().TagVersion("team/web", 0, "gold", "the first", nil); err != nil {
		t.Errorf("tag: %v", err)
	}
	_, diffs, _, err = c.Jobs().VersionsOpts("team/web", &nomad.VersionsOptions{Diffs: true, DiffTag: "gold"}, nil)
	if err != nil || len(diffs) != 2 || diffs[0].Type != "Edited" || diffs[1].Type != "None" {
		t.Errorf("diffs with the tagged version %v: %v", diffs, err)
	}
	if _, err := c.Jobs().UntagVersion("team/web", "gold", nil); err != nil {
		t.Errorf("untag: %v", err)
	}
	_, err = c.Jobs().UntagVersion("team/web", "gold", nil)
	refused(t, err, 404, `tag "gold" not found on job "team/web"`)
	_, err = c.Jobs().TagVersion("team/web", 9, "gold", "", nil)
	refused(t, err, 404, `job "team/web" at version 9 not found`)
	if _, _, err := c.Jobs().Revert("team/web", 0, nil, nil, "", ""); err != nil {
		t.Errorf("revert: %v", err)
	}
	if _, _, err := c.Jobs().Scale("team/web", "group", ptr(2), "more", false, nil, nil); err != nil && !strings.Contains(err.Error(), "job scaling blocked due to active deployment") {
		t.Errorf("scale: %v", err)
	}
	if s, _, err := c.Jobs().ScaleStatus("team/web", nil); err != nil || s.TaskGroups["group"].Desired < 1 {
		t.Errorf("scale status %+v: %v", s, err)
	}
	if _, _, err := c.Jobs().ForceEvaluate("team/web", nil); err != nil {
		t.Errorf("evaluate: %v", err)
	}
	if _, err := c.Nodes().ToggleEligibility(node.ID, false, nil); err != nil {
		t.Errorf("eligibility: %v", err)
	}
	if n, _, err := c.Nodes().Info(node.ID, nil); err != nil || n.SchedulingEligibility != "ineligible" {
		t.Errorf("node %+v: %v", n, err)
	}
	if _, err := c.Nodes().UpdateDrain(node.ID, &nomad.DrainSpec{Deadline: time.Hour}, false, nil); err != nil {
		t.Errorf("drain: %v", err)
	}
	if _, err := c.Nodes().UpdateDrain(node.ID, nil, true, nil); err != nil {
		t.Errorf("end of drain: %v", err)
	}
	deployment, _, err := c.Jobs().LatestDeployment("team/web", nil)
	if err != nil || deployment == nil {
		t.Fatalf("deployment: %v", err)
	}
	if _, _, err := c.Deployments().Pause(deployment.ID, true, nil); err != nil {
		t.Errorf("pause: %v", err)
	}
	if _, _, err := c.Deployments().Fail(deployment.ID, nil); err != nil {
		t.Errorf("fail: %v", err)
	}
	if d, _, err := c.Deployments().Info(deployment.ID, nil); err != nil || d.Status != "failed" {
		t.Errorf("deployment %+v: %v", d, err)
	}
	if _, _, err := c.Jobs().Deregister("team/web", true, nil); err != nil {
		t.Errorf("purge: %v", err)
	}
	_, _, err = c.Jobs().Info("team/web", nil)
	refused(t, err, 404, "job not found")
	if err := c.System().GarbageCollect(); err != nil {
		t.Errorf("collect: %v", err)
	}
}

func TestPublishedClientMakesJobsFromOthers(t *testing.T) {
	srv, url := realServer(t)
	addNode(t, srv, "one")
	c := published(t, url)
	pack := theirJob("team/pack", 1)
	pack.Type = ptr("batch")
	pack.ParameterizedJob = &nomad.ParameterizedJobConfig{Payload: "optional", MetaRequired: []string{"who"}}
	if resp, _, err := c.Jobs().Register(pack, nil); err != nil || resp.EvalID != "" {
		t.Fatalf("%+v: %v", resp, err)
	}
	token := &nomad.WriteOptions{IdempotencyToken: "once"}
	first, _, err := c.Jobs().Dispatch("team/pack", map[string]string{"who": "me"}, []byte("hello"), "night", token)
	if err != nil || !strings.HasPrefix(first.DispatchedJobID, "team/pack/dispatch-night-") || first.EvalID == "" || first.JobCreateIndex == 0 {
		t.Fatalf("%+v: %v", first, err)
	}
	again, _, err := c.Jobs().Dispatch("team/pack", map[string]string{"who": "me"}, nil, "", token)
	if err != nil || again.DispatchedJobID != first.DispatchedJobID || again.EvalID != first.EvalID || again.JobCreateIndex != first.JobCreateIndex {
		t.Errorf("with the same token %+v: %v", again, err)
	}
	child, _, err := c.Jobs().Info(first.DispatchedJobID, nil)
	if err != nil || string(child.Payload) != "hello" || *child.ParentID != "team/pack" || !child.Dispatched || child.Meta["who"] != "me" {
		t.Errorf("%+v: %v", child, err)
	}
	if s, _, err := c.Jobs().Summary("team/pack", nil); err != nil || s.Children.Pending+s.Children.Running != 1 {
		t.Errorf("summary %+v: %v", s, err)
	}
	_, _, err = c.Jobs().Dispatch("team/pack", nil, nil, "", nil)
	refused(t, err, 500, "did not provide required meta keys: [who]")
	_, _, err = c.Jobs().Dispatch("nobody", nil, nil, "", nil)
	refused(t, err, 404, "job not found")

	cron := theirJob("team/cron", 1)
	cron.Type = ptr("batch")
	cron.Periodic = &nomad.PeriodicConfig{Specs: []string{"@yearly"}, SpecType: ptr("cron"), TimeZone: ptr("Europe/Vienna")}
	if resp, _, err := c.Jobs().Register(cron, nil); err != nil || resp.EvalID != "" {
		t.Fatalf("%+v: %v", resp, err)
	}
	plan, _, err := c.Jobs().Plan(cron, false, nil)
	cron.Canonicalize()
	zone, zoneErr := cron.Periodic.GetLocation()
	if zoneErr != nil {
		t.Fatal(zoneErr)
	}
	if want, _ := cron.Periodic.Next(time.Now().In(zone)); err != nil || !plan.NextPeriodicLaunch.Equal(want) {
		t.Errorf("next launch %v, theirs is %v: %v", plan.NextPeriodicLaunch, want, err)
	}
	evalID, _, err := c.Jobs().PeriodicForce("team/cron", nil)
	if err != nil {
		t.Fatal(err)
	}
	eval, _, err := c.Evaluations().Info(evalID, nil)
	if err != nil || eval.TriggeredBy != "periodic-job" || !strings.HasPrefix(eval.JobID, "team/cron/periodic-") {
		t.Errorf("%+v: %v", eval, err)
	}
	_, _, err = c.Jobs().PeriodicForce("team/pack", nil)
	refused(t, err, 500, "not periodic")
}

func TestPublishedClientReadsTheCluster(t *testing.T) {
	srv, url := realServer(t)
	node := addNode(t, srv, "one")
	c := published(t, url)
	if leader, err := c.Status().Leader(); err != nil || !strings.HasPrefix(leader, "127.0.0.1:") {
		t.Errorf("leader %q: %v", leader, err)
	}
	if peers, err := c.Status().Peers(); err != nil || len(peers) != 1 {
		t.Errorf("peers %v: %v", peers, err)
	}
	if regions, err := c.Regions().List(); err != nil || len(regions) != 1 || regions[0] != "global" {
		t.Errorf("regions %v: %v", regions, err)
	}
	if m, err := c.Agent().Members(); err != nil || len(m.Members) != 1 || m.Members[0].Status != "alive" || m.ServerRegion != "global" {
		t.Errorf("members %+v: %v", m, err)
	}
	if ns, _, err := c.Namespaces().List(nil); err != nil || len(ns) != 1 || ns[0].Name != "default" {
		t.Errorf("namespaces %+v: %v", ns, err)
	}
	if pools, _, err := c.NodePools().List(nil); err != nil || len(pools) != 2 {
		t.Errorf("pools %+v: %v", pools, err)
	}
	if cfg, err := c.Operator().RaftGetConfiguration(nil); err != nil || len(cfg.Servers) != 1 || !cfg.Servers[0].Leader {
		t.Errorf("raft %+v: %v", cfg, err)
	}
	sched, _, err := c.Operator().SchedulerGetConfiguration(nil)
	if err != nil || sched.SchedulerConfig.SchedulerAlgorithm != "binpack" {
		t.Fatalf("scheduler %+v: %v", sched, err)
	}
	sched.SchedulerConfig.SchedulerAlgorithm = nomad.SchedulerAlgorithmSpread
	if resp, _, err := c.Operator().SchedulerCASConfiguration(sched.SchedulerConfig, nil); err != nil || !resp.Updated {
		t.Errorf("set scheduler %+v: %v", resp, err)
	}
	if resp, _, err := c.Operator().SchedulerCASConfiguration(sched.SchedulerConfig, nil); err == nil && resp.Updated {
		t.Errorf("set scheduler with an old index: %+v", resp)
	}
	if found, _, err := c.Search().PrefixSearch(node.ID[:6], "all", nil); err != nil || len(found.Matches["nodes"]) != 1 {
		t.Errorf("search %+v: %v", found, err)
	}
	if found, _, err := c.Search().FuzzySearch("on", "nodes", nil); err != nil || len(found.Matches["nodes"]) != 1 || found.Matches["nodes"][0].Scope[0] != node.ID {
		t.Errorf("fuzzy search %+v: %v", found, err)
	}
	if services, _, err := c.Services().List(nil); err != nil || len(services) != 0 {
		t.Errorf("services %+v: %v", services, err)
	}
}

func TestJobFilesAreParsed(t *testing.T) {
	_, url := serve(t, door.Config{Server: newFakeServer()})
	c := published(t, url)
	job, err := c.Jobs().ParseHCLOpts(&nomad.JobsParseRequest{
		JobHCL:       "variable \"n\" { default = 1 }\njob \"web\" {\n  group \"g\" {\n    count = var.n\n    task \"t\" {\n      driver = \"mock\"\n    }\n  }\n}\n",
		Variables:    "n = 3",
		Canonicalize: true,
	})
	if err != nil || *job.ID != "web" || *job.TaskGroups[0].Count != 3 || *job.Priority != 50 {
		t.Errorf("%+v %v", job, err)
	}
	_, err = c.Jobs().ParseHCL("job \"web\" {\n  grup \"g\" {}\n}\n", false)
	refused(t, err, 400, "Failed to parse job: ")
	refused(t, err, 400, "grup")
	// Rules are for those who run the job: reading it is not running it.
	job, err = c.Jobs().ParseHCL("job \"web\" {\n  priority = 500\n  group \"g\" {\n    count = -2\n    task \"t\" {\n      driver = \"mock\"\n    }\n  }\n}\n", false)
	if err != nil || *job.Priority != 500 {
		t.Errorf("%+v %v", job, err)
	}
}

// TestTheStateIsSaved asks for a snapshot as tools of others do: their client
// compares what comes with its digest.
func TestTheStateIsSaved(t *testing.T) {
	srv, url := realServer(t)
	node := testNode("saved")
	if _, _, err := srv.RegisterNode(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	body, err := published(t, url).Operator().Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	var state bytes.Buffer
	err = archive.Read(body, 1<<30, func(m archive.Meta) (io.Writer, error) {
		if m.Index == 0 || m.Term == 0 || m.Time.IsZero() || m.Server != "test" || m.Region != "global" || m.Version != "0.0.1" {
			t.Errorf("it says %+v", m)
		}
		if !slices.ContainsFunc(m.Tables, func(t archive.Table) bool { return t.Name == "Node" && t.Count == 1 && t.Bytes > 0 }) {
			t.Errorf("its tables are %+v", m.Tables)
		}
		return &state, nil
	})
	if err := errors.Join(err, body.Close()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(state.Bytes(), []byte(node.ID)) {
		t.Error("the node isn't in it")
	}
}
