package invariant

import (
	"slices"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// world is a store whose entries are judged.
type world struct {
	t     *testing.T
	store *state.Store
	watch *Watch
	index uint64
	now   time.Time
}

func newWorld(t *testing.T) *world {
	store := state.New(state.Options{FeedSize: 1 << 20})
	return &world{t: t, store: store, watch: NewWatch(store.Snapshot()), index: 1, now: time.Unix(1_700_000_000, 0)}
}

// apply performs a command and returns the rules that it breaks.
func (w *world) apply(c command.Command) []string {
	w.t.Helper()
	w.index++
	if err, failed := w.store.Apply(w.index, c).(error); failed {
		w.t.Fatalf("%T: %v", c, err)
	}
	var broken []string
	for _, v := range w.watch.Entry(w.store) {
		broken = append(broken, v.Rule)
	}
	return broken
}

// must performs a command that breaks nothing.
func (w *world) must(c command.Command) {
	w.t.Helper()
	if broken := w.apply(c); len(broken) > 0 {
		w.t.Fatalf("%T breaks %v", c, broken)
	}
}

func service(count, maxParallel int) *structs.Job {
	return &structs.Job{
		ID: new("web"), Name: new("web"), Namespace: new("default"), Type: new("service"), NodePool: new("default"), Priority: new(50),
		TaskGroups: []*structs.TaskGroup{{
			Name: new("g"), Count: &count,
			Update:  &structs.UpdateStrategy{MaxParallel: &maxParallel},
			Migrate: &structs.MigrateStrategy{MaxParallel: &maxParallel},
			Tasks:   []*structs.Task{{Name: "main", Driver: "mock_driver"}},
		}},
	}
}

func eval(id, job, trigger string) *structs.Evaluation {
	return &structs.Evaluation{ID: id, Namespace: "default", JobID: job, Type: "service", Priority: 50, TriggeredBy: trigger, Status: structs.EvalStatusPending}
}

// node registers a node that is ready.
func (w *world) node() string {
	w.t.Helper()
	id := ids.New()
	w.must(&command.RegisterNode{Now: w.now.UnixNano(), Node: &structs.Node{
		ID: id, Name: "n", Datacenter: "dc1", NodePool: "default", Status: structs.NodeStatusReady, SecretID: "s",
		NodeResources: &structs.NodeResources{
			Cpu: structs.NodeCpuResources{CpuShares: 4000}, Memory: structs.NodeMemoryResources{MemoryMB: 4000}, Disk: structs.NodeDiskResources{DiskMB: 4000},
		},
	}})
	return id
}

// running registers a job and places it; it returns the node and the allocations,
// which run and are healthy.
func (w *world) running(job *structs.Job, n int) (node string, allocs []string) {
	w.t.Helper()
	node = w.node()
	e := eval(ids.New(), job.GetID(), structs.TriggerJobRegister)
	w.must(&command.RegisterJob{Job: job, Eval: e, Now: w.now.UnixNano()})
	seed := ids.NewSeed()
	var rows []structs.Placement
	for i := range n {
		rows = append(rows, structs.Placement{NodeID: node, NameIndex: uint32(i)})
		allocs = append(allocs, ids.Derive(seed, uint32(i)))
	}
	w.must(&command.ApplyPlans{Now: w.now.UnixNano(), Plans: []*structs.Plan{{
		EvalID: e.ID, Namespace: "default", JobID: job.GetID(), JobVersion: w.store.Snapshot().Job("default", job.GetID()).GetVersion(),
		Groups: []structs.PlacementGroup{{TaskGroup: "g", Seed: seed, Rows: rows, Resources: &structs.AllocatedResources{
			Tasks: map[string]*structs.AllocatedTaskResources{"main": {Cpu: structs.AllocatedCpuResources{CpuShares: 10}}},
		}}},
	}}})
	for _, id := range allocs {
		w.must(&command.UpdateAllocs{Now: w.now.UnixNano(), Updates: []*structs.AllocUpdate{{
			ID: id, ClientStatus: structs.AllocClientRunning, DeploymentStatus: &structs.AllocDeploymentStatus{Healthy: new(true)},
		}}})
	}
	return node, allocs
}

func TestADrainKeepsMaxParallel(t *testing.T) {
	leave := func(ids ...string) *command.TransitionAllocs {
		c := &command.TransitionAllocs{Now: time.Unix(1_700_000_010, 0).UnixNano(), Evals: []*structs.Evaluation{eval("12345678-0000-0000-0000-000000000000", "web", structs.TriggerNodeDrain)}}
		for _, id := range ids {
			c.Transitions = append(c.Transitions, command.AllocTransition{AllocID: id, Transition: structs.DesiredTransition{Migrate: new(true)}})
		}
		return c
	}
	for _, tc := range []struct {
		name  string
		drain structs.DrainStrategy
		most  int
		leave int
		want  []string
	}{
		{name: "one of two", most: 1, leave: 1},
		{name: "both, one is allowed", most: 1, leave: 2, want: []string{"migrate"}},
		{name: "both are allowed", most: 2, leave: 2},
		{name: "all at once", most: 1, leave: 2, drain: structs.DrainStrategy{DrainSpec: structs.DrainSpec{Deadline: -1}}},
		{name: "its deadline has passed", most: 1, leave: 2, drain: structs.DrainStrategy{ForceDeadline: time.Unix(1_700_000_005, 0)}},
		{name: "it was given more time just now", most: 1, leave: 2, drain: structs.DrainStrategy{
			DrainSpec: structs.DrainSpec{Deadline: time.Minute}, StartedAt: time.Unix(1_700_000_000, 0), ForceDeadline: time.Unix(1_700_000_070, 0)}},
		{name: "it began just now", most: 1, leave: 2, drain: structs.DrainStrategy{
			DrainSpec: structs.DrainSpec{Deadline: time.Minute}, StartedAt: time.Unix(1_700_000_010, 0), ForceDeadline: time.Unix(1_700_000_070, 0)}, want: []string{"migrate"}},
		{name: "its deadline is to come", most: 1, leave: 2, drain: structs.DrainStrategy{ForceDeadline: time.Unix(1_700_000_050, 0)}, want: []string{"migrate"}},
	} {
		w := newWorld(t)
		node, allocs := w.running(service(3, tc.most), 3)
		w.must(&command.SetNodeDrain{NodeID: node, Strategy: &tc.drain, Now: w.now.UnixNano()})
		if got := w.apply(leave(allocs[:tc.leave]...)); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestTheLastOfAGroupLeavesWhenAnotherServes(t *testing.T) {
	leave := func(id string, last *bool) *command.TransitionAllocs {
		return &command.TransitionAllocs{
			Now: time.Unix(1_700_000_010, 0).UnixNano(), Evals: []*structs.Evaluation{eval(ids.New(), "web", structs.TriggerNodeDrain)},
			Transitions: []command.AllocTransition{{AllocID: id, Transition: structs.DesiredTransition{Migrate: new(true), AfterReplacement: last}}},
		}
	}
	for _, tc := range []struct {
		name  string
		count int
		drain structs.DrainStrategy
		job   func(*structs.Job)
		other string // what another one is
		last  *bool
		want  []string
	}{
		{name: "the only one", count: 1, want: []string{"last"}},
		{name: "it waits", count: 1, last: new(true)},
		{name: "its deadline has passed", count: 1, drain: structs.DrainStrategy{ForceDeadline: time.Unix(1_700_000_005, 0)}},
		{name: "its successor needs its data", count: 1, job: func(j *structs.Job) {
			j.TaskGroups[0].EphemeralDisk = &structs.EphemeralDisk{Sticky: new(true)}
		}},
		{name: "another one serves", count: 2},
		{name: "another one has ended long ago", count: 2, other: structs.AllocClientFailed, want: []string{"last"}},
	} {
		w := newWorld(t)
		job := service(tc.count, 1)
		if tc.job != nil {
			tc.job(job)
		}
		node, allocs := w.running(job, tc.count)
		if tc.other != "" {
			w.must(&command.UpdateAllocs{Now: w.now.UnixNano(), Updates: []*structs.AllocUpdate{{ID: allocs[1], ClientStatus: tc.other}}})
		}
		w.must(&command.SetNodeDrain{NodeID: node, Strategy: &tc.drain, Now: w.now.UnixNano()})
		if got := w.apply(leave(allocs[0], tc.last)); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v", tc.name, got)
		}
		if tc.last != nil {
			if got := w.apply(leave(allocs[0], new(false))); !slices.Equal(got, []string{"last"}) {
				t.Errorf("%s, and is let go: %v", tc.name, got)
			}
		}
	}
}

func TestWhatWaitsForItsReplacementIsNotStopped(t *testing.T) {
	for _, tc := range []struct {
		name   string
		count  int
		change func(*structs.Job)
		want   []string
	}{
		{name: "the only one", count: 1, want: []string{"last"}},
		{name: "another one serves", count: 2},
		{name: "none is wanted", count: 1, change: func(j *structs.Job) { j.TaskGroups[0].Count = new(0) }},
	} {
		w := newWorld(t)
		job := service(tc.count, 1)
		node, allocs := w.running(job, tc.count)
		w.must(&command.SetNodeDrain{NodeID: node, Strategy: &structs.DrainStrategy{}, Now: w.now.UnixNano()})
		w.must(&command.TransitionAllocs{
			Now: w.now.UnixNano(), Evals: []*structs.Evaluation{eval(ids.New(), "web", structs.TriggerNodeDrain)},
			Transitions: []command.AllocTransition{{AllocID: allocs[0], Transition: structs.DesiredTransition{Migrate: new(true), AfterReplacement: new(true)}}},
		})
		if tc.change != nil {
			next := service(tc.count, 1)
			tc.change(next)
			w.must(&command.RegisterJob{Job: next, Now: w.now.UnixNano()})
		}
		e := eval(ids.New(), "web", structs.TriggerNodeUpdate)
		w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{e}, Now: w.now.UnixNano()})
		got := w.apply(&command.ApplyPlans{Now: w.now.UnixNano(), Plans: []*structs.Plan{{
			EvalID: e.ID, Namespace: "default", JobID: "web", JobVersion: w.store.Snapshot().Job("default", "web").GetVersion(),
			Stops: []structs.AllocStop{{AllocID: allocs[0], DesiredStatus: structs.AllocDesiredStop}},
		}}})
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestEvaluationsAreDecidedByPriority(t *testing.T) {
	for _, tc := range []struct {
		name        string
		high, other func(*structs.Evaluation)
		late        bool // the other one is decided before
		together    bool
		want        []string
	}{
		{name: "a lower one comes first", want: []string{"order"}},
		{name: "of the same priority", high: func(e *structs.Evaluation) { e.Priority = 20 }},
		{name: "the higher one waits for its time", high: func(e *structs.Evaluation) { e.WaitUntil = time.Unix(1_800_000_000, 0) }},
		{name: "the higher one waits for room", high: func(e *structs.Evaluation) { e.Status = structs.EvalStatusBlocked }},
		{name: "came in the same entry", together: true},
		{name: "another one of its job was decided just now", other: func(e *structs.Evaluation) { e.JobID = "high" }, late: true},
		{name: "another one of its job is before it", other: func(e *structs.Evaluation) { e.JobID = "high" }},
	} {
		w := newWorld(t)
		high, low, other := eval(ids.New(), "high", "t"), eval(ids.New(), "low", "t"), eval(ids.New(), "other", "t")
		high.Priority, low.Priority, other.Priority = 80, 20, 80
		if tc.high != nil {
			tc.high(high)
		}
		if tc.other != nil {
			tc.other(other)
			w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{other}})
		}
		if tc.together {
			w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{low, high}})
		} else {
			w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{high}})
			w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{low}})
		}
		decide := func(e *structs.Evaluation) []string {
			done := e.Clone()
			done.Status = structs.EvalStatusComplete
			return w.apply(&command.UpsertEvals{Evals: []*structs.Evaluation{done}})
		}
		if tc.late {
			decide(other)
		}
		for range inFlight {
			next := eval(ids.New(), "low", "t")
			next.Priority = 20
			w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{next}})
			if got := decide(next); len(got) > 0 {
				t.Errorf("%s, what may be on its way: %v", tc.name, got)
			}
		}
		if got := decide(low); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestAnUpdateStopsNoMoreThanItMay(t *testing.T) {
	for _, tc := range []struct {
		name        string
		most, stops int
		why         string
		want        []string
	}{
		{name: "one of one", most: 1, stops: 1, why: structs.DescAllocUpdating},
		{name: "two of one", most: 1, stops: 2, why: structs.DescAllocUpdating, want: []string{"healthy"}},
		{name: "as many as it likes", most: 0, stops: 3, why: structs.DescAllocUpdating},
		{name: "for another reason", most: 1, stops: 2, why: structs.DescAllocNotNeeded},
	} {
		w := newWorld(t)
		_, allocs := w.running(service(3, tc.most), 3)
		plan := &structs.Plan{EvalID: ids.New(), Namespace: "default", JobID: "web"}
		for _, id := range allocs[:tc.stops] {
			plan.Stops = append(plan.Stops, structs.AllocStop{AllocID: id, DesiredStatus: structs.AllocDesiredStop, DesiredDescription: tc.why})
		}
		if got := w.apply(&command.ApplyPlans{Plans: []*structs.Plan{plan}, Now: w.now.UnixNano()}); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestATokenDispatchesOnce(t *testing.T) {
	w := newWorld(t)
	parent := service(1, 1)
	parent.Type, parent.ParameterizedJob = new("batch"), &structs.ParameterizedJobConfig{}
	parent.TaskGroups[0].Update, parent.TaskGroups[0].Migrate = nil, nil
	w.must(&command.RegisterJob{Job: parent, Now: 1})
	child := func(id, token string) *structs.Job {
		job := w.store.Snapshot().Job("default", "web").Clone()
		job.ID, job.ParentID, job.DispatchIdempotencyToken, job.ParameterizedJob = &id, new("web"), &token, nil
		return job
	}
	for id, token := range map[string]string{"web/dispatch-1": "a", "web/dispatch-2": "b", "web/dispatch-3": "", "web/dispatch-4": ""} {
		w.must(&command.DispatchJob{Job: child(id, token), ParentModifyIndex: w.store.Snapshot().Job("default", "web").GetJobModifyIndex(), Now: 1})
	}
	// The store answers with the job that is there already, so a second one is told
	// by hand.
	for token, want := range map[string]int{"a": 1, "b": 1, "c": 0, "": 0} {
		again := &feed.Change{Index: 9, Events: []feed.Event{feed.Of(feed.JobRegistered, nil, child("web/dispatch-5", token))}}
		if got := dispatchOnce(NewStep(w.store.Snapshot(), w.store.Snapshot(), again)); len(got) != want {
			t.Errorf("token %q once more: %q", token, got)
		}
	}
}

func TestAnInstantIsLaunchedOnce(t *testing.T) {
	w := newWorld(t)
	parent := service(1, 1)
	parent.Type = new("batch")
	parent.TaskGroups[0].Update, parent.TaskGroups[0].Migrate = nil, nil
	parent.Periodic = &structs.PeriodicConfig{Enabled: new(true), Specs: []string{"* * * * *"}}
	w.must(&command.RegisterJob{Job: parent, Now: 1})
	launched := func(after, at int64) *command.LaunchJobs {
		p := w.store.Snapshot().Job("default", "web")
		c := p.Clone()
		c.ID, c.ParentID, c.Periodic = new(p.LaunchID(time.Unix(at, 0))), new("web"), nil
		return &command.LaunchJobs{Now: 1, Launches: []command.Launch{{
			Namespace: "default", JobID: "web", ParentModifyIndex: p.GetJobModifyIndex(), Instant: at, After: after, Job: c,
		}}}
	}
	w.must(launched(0, 60))
	w.must(launched(60, 120))
	w.must(&command.DeregisterJob{Namespace: "default", JobID: "web/periodic-120", Purge: true})

	// The store refuses to launch an instant again, so it is told by hand.
	child := w.store.Snapshot().Job("default", "web/periodic-60").Clone()
	child.ID = new("web/periodic-120")
	other := newWorld(t)
	other.must(&command.RegisterJob{Job: parent, Now: 1})
	other.must(launchedIn(other, 120))
	again := &feed.Change{Index: 9, Events: []feed.Event{feed.Of(feed.JobRegistered, nil, child)}}
	step := NewStep(w.store.Snapshot(), other.store.Snapshot(), again)
	step.memory = other.watch.memory
	if got := launchOnce(step); len(got) != 1 {
		t.Errorf("an instant is launched again: %q", got)
	}
	back := NewStep(other.store.Snapshot(), w.store.Snapshot(), again)
	if got := launchOnce(back); len(got) != 0 {
		t.Errorf("it wasn't launched before: %q", got)
	}
}

// launchedIn launches an instant in another world, in which nothing was before.
func launchedIn(w *world, at int64) *command.LaunchJobs {
	p := w.store.Snapshot().Job("default", "web")
	c := p.Clone()
	c.ID, c.ParentID, c.Periodic = new(p.LaunchID(time.Unix(at, 0))), new("web"), nil
	return &command.LaunchJobs{Now: 1, Launches: []command.Launch{{
		Namespace: "default", JobID: "web", ParentModifyIndex: p.GetJobModifyIndex(), Instant: at, Job: c,
	}}}
}

func TestWhatLeavesIsTold(t *testing.T) {
	snap := state.New(state.Options{}).Snapshot()
	e := eval("e", "web", structs.TriggerJobRegister)
	for name, tc := range map[string]struct {
		event feed.Event
		want  int
	}{
		"as it was":      {feed.Of(feed.EvalUpdated, e, nil), 0},
		"it is new":      {feed.Of(feed.EvalUpdated, nil, e), 0},
		"without a word": {feed.Of(feed.EvalUpdated, nil, nil), 1},
	} {
		s := &Step{Before: snap, After: snap, Change: &feed.Change{Index: 1, Events: []feed.Event{tc.event}}, memory: newMemory()}
		if got := told(s); len(got) != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
