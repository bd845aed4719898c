package placer

import (
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// high registers a job whose single allocation needs more than half of a node.
func (b *bench) high(id string, priority int) *structs.Evaluation {
	b.t.Helper()
	cpu, memory, count, group, kind := 600, 10, 1, "g", "service"
	job := &structs.Job{ID: &id, Type: &kind, Priority: &priority, TaskGroups: []*structs.TaskGroup{{
		Name: &group, Count: &count,
		Tasks: []*structs.Task{{Name: "t", Driver: "mock", Resources: &structs.Resources{CPU: &cpu, MemoryMB: &memory}}},
	}}}
	job.Canonicalize()
	eval := &structs.Evaluation{
		ID: ids.New(), Namespace: "default", JobID: id, Type: kind, Priority: priority,
		TriggeredBy: structs.TriggerJobRegister, Status: structs.EvalStatusPending,
	}
	b.commit(&command.RegisterJob{Job: job, Eval: eval, Now: 1})
	return b.store.Snapshot().Eval(eval.ID)
}

func TestAHigherPriorityTakesRoomWhereThatIsAllowed(t *testing.T) {
	b := newBench(t, 1)
	b.run()
	done := func(n int) func() bool { return func() bool { a, _ := b.queue.counts(); return a == n } }
	b.queue.put(b.high("low", 20))
	testx.Eventually(t, 10*time.Second, "low is placed", done(1))

	b.queue.put(b.high("early", 90))
	testx.Eventually(t, 10*time.Second, "early is decided", done(2))
	if n := len(b.allocs("early")); n != 0 {
		t.Fatalf("%d of early placed although nobody has to go", n)
	}
	b.commit(&command.SetSchedulerConfig{Config: &structs.SchedulerConfiguration{
		PreemptionConfig: structs.PreemptionConfig{ServiceSchedulerEnabled: true},
	}})
	b.queue.put(b.high("high", 60))
	testx.Eventually(t, 10*time.Second, "high is decided", done(3))
	snap := b.store.Snapshot()
	if len(b.allocs("high")) != 1 || len(b.allocs("low")) != 0 {
		t.Fatalf("high has %v, low has %v", b.allocs("high"), b.allocs("low"))
	}
	for a := range snap.AllocsByJob("default", "low") {
		if a.DesiredStatus != structs.AllocDesiredEvict || a.PreemptedByAllocation == "" {
			t.Errorf("low: %s by %q", a.DesiredStatus, a.PreemptedByAllocation)
		}
	}
	var follow []*structs.Evaluation
	for e := range snap.EvalsByJob("default", "low") {
		if e.TriggeredBy == structs.TriggerPreemption {
			follow = append(follow, e)
		}
	}
	if len(follow) != 1 || follow[0].Status != structs.EvalStatusPending || follow[0].Priority != 20 {
		t.Fatalf("evaluations of low after it had to go: %+v", follow)
	}
	// The room is counted as taken: nobody else fits, and low waits.
	b.queue.put(follow[0], b.high("equal", 60))
	testx.Eventually(t, 10*time.Second, "the rest is decided", done(5))
	if len(b.allocs("low"))+len(b.allocs("equal")) != 0 || len(b.allocs("high")) != 1 {
		t.Errorf("low %v, equal %v, high %v", b.allocs("low"), b.allocs("equal"), b.allocs("high"))
	}
	if n := b.p.Stats()["refusals"]; n != 0 {
		t.Errorf("%d refusals", n)
	}
}
