package state

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

var update = flag.Bool("update", false, "write golden files that are missing")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestChangedWakesWhoWaits(t *testing.T) {
	w := newWorld(t)
	nodes, jobs := w.store.Changed(feed.TableNodes), w.store.Changed(feed.TableJobs, feed.TableEvals)
	if again := w.store.Changed(feed.TableEvals, feed.TableJobs); again != jobs {
		t.Error("the same tables have two channels")
	}
	w.addNode()
	if !closed(nodes) || closed(jobs) {
		t.Errorf("after a node: nodes %v, jobs %v", closed(nodes), closed(jobs))
	}
	equal(t, "index of nodes", w.snap().TableIndex(feed.TableNodes, feed.TableJobs), w.index)
	equal(t, "index of jobs", w.snap().TableIndex(feed.TableJobs), uint64(1))
	w.register(testJob("web", 1))
	if !closed(jobs) {
		t.Error("a job was registered and nobody woke")
	}
	refused := w.store.Changed(feed.TableJobs)
	w.apply(&command.DeregisterJob{Namespace: "default", JobID: "nope"})
	if closed(refused) {
		t.Error("a refused command woke who waits")
	}
	equal(t, "index after a refusal", w.store.Index(), w.index)
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestSnapshotAtWaits(t *testing.T) {
	w := newWorld(t)
	group := loop.New(t.Context())
	target := w.index + 2
	group.Go("wait", func(ctx context.Context) error {
		s, err := w.store.SnapshotAt(ctx, target)
		if err == nil && s.Index() < target {
			return fmt.Errorf("got index %d", s.Index())
		}
		return err
	})
	w.addNode()
	w.store.Skip(w.index + 1)
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.store.SnapshotAt(ctx, 1<<40); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for what never comes: %v", err)
	}
}

func TestTheFeedResumes(t *testing.T) {
	w := newWorld(t)
	w.store = New(Options{FeedSize: 3})
	sub, err := w.store.Subscribe(0)
	if err != nil {
		t.Fatal(err)
	}
	w.addNode()
	first := w.index
	w.addNode()
	read := func(s *feed.Subscription) (uint64, error) {
		if !s.Waiting() {
			return 0, nil
		}
		c, err := s.Next(t.Context())
		if err != nil {
			return 0, err
		}
		return c.Index, nil
	}
	for _, want := range []uint64{first, first + 1, 0} {
		if got, err := read(sub); got != want || err != nil {
			t.Fatalf("got change %d, %v; want %d", got, err, want)
		}
	}
	for range 4 {
		w.addNode()
	}
	var lagged *feed.LaggedError
	if _, err := read(sub); !errors.As(err, &lagged) || lagged.ResumeFrom != w.index {
		t.Fatalf("a slow reader got %v", err)
	}
	if _, err := w.store.Subscribe(first); !errors.As(err, &lagged) {
		t.Errorf("subscribing to what is gone: %v", err)
	}
	sub, err = w.store.Subscribe(lagged.ResumeFrom - 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read(sub); got != w.index || err != nil {
		t.Errorf("resumed at %d, %v", got, err)
	}
}

func TestFollowersSeeEachSnapshotInTheFeed(t *testing.T) {
	w := newWorld(t)
	group := loop.New(t.Context())
	sub, err := w.store.Subscribe(w.index)
	if err != nil {
		t.Fatal(err)
	}
	const changes = 300
	last := w.index + changes
	group.Go("follow", func(ctx context.Context) error {
		for at := uint64(0); at < last; {
			c, err := sub.Next(ctx)
			if err != nil {
				return err
			}
			if c.Index <= at || w.store.Index() < c.Index {
				return fmt.Errorf("change %d after %d, with the store at %d", c.Index, at, w.store.Index())
			}
			at = c.Index
		}
		return nil
	})
	group.Go("ask", func(context.Context) error {
		for at := uint64(0); at < last; at = w.store.Index() {
			s := w.store.Snapshot()
			if late, err := w.store.Subscribe(s.Index() - 1); err == nil && s.NodeCount() > 0 && !late.Waiting() {
				return fmt.Errorf("the change of snapshot %d isn't in the feed", s.Index())
			}
		}
		return nil
	})
	for range changes {
		w.addNode()
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func TestEventsOfTheStream(t *testing.T) {
	w := newWorld(t)
	type told struct{ Topic, Type, Key, Node string }
	var got []told
	sub, err := w.store.Subscribe(w.index)
	if err != nil {
		t.Fatal(err)
	}
	collect := func() []told {
		got = nil
		for sub.Waiting() {
			c, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.Events {
				e := &c.Events[i]
				if e.Type() != "" {
					got = append(got, told{e.Topic(), e.Type(), e.Key(), e.NodeID()})
				}
			}
		}
		return got
	}
	node := w.addNode()
	equal(t, "node", collect(), []told{{"Node", "NodeRegistration", node, node}})
	e := w.register(testJob("web", 1))
	equal(t, "job", collect(), []told{{"Job", "JobRegistered", "web", ""}, {"Evaluation", "EvaluationUpdated", e.ID, ""}})
	id := w.place(e, rowsOn(node)...)[0]
	equal(t, "plan", collect(), []told{{"Allocation", "PlanResult", id, node}, {"Evaluation", "EvaluationUpdated", e.ID, ""}})
	w.report(id, "running")
	equal(t, "report", collect(), []told{{"Allocation", "AllocationUpdated", id, node}})
	w.must(&command.DeregisterJob{Namespace: "default", JobID: "web"})
	equal(t, "stop", collect(), []told{{"Job", "JobDeregistered", "web", ""}})
	w.must(&command.SetNodeDrain{NodeID: node, Strategy: &structs.DrainStrategy{}})
	equal(t, "drain", collect(), []told{{"Node", "NodeDrain", node, node}})
}

// sample is a store with something in every table.
func sample(t testing.TB) *world {
	w := newWorld(t)
	node := w.addNode()
	parent := testJob("cron", 1)
	parent.Periodic = &structs.PeriodicConfig{Enabled: ptr(true)}
	w.must(&command.RegisterJob{Job: parent, Submission: &structs.JobSubmission{Source: "job {}", Format: "hcl2"},
		Scaling: map[string]*structs.ScalingEvent{"web": {Message: "m", Meta: map[string]any{"by": "test", "n": 1.5}}}})
	child := testJob("cron/periodic-1", 1)
	child.ParentID = ptr("cron")
	e := w.register(child)
	p := w.plan(e,
		structs.Placement{NodeID: node, Ports: []structs.PortMapping{{Label: "http", Value: 9000}}},
		structs.Placement{NodeID: ids.New()},
		structs.Placement{NodeID: node, NameIndex: 2, Canary: true},
	)
	p.Deployment = &structs.Deployment{ID: ids.New(), Namespace: "default", JobID: child.GetID(), Status: "running",
		TaskGroups: map[string]*structs.DeploymentState{"web": {DesiredTotal: 2}}}
	p.Groups[0].DeploymentID = p.Deployment.ID
	w.must(&command.ApplyPlans{Plans: []*structs.Plan{p}, Now: w.now})
	id := ids.Derive(p.Groups[0].Seed, 0)
	w.must(&command.UpdateAllocs{Now: w.now, Updates: []*structs.AllocUpdate{{ID: id, ClientStatus: "running",
		TaskStates: map[string]*structs.TaskState{"main": {State: "running"}}}}})
	w.must(&command.UpsertServices{Services: []*structs.ServiceRegistration{{ID: "s", ServiceName: "api", Namespace: "default", AllocID: id, NodeID: node}}})
	for n := range 8 { // more versions than are kept: allocations of version 0 outlive it
		w.must(&command.RegisterJob{Job: func() *structs.Job {
			j := testJob(child.GetID(), n+2)
			j.ParentID = child.ParentID
			return j
		}(), Eval: testEval(child), Now: w.now})
	}
	moved := w.plan(testEval(child))
	moved.InPlace = []structs.AllocInPlace{{AllocID: id, Resources: ask(700, 1)}}
	w.must(&command.ApplyPlans{Plans: []*structs.Plan{moved}, Now: w.now})
	w.must(&command.SetSchedulerConfig{Config: &structs.SchedulerConfiguration{SchedulerAlgorithm: "spread"}})
	w.must(&command.UpsertNodePools{Pools: []*structs.NodePool{{Name: "gpu"}}})
	w.must(&command.UpsertNamespaces{Namespaces: []*structs.Namespace{{Name: "team"}}})
	return w
}

func TestRestoreGivesTheSameState(t *testing.T) {
	w := sample(t)
	other, err := restored(w.snap())
	if err != nil {
		t.Fatal(err)
	}
	a, b := w.snap(), other.Snapshot()
	if a.StateHash() != b.StateHash() {
		t.Error("another hash")
	}
	if wrong := violations(b, nil); len(wrong) > 0 {
		t.Error(wrong)
	}
	equal(t, "indexes", []uint64{b.Index(), b.TableIndex(feed.TableNodes)}, []uint64{a.Index(), a.TableIndex(feed.TableNodes)})
	for x := range a.Allocs("*", "") {
		y := b.Alloc(x.ID)
		equal(t, "job version of allocation", []any{y.JobVersion(), *y.Job.TaskGroups[0].Count}, []any{x.JobVersion(), *x.Job.TaskGroups[0].Count})
		y.Job = x.Job
		equal(t, "allocation", y, x)
	}
	equal(t, "submission", b.JobSubmission("default", "cron", 0), a.JobSubmission("default", "cron", 0))
	equal(t, "scaling", b.ScalingEvents("default", "cron"), a.ScalingEvents("default", "cron"))
	// Both go on alike.
	w.addNode()
	e := testEval(testJob("new", 1))
	c := &command.RegisterJob{Job: testJob("new", 1), Eval: e, Now: w.now}
	other2, err := restored(w.snap())
	if err != nil {
		t.Fatal(err)
	}
	w.must(c)
	other2.Apply(w.index, c)
	if w.snap().StateHash() != other2.Snapshot().StateHash() {
		t.Error("the states went apart after restoring")
	}
}

// What one group of a job counts is not restored into the next one.
func TestSummariesOfGroupsAreRestoredApart(t *testing.T) {
	w := newWorld(t)
	job := testJob("shop", 2)
	second := *job.TaskGroups[0]
	second.Name = ptr("cache")
	job.TaskGroups = append(job.TaskGroups, &second)
	queued := complete(w.register(job))
	queued.QueuedAllocations = map[string]int{"cache": 3}
	w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{queued}})
	want := w.snap().JobSummary("default", "shop")
	if want.Summary["cache"].Queued != 3 || want.Summary["web"].Queued != 0 {
		t.Fatalf("nothing to tell apart: %+v", want)
	}
	var data bytes.Buffer
	if err := w.store.Persist(&data); err != nil {
		t.Fatal(err)
	}
	other := New(Options{})
	if err := other.Restore(&data); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, other.Snapshot().JobSummary("default", "shop")); diff != "" {
		t.Error(diff)
	}
}

func TestRestoreWakesAndLags(t *testing.T) {
	w := sample(t)
	var data bytes.Buffer
	if err := w.store.Persist(&data); err != nil {
		t.Fatal(err)
	}
	sub, err := w.store.Subscribe(w.store.Index())
	if err != nil {
		t.Fatal(err)
	}
	changed := w.store.Changed(feed.TableNamespaces)
	if err := w.store.Restore(&data); err != nil {
		t.Fatal(err)
	}
	var lagged *feed.LaggedError
	if _, err := sub.Next(t.Context()); !errors.As(err, &lagged) || !closed(changed) {
		t.Errorf("after a restore: %v, woken: %v", err, closed(changed))
	}
}

func TestRestoreRefusesWhatIsDamaged(t *testing.T) {
	w := sample(t)
	var data bytes.Buffer
	if err := w.store.Persist(&data); err != nil {
		t.Fatal(err)
	}
	good := data.Bytes()
	other := New(Options{})
	before := other.Snapshot().StateHash()
	refused := func(what string, data []byte) {
		t.Helper()
		err := other.Restore(bytes.NewReader(data))
		var panicked *PanicError
		if !errors.Is(err, tables.ErrBadSnapshot) || errors.As(err, &panicked) {
			t.Errorf("%s: %v", what, err)
		}
		if other.Snapshot().StateHash() != before {
			t.Fatalf("%s changed the state", what)
		}
	}
	for cut := 0; cut < len(good); cut += 1 + cut/20 {
		refused(fmt.Sprintf("cut at %d", cut), good[:cut])
	}
	for at := 0; at < len(good); at += 1 + at/40 {
		bad := bytes.Clone(good)
		bad[at] ^= 0x10
		refused(fmt.Sprintf("bit flipped at %d", at), bad)
	}
	if err := other.Restore(bytes.NewReader(good)); err != nil {
		t.Error(err)
	}
}

// sealed is a snapshot whose checksums are right but whose sections hold data.
func sealed(kind byte, data []byte) []byte {
	out := []byte("steppe-state 1\n")
	section := append([]byte{kind}, data...)
	section = append(section, 0)
	sum := crc32.Checksum(section, crc32.MakeTable(crc32.Castagnoli))
	return append(append(out, section...), byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
}

func FuzzRestore(f *testing.F) {
	var data bytes.Buffer
	if err := sample(f).store.Persist(&data); err != nil {
		f.Fatal(err)
	}
	f.Add(data.Bytes(), byte(0))
	f.Add([]byte{5, 0x81, 0xa3, 'J', 'o', 'b'}, byte(10 /* allocations */))
	f.Fuzz(func(t *testing.T, data []byte, kind byte) {
		if kind != 0 {
			data = sealed(kind, data)
		}
		if err := New(Options{}).Restore(bytes.NewReader(data)); err != nil && !errors.Is(err, tables.ErrBadSnapshot) {
			t.Errorf("another error: %v", err)
		}
	})
}

// A snapshot that version 1 wrote must be restored for ever. It is written only
// if it isn't there.
func TestGoldenSnapshot(t *testing.T) {
	const path = "testdata/v1/snapshot"
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && *update {
		var data bytes.Buffer
		if err := sample(t).store.Persist(&data); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("run go test ./state -update once: %v", err)
	}
	store := New(Options{})
	if err := store.Restore(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	s, want := store.Snapshot(), sample(t).snap()
	if wrong := violations(s, nil); len(wrong) > 0 {
		t.Error(wrong)
	}
	equal(t, "index", s.Index(), want.Index())
	equal(t, "jobs", len(slices.Collect(s.Jobs("*", ""))), 2)
	equal(t, "versions", len(s.JobVersions("default", "cron/periodic-1")), len(want.JobVersions("default", "cron/periodic-1")))
	equal(t, "summary", s.JobSummary("default", "cron/periodic-1"), want.JobSummary("default", "cron/periodic-1"))
	equal(t, "submission", s.JobSubmission("default", "cron", 0), want.JobSubmission("default", "cron", 0))
	equal(t, "scaling", s.ScalingEvents("default", "cron"), want.ScalingEvents("default", "cron"))
	equal(t, "configuration", s.SchedulerConfig(), want.SchedulerConfig())
	equal(t, "pool", s.NodePool("gpu"), want.NodePool("gpu"))
	equal(t, "namespace", s.Namespace("team"), want.Namespace("team"))
	equal(t, "allocations", len(slices.Collect(s.Allocs("*", ""))), len(slices.Collect(want.Allocs("*", ""))))
	equal(t, "services", len(slices.Collect(s.ServicesByName("default", "api"))), 1)
}
