package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/server/placer"
	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/state/invariant"
	"github.com/steppe-run/steppe/structs"
)

// world is a server that leads, its journal in memory, and nodes that play
// their part; time passes as fast as nothing happens.
type world struct {
	t     *testing.T
	s     *Control
	g     *loop.Group
	nodes map[string]*fakeNode
	term  *loop.Group // the leader's
}

// play runs a story in a bubble of virtual time and ends everything after it.
func play(t *testing.T, story func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		story(t, w)
		w.end()
	})
}

func (w *world) end() {
	w.t.Helper()
	for _, g := range []*loop.Group{w.g, w.term} {
		g.Stop()
		if err := g.Wait(); err != nil {
			w.t.Errorf("the leader ended badly: %v", err)
		}
	}
}

func newWorld(t *testing.T, cfg Config) *world {
	journal := &memoryJournal{store: state.New(state.Options{FeedSize: FeedSize}), broken: func(v *invariant.Violation) { t.Error(v) }}
	journal.rules = invariant.NewWatch(journal.store.Snapshot())
	cfg.Store, cfg.Journal = journal.store, journal
	cfg.Standing = func() (leads, known bool) { return true, true }
	s := New(cfg)
	w := &world{t: t, s: s, g: loop.New(t.Context()), nodes: map[string]*fakeNode{}}
	w.term = loop.New(t.Context())
	w.lead()
	return w
}

// lead ends the leader's term, if there is one, and begins another with what the
// state says. The nodes go on.
func (w *world) lead() {
	w.t.Helper()
	w.term.Stop()
	if err := w.term.Wait(); err != nil {
		w.t.Fatalf("the leader ended badly: %v", err)
	}
	w.term = loop.New(w.t.Context())
	w.term.Go("leader", w.s.serveTerm)
	synctest.Wait()
	if w.s.term.Load() == nil {
		w.t.Fatal("the server doesn't lead")
	}
}

// memoryJournal applies commands at once, one after the other.
type memoryJournal struct {
	mu    sync.Mutex
	store *state.Store
	index uint64
	// rules judge each entry, if set; broken is told of what they find.
	rules  *invariant.Watch
	broken func(v *invariant.Violation)
	// refuse makes commits fail, if set.
	refuse error
	// before returns what gets in before a command, if set; after looks at the
	// state that each leaves.
	before func(c command.Command) []command.Command
	after  func(store *state.Store)
}

// Commit implements journal.
func (j *memoryJournal) Commit(ctx context.Context, c command.Command) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refuse != nil {
		return nil, j.refuse
	}
	if j.before != nil {
		for _, first := range j.before(c) {
			j.apply(first)
		}
	}
	result := j.apply(c)
	if refusal, ok := result.(error); ok {
		return nil, refusal
	}
	return result, nil
}

func (j *memoryJournal) apply(c command.Command) any {
	j.index++
	result := j.store.Apply(j.index, c)
	if j.rules != nil {
		for _, v := range j.rules.Entry(j.store) {
			j.broken(v)
		}
	}
	if j.after != nil {
		j.after(j.store)
	}
	return result
}

// watch has f look at the state after each entry, and at once.
func (j *memoryJournal) watch(f func(store *state.Store)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.after = f
	f(j.store)
}

// prepare has f say what gets in before each command; nil: nothing does.
func (j *memoryJournal) prepare(f func(c command.Command) []command.Command) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.before = f
}

// set makes commits fail, or succeed again.
func (j *memoryJournal) set(refuse error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.refuse = refuse
}

// Propose implements journal.
func (j *memoryJournal) Propose(c command.Command) (placer.Future, error) {
	result, err := j.Commit(context.Background(), c)
	return doneFuture{result, err}, nil
}

// Barrier implements journal: nothing is ever under way.
func (j *memoryJournal) Barrier(context.Context) error { return nil }

type doneFuture struct {
	result any
	err    error
}

// Wait implements placer.Future.
func (f doneFuture) Wait(context.Context) (any, error) { return f.result, f.err }

// fakeNode runs what it is told to, in a way that a story may change.
type fakeNode struct {
	w  *world
	id string

	mu     sync.Mutex
	silent bool
	// fails says whether an allocation fails, and how long after its start.
	fails func(a *structs.Allocation) (time.Duration, bool)
	since map[string]time.Time // when an allocation was started
}

// addNode registers a node with room for ten allocations of the test jobs.
func (w *world) addNode(name string) *fakeNode {
	w.t.Helper()
	described := servertest.Node(name)
	n := &fakeNode{w: w, id: described.ID, since: map[string]time.Time{}}
	if _, _, err := w.s.RegisterNode(w.t.Context(), described); err != nil {
		w.t.Fatalf("register node: %v", err)
	}
	w.nodes[name] = n
	w.g.Go("node "+name, n.run)
	return n
}

// set changes how the node behaves.
func (n *fakeNode) set(change func(n *fakeNode)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

func (n *fakeNode) run(ctx context.Context) error {
	const tick = 500 * time.Millisecond
	next := time.Now()
	for {
		changed := n.w.s.store.Changed(feed.TableAllocs)
		n.mu.Lock()
		if !n.silent {
			if !time.Now().Before(next) {
				if ttl, err := n.w.s.Heartbeat(ctx, n.id); err == nil {
					next = time.Now().Add(ttl / 2)
				}
			}
			n.report(ctx)
		}
		n.mu.Unlock()
		n.w.glance(ctx, changed, tick)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// glance waits for a change, at most d.
func (w *world) glance(ctx context.Context, changed <-chan struct{}, d time.Duration) {
	timer := w.s.cfg.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-timer.C():
	}
}

func (n *fakeNode) report(ctx context.Context) {
	var updates []*structs.AllocUpdate
	for a := range n.w.s.store.Snapshot().AllocsByNode(n.id) {
		if u := n.step(a); u != nil {
			updates = append(updates, u)
		}
	}
	if len(updates) > 0 {
		_, _ = n.w.s.UpdateAllocs(ctx, n.id, updates) // a story may refuse it: it is told again
	}
}

// step is what a client would do next for one allocation.
func (n *fakeNode) step(a *structs.Allocation) *structs.AllocUpdate {
	now := time.Now()
	state := func(status, task string, failed bool) *structs.AllocUpdate {
		return &structs.AllocUpdate{ID: a.ID, ClientStatus: status, ModifyTime: now.UnixNano(), TaskStates: map[string]*structs.TaskState{
			"main": {State: task, Failed: failed, StartedAt: n.since[a.ID], FinishedAt: now},
		}}
	}
	switch {
	case a.ClientTerminal():
		return nil
	case a.ServerTerminal():
		return state(structs.AllocClientComplete, structs.TaskStateDead, false)
	case a.ClientStatus == structs.AllocClientPending || a.ClientStatus == structs.AllocClientUnknown:
		if n.since[a.ID].IsZero() {
			n.since[a.ID] = now
		}
		return state(structs.AllocClientRunning, structs.TaskStateRunning, false)
	}
	ran := now.Sub(n.since[a.ID])
	if n.fails != nil {
		if after, fails := n.fails(a); fails && ran >= after {
			return state(structs.AllocClientFailed, structs.TaskStateDead, true)
		}
	}
	if kind := a.Job.GetType(); (kind == structs.JobTypeBatch || kind == structs.JobTypeSysBatch) && ran >= 5*time.Second {
		return state(structs.AllocClientComplete, structs.TaskStateDead, false)
	}
	if a.DeploymentID != "" && !a.DeploymentStatus.HasHealth() && ran >= 10*time.Second {
		healthy := true
		u := state(structs.AllocClientRunning, structs.TaskStateRunning, false)
		u.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: &healthy, Timestamp: now, Canary: a.DeploymentStatus.IsCanary()}
		return u
	}
	return nil
}

func (w *world) register(job *structs.Job) *structs.JobRegisterResponse {
	w.t.Helper()
	resp, err := w.s.RegisterJob(w.t.Context(), &structs.JobRegisterRequest{Job: job})
	if err != nil {
		w.t.Fatalf("register job: %v", err)
	}
	return resp
}

// until lets time pass until cond holds, at most limit.
func (w *world) until(limit time.Duration, what string, cond func(snap *state.Snapshot) bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for {
		changed := w.s.store.Changed(feed.TableAllocs, feed.TableEvals, feed.TableDeployments, feed.TableNodes, feed.TableJobs)
		if cond(w.s.store.Snapshot()) {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			w.t.Fatalf("not within %s: %s\n%s", limit, what, w.describe())
		}
		w.glance(w.t.Context(), changed, time.Second)
	}
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	if err := w.s.sleep(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
}

// live are the allocations of a job that run or are about to.
func (w *world) live(snap *state.Snapshot, job string) []*structs.Allocation {
	var out []*structs.Allocation
	for a := range snap.AllocsByJob(structs.DefaultNamespace, job) {
		if !a.TerminalStatus() {
			out = append(out, a)
		}
	}
	return out
}

// running reports whether exactly n allocations of a job run, and no others
// are about to.
func (w *world) running(job string, n int) func(*state.Snapshot) bool {
	return func(snap *state.Snapshot) bool {
		live := w.live(snap, job)
		return len(live) == n && !slices.ContainsFunc(live, func(a *structs.Allocation) bool {
			return a.ClientStatus != structs.AllocClientRunning
		})
	}
}

// deployed reports whether the newest deployment of a job has a status.
func deployed(job, status string) func(*state.Snapshot) bool {
	return func(snap *state.Snapshot) bool {
		d := snap.LatestDeployment(structs.DefaultNamespace, job)
		return d != nil && d.Status == status
	}
}

// describe tells what the state holds, for a test that failed.
func (w *world) describe() string {
	snap := w.s.store.Snapshot()
	out := ""
	for e := range snap.Evals("*", "") {
		out += fmt.Sprintf("eval %.8s %s of %s: %s %s (wait %s)\n", e.ID, e.TriggeredBy, e.JobID, e.Status, e.StatusDescription, e.WaitUntil.Format(time.TimeOnly))
	}
	for a := range snap.Allocs("*", "") {
		out += fmt.Sprintf("alloc %.8s %s v%d on %.8s: %s/%s %s health %v\n", a.ID, a.Name, a.JobVersion(), a.NodeID,
			a.DesiredStatus, a.ClientStatus, a.DesiredDescription, a.DeploymentStatus)
	}
	for d := range snap.Deployments("*", "") {
		out += fmt.Sprintf("deployment %.8s of %s v%d: %s (%s)", d.ID, d.JobID, d.JobVersion, d.Status, d.StatusDescription)
		for _, name := range slices.Sorted(maps.Keys(d.TaskGroups)) {
			out += fmt.Sprintf(" %s %+v", name, *d.TaskGroups[name])
		}
		out += "\n"
	}
	return out + fmt.Sprint("figures: ", w.s.Figures(), " now ", time.Now().Format(time.TimeOnly))
}

// with changes a copy of a job's group.
func with(job *structs.Job, change func(g *structs.TaskGroup)) *structs.Job {
	next := job.Clone()
	change(next.TaskGroups[0])
	return next
}

// version sets something that needs a restart of the tasks.
func version(v string) func(g *structs.TaskGroup) {
	return func(g *structs.TaskGroup) { g.Tasks[0].Env = map[string]string{"VERSION": v} }
}

// atVersion reports whether n allocations run, all of them at a job version.
func (w *world) atVersion(job string, n int, v uint64) func(*state.Snapshot) bool {
	return func(snap *state.Snapshot) bool {
		if !w.running(job, n)(snap) {
			return false
		}
		for _, a := range w.live(snap, job) {
			if a.JobVersion() != v {
				return false
			}
		}
		return true
	}
}

func ptr[T any](v T) *T { return &v }
