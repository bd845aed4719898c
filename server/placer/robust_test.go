package placer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func TestAPanicFailsOneEvaluationOnly(t *testing.T) {
	b := newBench(t, 2)
	var panics atomic.Bool
	b.p.cfg.NewID = func() string {
		if panics.CompareAndSwap(true, false) {
			panic("a fault of the scheduler")
		}
		return ids.New()
	}
	before, broken, after := b.register("before", 3), b.register("broken", 3), b.register("after", 3)
	b.queue.put(before)
	b.run()
	testx.Eventually(t, 10*time.Second, "the first is placed", b.ended(before.ID))
	panics.Store(true)
	b.queue.put(broken, after)
	testx.Eventually(t, 10*time.Second, "the others end", func() bool { return b.ended(broken.ID)() && b.ended(after.ID)() })
	testx.Eventually(t, 10*time.Second, "all are acknowledged", func() bool { a, _ := b.queue.counts(); return a == 3 })
	e := b.store.Snapshot().Eval(broken.ID)
	if e.Status != structs.EvalStatusFailed || !strings.Contains(e.StatusDescription, "a fault of the scheduler") {
		t.Errorf("the evaluation is %s: %q", e.Status, e.StatusDescription)
	}
	if _, nacked := b.queue.counts(); nacked != 0 {
		t.Errorf("it was given back %d times: it would be tried for ever", nacked)
	}
	for job, want := range map[string]int{"before": 3, "broken": 0, "after": 3} {
		if n := total(b.allocs(job)); n != want {
			t.Errorf("%s has %d allocations, want %d", job, n, want)
		}
	}
	// What the panic left behind counts for nothing: both nodes fill up.
	rest := b.register("rest", 14)
	b.queue.put(rest)
	testx.Eventually(t, 10*time.Second, "the rest ends", b.ended(rest.ID))
	if n := total(b.allocs("rest")); n != 14 {
		t.Errorf("with room for 14 more, %d were placed", n)
	}
}

func total(byNode map[string]int) int {
	n := 0
	for _, k := range byNode {
		n += k
	}
	return n
}

func TestTheHighestPriorityGoesFirstAlsoIfItComesLater(t *testing.T) {
	b := newBench(t, 1)
	b.p.todo = []*structs.Evaluation{{ID: "a", Priority: 50}, {ID: "b", Priority: 50}, {ID: "c", Priority: 20}}
	b.queue.evals = []*structs.Evaluation{{ID: "urgent", Priority: 90}, {ID: "d", Priority: 50}}
	b.p.refill()
	var order []string
	for _, e := range b.p.todo {
		order = append(order, e.ID)
	}
	if got := strings.Join(order, " "); got != "urgent a b d c" {
		t.Errorf("the order is %s", got)
	}
}

// termLog is the log of a leader that loses its leadership: from then on every
// entry fails, and which of those under way are committed after all is not
// known to the one who proposed them.
type termLog struct {
	*fakeLog
	mu      sync.Mutex
	left    int // entries until leadership is lost
	unknown []command.Command
	lost    chan struct{}
}

var errLost = errors.New("leadership was lost")

// Barrier implements Log.
func (l *termLog) Barrier(context.Context) error { return errLost }

// Propose implements Log.
func (l *termLog) Propose(c command.Command) (Future, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left--; l.left >= 0 {
		return l.fakeLog.Propose(c)
	}
	if l.left == -1 {
		close(l.lost)
	}
	l.unknown = append(l.unknown, c)
	return result{err: errLost}, nil
}

// TestLostLeadershipDoublesNothingAndLosesNothing has jobs placed through many
// short terms. After each the next leader finds a random part of what was under
// way committed, and offers every evaluation that is still pending.
func TestLostLeadershipDoublesNothingAndLosesNothing(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			b := newBench(t, 5)
			counts := map[string]int{}
			for i := range 8 {
				id := fmt.Sprint("job", i)
				counts[id] = 1 + rng.IntN(6) // all of them fit
				b.register(id, counts[id])
			}
			for range 1 + rng.IntN(4) {
				log := &termLog{fakeLog: b.log, left: rng.IntN(3), lost: make(chan struct{})}
				b.term(t, log, func() bool {
					select {
					case <-log.lost:
						return true
					default:
						return b.idle()
					}
				})
				for _, c := range log.unknown[:rng.IntN(len(log.unknown)+1)] {
					b.log.apply(c)
				}
			}
			b.term(t, b.log, b.idle)
			b.check(t, counts)
		})
	}
}

// idle reports whether no evaluation is pending.
func (b *bench) idle() bool {
	for range b.store.Snapshot().EvalsByStatus(structs.EvalStatusPending) {
		return false
	}
	return true
}

// term runs a placer of its own, which is offered what is pending, until done.
func (b *bench) term(t *testing.T, log Log, done func() bool) {
	t.Helper()
	queue := returning{&fakeQueue{more: make(chan struct{}, 100)}, b.store}
	for e := range b.store.Snapshot().EvalsByStatus(structs.EvalStatusPending) {
		queue.evals = append(queue.evals, e)
	}
	p := New(Config{Queue: queue, Log: log, Store: b.store, NewID: ids.New, Clock: clock.Real{}, Logger: logx.Discard()})
	g := loop.New(context.Background())
	g.Go("placer", p.Run)
	testx.Eventually(t, 10*time.Second, "the term ends", done)
	g.Stop()
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errLost) {
		t.Error(err)
	}
}

// returning is a queue that hands out again what is given back.
type returning struct {
	*fakeQueue
	store *state.Store
}

// Nack implements Queue.
func (q returning) Nack(ids ...string) {
	for _, id := range ids {
		q.put(q.store.Snapshot().Eval(id))
	}
}

// lateLog is the log of a leader that loses its leadership for a moment and
// has it back before it notices: what was under way is applied all the same,
// after it was said to have failed.
type lateLog struct {
	*fakeLog
	mu   sync.Mutex
	left int // entries until it happens
	late []command.Command
}

// Propose implements Log.
func (l *lateLog) Propose(c command.Command) (Future, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left--; l.left == -1 {
		l.late = append(l.late, c)
		return result{err: errLost}, nil
	}
	l.settle()
	return l.fakeLog.Propose(c)
}

// Barrier implements Log.
func (l *lateLog) Barrier(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle()
	return nil
}

func (l *lateLog) settle() {
	for _, c := range l.late {
		l.apply(c)
	}
	l.late = nil
}

// A job of several slices is where an entry that comes late would do harm: its
// evaluation isn't over with it, so the store can't tell a slice from its copy.
func TestAnEntryThatComesLateDoublesNothing(t *testing.T) {
	for left := range 3 {
		b := newBench(t, 2500)
		b.register("large", 2*scheduler.MaxPlacements+1)
		b.term(t, &lateLog{fakeLog: b.log, left: left}, b.idle)
		b.check(t, map[string]int{"large": 2*scheduler.MaxPlacements + 1})
	}
}

// check compares what runs with what was asked for.
func (b *bench) check(t *testing.T, counts map[string]int) {
	t.Helper()
	perNode := map[string]int{}
	for id, want := range counts {
		names := map[string]bool{}
		for a := range b.store.Snapshot().AllocsByJob("default", id) {
			if a.TerminalStatus() {
				continue
			}
			if names[a.Name] {
				t.Errorf("%s was placed twice", a.Name)
			}
			names[a.Name] = true
			perNode[a.NodeID]++
		}
		if len(names) != want {
			t.Errorf("%s has %d allocations of %d", id, len(names), want)
		}
	}
	for node, n := range perNode {
		if n > 10 {
			t.Errorf("node %s holds %d allocations, it has room for 10", node, n)
		}
	}
}

// slowClock is a clock on which every look takes 2 ms.
type slowClock struct {
	clock.Real
	looks atomic.Int64
}

func (c *slowClock) Now() time.Time {
	return time.Unix(0, c.looks.Add(1)*int64(2*time.Millisecond))
}

func TestWhatTakesLongIsCommittedInSlices(t *testing.T) {
	b := newBench(t, 10)
	b.p.cfg.Clock = &slowClock{}
	var evals []*structs.Evaluation
	for i := range 30 {
		evals = append(evals, b.register(fmt.Sprint("job", i), 1))
	}
	b.queue.put(evals...)
	b.run()
	testx.Eventually(t, 10*time.Second, "all are done", func() bool { a, _ := b.queue.counts(); return a == 30 })
	if n := b.p.Stats()["entries"]; n < 10 || n > 30 {
		t.Errorf("30 evaluations of 2 ms and more took %d entries", n)
	}
}

// TestSlowJobsDontHoldUpEachOther has more jobs whose conditions take several
// slices than the index remembers conditions of: each is decided, as if it were
// alone.
func TestSlowJobsDontHoldUpEachOther(t *testing.T) {
	b := newBench(t, 4)
	const jobs = 40
	for i := range jobs {
		id, count, group, kind := fmt.Sprintf("slow-%d", i), 1, "g", "batch"
		job := &structs.Job{ID: &id, Type: &kind, TaskGroups: []*structs.TaskGroup{{
			Name: &group, Count: &count, Tasks: []*structs.Task{{Name: "t", Driver: "mock"}},
		}}}
		for p := range structs.MaxPatterns {
			job.Constraints = append(job.Constraints, &structs.Constraint{
				LTarget: "${meta.text}", Operand: structs.OpRegexp, RTarget: fmt.Sprintf("(.?){15}%d-%d$", i, p),
			})
		}
		job.Canonicalize()
		eval := &structs.Evaluation{
			ID: ids.New(), Namespace: "default", JobID: id, Type: kind, Priority: 50,
			TriggeredBy: structs.TriggerJobRegister, Status: structs.EvalStatusPending,
		}
		b.commit(&command.RegisterJob{Job: job, Eval: eval, Now: 1})
		b.queue.put(b.store.Snapshot().Eval(eval.ID))
	}
	b.run()
	testx.Eventually(t, 30*time.Second, "all slow jobs are decided", func() bool { acked, _ := b.queue.counts(); return acked == jobs })
}
