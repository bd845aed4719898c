package control

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// TestAMillionAskedOfAClusterThatHoldsTen has a job ask for far more than there
// is: it gets what fits, is told why no more, and holds up nobody.
func TestAMillionAskedOfAClusterThatHoldsTen(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("n1")
		huge := servertest.Job("huge", "service", 1_000_000)
		var tooMuch *structs.ValidationError
		if _, err := w.s.RegisterJob(t.Context(), &structs.JobRegisterRequest{Job: huge}); !errors.As(err, &tooMuch) || !strings.Contains(err.Error(), "job_max_count") {
			t.Fatalf("a million were accepted: %v", err)
		}
		w.s.cfg.JobMaxCount = -1
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		spent := timed(func() {
			w.register(huge)
			w.until(time.Minute, "what fits runs", w.running("huge", 10))
		})
		runtime.ReadMemStats(&after)
		if limit := 10 * time.Second; spent > limit {
			t.Errorf("it took %s, want at most %s", spent, limit)
		}
		t.Logf("%s, %d MB allocated", spent, (after.TotalAlloc-before.TotalAlloc)>>20)
		snap := w.s.store.Snapshot()
		var blocked *structs.Evaluation
		for e := range snap.EvalsByStatus(structs.EvalStatusBlocked) {
			blocked = e
		}
		if blocked == nil || blocked.QueuedAllocations["web"] != 999_990 {
			t.Fatalf("blocked %+v", blocked)
		}
		failed := snap.Eval(blocked.PreviousEval).FailedTGAllocs["web"]
		if failed == nil || failed.NodesExhausted != 1 || failed.DimensionExhausted["cpu"] != 1 || failed.CoalescedFailures != 999_989 {
			t.Errorf("explained by %+v", failed)
		}
		// Others are served in the meantime.
		w.addNode("n2")
		small := servertest.Job("small", "service", 1)
		small.Priority = ptr(90)
		spent = timed(func() {
			w.register(small)
			w.pass(time.Minute)
		})
		if n := len(w.live(w.s.store.Snapshot(), "huge")) + len(w.live(w.s.store.Snapshot(), "small")); n != 20 {
			t.Errorf("%d run, want 20", n)
		}
		t.Logf("beside it: %s", spent)
	})
}

// timed is the processor time that f takes: the clock of a story stands still
// while anything is computed.
func timed(f func()) time.Duration {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			return 0
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	began := used()
	f()
	return used() - began
}

func TestContradictionsAreExplained(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("n1")
		job := servertest.Job("never", "service", 1)
		job.Constraints = []*structs.Constraint{
			{LTarget: "${attr.kernel.name}", Operand: "=", RTarget: "plan9"},
			{LTarget: "${attr.kernel.name}", Operand: "regexp", RTarget: "^linux$"}, // what can be known is refused at once
			{LTarget: "${attr.os.version}", Operand: "version", RTarget: ">= 1.0, < 0.5"},
		}
		resp := w.register(job)
		w.until(time.Minute, "it is decided", func(snap *state.Snapshot) bool { return snap.Eval(resp.EvalID).Terminal() })
		failed := w.s.store.Snapshot().Eval(resp.EvalID).FailedTGAllocs["web"]
		if failed == nil || failed.ConstraintFiltered["${attr.kernel.name} = plan9"] != 1 || failed.NodesFiltered != 1 {
			t.Errorf("explained by %+v", failed)
		}
	})
}

func TestTenThousandConstraints(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		for i := range 20 {
			w.addNode(fmt.Sprint("n", i))
		}
		job := servertest.Job("many", "service", 3)
		for i := range 10_000 {
			job.Constraints = append(job.Constraints, &structs.Constraint{
				LTarget: "${attr.kernel.name}", Operand: "regexp", RTarget: fmt.Sprintf("^(linux|%s%d)$", strings.Repeat("x", 10), i),
			})
		}
		spent := timed(func() {
			_, err := w.s.RegisterJob(t.Context(), &structs.JobRegisterRequest{Job: job})
			if err != nil {
				t.Logf("refused: %.200s", err)
				return
			}
			w.until(time.Minute, "it runs", w.running("many", 3))
		})
		t.Logf("10,000 constraints: %s", spent)
		if spent > 20*time.Second {
			t.Errorf("it took %s", spent)
		}
	})
}
