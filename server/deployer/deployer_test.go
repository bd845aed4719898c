package deployer

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

var start = time.Unix(1_700_000_000, 0)

// world is a view drawn by hand.
type world struct {
	deployments map[string]*structs.Deployment
	versions    []*structs.Job // newest first
	allocs      []*structs.Allocation
}

func (w *world) Deployment(id string) *structs.Deployment { return w.deployments[id] }

func (w *world) ActiveDeployments() iter.Seq[*structs.Deployment] {
	return func(yield func(*structs.Deployment) bool) {
		for _, d := range w.deployments {
			if d.Active() && !yield(d) {
				return
			}
		}
	}
}

func (w *world) Job(_, _ string) *structs.Job {
	if len(w.versions) == 0 {
		return nil
	}
	return w.versions[0]
}

func (w *world) JobVersions(_, _ string) []*structs.Job { return w.versions }

func (w *world) AllocsByDeployment(id string) iter.Seq[*structs.Allocation] {
	return func(yield func(*structs.Allocation) bool) {
		for _, a := range w.allocs {
			if a.DeploymentID == id && !yield(a) {
				return
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }

func job(version uint64, image string, stable, autoPromote bool) *structs.Job {
	return &structs.Job{
		ID: ptr("web"), Namespace: ptr("default"), Type: ptr("service"), Priority: ptr(50),
		Version: ptr(version), Stable: ptr(stable),
		TaskGroups: []*structs.TaskGroup{{
			Name: ptr("g"), Count: ptr(2), Update: &structs.UpdateStrategy{AutoPromote: ptr(autoPromote)},
			Tasks: []*structs.Task{{Name: "t", Driver: "mock", Config: map[string]any{"image": image}}},
		}},
	}
}

// draw makes a world from a line: what the deployment of version 1 says of its
// group, then its allocations as letters: h healthy, u unhealthy, f failed
// before its health was known, p pending, c healthy canary, r unhealthy and
// being replaced.
func draw(st structs.DeploymentState, allocs string) *world {
	w := &world{
		deployments: map[string]*structs.Deployment{},
		versions:    []*structs.Job{job(1, "new", false, false), job(0, "old", true, false)},
	}
	for i, kind := range allocs {
		a := &structs.Allocation{
			ID: fmt.Sprint("a", i), TaskGroup: "g", DeploymentID: "d", JobID: "web", Namespace: "default",
			DesiredStatus: structs.AllocDesiredRun, ClientStatus: structs.AllocClientRunning,
		}
		switch kind {
		case 'h':
			a.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(true)}
			st.HealthyAllocs++
		case 'c':
			a.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(true), Canary: true}
			st.HealthyAllocs++
			st.PlacedCanaries = append(st.PlacedCanaries, a.ID)
		case 'u', 'r':
			a.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(false)}
			st.UnhealthyAllocs++
			if kind == 'r' {
				a.DesiredTransition.Reschedule = ptr(true)
			}
		case 'f':
			a.ClientStatus = structs.AllocClientFailed
		case 'p':
			a.ClientStatus = structs.AllocClientPending
		}
		st.PlacedAllocs++
		w.allocs = append(w.allocs, a)
	}
	w.deployments["d"] = &structs.Deployment{
		ID: "d", Namespace: "default", JobID: "web", JobVersion: 1, Status: structs.DeploymentStatusRunning,
		CreateTime: start.UnixNano(), TaskGroups: map[string]*structs.DeploymentState{"g": &st},
	}
	return w
}

// tell puts actions into words.
func tell(actions []Action) string {
	var out []string
	for _, a := range actions {
		switch c := a.Command.(type) {
		case *command.UpsertEvals:
			out = append(out, "evaluate")
		case *command.PromoteDeployment:
			out = append(out, "promote")
		case *command.TransitionAllocs:
			var ids []string
			for _, x := range c.Transitions {
				ids = append(ids, x.AllocID)
			}
			out = append(out, "replace "+strings.Join(ids, " "))
		case *command.UpdateDeployment:
			line := c.Update.Status + ": " + c.Update.StatusDescription
			if c.MarkStable {
				line += " [stable]"
			}
			if c.Job != nil {
				line += fmt.Sprintf(" [to version %d]", c.Job.GetVersion())
				if structs.Value(c.Job.SubmitTime) != c.Now {
					line += " [submitted at another time]"
				}
			}
			out = append(out, line)
		default:
			out = append(out, fmt.Sprintf("%T", c))
		}
	}
	return strings.Join(out, "; ")
}

func newID() func() string {
	n := 0
	return func() string {
		n++
		return fmt.Sprint("eval", n)
	}
}

func TestWhatADeploymentNeeds(t *testing.T) {
	by := start.Add(10 * time.Minute)
	rolling := structs.DeploymentState{DesiredTotal: 2, ProgressDeadline: 10 * time.Minute, RequireProgressBy: by}
	reverting := rolling
	reverting.AutoRevert = true
	strict := structs.DeploymentState{DesiredTotal: 2}
	canary := rolling
	canary.DesiredCanaries = 1
	canaries := rolling
	canaries.DesiredCanaries = 2
	manyCanaries := rolling
	manyCanaries.DesiredTotal, manyCanaries.DesiredCanaries = 1, 3
	cases := []struct {
		name   string
		state  structs.DeploymentState
		allocs string
		change func(*world)
		after  time.Duration
		want   string
	}{
		{name: "nothing has happened", state: rolling, allocs: "p"},
		{name: "one is healthy", state: rolling, allocs: "hp", want: "evaluate"},
		{name: "all are healthy", state: rolling, allocs: "hh", want: "successful: Deployment completed successfully [stable]"},
		{name: "enough were healthy, one has failed since", state: rolling, allocs: "hhu", want: "replace a2"},
		{name: "one is unhealthy", state: rolling, allocs: "hu", want: "replace a1"},
		{name: "one failed before its health was known", state: rolling, allocs: "pf", want: "replace a1"},
		{name: "it is being replaced", state: rolling, allocs: "pr"},
		{name: "no unhealthy one is tolerated", state: strict, allocs: "pu", want: "failed: Failed due to unhealthy allocations"},
		{name: "the deadline has passed", state: rolling, allocs: "p", after: 10 * time.Minute, want: "failed: Failed due to progress deadline"},
		{name: "the deadline has passed, all are healthy", state: rolling, allocs: "hh", after: time.Hour, want: "successful: Deployment completed successfully [stable]"},
		{name: "nothing could be placed for too long", state: structs.DeploymentState{DesiredTotal: 2, ProgressDeadline: time.Minute}, after: time.Minute, want: "failed: Failed due to progress deadline"},
		{name: "back to the stable version", state: reverting, allocs: "p", after: 10 * time.Minute, want: "failed: Failed due to progress deadline - rolling back to job version 0 [to version 0]"},
		{name: "no stable version", state: reverting, allocs: "p", after: 10 * time.Minute,
			change: func(w *world) { w.versions = w.versions[:1] },
			want:   "failed: Failed due to progress deadline - no stable job version to auto revert to"},
		{name: "the stable version is the same", state: reverting, allocs: "p", after: 10 * time.Minute,
			change: func(w *world) { w.versions[1] = job(0, "new", true, false) },
			want:   "failed: Failed due to progress deadline - not rolling back to stable job version 0 as current job has same specification"},
		{name: "a healthy canary waits for a person", state: canary, allocs: "c", after: time.Hour, want: "evaluate"},
		{name: "a healthy canary promotes itself", state: canary, allocs: "c",
			change: func(w *world) { w.versions[0] = job(1, "new", false, true) }, want: "promote"},
		{name: "an unhealthy canary does not", state: canary, allocs: "u",
			change: func(w *world) { w.versions[0] = job(1, "new", false, true) }, want: "replace a0"},
		{name: "one that is not healthy yet does not", state: canary, allocs: "p",
			change: func(w *world) { w.versions[0] = job(1, "new", false, true) }},
		{name: "one of two canaries is healthy", state: canaries, allocs: "cp",
			change: func(w *world) { w.versions[0] = job(1, "new", false, true) }, want: "evaluate"},
		{name: "more canaries than the total, one never comes", state: manyCanaries, allocs: "ccp", after: 10 * time.Minute,
			want: "failed: Failed due to progress deadline"},
		{name: "never back to itself", state: reverting, allocs: "p", after: 10 * time.Minute,
			change: func(w *world) { w.versions[0] = job(1, "new", true, false) },
			want:   "failed: Failed due to progress deadline - rolling back to job version 0 [to version 0]"},
		{name: "never back to what was not stable", state: reverting, allocs: "p", after: 10 * time.Minute,
			change: func(w *world) { w.versions[1] = job(0, "old", false, false) },
			want:   "failed: Failed due to progress deadline - no stable job version to auto revert to"},
		{name: "the job was stopped", state: rolling, allocs: "p",
			change: func(w *world) { w.versions[0].Stop = ptr(true) }, want: "cancelled: Cancelled because job is stopped"},
		{name: "the job is gone", state: rolling, change: func(w *world) { w.versions = nil }, want: "cancelled: Cancelled because job is stopped"},
		{name: "a newer version has come", state: rolling, allocs: "hu",
			change: func(w *world) { w.versions[0] = job(2, "newer", false, false) }},
		{name: "it is paused", state: rolling, allocs: "hu", after: time.Hour,
			change: func(w *world) { w.deployments["d"].Status = structs.DeploymentStatusPaused }},
		{name: "it is over", state: rolling, allocs: "hu",
			change: func(w *world) { w.deployments["d"].Status = structs.DeploymentStatusFailed }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := draw(c.state, c.allocs)
			if c.change != nil {
				c.change(w)
			}
			d := New(newID())
			d.Note("d", true)
			actions, _ := d.Step(w, start.Add(c.after))
			if got := tell(actions); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if again, _ := d.Step(w, start.Add(c.after)); c.after == 0 && len(again) > 0 {
				t.Errorf("without news it does more: %q", tell(again))
			}
		})
	}
}

func TestItWakesForTheDeadline(t *testing.T) {
	by := start.Add(10 * time.Minute)
	w := draw(structs.DeploymentState{DesiredTotal: 2, ProgressDeadline: 10 * time.Minute, RequireProgressBy: by}, "p")
	d := New(newID())
	d.Note("d", false)
	if _, wake := d.Step(w, start); !wake.Equal(by) {
		t.Fatalf("wakes at %v, want %v", wake, by)
	}
	if actions, _ := d.Step(w, by); tell(actions) != "failed: "+structs.DescDeploymentProgressDeadline {
		t.Fatalf("at the deadline: %q", tell(actions))
	}
}

func TestANewLeaderNudgesEachDeploymentOnce(t *testing.T) {
	w := draw(structs.DeploymentState{DesiredTotal: 2, ProgressDeadline: time.Minute, RequireProgressBy: start.Add(time.Minute)}, "p")
	d := New(newID())
	d.Reset(w)
	if actions, _ := d.Step(w, start); tell(actions) != "evaluate" {
		t.Fatalf("first %q", tell(actions))
	}
	d.Note("d", false)
	if actions, _ := d.Step(w, start); tell(actions) != "" {
		t.Fatalf("then %q", tell(actions))
	}
}

func TestWhatCouldNotBeProposedIsTriedAgain(t *testing.T) {
	w := draw(structs.DeploymentState{DesiredTotal: 2, ProgressDeadline: time.Minute, RequireProgressBy: start.Add(time.Minute)}, "h")
	d := New(newID())
	d.Note("d", false)
	actions, _ := d.Step(w, start)
	if tell(actions) != "evaluate" {
		t.Fatalf("first %q", tell(actions))
	}
	d.Failed(actions[0])
	if again, _ := d.Step(w, start); tell(again) != "evaluate" {
		t.Fatalf("again %q", tell(again))
	}
}

// TestEveryDeploymentEnds plays a rolling deployment with random fates: as
// long as time passes it ends, and it succeeds only when all are healthy.
func TestEveryDeploymentEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 5).Draw(t, "total")
		w := draw(structs.DeploymentState{
			DesiredTotal: total, ProgressDeadline: 5 * time.Minute, RequireProgressBy: start.Add(5 * time.Minute),
			AutoRevert: rapid.Bool().Draw(t, "auto_revert"),
		}, strings.Repeat("p", total))
		dep, now, failures := w.deployments["d"], start, 0
		d := New(newID())
		d.Reset(w)
		for range 200 {
			actions, _ := d.Step(w, now)
			for _, a := range actions {
				switch c := a.Command.(type) {
				case *command.UpdateDeployment:
					check(t, w, c, now)
					return
				case *command.TransitionAllocs:
					for _, x := range c.Transitions {
						i := slices.IndexFunc(w.allocs, func(a *structs.Allocation) bool { return a.ID == x.AllocID })
						replace(w, i)
					}
				}
			}
			now = now.Add(time.Duration(rapid.IntRange(20, 90).Draw(t, "seconds")) * time.Second)
			i := rapid.IntRange(0, len(w.allocs)-1).Draw(t, "alloc")
			kind := rapid.IntRange(0, 2).Draw(t, "fate")
			if kind == 1 {
				failures++ // what fails and recovers for ever makes progress for ever
			}
			if kind != 1 || failures <= 8 {
				fate(w, dep, w.allocs[i], kind, now)
			}
			d.Note("d", true)
		}
		t.Fatalf("the deployment goes on after %s", now.Sub(start))
	})
}

// replace puts a new allocation in the place of one that failed.
func replace(w *world, i int) {
	old := w.allocs[i]
	fresh := &structs.Allocation{
		ID: fmt.Sprint("a", len(w.allocs)), TaskGroup: "g", DeploymentID: "d",
		DesiredStatus: structs.AllocDesiredRun, ClientStatus: structs.AllocClientPending,
	}
	old.NextAllocation, old.DesiredStatus = fresh.ID, structs.AllocDesiredStop
	w.allocs = append(w.allocs, fresh)
}

func fate(w *world, dep *structs.Deployment, a *structs.Allocation, kind int, now time.Time) {
	st := dep.TaskGroups["g"]
	if a.DesiredStatus != structs.AllocDesiredRun || a.ClientStatus == structs.AllocClientFailed {
		return
	}
	switch {
	case kind == 0 && !a.DeploymentStatus.HasHealth():
		a.ClientStatus = structs.AllocClientRunning
		a.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(true)}
		st.HealthyAllocs++
		st.RequireProgressBy = now.Add(st.ProgressDeadline)
	case kind == 1:
		if !a.DeploymentStatus.HasHealth() {
			st.UnhealthyAllocs++
			a.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(false)}
		}
		a.ClientStatus = structs.AllocClientFailed
	}
}

func check(t *rapid.T, w *world, c *command.UpdateDeployment, now time.Time) {
	alive := 0
	for _, a := range w.allocs {
		if a.DeploymentStatus.IsHealthy() && !a.TerminalStatus() {
			alive++
		}
	}
	st := w.deployments["d"].TaskGroups["g"]
	switch c.Update.Status {
	case structs.DeploymentStatusSuccessful:
		if alive < st.DesiredTotal || !c.MarkStable {
			t.Fatalf("successful with %d of %d healthy", alive, st.DesiredTotal)
		}
	case structs.DeploymentStatusFailed:
		if now.Before(st.RequireProgressBy) {
			t.Fatalf("failed %s before its deadline", st.RequireProgressBy.Sub(now))
		}
		if st.AutoRevert != (c.Job != nil) {
			t.Fatalf("auto_revert %v, job %v", st.AutoRevert, c.Job)
		}
	default:
		t.Fatalf("ended as %s", c.Update.Status)
	}
	if c.Eval == nil {
		t.Fatal("the scheduler isn't told")
	}
}
