package client

import (
	"context"
	"errors"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/client/clienttest"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

// What was told to end before this node ever saw it has ended, and the servers
// wait for that word.
func TestStoppedBeforeItWasSeenIsReported(t *testing.T) {
	w := newWorld(t, nil)
	a := stopped(sample("a1", "service"))
	ended := stopped(sample("b1", "service"))
	ended.ClientStatus = structs.AllocClientComplete
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{a, ended}})
	w.eventually("a1", "complete")
	if len(w.driver.Starts()) != 0 {
		t.Error("it was started")
	}
	if w.servers.status("b1") != "" {
		t.Error("what the servers know to have ended is reported again")
	}
}

func TestReportWithoutARunnerSurvives(t *testing.T) {
	w := newWorld(t, nil)
	testx.Eventually(t, patience, "the node is registered", func() bool { return w.servers.registrations() > 0 })
	broken := func(broken bool) {
		w.servers.mu.Lock()
		w.servers.broken = broken
		w.servers.mu.Unlock()
	}
	broken(true)
	a := stopped(sample("a1", "service"))
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{a}})
	pending := func() bool {
		w.client.mu.Lock()
		defer w.client.mu.Unlock()
		return w.client.verdicts["a1"] != nil
	}
	testx.Eventually(t, patience, "the report is waiting", pending)
	w.stop()
	broken(false)
	w.start()
	w.eventually("a1", "complete")
	testx.Eventually(t, patience, "the report is done with", func() bool { return !pending() })
}

func TestAllocationWithoutItsGroupFails(t *testing.T) {
	w := newWorld(t, nil)
	a, b := sample("a1", "service"), sample("b1", "service")
	a.TaskGroup = "gone"
	b.Job = nil
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{a, b}})
	w.eventually("a1", "failed")
	w.eventually("b1", "failed")
	w.servers.mu.Lock()
	defer w.servers.mu.Unlock()
	if w.servers.reported["a1"].ClientDescription == "" {
		t.Error("nothing says why")
	}
}

// A change of the node has it registered, which fails for as long as the
// servers are away: meanwhile there are no heartbeats.
func TestWhatMustNotRunAloneStopsWhileTheNodeRegisters(t *testing.T) {
	w := newWorld(t, nil)
	tied := sample("a1", "service")
	tied.Job.TaskGroups[0].Disconnect = &structs.DisconnectStrategy{StopOnClientAfter: p(time.Second)}
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{tied}})
	w.eventually("a1", "running")
	w.partition(true)
	if _, err := (apiNode{w.client}).ApplyMetadata(map[string]*string{"row": p("7")}); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "the task is stopped", func() bool { return len(w.driver.Running()) == 0 })
}

func TestWhatMustNotRunAloneStopsWhenTheAgentStartsAlone(t *testing.T) {
	w := newWorld(t, nil)
	tied := sample("a1", "service")
	tied.Job.TaskGroups[0].Disconnect = &structs.DisconnectStrategy{StopOnClientAfter: p(2 * time.Second)}
	tied.Job.TaskGroups[0].Tasks[0].Services = nil // taking them back would take its time
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{tied}})
	w.eventually("a1", "running")
	w.stop()
	w.partition(true)
	began := time.Now()
	w.start()
	testx.Eventually(t, patience, "the task is stopped", func() bool { return len(w.driver.Running()) == 0 })
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it was stopped after %s already", took)
	}
}

// Metadata may be set while the agent still finds out what the node is.
func TestMetadataMayBeSetBeforeTheNodeIsKnown(t *testing.T) {
	w := newWorld(t, nil)
	w.stop()
	c := w.make()
	meta, err := apiNode{c}.ApplyMetadata(map[string]*string{"row": p("7")})
	if err != nil || meta.Meta["row"] != "7" {
		t.Errorf("metadata %+v, %v", meta, err)
	}
	known := &structs.Node{}
	c.describe(known)
	if c.Node() != known || known.Meta["row"] != "7" {
		t.Errorf("the node is described as %v", known.Meta)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Run(ctx); err != nil && !errors.Is(err, context.Canceled) { // it closes what it has open
		t.Error(err)
	}
}

// partition takes the servers away from the node.
func (w *world) partition(away bool) {
	w.servers.mu.Lock()
	w.servers.away, w.servers.broken = away, away
	w.servers.mu.Unlock()
}

// A start that fails leaves nothing behind that goes on.
func TestFailedRestoreWaitsForAllocations(t *testing.T) {
	w := newWorld(t, nil)
	a := sample("a1", "service")
	w.servers.send(link.AllocSet{Full: true, Upserts: []*structs.Allocation{a}})
	w.eventually("a1", "running")
	dir := w.client.runner("a1").Dir()
	w.stop()
	if err := errors.Join(dir.Destroy(), os.Remove(w.cfg.AllocDir)); err != nil {
		t.Fatal(err)
	}
	c := w.make()
	if err := errors.Join(os.Remove(w.cfg.AllocDir), os.WriteFile(w.cfg.AllocDir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	w.driver.Deaf(true) // its end takes longer than the start
	before := goleak.IgnoreCurrent()
	if err := c.Run(t.Context()); err == nil {
		t.Fatal("the start has not failed: the test shows nothing")
	}
	if err := goleak.Find(before); err != nil {
		t.Errorf("something goes on: %v", err)
	}
	if err := errors.Join(os.Remove(w.cfg.AllocDir), os.Mkdir(w.cfg.AllocDir, 0o700)); err != nil {
		t.Fatal(err)
	}
}

func TestNodeIDOfTheHost(t *testing.T) {
	const uuid = "4C4C4544-0042-3510-8051-B4C04F4E4D32"
	const lower = "4c4c4544-0042-3510-8051-b4c04f4e4d32"
	for _, c := range []struct {
		what   string
		not    bool
		host   string
		err    error
		derive bool
	}{
		{"derived", false, uuid, nil, true},
		{"switched off", true, uuid, nil, false},
		{"no uuid", false, "not one", nil, false},
		{"unknown", false, "", errors.New("no such file"), false},
	} {
		cfg := Config{StateDir: t.TempDir(), AllocDir: t.TempDir(), NoHostUUID: c.not}
		deps := Deps{
			Connect:  func(Identity, http.Handler) (Session, error) { return newServers(), nil },
			Drivers:  clienttest.NewCatalog(clienttest.New()),
			HostUUID: func(context.Context) (string, error) { return c.host, c.err },
		}
		for range 2 { // it stays when the state is lost
			client, err := New(cfg, deps)
			if err != nil {
				t.Fatal(err)
			}
			id := client.Identity()
			if (id.NodeID == lower) != c.derive || !ids.Valid(id.NodeID) || !ids.Valid(id.SecretID) || id.SecretID == id.NodeID {
				t.Errorf("%s: identity %+v", c.what, id)
			}
			if err := client.memory.Close(); err != nil {
				t.Fatal(err)
			}
			cfg.StateDir = t.TempDir()
		}
	}
}

func TestIdentityIsKeptWhateverTheHostSays(t *testing.T) {
	cfg := Config{StateDir: t.TempDir(), AllocDir: t.TempDir(), NoHostUUID: true}
	deps := Deps{
		Connect:  func(Identity, http.Handler) (Session, error) { return newServers(), nil },
		Drivers:  clienttest.NewCatalog(clienttest.New()),
		HostUUID: func(context.Context) (string, error) { return ids.New(), nil },
	}
	var before Identity
	for i, not := range []bool{true, false} {
		cfg.NoHostUUID = not
		c, err := New(cfg, deps)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && c.Identity() != before {
			t.Errorf("identity %+v, was %+v", c.Identity(), before)
		}
		before = c.Identity()
		if err := c.memory.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// As many are destroyed at once as allowed, never more, and all of them.
func TestParallelDestroys(t *testing.T) {
	for _, limit := range []int{1, 3} {
		var mu sync.Mutex
		inside, most, done := 0, 0, 0
		full := make(chan struct{})
		parallel(t.Context(), limit, []int{1, 2, 3, 4, 5, 6, 7}, func(int) {
			mu.Lock()
			inside++
			most = max(most, inside)
			if inside == limit {
				select {
				case <-full:
				default:
					close(full)
				}
			}
			mu.Unlock()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			select {
			case <-full:
			case <-ctx.Done():
				t.Errorf("there are never %d at once", limit)
			}
			mu.Lock()
			inside--
			done++
			mu.Unlock()
		})
		if most != limit || done != 7 {
			t.Errorf("%d at once, %d are done; want %d and 7", most, done, limit)
		}
	}
	called := false
	parallel(t.Context(), -1, []int{1}, func(int) { called = true })
	if !called {
		t.Error("a senseless limit lets nothing be done")
	}
	parallel(t.Context(), 2, nil, func(int) { t.Error("called for nothing") })
}

// What can't be removed must neither keep the sweep busy nor the others from
// being tried.
func TestSweepEndsWhenNothingCanBeRemoved(t *testing.T) {
	w := newWorld(t, nil)
	for _, id := range []string{"a1", "b1"} {
		w.servers.send(link.AllocSet{Upserts: []*structs.Allocation{sample(id, "batch")}})
		testx.Eventually(t, patience, id+" runs", func() bool { return w.driver.Exit(id, "web", 0) })
	}
	testx.Eventually(t, patience, "both have ended", func() bool { return len(w.client.finished()) == 2 })
	w.stop() // closes the memory: forgetting an allocation fails
	w.client.cfg.GC.MaxAllocs = 1
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w.client.sweep(ctx)
	if ctx.Err() != nil {
		t.Error("the sweep went on for ever")
	}
	if len(w.client.runners()) != 2 {
		t.Error("an allocation was removed: the test shows nothing")
	}
	for _, id := range []string{"a1", "b1"} {
		if w.client.runner(id).Dir().Exists() {
			t.Errorf("%s was not tried", id)
		}
	}
}
