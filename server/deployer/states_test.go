package deployer

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// TestEachStateHasAnExit wants for each state one that a user can take; one that
// waits for machines ends by itself too, and it says by when.
func TestEachStateHasAnExit(t *testing.T) {
	seen := map[Exit]bool{}
	for _, e := range Exits() {
		if seen[e] {
			t.Errorf("%v is there twice", e)
		}
		seen[e] = true
	}
	for _, s := range States() {
		person := strings.Contains(s.Deadline, "a person is waited for")
		var users, itself bool
		for _, e := range Exits() {
			ends := e.To == StateFailed || e.To == StateCancelled
			users = users || e.From == s.State && ends && e.Mover == MoverUser
			itself = itself || e.From == s.State && ends && e.Mover == MoverDeployer
		}
		if !users || !itself && !person || s.Deadline == "" {
			t.Errorf("%s: a user ends it: %t, it ends itself: %t, its deadline is %q", s.State, users, itself, s.Deadline)
		}
	}
}

// TestOtherRegionsDoNotHoldUpForEver looks at statuses that nothing here makes: a
// deployment that has one all the same ends at its deadline, or with its job.
func TestOtherRegionsDoNotHoldUpForEver(t *testing.T) {
	for _, status := range []string{
		structs.DeploymentStatusInitializing, structs.DeploymentStatusPending, structs.DeploymentStatusBlocked, structs.DeploymentStatusUnblocking,
	} {
		for _, stopped := range []bool{false, true} {
			w := draw(structs.DeploymentState{DesiredTotal: 2, ProgressDeadline: 10 * time.Minute, RequireProgressBy: start.Add(10 * time.Minute)}, "hp")
			for _, dep := range w.deployments {
				dep.Status = status
			}
			w.versions[0].Stop = &stopped
			want := structs.DeploymentStatusFailed
			if stopped {
				want = structs.DeploymentStatusCancelled
			}
			d := New(func() string { return "id" })
			d.Reset(w)
			if _, wake := d.Step(w, start); !stopped && wake.IsZero() {
				t.Errorf("%s: nothing wakes it", status)
			}
			d.Reset(w)
			actions, _ := d.Step(w, start.Add(time.Hour))
			if len(actions) != 1 {
				t.Fatalf("%s, stopped %t: %v", status, stopped, actions)
			}
			if c, ok := actions[0].Command.(*command.UpdateDeployment); !ok || c.Update.Status != want {
				t.Errorf("%s, stopped %t: %+v, want it %s", status, stopped, actions[0].Command, want)
			}
		}
	}
}

const statesDoc = "../../docs/deployments.md"

// TestTheDocumentShowsTheStates keeps the tables of the documentation those of the
// code; STEPPE_REWRITE=1 writes them.
func TestTheDocumentShowsTheStates(t *testing.T) {
	text, err := os.ReadFile(statesDoc)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- states: written by the tests of server/deployer -->\n", "<!-- end of states -->\n"
	before, rest, ok := strings.Cut(string(text), begin)
	table, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the states", statesDoc)
	}
	if want := tables(); table != want {
		if os.Getenv("STEPPE_REWRITE") == "" {
			t.Fatalf("%s shows\n%s\nnot\n%s", statesDoc, table, want)
		}
		if err := os.WriteFile(statesDoc, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func tables() string {
	var out strings.Builder
	out.WriteString("\n| state | waits for | at most |\n| --- | --- | --- |\n")
	for _, s := range States() {
		_, _ = fmt.Fprintf(&out, "| %s | %s | %s |\n", s.State, s.Waits, s.Deadline)
	}
	out.WriteString("\n| from | to | who | when |\n| --- | --- | --- | --- |\n")
	exits := Exits()
	order := []State{StateNone}
	for _, s := range States() {
		order = append(order, s.State)
	}
	slices.SortStableFunc(exits, func(a, b Exit) int { return slices.Index(order, a.From) - slices.Index(order, b.From) })
	for _, e := range exits {
		_, _ = fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", e.From, e.To, e.Mover, e.When)
	}
	out.WriteString("\n")
	return out.String()
}

// TestWhereADeploymentStands draws deployments and wants the state of each.
func TestWhereADeploymentStands(t *testing.T) {
	canaries := structs.DeploymentState{DesiredTotal: 3, DesiredCanaries: 2}
	promoted := canaries
	promoted.Promoted = true
	for _, c := range []struct {
		name   string
		group  structs.DeploymentState
		allocs string
		status string
		want   State
	}{
		{"rolls out", structs.DeploymentState{DesiredTotal: 3}, "hpp", structs.DeploymentStatusRunning, StateRolling},
		{"no canary is there yet", canaries, "", structs.DeploymentStatusRunning, StateCanaries},
		{"a canary is missing", canaries, "c", structs.DeploymentStatusRunning, StateCanaries},
		{"a canary isn't healthy", canaries, "cp", structs.DeploymentStatusRunning, StateCanaries},
		{"all canaries are healthy", canaries, "cc", structs.DeploymentStatusRunning, StatePromotion},
		{"promoted", promoted, "cc", structs.DeploymentStatusRunning, StateRolling},
		{"paused", canaries, "cc", structs.DeploymentStatusPaused, StatePaused},
		{"failed", canaries, "cc", structs.DeploymentStatusFailed, StateFailed},
		{"cancelled", canaries, "cc", structs.DeploymentStatusCancelled, StateCancelled},
	} {
		w := draw(c.group, c.allocs)
		w.deployments["d"].Status = c.status
		if got := StateOf(w, w.deployments["d"]); got != c.want {
			t.Errorf("%s: it is in %s, want %s", c.name, got, c.want)
		}
	}
	if got := StateOf(&world{}, nil); got != StateNone {
		t.Errorf("none is in %s", got)
	}
}

// TestWhatWasPausedIsEvaluatedWhenItGoesOn has nothing happen but the pause.
func TestWhatWasPausedIsEvaluatedWhenItGoesOn(t *testing.T) {
	w := draw(structs.DeploymentState{DesiredTotal: 3}, "hpp")
	d := New(func() string { return "id" })
	d.Reset(w)
	d.Step(w, start)
	status := func(to string) string {
		w.deployments["d"].Status = to
		d.Note("d", false)
		actions, _ := d.Step(w, start)
		return tell(actions)
	}
	for _, c := range [][2]string{
		{structs.DeploymentStatusPaused, tell(nil)}, {structs.DeploymentStatusRunning, "evaluate"}, {structs.DeploymentStatusRunning, tell(nil)},
	} {
		if got := status(c[0]); got != c[1] {
			t.Errorf("once it is %s: %s, want %s", c[0], got, c[1])
		}
	}
}

// TestCountersTellOfTheFirstUnhealthyOne changes a deployment without a word about
// its allocations.
func TestCountersTellOfTheFirstUnhealthyOne(t *testing.T) {
	w := draw(structs.DeploymentState{DesiredTotal: 3}, "hpp")
	d := New(func() string { return "id" })
	d.Reset(w)
	d.Step(w, start)
	later := draw(structs.DeploymentState{DesiredTotal: 3}, "hup")
	d.Note("d", false)
	actions, _ := d.Step(later, start)
	if len(actions) != 1 {
		t.Fatalf("%v", actions)
	}
	if c, ok := actions[0].Command.(*command.UpdateDeployment); !ok || c.Update.Status != structs.DeploymentStatusFailed {
		t.Errorf("%+v", actions[0].Command)
	}
}
