package task

import (
	"testing"
	"time"

	"github.com/steppe-run/steppe/structs"
)

func policy(attempts int, mode string) *structs.RestartPolicy {
	interval, delay := 10*time.Minute, 8*time.Second
	return &structs.RestartPolicy{Attempts: &attempts, Mode: &mode, Interval: &interval, Delay: &delay}
}

func TestDecide(t *testing.T) {
	now := time.Unix(1000, 0)
	used := structs.RestartWindow{Start: now.Add(-time.Minute), Used: 2}
	for _, c := range []struct {
		what   string
		window structs.RestartWindow
		cause  Cause
		rules  Rules
		again  bool
		delay  time.Duration
		failed bool
	}{
		{"first failure", structs.RestartWindow{}, CauseFailure, Rules{Policy: policy(2, "fail")}, true, 8 * time.Second, false},
		{"with the largest jitter", structs.RestartWindow{}, CauseFailure, Rules{Policy: policy(2, "fail"), Jitter: 1}, true, 10 * time.Second, false},
		{"used up", used, CauseFailure, Rules{Policy: policy(2, "fail")}, false, 0, true},
		{"used up, mode delay", used, CauseFailure, Rules{Policy: policy(2, "delay")}, true, 9 * time.Minute, false},
		{"success of a batch task", used, CauseSuccess, Rules{Policy: policy(2, "fail")}, false, 0, false},
		{"success of a service", structs.RestartWindow{}, CauseSuccess, Rules{Policy: policy(2, "fail"), OnSuccess: true}, true, 8 * time.Second, false},
		{"a person asks", used, CauseUser, Rules{Policy: policy(2, "fail")}, true, 0, false},
		{"unhealthy counts", used, CauseUnhealthy, Rules{Policy: policy(2, "fail")}, false, 0, true},
		{"fatal", structs.RestartWindow{}, CauseFatal, Rules{Policy: policy(2, "fail")}, false, 0, true},
		{"no restarts", structs.RestartWindow{}, CauseFailure, Rules{Policy: policy(0, "fail")}, false, 0, true},
		{"lost", used, CauseLost, Rules{Policy: policy(0, "fail")}, true, 0, false},
	} {
		_, v := Decide(c.window, now, c.cause, c.rules)
		if v.Again != c.again || v.Delay != c.delay || v.Failed != c.failed {
			t.Errorf("%s: %+v", c.what, v)
		}
		if v.Reason == "" {
			t.Errorf("%s: no reason is given", c.what)
		}
	}
}

func TestWhoRestartsOnSuccess(t *testing.T) {
	main := &structs.Task{}
	once := &structs.Task{Lifecycle: &structs.TaskLifecycle{Hook: structs.TaskHookPrestart}}
	sidecar := &structs.Task{Lifecycle: &structs.TaskLifecycle{Hook: structs.TaskHookPrestart, Sidecar: true}}
	for _, c := range []struct {
		kind string
		task *structs.Task
		want bool
	}{
		{structs.JobTypeService, main, true}, {structs.JobTypeSystem, main, true},
		{structs.JobTypeBatch, main, false}, {structs.JobTypeSysBatch, main, false},
		{structs.JobTypeService, once, false}, {structs.JobTypeService, sidecar, true},
	} {
		if got := restartsOnSuccess(c.kind, c.task); got != c.want {
			t.Errorf("%s %+v: %v", c.kind, c.task.Lifecycle, got)
		}
	}
}
