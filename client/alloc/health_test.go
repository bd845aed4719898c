package alloc

import (
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/client/service"
	"github.com/steppe-run/steppe/structs"
)

func results(words string) map[string]*structs.AllocCheckStatus {
	out := map[string]*structs.AllocCheckStatus{}
	for _, word := range strings.Fields(words) {
		c := &structs.AllocCheckStatus{ID: word, Check: word, Mode: service.ModeHealthiness, Status: word}
		if status, ok := strings.CutPrefix(word, "ready:"); ok {
			c.Mode, c.Status = service.ModeReadiness, status
		}
		out[word] = c
	}
	return out
}

func TestJudge(t *testing.T) {
	start := time.Unix(100, 0)
	rule := Rule{Mode: structs.HealthChecks, MinHealthy: 10 * time.Second, Deadline: start.Add(time.Minute)}
	states := rule
	states.Mode = structs.HealthTaskStates
	for _, c := range []struct {
		what     string
		rule     Rule
		since    time.Duration // good since, before now; 0: not good yet
		at       time.Duration // after start
		group    string
		checks   string
		expected int
		want     string // healthy, unhealthy, or waiting
	}{
		{"just up", rule, 0, 5 * time.Second, "a=up", "", 0, "waiting"},
		{"up long enough", rule, 10 * time.Second, 15 * time.Second, "a=up", "", 0, "healthy"},
		{"not all up", rule, 10 * time.Second, 15 * time.Second, "a=up b=new", "", 0, "waiting"},
		{"failed", rule, 0, time.Second, "a=up b=failed", "", 0, "unhealthy"},
		{"a service that ended", rule, 0, time.Second, "a=ok", "", 0, "unhealthy"},
		{"waits for a restart", rule, 10 * time.Second, 15 * time.Second, "a=back", "", 0, "waiting"},
		{"prestart done", rule, 10 * time.Second, 15 * time.Second, "i[pre]=ok a=up", "", 0, "healthy"},
		{"poststart not done", rule, 10 * time.Second, 15 * time.Second, "a=up p[post]=up", "", 0, "waiting"},
		{"poststop doesn't count", rule, 10 * time.Second, 15 * time.Second, "a=up s[stop]=new", "", 0, "healthy"},
		{"check passes", rule, 10 * time.Second, 15 * time.Second, "a=up", "success", 1, "healthy"},
		{"check fails", rule, 10 * time.Second, 15 * time.Second, "a=up", "failure", 1, "waiting"},
		{"check is pending", rule, 10 * time.Second, 15 * time.Second, "a=up", "pending", 1, "waiting"},
		{"a check has not reported", rule, 10 * time.Second, 15 * time.Second, "a=up", "success", 2, "waiting"},
		{"a readiness check fails", rule, 10 * time.Second, 15 * time.Second, "a=up", "success ready:failure", 2, "healthy"},
		{"task states only", states, 10 * time.Second, 15 * time.Second, "a=up", "failure", 1, "healthy"},
		{"too late", rule, 0, time.Minute, "a=up", "failure", 1, "unhealthy"},
		{"too late although up", rule, 0, time.Minute, "a=up", "", 0, "unhealthy"},
	} {
		now := start.Add(c.at)
		before := Judgement{}
		if c.since > 0 {
			before.Since = now.Add(-c.since)
		}
		j := Judge(c.rule, before, now, Evidence{Tasks: parse(t, c.group), Checks: results(c.checks), Expected: c.expected})
		got := "waiting"
		switch {
		case j.Known && j.Healthy:
			got = "healthy"
		case j.Known:
			got = "unhealthy"
		}
		if got != c.want {
			t.Errorf("%s: %s (%s), want %s", c.what, got, j.Reason, c.want)
		}
		if got == "unhealthy" && j.Reason == "" {
			t.Errorf("%s: no reason is given", c.what)
		}
		if got == "waiting" && !j.Wake.After(now) {
			t.Errorf("%s: it would never be judged again", c.what)
		}
	}
}

func TestBadMomentBeginsTheTimeAnew(t *testing.T) {
	start := time.Unix(100, 0)
	rule := Rule{Mode: structs.HealthChecks, MinHealthy: 10 * time.Second, Deadline: start.Add(time.Hour)}
	good := Evidence{Tasks: parse(t, "a=up"), Checks: results("success"), Expected: 1}
	bad := Evidence{Tasks: parse(t, "a=up"), Checks: results("failure"), Expected: 1}
	j := Judge(rule, Judgement{}, start, good)
	j = Judge(rule, j, start.Add(9*time.Second), bad)
	j = Judge(rule, j, start.Add(10*time.Second), good)
	if j = Judge(rule, j, start.Add(19*time.Second), good); j.Known {
		t.Error("it counts as healthy although a check failed in between")
	}
	if j = Judge(rule, j, start.Add(20*time.Second), good); !j.Healthy {
		t.Error("it is not healthy after the whole time")
	}
	if j = Judge(rule, j, start.Add(21*time.Second), bad); !j.Healthy {
		t.Error("a verdict was taken back")
	}
}

func TestARestartBeginsTheTimeAnew(t *testing.T) {
	start := time.Unix(100, 0)
	rule := Rule{Mode: structs.HealthTaskStates, MinHealthy: 10 * time.Second, Deadline: start.Add(time.Hour)}
	views := parse(t, "a=up")
	j := Judge(rule, Judgement{}, start, Evidence{Tasks: views})
	views[0].State.StartedAt = start.Add(8 * time.Second)
	if j = Judge(rule, j, start.Add(10*time.Second), Evidence{Tasks: views}); j.Known {
		t.Error("a restart between two looks was not noticed")
	}
}

func TestWhoseHealthIsAskedFor(t *testing.T) {
	now := time.Unix(0, 0)
	group := func(update *structs.UpdateStrategy, migrate *structs.MigrateStrategy) *structs.TaskGroup {
		name := "g"
		return &structs.TaskGroup{Name: &name, Update: update, Migrate: migrate}
	}
	manual, deadline := structs.HealthManual, time.Minute
	update := &structs.UpdateStrategy{HealthyDeadline: &deadline}
	for _, c := range []struct {
		what       string
		kind       string
		deployment string
		group      *structs.TaskGroup
		want       bool
	}{
		{"deployment", "service", "d", group(update, nil), true},
		{"manual", "service", "d", group(&structs.UpdateStrategy{HealthCheck: &manual}, nil), false},
		{"drained service", "service", "", group(update, &structs.MigrateStrategy{HealthyDeadline: &deadline}), true},
		{"batch", "batch", "", group(nil, nil), false},
	} {
		job := &structs.Job{Type: &c.kind, TaskGroups: []*structs.TaskGroup{c.group}}
		rule, asked := RuleFor(&structs.Allocation{Job: job, TaskGroup: "g", DeploymentID: c.deployment}, now)
		if asked != c.want {
			t.Errorf("%s: asked for %v", c.what, asked)
		}
		if asked && !rule.Deadline.Equal(now.Add(deadline)) {
			t.Errorf("%s: deadline %v", c.what, rule.Deadline)
		}
	}
}
