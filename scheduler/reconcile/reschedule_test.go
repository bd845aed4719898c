package reconcile

import (
	"testing"
	"time"

	"github.com/steppe-run/steppe/structs"
)

func ptr[T any](v T) *T { return &v }

func policy(function string, attempts int) *structs.ReschedulePolicy {
	return &structs.ReschedulePolicy{
		Delay: ptr(10 * time.Second), DelayFunction: &function, MaxDelay: ptr(time.Minute),
		Attempts: &attempts, Interval: ptr(time.Hour), Unlimited: ptr(attempts == 0),
	}
}

// TestDelaysGrow fails an allocation again and again, each time at once.
func TestDelaysGrow(t *testing.T) {
	for function, want := range map[string][]int{
		structs.DelayConstant:    {10, 10, 10, 10, 10, 10, 10},
		structs.DelayExponential: {10, 20, 40, 60, 60, 60, 60},
		structs.DelayFibonacci:   {10, 10, 20, 30, 50, 60, 60},
	} {
		now := time.Unix(1_000_000, 0)
		a := &structs.Allocation{ID: "a", NodeID: "n"}
		for i, seconds := range want {
			a.TaskStates = map[string]*structs.TaskState{"t": {FinishedAt: now}}
			at, ok := nextReschedule(a, policy(function, 0), now)
			if !ok || at.Sub(now) != time.Duration(seconds)*time.Second {
				t.Errorf("%s, failure %d: after %s, %t", function, i, at.Sub(now), ok)
			}
			r := &run{Input: Input{Now: at}}
			a = &structs.Allocation{ID: "a", NodeID: "n", RescheduleTracker: r.tracker(a, policy(function, 0))}
			if n := len(a.RescheduleTracker.Events); n > structs.MaxRescheduleEvents {
				t.Errorf("%d events are kept", n)
			}
			now = at
		}
		// It outlives the cap: the delay starts anew.
		now = now.Add(2 * time.Minute)
		a.TaskStates = map[string]*structs.TaskState{"t": {FinishedAt: now}}
		if at, _ := nextReschedule(a, policy(function, 0), now); at.Sub(now) != 10*time.Second {
			t.Errorf("%s: %s after a long life", function, at.Sub(now))
		}
	}
}

// TestDelaysHoldBetweenClocks lets an allocation fail on a node whose clock differs
// from the servers'.
func TestDelaysHoldBetweenClocks(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for name, tt := range map[string]struct {
		ended, want time.Duration // from now
	}{
		"alike":         {-time.Second, 9 * time.Second},
		"long unseen":   {-30 * time.Minute, 10*time.Second - 30*time.Minute},
		"node's behind": {-3 * time.Hour, 10*time.Second - time.Hour}, // the allocation is an hour old
		"node's ahead":  {3 * time.Hour, 10 * time.Second},
	} {
		a := &structs.Allocation{
			CreateTime: now.Add(-time.Hour).UnixNano(),
			TaskStates: map[string]*structs.TaskState{"t": {FinishedAt: now.Add(tt.ended)}},
		}
		at, ok := nextReschedule(a, policy(structs.DelayConstant, 0), now)
		if !ok || at.Sub(now) != tt.want {
			t.Errorf("%s: is replaced after %s, %t; want %s", name, at.Sub(now), ok, tt.want)
		}
		a.ModifyTime = now.UnixNano()
		if later, _ := nextReschedule(a, policy(structs.DelayConstant, 0), now.Add(time.Hour)); !later.Equal(at) {
			t.Errorf("%s: looked at an hour later it is replaced %s later", name, later.Sub(at))
		}
	}
}

func TestAttemptsAreLimited(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	events := func(ages ...time.Duration) *structs.RescheduleTracker {
		tr := &structs.RescheduleTracker{}
		for _, age := range ages {
			tr.Events = append(tr.Events, &structs.RescheduleEvent{RescheduleTime: now.Add(-age).UnixNano()})
		}
		return tr
	}
	for _, tt := range []struct {
		name     string
		tracker  *structs.RescheduleTracker
		attempts int
		want     bool
	}{
		{"none made", nil, 2, true},
		{"one left", events(time.Minute), 2, true},
		{"used up", events(2*time.Minute, time.Minute), 2, false},
		{"one is too long ago", events(2*time.Hour, time.Minute), 2, true},
		{"unlimited", events(3, 2, 1), 0, true},
	} {
		a := &structs.Allocation{ModifyTime: now.UnixNano(), RescheduleTracker: tt.tracker}
		if _, ok := nextReschedule(a, policy(structs.DelayConstant, tt.attempts), now); ok != tt.want {
			t.Errorf("%s: %t", tt.name, ok)
		}
	}
	if _, ok := nextReschedule(&structs.Allocation{}, nil, now); ok {
		t.Error("rescheduled without a policy")
	}
}

func TestFollowUpsAreShared(t *testing.T) {
	n := 0
	now := time.Unix(1_000_000, 0)
	r := &run{
		Input: Input{
			Job: &structs.Job{}, Eval: &structs.Evaluation{ID: "e", Type: "service"}, Now: now,
			NewID: func() string { n++; return string(rune('a' + n)) },
		},
		out: &Result{},
	}
	var w window
	var got string
	for _, s := range []int{10, 11, 15, 16, 20, 30} {
		got += r.followUp(&w, now.Add(time.Duration(s)*time.Second), structs.TriggerAllocFailure)
	}
	if got != "bbbccd" {
		t.Errorf("shared as %s", got)
	}
	if e := r.out.FollowUps[1]; e.WaitUntil.Sub(now) != 16*time.Second || e.Status != structs.EvalStatusPending || e.TriggeredBy != "alloc-failure" {
		t.Errorf("got %+v", e)
	}
}

func TestNames(t *testing.T) {
	var n names
	for _, i := range []uint32{0, 1, 1, 4} {
		n.take(i)
	}
	if got := n.inherit(0); got != 0 {
		t.Errorf("a name of its own became %d", got)
	}
	if got := n.inherit(1); got != 2 {
		t.Errorf("a shared name became %d", got)
	}
	if got := []uint32{n.free(), n.free(), n.free()}; got[0] != 3 || got[1] != 5 || got[2] != 6 {
		t.Errorf("free names are %v", got)
	}
}

func TestHeirsAreTheLastOfTheLine(t *testing.T) {
	list := []*structs.Allocation{
		{ID: "a", ClientStatus: "unknown"},
		{ID: "b", PreviousAllocation: "a", ClientStatus: "unknown"},
		{ID: "c", PreviousAllocation: "b", DesiredStatus: "stop"},
		{ID: "d", PreviousAllocation: "c", ClientStatus: "running"},
		{ID: "x", PreviousAllocation: "w", DesiredStatus: "stop"},
	}
	h := heirs(list)
	if h["a"] != list[3] || h["b"] != list[3] || h["c"] != list[3] || h["w"] != nil {
		t.Errorf("got %v", h)
	}
}

func TestWhatIsCountedOn(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	at := now.Add(time.Minute)
	evals := map[string]*structs.Evaluation{}
	for id, change := range map[string]func(*structs.Evaluation){
		"at its time":     func(*structs.Evaluation) {},
		"a little later":  func(e *structs.Evaluation) { e.WaitUntil = at.Add(followUpWindow) },
		"over":            func(e *structs.Evaluation) { e.Status = structs.EvalStatusComplete },
		"called off":      func(e *structs.Evaluation) { e.Status = structs.EvalStatusCancelled },
		"due":             func(e *structs.Evaluation) { e.WaitUntil = now },
		"far too late":    func(e *structs.Evaluation) { e.WaitUntil = at.Add(time.Minute) },
		"of another kind": func(e *structs.Evaluation) { e.TriggeredBy = structs.TriggerMaxDisconnectTimeout },
		"this one":        func(*structs.Evaluation) {},
	} {
		evals[id] = &structs.Evaluation{ID: id, Status: structs.EvalStatusPending, TriggeredBy: structs.TriggerAllocFailure, WaitUntil: at}
		change(evals[id])
	}
	r := &run{Input: Input{Now: now, Eval: evals["this one"], Evaluation: func(id string) *structs.Evaluation { return evals[id] }}}
	for _, id := range []string{"", "gone", "over", "called off", "due", "far too late", "of another kind", "this one"} {
		if r.awaits(id, at, structs.TriggerAllocFailure) {
			t.Errorf("%q is counted on", id)
		}
	}
	for _, id := range []string{"at its time", "a little later"} {
		if !r.awaits(id, at, structs.TriggerAllocFailure) {
			t.Errorf("%q is not counted on", id)
		}
	}
}
