package placer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a placer over a store whose log is at hand.
type bench struct {
	t     *testing.T
	store *state.Store
	log   *fakeLog
	queue *fakeQueue
	p     *Placer
	nodes []string
}

func newBench(t *testing.T, nodes int) *bench {
	store := state.New(state.Options{})
	b := &bench{t: t, store: store, log: &fakeLog{store: store}, queue: &fakeQueue{more: make(chan struct{}, 100)}}
	for i := range nodes {
		n := &structs.Node{
			ID: fmt.Sprintf("00000000-0000-0000-0000-%012d", i), Name: fmt.Sprint("n", i), Datacenter: "dc1",
			NodePool: structs.NodePoolDefault, ComputedClass: "class",
			Status: structs.NodeStatusReady, SchedulingEligibility: structs.NodeEligible,
			Meta:    map[string]string{"text": strings.Repeat("a", 40)},
			Drivers: map[string]*structs.DriverInfo{"mock": {Detected: true, Healthy: true}},
			NodeResources: &structs.NodeResources{
				Cpu:    structs.NodeCpuResources{CpuShares: 1000},
				Memory: structs.NodeMemoryResources{MemoryMB: 1000},
				Disk:   structs.NodeDiskResources{DiskMB: 100_000},
			},
		}
		b.nodes = append(b.nodes, n.ID)
		b.commit(&command.RegisterNode{Node: n})
	}
	b.p = New(Config{Queue: b.queue, Log: b.log, Store: store, NewID: ids.New, Clock: clock.NewManual(time.Unix(1_800_000_000, 0)), Logger: logx.Discard()})
	return b
}

func (b *bench) run() {
	ctx, cancel := context.WithCancel(context.Background())
	g := loop.New(ctx)
	g.Go("placer", b.p.Run)
	b.t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			b.t.Error(err)
		}
	})
}

func (b *bench) commit(c command.Command) {
	b.t.Helper()
	if err, failed := b.log.apply(c).(error); failed {
		b.t.Fatal(err)
	}
}

// register stores a job of count allocations, 100 MHz each, and returns its
// evaluation.
func (b *bench) register(id string, count int) *structs.Evaluation {
	b.t.Helper()
	cpu, memory, group, kind := 100, 10, "g", "service"
	job := &structs.Job{ID: &id, Type: &kind, TaskGroups: []*structs.TaskGroup{{
		Name: &group, Count: &count,
		Tasks: []*structs.Task{{Name: "t", Driver: "mock", Resources: &structs.Resources{CPU: &cpu, MemoryMB: &memory}}},
	}}}
	job.Canonicalize()
	eval := &structs.Evaluation{
		ID: ids.New(), Namespace: "default", JobID: id, Type: kind, Priority: 50,
		TriggeredBy: structs.TriggerJobRegister, Status: structs.EvalStatusPending,
	}
	b.commit(&command.RegisterJob{Job: job, Eval: eval, Now: 1})
	return b.store.Snapshot().Eval(eval.ID)
}

func (b *bench) allocs(job string) map[string]int {
	out := map[string]int{}
	for a := range b.store.Snapshot().AllocsByJob("default", job) {
		if !a.TerminalStatus() {
			out[a.NodeID]++
		}
	}
	return out
}

func (b *bench) ended(id string) func() bool {
	return func() bool { return b.store.Snapshot().Eval(id).Terminal() }
}

// fakeLog applies commands at once; before may look at a command first.
type fakeLog struct {
	mu     sync.Mutex
	store  *state.Store
	index  uint64
	before func(c command.Command) error
}

func (l *fakeLog) apply(c command.Command) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.index++
	return l.store.Apply(l.index, c)
}

// Propose implements Log.
func (l *fakeLog) Propose(c command.Command) (Future, error) {
	if l.before != nil {
		if err := l.before(c); err != nil {
			return result{err: err}, nil
		}
	}
	return result{value: l.apply(c)}, nil
}

// Barrier implements Log: nothing is ever under way.
func (l *fakeLog) Barrier(context.Context) error { return nil }

type result struct {
	value any
	err   error
}

// Wait implements Future.
func (r result) Wait(context.Context) (any, error) {
	if err, failed := r.value.(error); failed {
		return nil, err
	}
	return r.value, r.err
}

// fakeQueue hands out what is put in, in order.
type fakeQueue struct {
	mu    sync.Mutex
	evals []*structs.Evaluation
	more  chan struct{}
	acked []string
	nacks []string
}

func (q *fakeQueue) put(evals ...*structs.Evaluation) {
	q.mu.Lock()
	q.evals = append(q.evals, evals...)
	q.mu.Unlock()
	q.more <- struct{}{}
}

// Poll implements Queue.
func (q *fakeQueue) Poll(limit int) []*structs.Evaluation {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(limit, len(q.evals))
	out := q.evals[:n]
	q.evals = q.evals[n:]
	return out
}

// Take implements Queue.
func (q *fakeQueue) Take(ctx context.Context, limit int) ([]*structs.Evaluation, error) {
	for {
		if out := q.Poll(limit); len(out) > 0 {
			return out, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-q.more:
		}
	}
}

// Ack implements Queue.
func (q *fakeQueue) Ack(ids ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.acked = append(q.acked, ids...)
}

// Nack implements Queue.
func (q *fakeQueue) Nack(ids ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.nacks = append(q.nacks, ids...)
}

func (q *fakeQueue) counts() (acked, nacked int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.acked), len(q.nacks)
}

func TestManyEvaluationsShareEntriesAndNeverOvercommit(t *testing.T) {
	b := newBench(t, 3)
	var evals []*structs.Evaluation
	for i := range 40 {
		evals = append(evals, b.register(fmt.Sprint("job", i), 1)) // room for 30
	}
	b.queue.put(evals...)
	b.run()
	testx.Eventually(t, 10*time.Second, "all are done", func() bool { a, _ := b.queue.counts(); return a == 40 })
	placed, blocked := 0, 0
	for range b.store.Snapshot().Allocs("*", "") {
		placed++
	}
	for range b.store.Snapshot().EvalsByStatus(structs.EvalStatusBlocked) {
		blocked++
	}
	if placed != 30 || blocked != 10 {
		t.Errorf("%d placed, %d blocked; there is room for 30 of 40", placed, blocked)
	}
	if n := b.p.Stats()["entries"]; n != 1 {
		t.Errorf("40 evaluations took %d entries", n)
	}
	if n := b.p.Stats()["refusals"]; n != 0 {
		t.Errorf("%d refusals: the plans of one entry don't know of each other", n)
	}
}

func TestWhatIsRefusedIsPlacedElsewhere(t *testing.T) {
	b := newBench(t, 2)
	first := b.register("job", 1)
	shut := false
	b.log.before = func(c command.Command) error {
		plans, ok := c.(*command.ApplyPlans)
		if ok && !shut && len(plans.Plans) > 0 {
			shut = true // the chosen node is closed before the plan is applied
			b.commit(&command.SetNodeEligibility{NodeID: plans.Plans[0].Groups[0].Rows[0].NodeID, Eligibility: structs.NodeIneligible})
		}
		return nil
	}
	b.queue.put(first)
	b.run()
	testx.Eventually(t, 10*time.Second, "the evaluation is done", func() bool { a, _ := b.queue.counts(); return a == 1 })
	if got := b.allocs("job"); len(got) != 1 {
		t.Fatalf("allocations by node: %v", got)
	}
	if n := b.p.Stats()["refusals"]; n != 1 {
		t.Errorf("%d refusals", n)
	}
	// Nothing of the refused plan is still counted: both nodes fill up.
	for _, id := range b.nodes {
		b.commit(&command.SetNodeEligibility{NodeID: id, Eligibility: structs.NodeEligible})
	}
	rest := b.register("rest", 19)
	b.queue.put(rest)
	testx.Eventually(t, 10*time.Second, "the rest is done", func() bool { a, _ := b.queue.counts(); return a == 2 })
	if e := b.store.Snapshot().Eval(rest.ID); len(e.FailedTGAllocs) != 0 {
		t.Errorf("with room for 20, 19 more didn't fit: %+v", e.FailedTGAllocs["g"])
	}
}

func TestPlansThatKeepBeingRefusedEndBlocked(t *testing.T) {
	b := newBench(t, 2)
	eval := b.register("job", 1)
	b.log.before = func(c command.Command) error {
		plans, ok := c.(*command.ApplyPlans)
		if !ok || len(plans.Plans) == 0 {
			return nil
		}
		chosen := plans.Plans[0].Groups[0].Rows[0].NodeID
		for _, id := range b.nodes {
			eligibility := structs.NodeEligible
			if id == chosen {
				eligibility = structs.NodeIneligible
			}
			b.commit(&command.SetNodeEligibility{NodeID: id, Eligibility: eligibility})
		}
		return nil
	}
	b.queue.put(eval)
	b.run()
	testx.Eventually(t, 10*time.Second, "the evaluation ends", b.ended(eval.ID))
	snap := b.store.Snapshot()
	e := snap.Eval(eval.ID)
	next := snap.Eval(e.BlockedEval)
	if e.Status != structs.EvalStatusFailed || next == nil || next.TriggeredBy != structs.TriggerMaxPlans || next.Status != structs.EvalStatusBlocked {
		t.Errorf("evaluation %s (%s), then %+v", e.Status, e.StatusDescription, next)
	}
	if n := b.p.Stats()["refusals"]; n != serviceAttempts {
		t.Errorf("%d refusals", n)
	}
}

func TestWhatIsNotCommittedIsGivenBack(t *testing.T) {
	b := newBench(t, 1)
	eval := b.register("job", 10)
	broken := true
	b.log.before = func(command.Command) error {
		if broken {
			broken = false
			return errors.New("leadership was lost")
		}
		return nil
	}
	b.queue.put(eval)
	b.run()
	testx.Eventually(t, 10*time.Second, "the evaluation is given back", func() bool { _, n := b.queue.counts(); return n == 1 })
	b.queue.put(eval)
	testx.Eventually(t, 10*time.Second, "it is done", b.ended(eval.ID))
	if got := b.allocs("job"); got[b.nodes[0]] != 10 {
		t.Errorf("allocations by node: %v: what was not committed is still counted", got)
	}
}

func TestAJobLargerThanAPlanIsPlacedInSlices(t *testing.T) {
	b := newBench(t, 1)
	b.commit(&command.RegisterNode{Node: func() *structs.Node {
		n := b.store.Snapshot().Node(b.nodes[0]).Clone()
		n.NodeResources.Cpu.CpuShares, n.NodeResources.Memory.MemoryMB = 10_000_000, 10_000_000
		n.NodeResources.Disk.DiskMB = 100_000_000
		return n
	}()})
	const many = 25_000
	eval := b.register("job", many)
	b.queue.put(eval)
	b.run()
	testx.Eventually(t, 30*time.Second, "the evaluation ends", b.ended(eval.ID))
	if got := b.allocs("job"); got[b.nodes[0]] != many {
		t.Errorf("%d placed of %d", got[b.nodes[0]], many)
	}
	if n := b.p.Stats()["entries"]; n < 3 {
		t.Errorf("%d entries: one of them held everybody up", n)
	}
}

// What has started keeps its node busy no longer, and is still counted.
func TestAFollowerSeesWhatHasStarted(t *testing.T) {
	b := newBench(t, 1)
	b.queue.put(b.register("web", 3))
	b.run()
	testx.Eventually(t, 10*time.Second, "three are placed", func() bool { return b.allocs("web")[b.nodes[0]] == 3 })
	f := NewFollower(b.store)
	look := func() (starting, allocs int) {
		t.Helper()
		if _, err := f.Advance(t.Context()); err != nil {
			t.Fatal(err)
		}
		i, _ := f.Capacity().Number(b.nodes[0])
		return f.Capacity().Starting(i), f.Capacity().Allocs(i)
	}
	if starting, _ := look(); starting != 3 {
		t.Fatalf("%d are starting", starting)
	}
	var updates []*structs.AllocUpdate
	for a := range b.store.Snapshot().AllocsByJob("default", "web") {
		updates = append(updates, &structs.AllocUpdate{ID: a.ID, ClientStatus: structs.AllocClientRunning})
	}
	b.commit(&command.UpdateAllocs{Updates: updates[:2], Now: 2})
	if starting, allocs := look(); starting != 1 || allocs != 3 {
		t.Errorf("%d of %d are starting, two of three have", starting, allocs)
	}
}

// An index that is made anew, because changes were lost, counts what is in
// flight: what isn't committed, and what is only once.
func TestAnIndexMadeAnewCountsEachPlanOnce(t *testing.T) {
	b := newBench(t, 1)
	b.register("web", 5)
	plan := func(first uint32, rows int) *structs.Plan {
		g := structs.PlacementGroup{TaskGroup: "g", Seed: ids.NewSeed(), FirstRow: first, Resources: &structs.AllocatedResources{
			Tasks: map[string]*structs.AllocatedTaskResources{"t": {
				Cpu: structs.AllocatedCpuResources{CpuShares: 100}, Memory: structs.AllocatedMemoryResources{MemoryMB: 10},
			}},
		}}
		for i := range rows {
			g.Rows = append(g.Rows, structs.Placement{NodeID: b.nodes[0], NameIndex: uint32(i)})
		}
		return &structs.Plan{EvalID: ids.New(), Namespace: "default", JobID: "web", Groups: []structs.PlacementGroup{g}}
	}
	r := newRoom(b.store)
	look := func(what string, allocs int) {
		t.Helper()
		if _, err := r.advance(t.Context()); err != nil {
			t.Fatal(err)
		}
		i, _ := r.capacity.Number(b.nodes[0])
		if n, cpu := r.capacity.Allocs(i), r.capacity.Used(i).CPU; n != allocs || cpu != int64(allocs)*100 {
			t.Errorf("%s: %d allocations with %d MHz are counted, not %d", what, n, cpu, allocs)
		}
	}
	look("before", 0)
	committed, flying := plan(0, 3), plan(7, 2)
	r.hold(committed)
	r.hold(flying)
	look("both in flight", 5)
	b.commit(&command.ApplyPlans{Plans: []*structs.Plan{committed}, Now: 1})
	if n := b.allocs("web")[b.nodes[0]]; n != 3 {
		t.Fatalf("%d of the plan were committed", n)
	}
	r.Drop()
	look("made anew", 5)
	r.release(committed)
	r.undo(flying, nil)
	look("one failed", 3)
	r.Drop()
	look("made anew, nothing in flight", 3)
}

func TestHowOftenPlansMayBeRefused(t *testing.T) {
	for kind, want := range map[string]int{
		structs.JobTypeService: 5, structs.JobTypeSystem: 5, structs.JobTypeBatch: 2, structs.JobTypeSysBatch: 2,
	} {
		if got := attemptLimit(&structs.Evaluation{Type: kind}); got != want {
			t.Errorf("%s: %d attempts, want %d", kind, got, want)
		}
	}
}
