package alloc

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/structs"
)

// fataler is a test, or a property under test.
type fataler interface{ Fatalf(string, ...any) }

// parse reads a group drawn in words: "name[kind]=state" for each task, where
// kind is main (left out), leader, pre, pre+ (a sidecar), post, post+, stop,
// and state is new, up, back (waits for its restart), ok or failed.
func parse(t fataler, text string) []View {
	var out []View
	for _, word := range strings.Fields(text) {
		name, state, ok := strings.Cut(word, "=")
		if !ok {
			t.Fatalf("bad word %q", word)
		}
		name, kind, _ := strings.Cut(strings.TrimSuffix(name, "]"), "[")
		out = append(out, View{Task: draw(t, name, kind), State: drawState(t, state)})
	}
	return out
}

func draw(t fataler, name, kind string) *structs.Task {
	task := &structs.Task{Name: name}
	base, sidecar := strings.CutSuffix(kind, "+")
	switch base {
	case "", "main":
	case "leader":
		task.Leader = true
	case "pre":
		task.Lifecycle = &structs.TaskLifecycle{Hook: structs.TaskHookPrestart, Sidecar: sidecar}
	case "post":
		task.Lifecycle = &structs.TaskLifecycle{Hook: structs.TaskHookPoststart, Sidecar: sidecar}
	case "stop":
		task.Lifecycle = &structs.TaskLifecycle{Hook: structs.TaskHookPoststop}
	default:
		t.Fatalf("bad kind %q", kind)
	}
	return task
}

func drawState(t fataler, state string) *structs.TaskState {
	began := time.Unix(1, 0)
	switch state {
	case "new":
		return &structs.TaskState{State: structs.TaskStatePending}
	case "up":
		return &structs.TaskState{State: structs.TaskStateRunning, StartedAt: began}
	case "back":
		return &structs.TaskState{State: structs.TaskStatePending, StartedAt: began, Restarts: 1}
	case "ok":
		return &structs.TaskState{State: structs.TaskStateDead, StartedAt: began}
	case "failed":
		return &structs.TaskState{State: structs.TaskStateDead, StartedAt: began, Failed: true}
	}
	t.Fatalf("bad state %q", state)
	return nil
}

func TestOrderAndStatus(t *testing.T) {
	for _, c := range []struct {
		group  string
		aim    Aim
		open   string
		kill   string
		status string
	}{
		{"a=new b=new", AimRun, "a b", "", "pending"},
		{"a=up b=new", AimRun, "a b", "", "running"},
		{"a=up b=up", AimRun, "a b", "", "running"},
		{"a=back", AimRun, "a", "", "pending"},
		{"a=ok", AimRun, "", "", "complete"},
		{"a=ok b=up", AimRun, "b", "", "running"},
		{"a=failed b=up", AimRun, "b", "b:Sibling Task Failed", "running"},
		{"a=failed b=ok", AimRun, "", "", "failed"},

		{"init[pre]=new a=new", AimRun, "init", "", "pending"},
		{"init[pre]=up a=new", AimRun, "init", "", "running"},
		{"init[pre]=ok a=new", AimRun, "a", "", "pending"},
		{"init[pre]=failed a=new", AimRun, "", "a:Sibling Task Failed", "pending"},
		{"proxy[pre+]=new a=new", AimRun, "proxy", "", "pending"},
		{"proxy[pre+]=up a=new", AimRun, "a proxy", "", "running"},
		{"proxy[pre+]=back a=up", AimRun, "a proxy", "", "running"},
		{"proxy[pre+]=up a=ok", AimRun, "proxy", "proxy:Main Tasks Dead", "running"},

		{"a=new hook[post]=new", AimRun, "a", "", "pending"},
		{"a=up b=new hook[post]=new", AimRun, "a b", "", "running"},
		{"a=up hook[post]=new", AimRun, "a hook", "", "running"},
		{"a=ok hook[post]=up", AimRun, "hook", "hook:Main Tasks Dead", "running"},

		{"a=up clean[stop]=new", AimRun, "a", "", "running"},
		{"a=ok clean[stop]=new", AimRun, "clean", "", "running"},
		{"a=failed clean[stop]=new", AimRun, "clean", "", "running"},
		{"a=failed clean[stop]=ok", AimRun, "", "", "failed"},
		{"a=ok side[pre+]=up clean[stop]=new", AimRun, "side", "side:Main Tasks Dead", "running"},

		{"l[leader]=up b=up", AimRun, "b l", "", "running"},
		{"l[leader]=ok b=up", AimRun, "b", "b:Leader Task Dead", "running"},

		{"a=up b=new", AimHold, "", "", "running"},
		{"a=up b=up", AimEnd, "", "a: b:", "running"},
		{"a=new", AimEnd, "", "a:", "pending"},
		{"l[leader]=up b=up", AimEnd, "", "l:", "running"},
		{"l[leader]=ok b=up", AimEnd, "", "b:Leader Task Dead", "running"},
		{"a=up side[pre+]=up clean[stop]=new", AimEnd, "", "a:", "running"},
		{"a=ok side[pre+]=up clean[stop]=new", AimEnd, "", "side:Main Tasks Dead", "running"},
		{"a=ok side[pre+]=ok clean[stop]=new", AimEnd, "clean", "", "running"},
		{"a=ok side[pre+]=ok clean[stop]=up", AimEnd, "clean", "", "running"},

		{"init[pre]=ok a=up side[pre+]=up clean[stop]=new", AimAgain, "", "a:", "running"},
		{"init[pre]=ok a=ok side[pre+]=up clean[stop]=new", AimAgain, "", "side:Main Tasks Dead", "running"},
		{"init[pre]=ok a=ok side[pre+]=ok clean[stop]=new", AimAgain, "", "", "running"},
	} {
		views := parse(t, c.group)
		o := Order(views, c.aim)
		sort.Strings(o.Open)
		var kills []string
		for name, event := range o.Kill {
			kind := ""
			if event != nil {
				kind = event.Type
			}
			kills = append(kills, name+":"+kind)
		}
		sort.Strings(kills)
		status, text := Status(views)
		if got := strings.Join(o.Open, " "); got != c.open {
			t.Errorf("%s, %s: open %q, want %q", c.group, c.aim, got, c.open)
		}
		if got := strings.Join(kills, " "); got != c.kill {
			t.Errorf("%s, %s: kill %q, want %q", c.group, c.aim, got, c.kill)
		}
		if status != c.status || text == "" {
			t.Errorf("%s: status %s (%s), want %s", c.group, status, text, c.status)
		}
		if terminal := structs.ClientTerminal(status); terminal != o.Done {
			t.Errorf("%s: status %s, done %v", c.group, status, o.Done)
		}
	}
}

func TestOnlyAnEndedGroupIsRenewed(t *testing.T) {
	for group, want := range map[string]bool{
		"init[pre]=ok a=up":                         false,
		"init[pre]=ok a=ok":                         true,
		"a=ok side[pre+]=up clean[stop]=new":        false,
		"a=ok side[pre+]=ok clean[stop]=new":        true,
		"a=ok note[post]=new clean[stop]=new":       false,
		"a=failed note[post]=failed clean[stop]=ok": true,
	} {
		if o := Order(parse(t, group), AimAgain); o.Renew != want || o.Done {
			t.Errorf("%s: renew %v, done %v", group, o.Renew, o.Done)
		}
		if o := Order(parse(t, group), AimEnd); o.Renew {
			t.Errorf("%s: renewed without being asked", group)
		}
	}
}

// Whatever the group and however its tasks behave: if each task does what it
// is told, a group that is to end comes to its end.
func TestEveryGroupThatShallEndEnds(t *testing.T) {
	kinds := []string{"main", "leader", "pre", "pre+", "post", "post+", "stop"}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "tasks")
		words := []string{"m=" + rapid.SampledFrom([]string{"new", "up", "back", "ok", "failed"}).Draw(t, "main")}
		leaders := 0
		for i := range n {
			kind := rapid.SampledFrom(kinds).Draw(t, "kind")
			if kind == "leader" {
				if leaders++; leaders > 1 {
					kind = "main"
				}
			}
			state := rapid.SampledFrom([]string{"new", "up", "back", "ok", "failed"}).Draw(t, "state")
			words = append(words, fmt.Sprintf("t%d[%s]=%s", i, kind, state))
		}
		views := parse(t, strings.Join(words, " "))
		for step := 0; ; step++ {
			o := Order(views, AimEnd)
			if o.Done {
				return
			}
			if step > 3*len(views) {
				t.Fatalf("the group %v doesn't end", words)
			}
			open := map[string]bool{}
			for _, name := range o.Open {
				open[name] = true
			}
			for _, v := range views {
				if _, kill := o.Kill[v.Task.Name]; kill || open[v.Task.Name] {
					v.State.State = structs.TaskStateDead // it ran and ended, or was ended
				}
			}
		}
	})
}
