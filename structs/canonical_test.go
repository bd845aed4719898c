package structs

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// golden compares JSON with a file of testdata, or writes it: REWRITE=1.
func golden(t *testing.T, file string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	goldenText(t, file, string(got)+"\n")
}

func goldenText(t *testing.T, file, got string) {
	t.Helper()
	path := "testdata/" + file
	if os.Getenv("REWRITE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// The minimal job of the contract, as it is read back.
func TestMinimalJobAsReadBack(t *testing.T) {
	for _, kind := range jobTypes() {
		j := minimalJob(t, kind)
		golden(t, "minimal-"+kind+".json", j)
		if err := j.Validate(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if w := j.Warnings(); len(w) > 0 {
			t.Errorf("%s warns: %v", kind, w)
		}
		again := j.Clone()
		again.Canonicalize()
		again.ImplyConstraints()
		if d := cmp.Diff(j, again); d != "" {
			t.Errorf("%s: canonicalizing twice changes it:\n%s", kind, d)
		}
	}
}

func TestCanonicalizeFullJobTwice(t *testing.T) {
	j := populated[Job]()
	j.Canonicalize()
	again := j.Clone()
	again.Canonicalize()
	if d := cmp.Diff(j, again); d != "" {
		t.Error(d)
	}
}

func TestJobPoliciesReachGroups(t *testing.T) {
	j := edited(t, func(j *Job) {
		j.Update = &UpdateStrategy{MaxParallel: new(4), Canary: new(1), ProgressDeadline: new(time.Duration(0))}
		j.Reschedule = &ReschedulePolicy{Attempts: new(3), Interval: new(time.Hour)}
		j.Migrate = &MigrateStrategy{MaxParallel: new(2)}
		j.TaskGroups[0].Update = &UpdateStrategy{Canary: new(2)}
		j.TaskGroups[0].RestartPolicy = &RestartPolicy{Attempts: new(9), Interval: new(time.Hour)}
		j.TaskGroups[0].Tasks[0].RestartPolicy = &RestartPolicy{Delay: new(time.Second)}
	})
	g := j.TaskGroups[0]
	if u := g.Update; *u.MaxParallel != 4 || *u.Canary != 2 || *u.ProgressDeadline != 0 || *u.MinHealthyTime != 10*time.Second {
		t.Errorf("update: %s", asJSON(t, u))
	}
	if r := g.ReschedulePolicy; *r.Attempts != 3 || *r.Unlimited || *r.Delay != 30*time.Second {
		t.Errorf("reschedule: %s", asJSON(t, r))
	}
	if m := g.Migrate; *m.MaxParallel != 2 || *m.HealthCheck != HealthChecks {
		t.Errorf("migrate: %s", asJSON(t, m))
	}
	if r := g.Tasks[0].RestartPolicy; *r.Attempts != 9 || *r.Delay != time.Second || *r.Interval != time.Hour {
		t.Errorf("restart of the task: %s", asJSON(t, r))
	}
	if j.Reschedule != nil || j.Migrate != nil || *j.Update.MaxParallel != 4 || *j.Update.Canary != 0 {
		t.Errorf("the job keeps: %s", asJSON(t, j))
	}
}

func TestCanonicalOddities(t *testing.T) {
	j := edited(t, func(j *Job) {
		g := j.TaskGroups[0]
		g.Tasks = append(g.Tasks, nil)
		g.Count, g.Scaling = nil, &ScalingPolicy{Min: new(int64(3)), Max: new(int64(9))}
		g.EphemeralDisk = &EphemeralDisk{Migrate: new(true)}
		g.Services[0].Name = "${JOB}-${TASKGROUP}"
		g.Services[0].CheckRestart = &CheckRestart{Limit: 3}
		t := g.Tasks[0]
		t.Resources = &Resources{Cores: new(2)}
		t.LogConfig = &LogConfig{Enabled: new(false)}
		t.Identities = []*WorkloadIdentity{{Name: "aws"}, {Env: true}}
		t.Artifacts = []*TaskArtifact{{GetterSource: new("https://x.test/a/tool?v=1"), GetterMode: new("file")}}
	})
	g := j.TaskGroups[0]
	task := g.Tasks[0]
	check := g.Services[0].Checks[0].CheckRestart
	for what, ok := range map[string]bool{
		"a nil task is dropped":        len(g.Tasks) == 1,
		"count follows scaling":        g.GetCount() == 3,
		"migrate makes sticky":         *g.EphemeralDisk.Sticky,
		"service name":                 g.Services[0].Name == "web-front",
		"check_restart reaches checks": check != nil && check.Limit == 3 && *check.Grace == time.Second,
		"cores bring their cpu":        *task.Resources.CPU == 0 && *task.Resources.Cores == 2,
		"logs enabled=false":           *task.LogConfig.Disabled && task.LogConfig.Enabled == nil,
		"unnamed identity is default":  task.Identity.Env && len(task.Identities) == 1,
		"file artifact":                *task.Artifacts[0].RelativeDest == "local/tool",
	} {
		if !ok {
			t.Errorf("%s: not so\n%s", what, asJSON(t, g))
		}
	}
}

func TestImpliedConstraints(t *testing.T) {
	j := edited(t, func(j *Job) {
		task := j.TaskGroups[0].Tasks[0]
		task.KillSignal = "SIGUSR2"
		task.Templates[0].ChangeMode, task.Templates[0].ChangeSignal = new(ChangeModeSignal), new("SIGHUP")
		task.Vault = &Vault{Role: "r"}
		task.Consul = &Consul{Partition: "p"}
	})
	j.ImplyConstraints()
	j.ImplyConstraints()
	want := []*Constraint{
		{"${attr.nomad.service_discovery}", "true", "="},
		{"${attr.consul.version}", "", "is_set"},
		{"${attr.consul.partition}", "p", "="},
		{"${attr.vault.version}", "", "is_set"},
		{"${attr.os.signals}", "SIGHUP,SIGUSR2", "set_contains"},
	}
	if d := cmp.Diff(want, j.TaskGroups[0].Constraints); d != "" {
		t.Error(d)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
