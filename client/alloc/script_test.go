package alloc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/structs"
)

func TestCommandsOfChecksRunInTheTask(t *testing.T) {
	w := newWorld(t)
	a := w.alloc("a1", "service", "web")
	a.Job.TaskGroups[0].Tasks[0].Services = []*structs.Service{{Name: "web", Provider: "nomad"}}
	a.Job.TaskGroups[0].Tasks[0].Env = map[string]string{"CODE": "3"}
	r := w.start(a, nil)
	var exec func(context.Context, string, []string) (int, string, error)
	testx.Eventually(t, patience, "the service is offered", func() bool {
		offered, ok := w.offers.offered("web")
		exec = offered.Exec
		return ok
	})
	code, output, err := exec(t.Context(), "web", []string{"exit", "${CODE}"})
	if err != nil || code != 3 || output != "bye\n" {
		t.Errorf("code %d, output %q, error %v", code, output, err)
	}
	if _, _, err := exec(t.Context(), "other", []string{"exit", "0"}); !errors.Is(err, ErrUnknownTask) {
		t.Errorf("a task that there isn't: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := exec(ctx, "web", []string{"hang"}); err == nil {
		t.Error("a command that hangs ends well")
	}
	r.Stop()
	w.status(r, "complete")
	if _, _, err := exec(t.Context(), "web", []string{"exit", "0"}); !errors.Is(err, task.ErrNotRunning) {
		t.Errorf("a task that has ended: %v", err)
	}
}

func TestOnlyTheBeginningOfOutputIsKept(t *testing.T) {
	var b beginning
	for range 100 {
		if n, err := b.Write([]byte(strings.Repeat("x", 1000))); n != 1000 || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(b.String()) != scriptOutput {
		t.Errorf("%d bytes are kept", len(b.String()))
	}
}

func TestIgnoredWarningsAreGoodEnoughForHealth(t *testing.T) {
	rule := Rule{Mode: structs.HealthChecks, Deadline: time.Unix(1000, 0)}
	for ignored, want := range map[bool]bool{true: true, false: false} {
		checks := map[string]*structs.AllocCheckStatus{"c": {Status: structs.CheckStatusWarning, IgnoreWarnings: ignored}}
		if j := Judge(rule, Judgement{}, time.Unix(100, 0), Evidence{Tasks: parse(t, "a=up"), Checks: checks, Expected: 1}); j.Healthy != want {
			t.Errorf("ignoring is %v: healthy is %v", ignored, j.Healthy)
		}
	}
}
