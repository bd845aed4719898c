package drainer

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
	nodes  []*structs.Node
	job    *structs.Job
	allocs []*structs.Allocation
}

func (w *world) Nodes(string) iter.Seq[*structs.Node] { return slices.Values(w.nodes) }

func (w *world) Node(id string) *structs.Node {
	for _, n := range w.nodes {
		if n.ID == id {
			return n
		}
	}
	return nil
}

func (w *world) Job(_, _ string) *structs.Job { return w.job }

func (w *world) AllocsByNode(id string) iter.Seq[*structs.Allocation] {
	return w.where(func(a *structs.Allocation) bool { return a.NodeID == id })
}

func (w *world) AllocsByJob(_, id string) iter.Seq[*structs.Allocation] {
	return w.where(func(a *structs.Allocation) bool { return a.JobID == id })
}

func (w *world) where(is func(*structs.Allocation) bool) iter.Seq[*structs.Allocation] {
	return func(yield func(*structs.Allocation) bool) {
		for _, a := range w.allocs {
			if is(a) && !yield(a) {
				return
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }

// draw makes node "old", which is drained, and node "new". The letters are the
// allocations of old, after a bar those of new: h healthy, p pending, m moving,
// l waits for its replacement, c a healthy canary, u out of sight, x ended.
func draw(kind string, count, parallel int, picture string) *world {
	w := &world{
		nodes: []*structs.Node{
			{ID: "old", Status: structs.NodeStatusReady, DrainStrategy: &structs.DrainStrategy{
				DrainSpec: structs.DrainSpec{Deadline: time.Hour}, ForceDeadline: start.Add(time.Hour),
			}},
			{ID: "new", Status: structs.NodeStatusReady},
		},
		job: &structs.Job{ID: ptr("job"), Type: ptr(kind), TaskGroups: []*structs.TaskGroup{{
			Name: ptr("g"), Count: ptr(count), Migrate: &structs.MigrateStrategy{MaxParallel: ptr(parallel), MinHealthyTime: ptr(10 * time.Second)},
		}}},
	}
	node := "old"
	for _, c := range picture {
		if c == '|' {
			node = "new"
			continue
		}
		w.add(node, c)
	}
	return w
}

func (w *world) add(node string, kind rune) {
	a := &structs.Allocation{
		ID: fmt.Sprintf("%02d", len(w.allocs)), NodeID: node, JobID: "job", Namespace: "default", TaskGroup: "g", Job: w.job,
		DesiredStatus: structs.AllocDesiredRun, ClientStatus: structs.AllocClientRunning,
	}
	switch kind {
	case 'h':
		a.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(true)}
	case 'c':
		a.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(true), Canary: true}
	case 'p':
		a.ClientStatus = structs.AllocClientPending
	case 'm':
		a.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(true)}
		a.DesiredTransition.Migrate = ptr(true)
	case 'l':
		a.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(true)}
		a.DesiredTransition = structs.DesiredTransition{Migrate: ptr(true), AfterReplacement: ptr(true)}
	case 'u':
		a.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(true)}
		a.ClientStatus = structs.AllocClientUnknown
	case 'x':
		a.ClientStatus = structs.AllocClientComplete
	}
	w.allocs = append(w.allocs, a)
}

func next(w *world, now time.Time) (string, time.Time) {
	commands, wake := New(func() string { return "eval" }).Step(w, now)
	var out []string
	for _, c := range commands {
		switch c := c.(type) {
		case *command.TransitionAllocs:
			line := "move"
			for _, x := range c.Transitions {
				line += " " + x.AllocID
				switch last := x.Transition.AfterReplacement; {
				case last == nil:
				case *last:
					line += " after its replacement"
				default:
					line += " now"
				}
			}
			out = append(out, fmt.Sprintf("%s, %d evaluations", line, len(c.Evals)))
		case *command.SetNodeDrain:
			out = append(out, fmt.Sprintf("%s is done: %v", c.NodeID, c.Complete && c.Strategy == nil && !c.MarkEligible))
		}
	}
	return strings.Join(out, "; "), wake
}

func TestWhatADrainDoesNext(t *testing.T) {
	cases := []struct {
		name, kind      string
		count, parallel int
		picture         string
		change          func(*world)
		after           time.Duration
		want            string
	}{
		{name: "an empty node", kind: "service", picture: "", want: "old is done: true"},
		{name: "only ended ones", kind: "service", count: 1, parallel: 1, picture: "x|h", want: "old is done: true"},
		{name: "one at a time", kind: "service", count: 4, parallel: 1, picture: "hhhh", want: "move 00, 1 evaluations"},
		{name: "two at a time", kind: "service", count: 4, parallel: 2, picture: "hhhh", want: "move 00 01, 1 evaluations"},
		{name: "of more than there should be no more at once", kind: "service", count: 2, parallel: 1, picture: "hhh", want: "move 00, 1 evaluations"},
		{name: "nor while one is moving", kind: "service", count: 2, parallel: 1, picture: "mhhh"},
		{name: "though what waits may go", kind: "service", count: 1, parallel: 1, picture: "lm|hh", want: "move 00 now, 1 evaluations"},
		{name: "one is moving already", kind: "service", count: 4, parallel: 1, picture: "mhhh"},
		{name: "its replacement is not healthy yet", kind: "service", count: 4, parallel: 1, picture: "xhhh|p"},
		{name: "its replacement is healthy", kind: "service", count: 4, parallel: 1, picture: "xhhh|h", want: "move 01, 1 evaluations"},
		{name: "the last one waits for its replacement", kind: "service", count: 1, parallel: 1, picture: "h", want: "move 00 after its replacement, 1 evaluations"},
		{name: "so does one of those that could all go", kind: "service", count: 3, parallel: 3, picture: "hhh", want: "move 00 01 02 after its replacement, 1 evaluations"},
		{name: "and one beside others that don't serve", kind: "service", count: 3, parallel: 3, picture: "h|pp", want: "move 00 after its replacement, 1 evaluations"},
		{name: "not if another one serves elsewhere", kind: "service", count: 2, parallel: 2, picture: "h|h", want: "move 00, 1 evaluations"},
		{name: "not if its successor needs its data", kind: "service", count: 1, parallel: 1, picture: "h",
			change: func(w *world) { w.job.TaskGroups[0].EphemeralDisk = &structs.EphemeralDisk{Sticky: ptr(true)} }, want: "move 00, 1 evaluations"},
		{name: "a canary that waits for its promotion doesn't stand for it", kind: "service", count: 1, parallel: 1, picture: "h|c", want: "move 00 after its replacement, 1 evaluations"},
		{name: "and moves as what doesn't serve", kind: "service", count: 1, parallel: 1, picture: "c|h", want: "move 00, 1 evaluations"},
		{name: "not if it is forced", kind: "service", count: 1, parallel: 1, picture: "h", after: time.Hour, want: "move 00, 1 evaluations"},
		{name: "the replacement of the last is not healthy yet", kind: "service", count: 1, parallel: 1, picture: "l|p"},
		{name: "it is", kind: "service", count: 1, parallel: 1, picture: "l|h", want: "move 00 now, 1 evaluations"},
		{name: "the last one doesn't wait beyond the deadline", kind: "service", count: 1, parallel: 1, picture: "l|p", after: time.Hour, want: "move 00 now, 1 evaluations"},
		{name: "the last one is told once that it may go", kind: "service", count: 1, parallel: 1, picture: "m|h"},
		{name: "too few of a job that has grown", kind: "service", count: 5, parallel: 1, picture: "l|hh"},
		{name: "what is out of sight doesn't serve", kind: "service", count: 3, parallel: 1, picture: "h|hu"},
		{name: "what its node gives up now doesn't serve", kind: "service", count: 2, parallel: 1, picture: "h|h",
			change: func(w *world) {
				w.nodes[0].DrainStrategy.Deadline = -1
				w.nodes[1].DrainStrategy = &structs.DrainStrategy{}
			}, want: "move 00, 1 evaluations"},
		{name: "what doesn't serve moves too", kind: "service", count: 1, parallel: 1, picture: "p", want: "move 00, 1 evaluations"},
		{name: "batch may end by itself", kind: "batch", count: 2, parallel: 1, picture: "hh"},
		{name: "batch moves at the deadline", kind: "batch", count: 2, parallel: 1, picture: "hh", after: time.Hour, want: "move 00 01, 1 evaluations"},
		{name: "all move at the deadline", kind: "service", count: 4, parallel: 1, picture: "hhhp", after: time.Hour, want: "move 00 01 02 03, 1 evaluations"},
		{name: "forced", kind: "service", count: 4, parallel: 1, picture: "hhhh",
			change: func(w *world) { w.nodes[0].DrainStrategy.Deadline = -1 }, want: "move 00 01 02 03, 1 evaluations"},
		{name: "no deadline at all", kind: "batch", count: 1, parallel: 1, picture: "h", after: 1000 * time.Hour,
			change: func(w *world) { w.nodes[0].DrainStrategy = &structs.DrainStrategy{} }},
		{name: "system ones go last", kind: "system", count: 1, parallel: 1, picture: "h", want: "move 00, 1 evaluations"},
		{name: "system ones are ignored", kind: "system", count: 1, parallel: 1, picture: "h",
			change: func(w *world) { w.nodes[0].DrainStrategy.IgnoreSystemJobs = true }, want: "old is done: true"},
		{name: "a stopped job is stopped by its own evaluation", kind: "service", count: 2, parallel: 1, picture: "hh",
			change: func(w *world) { w.job.Stop = ptr(true) }},
		{name: "what doesn't serve waits for what is moving", kind: "service", count: 3, parallel: 1, picture: "mpp"},
		{name: "what is moving isn't told again at the deadline", kind: "batch", count: 2, parallel: 1, picture: "mh", after: time.Hour, want: "move 01, 1 evaluations"},
		{name: "no migrate block", kind: "service", count: 4, picture: "hhhh",
			change: func(w *world) { w.job.TaskGroups[0].Migrate = nil }, want: "move 00, 1 evaluations"},
		{name: "an allocation without its job is a service's", kind: "batch", count: 2, parallel: 1, picture: "hh",
			change: func(w *world) { w.allocs[0].Job = nil }, want: "move 00, 1 evaluations"},
		{name: "nobody drains", kind: "service", count: 2, parallel: 1, picture: "hh",
			change: func(w *world) { w.nodes[0].DrainStrategy = nil }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := draw(c.kind, c.count, c.parallel, c.picture)
			if c.change != nil {
				c.change(w)
			}
			if got, _ := next(w, start.Add(c.after)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestEqualViewsGiveEqualEvaluations wants evaluations, and their ids, to follow
// from the view alone: by namespace, then by job.
func TestEqualViewsGiveEqualEvaluations(t *testing.T) {
	w := draw("service", 1, 1, "hhhhhh")
	for i, id := range []string{"f", "b", "d", "a", "c", "e"} {
		w.allocs[i].JobID = id
		w.allocs[i].Namespace = []string{"x", "default"}[i%2]
	}
	for range 20 {
		n := 0
		commands, _ := New(func() string { n++; return fmt.Sprint(n) }).Step(w, start)
		var got []string
		for _, c := range commands {
			for _, e := range c.(*command.TransitionAllocs).Evals {
				got = append(got, e.ID+e.Namespace+"/"+e.JobID)
			}
		}
		if want := "1default/a 2default/b 3default/e 4x/c 5x/d 6x/f"; strings.Join(got, " ") != want {
			t.Fatalf("evaluations are %v, want %s", got, want)
		}
	}
}

func TestWithoutAVerdictRunningLongEnoughIsHealthy(t *testing.T) {
	for name, c := range map[string]struct {
		migrate *structs.MigrateStrategy
		settles time.Duration
	}{
		"as usual":         {&structs.MigrateStrategy{MaxParallel: ptr(1), MinHealthyTime: ptr(10 * time.Second)}, 10 * time.Second},
		"longer":           {&structs.MigrateStrategy{MaxParallel: ptr(1), MinHealthyTime: ptr(time.Minute)}, time.Minute},
		"no migrate block": {nil, 10 * time.Second},
	} {
		w := draw("service", 2, 1, "hh")
		w.job.TaskGroups[0].Migrate = c.migrate
		for _, a := range w.allocs {
			a.DeploymentStatus = nil
			a.TaskStates = map[string]*structs.TaskState{"t": {StartedAt: start}}
		}
		w.allocs[1].NodeID = "new" // the only one to move serves, once it has settled
		w.allocs[0].DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(true)}
		if got, wake := next(w, start.Add(c.settles-time.Second)); got != "" || !wake.Equal(start.Add(c.settles)) {
			t.Errorf("%s: %q, looks again at %v", name, got, wake)
		}
		if got, _ := next(w, start.Add(c.settles)); !strings.HasPrefix(got, "move ") {
			t.Errorf("%s, once settled: %q", name, got)
		}
	}
}

func TestADrainLooksAgainAtItsDeadline(t *testing.T) {
	if _, wake := next(draw("batch", 1, 1, "h"), start); !wake.Equal(start.Add(time.Hour)) {
		t.Errorf("it looks again at %v", wake)
	}
}

func TestEvaluationsHaveThePriorityOfTheirJob(t *testing.T) {
	for _, want := range []int{80, structs.JobDefaultPriority} {
		w := draw("batch", 1, 1, "h")
		if w.job.Priority = ptr(80); want != 80 {
			w.job = nil // purged
		}
		commands, _ := New(func() string { return "eval" }).Step(w, start.Add(time.Hour))
		c, ok := commands[0].(*command.TransitionAllocs)
		if !ok || len(c.Evals) != 1 || c.Evals[0].Priority != want {
			t.Errorf("%+v, want priority %d", commands[0], want)
		}
	}
}

// TestADrainEndsAndNeverTakesTooMany plays a service through a drain in which
// replacements take their time.
func TestADrainEndsAndNeverTakesTooMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, 6).Draw(t, "count")
		parallel := rapid.IntRange(1, 3).Draw(t, "parallel")
		w := draw("service", count, parallel, strings.Repeat("h", count))
		now := start
		for range 400 {
			commands, _ := New(func() string { return "eval" }).Step(w, now)
			for _, c := range commands {
				switch c := c.(type) {
				case *command.TransitionAllocs:
					for _, x := range c.Transitions {
						w.tell(x)
					}
				case *command.SetNodeDrain:
					for a := range w.AllocsByNode("old") {
						if !a.ClientTerminal() {
							t.Fatalf("done while %s is there", a.ID)
						}
					}
					return
				}
			}
			now = now.Add(time.Second)
			if serving := w.advance(t); now.Before(start.Add(time.Hour)) && serving < max(1, count-parallel) {
				t.Fatalf("%d of %d serve, max_parallel is %d", serving, count, parallel)
			}
		}
		t.Fatal("the drain doesn't end")
	})
}

func (w *world) find(id string) *structs.Allocation {
	i := slices.IndexFunc(w.allocs, func(a *structs.Allocation) bool { return a.ID == id })
	return w.allocs[i]
}

// tell does what the state does with a transition: it can be told only once.
func (w *world) tell(x command.AllocTransition) {
	t := &w.find(x.AllocID).DesiredTransition
	if x.Transition.Migrate != nil {
		t.Migrate = x.Transition.Migrate
	}
	if x.Transition.AfterReplacement != nil {
		t.AfterReplacement = x.Transition.AfterReplacement
	}
}

// advance lets scheduler and clients do some of what is due; it returns how
// many serve.
func (w *world) advance(t *rapid.T) int {
	serving := 0
	for _, a := range slices.Clone(w.allocs) {
		act := rapid.Bool().Draw(t, "act")
		switch {
		case a.ClientTerminal():
		case a.DesiredTransition.Lasts() && act:
			if a.NextAllocation == "" {
				w.add("new", 'p')
				a.NextAllocation = "replaced"
			}
		case structs.Value(a.DesiredTransition.Migrate) && !a.DesiredTransition.Lasts() && act:
			a.DesiredStatus, a.ClientStatus = structs.AllocDesiredStop, structs.AllocClientComplete
			if a.NextAllocation == "" {
				w.add("new", 'p')
			}
		case a.ClientStatus == structs.AllocClientPending && act:
			a.ClientStatus = structs.AllocClientRunning
			a.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(true)}
		}
		if a.DeploymentStatus.IsHealthy() && !a.TerminalStatus() && (movable(a) || lasts(a)) {
			serving++
		}
	}
	return serving
}
