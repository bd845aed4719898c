package state

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

func TestAJobGoesFromPendingToDead(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 2))
	equal(t, "status before placement", w.status("web"), "pending")
	placed := w.place(e, rowsOn(node, node)...)
	equal(t, "status once placed", w.status("web"), "running")
	equal(t, "summary once placed", w.counts("web"), structs.TaskGroupSummary{Starting: 2})

	w.report(placed[0], "running")
	w.report(placed[1], "failed")
	equal(t, "summary once running", w.counts("web"), structs.TaskGroupSummary{Running: 1, Failed: 1})

	e2 := testEval(testJob("web", 2))
	w.must(&command.DeregisterJob{Namespace: "default", JobID: "web", Eval: e2, Now: w.now})
	job := w.snap().Job("default", "web")
	equal(t, "stopped", job.Stopped(), true)
	equal(t, "version after stop", job.GetVersion(), uint64(1))
	equal(t, "status while it stops", w.status("web"), "running")
	stop := w.plan(e2)
	stop.Stops = []structs.AllocStop{{AllocID: placed[0], DesiredStatus: "stop", DesiredDescription: structs.DescAllocNotNeeded}}
	w.must(&command.ApplyPlans{Plans: []*structs.Plan{stop}, Evals: []*structs.Evaluation{complete(e2)}, Now: w.now})
	equal(t, "status after stop", w.status("web"), "dead")
	w.report(placed[0], "complete")
	equal(t, "summary at the end", w.counts("web"), structs.TaskGroupSummary{Complete: 1, Failed: 1})

	w.register(testJob("web", 2))
	job = w.snap().Job("default", "web")
	equal(t, "started again", []any{job.Stopped(), job.GetVersion(), job.GetStatus()}, []any{false, uint64(2), "pending"})
}

func TestJobStatusRule(t *testing.T) {
	live, none := &tables.JobStats{Evals: 1, LiveEvals: 1}, &tables.JobStats{}
	periodic := testJob("p", 1)
	periodic.Periodic = &structs.PeriodicConfig{Enabled: ptr(true), Spec: ptr("@daily")}
	stoppedPeriodic := *periodic
	stoppedPeriodic.Stop = ptr(true)
	system := testJob("s", 1)
	system.Type = ptr("system")
	stopped := testJob("x", 1)
	stopped.Stop = ptr(true)
	for name, c := range map[string]struct {
		job   *structs.Job
		stats *tables.JobStats
		swept bool
		want  string
	}{
		"new":                      {testJob("x", 1), none, false, "pending"},
		"waiting":                  {testJob("x", 1), live, false, "pending"},
		"deploying":                {testJob("x", 1), &tables.JobStats{LiveDeployments: 1}, false, "running"},
		"allocated":                {testJob("x", 1), &tables.JobStats{LiveAllocs: 1, LiveEvals: 1, Evals: 1}, false, "running"},
		"evaluated, nothing left":  {testJob("x", 1), &tables.JobStats{Evals: 2}, false, "dead"},
		"evaluations just swept":   {testJob("x", 1), none, true, "dead"},
		"stopped":                  {stopped, none, false, "dead"},
		"stopped, still allocated": {stopped, &tables.JobStats{LiveAllocs: 1}, false, "running"},
		"periodic":                 {periodic, none, false, "running"},
		"periodic stopped":         {&stoppedPeriodic, &tables.JobStats{LiveEvals: 1}, false, "dead"},
		"system":                   {system, &tables.JobStats{Evals: 1}, false, "running"},
	} {
		if got := deriveStatus(c.job, c.stats, c.swept); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestRegisteringTheSameMakesNoVersion(t *testing.T) {
	w := newWorld(t)
	w.register(testJob("web", 1))
	first := w.snap().Job("default", "web")
	e := testEval(first)
	r := w.must(&command.RegisterJob{Job: testJob("web", 1), Eval: e, Now: w.now}).(*JobResult)
	equal(t, "result", r, &JobResult{Index: w.index, JobModifyIndex: first.GetJobModifyIndex(), Version: 0})
	equal(t, "evaluation's job index", w.snap().Eval(e.ID).JobModifyIndex, first.GetJobModifyIndex())

	r = w.must(&command.RegisterJob{Job: testJob("web", 3), Now: w.now}).(*JobResult)
	equal(t, "changed", r, &JobResult{Index: w.index, JobModifyIndex: w.index, Version: 1, Changed: true})
	equal(t, "create index stays", w.snap().Job("default", "web").GetCreateIndex(), first.GetCreateIndex())
	equal(t, "the old version stays", *w.snap().JobVersion("default", "web", 0).TaskGroups[0].Count, 1)

	r = w.must(&command.RegisterJob{Job: testJob("web", 9), PreserveCounts: true, Now: w.now}).(*JobResult)
	equal(t, "counts preserved, so nothing changed", r.Changed, false)

	larger := func() *structs.Job {
		j := testJob("web", 3)
		j.TaskGroups[0].Tasks[0].Resources = &structs.Resources{MemoryMB: ptr(64)}
		return j
	}
	w.must(&command.RegisterJob{Job: larger(), Now: w.now})
	r = w.must(&command.RegisterJob{Job: testJob("web", 3), PreserveResources: true, Now: w.now}).(*JobResult)
	equal(t, "resources preserved, so nothing changed", r.Changed, false)
	added := testJob("web", 3)
	added.TaskGroups[0].Tasks = append(added.TaskGroups[0].Tasks, &structs.Task{Name: "new", Driver: "raw_exec", Resources: &structs.Resources{MemoryMB: ptr(7)}})
	w.must(&command.RegisterJob{Job: added, PreserveResources: true, Now: w.now})
	tasks := w.snap().Job("default", "web").TaskGroups[0].Tasks
	equal(t, "the known task keeps its memory", *tasks[0].Resources.MemoryMB, 64)
	equal(t, "the new task has its own", *tasks[1].Resources.MemoryMB, 7)
}

func TestEnforceIndex(t *testing.T) {
	w := newWorld(t)
	w.refusedAs(&command.RegisterJob{Job: testJob("web", 1), EnforceIndex: true, JobModifyIndex: 3},
		"Enforcing job modify index 3: job does not exist")
	w.must(&command.RegisterJob{Job: testJob("web", 1), EnforceIndex: true})
	index := w.snap().Job("default", "web").GetJobModifyIndex()
	w.refusedAs(&command.RegisterJob{Job: testJob("web", 2), EnforceIndex: true}, "Enforcing job modify index 0: job already exists")
	w.refusedAs(&command.RegisterJob{Job: testJob("web", 2), EnforceIndex: true, JobModifyIndex: index + 1},
		fmt.Sprintf("Enforcing job modify index %d: job exists with conflicting job modify index: %d", index+1, index))
	w.must(&command.RegisterJob{Job: testJob("web", 2), EnforceIndex: true, JobModifyIndex: index})
}

func TestVersionsThatAreKept(t *testing.T) {
	w := newWorld(t)
	versions := func() []uint64 {
		var out []uint64
		for _, j := range w.snap().JobVersions("default", "web") {
			out = append(out, j.GetVersion())
		}
		return out
	}
	w.register(testJob("web", 1))
	w.register(testJob("web", 2))
	w.must(&command.MarkJobStable{Namespace: "default", JobID: "web", JobVersion: 1, Stable: true})
	w.must(&command.TagJobVersion{Namespace: "default", JobID: "web", JobVersion: 0, Name: "gold", Tag: &structs.JobVersionTag{Description: "d"}})
	for n := 3; n <= 10; n++ {
		w.register(testJob("web", n))
	}
	equal(t, "kept", versions(), []uint64{9, 8, 7, 6, 5, 4, 1, 0})
	equal(t, "by tag", w.snap().JobVersionByTag("default", "web", "gold").GetVersion(), uint64(0))
	w.refusedAs(&command.TagJobVersion{Namespace: "default", JobID: "web", JobVersion: 5, Name: "gold", Tag: &structs.JobVersionTag{}},
		`tag "gold" already exists on a different version of job "web": 0`)
	w.must(&command.MarkJobStable{Namespace: "default", JobID: "web", JobVersion: 8, Stable: true})
	w.must(&command.TagJobVersion{Namespace: "default", JobID: "web", Name: "gold"})
	w.register(testJob("web", 11))
	equal(t, "kept once another is stable and the tag is gone", versions(), []uint64{10, 9, 8, 7, 6, 5})
	w.refusedAs(&command.TagJobVersion{Namespace: "default", JobID: "web", Name: "gold"}, `tag "gold" not found on job "web"`)
}

func TestASweepLeavesAJobThatGotATagMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.register(testJob("web", 1))
	w.must(&command.DeregisterJob{Namespace: "default", JobID: "web"})
	for e := range w.snap().EvalsByJob("default", "web") {
		done := e.Clone()
		done.Status = structs.EvalStatusComplete
		w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{done}})
	}
	sweep := &command.Sweep{Jobs: []command.JobKey{{Namespace: "default", JobID: "web"}}}
	w.must(&command.TagJobVersion{Namespace: "default", JobID: "web", JobVersion: 0, Name: "gold", Tag: &structs.JobVersionTag{}})
	w.must(sweep)
	equal(t, "jobs swept", w.snap().Job("default", "web") == nil, false)
	w.must(&command.TagJobVersion{Namespace: "default", JobID: "web", Name: "gold"})
	w.must(sweep)
	equal(t, "jobs swept without the tag", w.snap().Job("default", "web") == nil, true)
}

func TestPurgeForgetsTheJobButNotItsAllocations(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 1))
	placed := w.place(e, rowsOn(node)...)
	w.must(&command.DeregisterJob{Namespace: "default", JobID: "web", Purge: true, Eval: testEval(testJob("web", 1)), Now: w.now})
	equal(t, "job", w.snap().Job("default", "web"), (*structs.Job)(nil))
	equal(t, "summary", w.snap().JobSummary("default", "web"), (*structs.JobSummary)(nil))
	equal(t, "allocation's job", w.snap().Alloc(placed[0]).Job.GetID(), "web")
	w.register(testJob("web", 5))
	equal(t, "versions begin anew", w.snap().Job("default", "web").GetVersion(), uint64(0))
	w.report(placed[0], "complete")
	equal(t, "allocations from before don't count", w.counts("web"), structs.TaskGroupSummary{})
	if err, _ := w.apply(&command.DeregisterJob{Namespace: "default", JobID: "nope"}).(error); !errors.Is(err, structs.ErrJobNotFound) {
		t.Errorf("deregistering what isn't there: %v", err)
	}
}

func TestChildrenAreCounted(t *testing.T) {
	w := newWorld(t)
	parent := testJob("cron", 1)
	parent.Periodic = &structs.PeriodicConfig{Enabled: ptr(true)}
	w.must(&command.RegisterJob{Job: parent})
	equal(t, "parent", w.status("cron"), "running")
	child := testJob("cron/periodic-1", 1)
	child.ParentID = ptr("cron")
	child.DispatchIdempotencyToken = ptr("once")
	e := w.register(child)
	children := func() structs.JobChildrenSummary { return *w.snap().JobSummary("default", "cron").Children }
	equal(t, "waiting", children(), structs.JobChildrenSummary{Pending: 1})

	twin := testJob("cron/periodic-2", 1)
	twin.ParentID, twin.DispatchIdempotencyToken = child.ParentID, child.DispatchIdempotencyToken
	r := w.must(&command.RegisterJob{Job: twin}).(*JobResult)
	equal(t, "the same token", r.Existing, "cron/periodic-1")

	placed := w.place(e, rowsOn(w.addNode())...)
	equal(t, "running", children(), structs.JobChildrenSummary{Running: 1})
	w.report(placed[0], "complete")
	equal(t, "done", children(), structs.JobChildrenSummary{Dead: 1})
	equal(t, "listed", len(slices.Collect(w.snap().JobChildren("default", "cron"))), 1)
	w.must(&command.Sweep{Jobs: []command.JobKey{{Namespace: "default", JobID: "cron/periodic-1"}}})
	equal(t, "swept", children(), structs.JobChildrenSummary{})
}

func TestWhatAJobNeeds(t *testing.T) {
	w := newWorld(t)
	j := testJob("web", 1)
	j.NodePool = ptr("gpu")
	w.refusedAs(&command.RegisterJob{Job: j}, `job "web" is in nonexistent node pool "gpu"`)
	w.must(&command.UpsertNodePools{Pools: []*structs.NodePool{{Name: "gpu"}}})
	w.must(&command.RegisterJob{Job: j, Eval: testEval(j)})
	w.refusedAs(&command.DeleteNodePools{Names: []string{"gpu"}}, `node pool "gpu" is in use: it has jobs, web among them: stop them first`)
	w.refusedAs(&command.DeleteNodePools{Names: []string{"all"}}, `deleting node pool "all" is not allowed`)
	j = testJob("api", 1)
	j.Namespace = ptr("team")
	w.refusedAs(&command.RegisterJob{Job: j}, `job "api" is in nonexistent namespace "team"`)
	w.must(&command.UpsertNamespaces{Namespaces: []*structs.Namespace{{Name: "team"}}})
	w.must(&command.RegisterJob{Job: j})
	w.refusedAs(&command.DeleteNamespaces{Names: []string{"team"}}, `namespace "team" has non-terminal jobs, "api" among them: stop them first`)
	w.refusedAs(&command.DeleteNamespaces{Names: []string{"default"}}, "default namespace can not be deleted")
	w.must(&command.DeregisterJob{Namespace: "team", JobID: "api", Purge: true})
	w.must(&command.DeleteNamespaces{Names: []string{"team"}})
}

func TestScalingIsRemembered(t *testing.T) {
	w := newWorld(t)
	for n := range 25 {
		w.must(&command.RegisterJob{Job: testJob("web", n), Scaling: map[string]*structs.ScalingEvent{"web": {Count: ptr(int64(n)), Message: "more"}}})
	}
	events := w.snap().ScalingEvents("default", "web")["web"]
	equal(t, "events kept", len(events), tables.MaxScalingEvents)
	equal(t, "newest first", []any{*events[0].Count, events[0].CreateIndex}, []any{int64(24), w.index})
}

func TestSchedulerConfigIsSetOnlyIfUnchanged(t *testing.T) {
	w := newWorld(t)
	equal(t, "default", w.snap().SchedulerConfig().SchedulerAlgorithm, "binpack")
	w.must(&command.SetSchedulerConfig{Config: &structs.SchedulerConfiguration{SchedulerAlgorithm: "spread"}, CAS: true})
	index := w.index
	w.refusedAs(&command.SetSchedulerConfig{Config: &structs.SchedulerConfiguration{}, CAS: true},
		fmt.Sprintf("scheduler configuration changed meanwhile (expected index 0, it is %d): read it again and retry", index))
	equal(t, "kept", w.snap().SchedulerConfig().SchedulerAlgorithm, "spread")
}

func TestEvaluationsKeepTheirBeginning(t *testing.T) {
	w := newWorld(t)
	e := w.register(testJob("web", 1))
	created := w.index
	done := complete(e)
	done.QueuedAllocations = map[string]int{"web": 7, "gone": 1}
	w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{done}, Now: w.now})
	got := w.snap().Eval(e.ID)
	equal(t, "indexes", []uint64{got.CreateIndex, got.ModifyIndex}, []uint64{created, w.index})
	equal(t, "queued", w.snap().JobSummary("default", "web").Summary, map[string]structs.TaskGroupSummary{"web": {Queued: 7}})
	equal(t, "job", w.status("web"), "dead")
	w.must(&command.Sweep{EvalIDs: []string{e.ID, ids.New()}})
	equal(t, "swept", w.snap().Eval(e.ID), (*structs.Evaluation)(nil))
	equal(t, "job after sweep", w.status("web"), "dead")
}

func TestWhatIsCancelledQueuesNothing(t *testing.T) {
	w := newWorld(t)
	first := w.register(testJob("web", 3))
	waits := complete(first)
	waits.ID, waits.Status, waits.TriggeredBy = ids.New(), structs.EvalStatusBlocked, structs.TriggerQueuedAllocs
	waits.QueuedAllocations = map[string]int{"web": 2}
	w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{complete(first), waits}, Now: w.now})
	queued := func() int { return w.snap().JobSummary("default", "web").Summary["web"].Queued }
	equal(t, "waits", queued(), 2)

	fewer := complete(w.register(testJob("web", 1)))
	fewer.QueuedAllocations = map[string]int{"web": 0}
	w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{fewer}, Now: w.now})
	equal(t, "cancelled", w.snap().Eval(waits.ID).Status, structs.EvalStatusCancelled)
	equal(t, "all is placed", queued(), 0)
}

func TestAGroupThatIsGoneQueuesNothing(t *testing.T) {
	w := newWorld(t)
	first := complete(w.register(testJob("web", 3)))
	first.QueuedAllocations = map[string]int{"web": 2}
	w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{first}, Now: w.now})
	other := testJob("web", 3)
	other.TaskGroups[0].Name = ptr("app")
	second := complete(w.register(other))
	second.QueuedAllocations = map[string]int{"app": 1}
	w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{second}, Now: w.now})
	groups := w.snap().JobSummary("default", "web").Summary
	equal(t, "queued", []int{groups["web"].Queued, groups["app"].Queued}, []int{0, 1})
}

// Since the collector looked somebody named a version of the job, or had it evaluated.
func TestAJobThatStaysKeepsWhatItHasDone(t *testing.T) {
	for what, meanwhile := range map[string]func(*world){
		"": nil,
		"tagged": func(w *world) {
			w.must(&command.TagJobVersion{Namespace: "default", JobID: "sum", Name: "good", Tag: &structs.JobVersionTag{Name: "good"}})
		},
		"evaluated": func(w *world) {
			again := complete(w.snap().Eval(slices.Collect(w.snap().Evals("default", ""))[0].ID))
			again.ID, again.Status = ids.New(), structs.EvalStatusPending
			w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{again}, Now: w.now})
		},
	} {
		w := newWorld(t)
		j := testJob("sum", 1)
		j.Type = ptr("batch")
		e := w.register(j)
		id := w.place(e, rowsOn(w.addNode())...)[0]
		w.report(id, "complete")
		sweep := &command.Sweep{EvalIDs: []string{e.ID}, AllocIDs: []string{id}, Jobs: []command.JobKey{{Namespace: "default", JobID: "sum"}}}
		stays := meanwhile != nil
		if stays {
			meanwhile(w)
		}
		w.must(sweep)
		kept := []bool{w.snap().Alloc(id) != nil, w.snap().Job("default", "sum") != nil, w.snap().Eval(e.ID) != nil}
		equal(t, "kept: "+what, kept, []bool{stays, stays, stays})
	}
}
