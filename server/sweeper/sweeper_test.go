package sweeper

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

var (
	start      = time.Unix(1_700_000_000, 0)
	thresholds = Thresholds{Eval: time.Hour, BatchEval: 24 * time.Hour, Job: 4 * time.Hour, Node: 24 * time.Hour, Deployment: time.Hour}
)

// world is a real store with a job that ran on a node.
type world struct {
	t     testing.TB
	store *state.Store
	index uint64
	node  string
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, store: state.New(state.Options{}), node: ids.New()}
	w.register()
	return w
}

// register adds the node, if it isn't there.
func (w *world) register() {
	w.t.Helper()
	if w.store.Snapshot().Node(w.node) != nil {
		return
	}
	w.do(&command.RegisterNode{Now: start.UnixNano(), Node: &structs.Node{
		ID: w.node, Name: "n", Datacenter: "dc1", NodePool: structs.NodePoolDefault,
		Status: structs.NodeStatusReady, SchedulingEligibility: structs.NodeEligible,
		StatusUpdatedAt: start.Unix(),
		NodeResources: &structs.NodeResources{
			Cpu: structs.NodeCpuResources{CpuShares: 10_000}, Memory: structs.NodeMemoryResources{MemoryMB: 10_000},
			Disk: structs.NodeDiskResources{DiskMB: 100_000},
		},
	}})
}

func (w *world) do(c command.Command) any {
	w.t.Helper()
	w.index++
	result := w.store.Apply(w.index, c)
	if err, failed := result.(error); failed {
		w.t.Fatal(err)
	}
	return result
}

// run registers a job with one allocation, which has a client status.
func (w *world) run(id, kind, status string) (evalID, allocID string) {
	w.t.Helper()
	group, count := "g", 1
	job := &structs.Job{ID: &id, Type: &kind, TaskGroups: []*structs.TaskGroup{{
		Name: &group, Count: &count, Tasks: []*structs.Task{{Name: "t", Driver: "mock"}},
	}}}
	job.Canonicalize()
	now := start.UnixNano()
	eval := &structs.Evaluation{
		ID: ids.New(), Namespace: "default", JobID: id, Type: kind, Priority: 50, Status: structs.EvalStatusPending,
		CreateTime: now, ModifyTime: now,
	}
	w.do(&command.RegisterJob{Job: job, Eval: eval, Now: now})
	seed := ids.NewSeed()
	done := eval.Clone()
	done.Status = structs.EvalStatusComplete
	w.do(&command.ApplyPlans{Now: now, Evals: []*structs.Evaluation{done}, Plans: []*structs.Plan{{
		EvalID: eval.ID, Namespace: "default", JobID: id,
		Groups: []structs.PlacementGroup{{
			TaskGroup: "g", Seed: seed, Resources: job.TaskGroups[0].AllocatedResources(),
			Rows: []structs.Placement{{NodeID: w.node}},
		}},
	}}})
	allocID = ids.Derive(seed, 0)
	w.do(&command.UpdateAllocs{Now: now, Updates: []*structs.AllocUpdate{{ID: allocID, ClientStatus: status, ModifyTime: now}}})
	return eval.ID, allocID
}

func (w *world) sweep(after time.Duration, force bool) string {
	var out []string
	commands, _ := New(thresholds).Step(w.store.Snapshot(), start.Add(after), force)
	for _, c := range commands {
		add := func(noun string, n int) {
			if n > 0 {
				out = append(out, fmt.Sprint(n, " ", noun))
			}
		}
		add("evals", len(c.EvalIDs))
		add("allocs", len(c.AllocIDs))
		add("deployments", len(c.DeploymentIDs))
		add("jobs", len(c.Jobs))
		add("nodes", len(c.NodeIDs))
		w.do(c)
	}
	return strings.Join(out, ", ")
}

func (w *world) stop(job string) {
	w.do(&command.DeregisterJob{Namespace: "default", JobID: job, Now: start.UnixNano()})
}

func TestWhatRunsStaysHoweverOld(t *testing.T) {
	w := newWorld(t)
	w.run("web", "service", structs.AllocClientRunning)
	if got := w.sweep(1000*time.Hour, true); got != "" {
		t.Errorf("swept %s", got)
	}
}

func TestWhatEndedGoesAtItsAge(t *testing.T) {
	w := newWorld(t)
	w.run("web", "service", structs.AllocClientComplete)
	w.stop("web")
	if got := w.sweep(59*time.Minute, false); got != "" {
		t.Errorf("after 59m: swept %s", got)
	}
	if got := w.sweep(time.Hour, false); got != "1 allocs" { // the evaluation tells since when the job is dead
		t.Errorf("after 1h: swept %s", got)
	}
	if got := w.sweep(4*time.Hour-time.Second, false); got != "" {
		t.Errorf("before 4h: swept %s", got)
	}
	if got := w.sweep(4*time.Hour, false); got != "1 evals, 1 jobs" {
		t.Errorf("after 4h: swept %s", got)
	}
	if w.store.Snapshot().Job("default", "web") != nil {
		t.Error("the job is still there")
	}
}

func TestForceDoesntAskForAge(t *testing.T) {
	w := newWorld(t)
	w.run("web", "service", structs.AllocClientComplete)
	w.stop("web")
	if got := w.sweep(0, true); got != "1 evals, 1 allocs, 1 jobs" {
		t.Errorf("swept %s", got)
	}
}

func TestARunningBatchJobRemembersWhatItDid(t *testing.T) {
	w := newWorld(t)
	w.run("sum", "batch", structs.AllocClientRunning)
	eval, alloc := w.run("sum", "batch", structs.AllocClientComplete)
	// What the store would refuse isn't asked for either: it would be each time.
	if got := w.sweep(1000*time.Hour, true); got != "" {
		t.Errorf("asked to sweep %s", got)
	}
	snap := w.store.Snapshot()
	if snap.Eval(eval) == nil || snap.Alloc(alloc) == nil {
		t.Error("a success of a batch job that still runs was forgotten: it would run again")
	}
}

// A sysbatch job has run once on each node: whoever joins has it evaluated, long
// after it is done everywhere else.
func TestADoneSysbatchJobRemembersWhereItRan(t *testing.T) {
	w := newWorld(t)
	eval, alloc := w.run("scrub", "sysbatch", structs.AllocClientComplete)
	if status := w.store.Snapshot().Job("default", "scrub").GetStatus(); status != structs.JobStatusDead {
		t.Fatalf("the job is %s", status)
	}
	w.evaluated("scrub", "sysbatch", 10*time.Hour)
	w.evaluated("scrub", "sysbatch", 49*time.Hour)
	if got := w.sweep(50*time.Hour, false); got != "1 evals" { // it placed nothing
		t.Errorf("swept %s", got)
	}
	snap := w.store.Snapshot()
	if snap.Eval(eval) == nil || snap.Alloc(alloc) == nil {
		t.Error("it was forgotten where a sysbatch job has run: it would run there again")
	}
	if got := w.sweep(53*time.Hour, false); got != "2 evals, 1 allocs, 1 jobs" {
		t.Errorf("once nothing new came for long: swept %s", got)
	}
}

// evaluated adds an evaluation that placed nothing.
func (w *world) evaluated(job, kind string, after time.Duration) {
	w.t.Helper()
	at := start.Add(after).UnixNano()
	w.do(&command.UpsertEvals{Now: at, Evals: []*structs.Evaluation{{
		ID: ids.New(), Namespace: "default", JobID: job, Type: kind, Status: structs.EvalStatusComplete, CreateTime: at, ModifyTime: at,
	}}})
}

func TestAFailedAllocationWaitsForItsSuccessor(t *testing.T) {
	w := newWorld(t)
	_, failed := w.run("web", "service", structs.AllocClientFailed)
	w.run("web", "service", structs.AllocClientRunning)
	w.sweep(1000*time.Hour, true)
	if w.store.Snapshot().Alloc(failed) == nil {
		t.Error("an allocation that is to be rescheduled is gone, and with it how often it failed")
	}
}

// deploy adds a failed deployment of a job's newest version, and evaluates the job.
func (w *world) deploy(job string) string {
	w.t.Helper()
	j, now := w.store.Snapshot().Job("default", job), start.UnixNano()
	e := &structs.Evaluation{
		ID: ids.New(), Namespace: "default", JobID: job, Type: j.GetType(), Status: structs.EvalStatusComplete, CreateTime: now, ModifyTime: now,
	}
	d := &structs.Deployment{
		ID: ids.New(), Namespace: "default", JobID: job, JobVersion: j.GetVersion(), JobCreateIndex: j.GetCreateIndex(),
		Status: structs.DeploymentStatusFailed, CreateTime: now, ModifyTime: now,
	}
	w.do(&command.UpsertEvals{Evals: []*structs.Evaluation{pending(e)}, Now: now})
	w.do(&command.ApplyPlans{Now: now, Evals: []*structs.Evaluation{e}, Plans: []*structs.Plan{{
		EvalID: e.ID, Namespace: "default", JobID: job, JobVersion: j.GetVersion(), Deployment: d,
	}}})
	if w.store.Snapshot().Deployment(d.ID) == nil {
		w.t.Fatal("no deployment")
	}
	return d.ID
}

// That a version failed to be deployed is all that keeps it from being rolled out
// again.
func TestADeploymentThatGovernsItsJobStays(t *testing.T) {
	w := newWorld(t)
	w.run("web", "service", structs.AllocClientRunning)
	old := w.deploy("web")
	changed := w.store.Snapshot().Job("default", "web").Clone()
	*changed.Priority++
	w.do(&command.RegisterJob{Job: changed, Now: start.UnixNano()})
	newest := w.deploy("web")
	w.sweep(1000*time.Hour, true)
	snap := w.store.Snapshot()
	if snap.Deployment(newest) == nil {
		t.Error("the deployment of the version that is to run is gone")
	}
	if snap.Deployment(old) != nil {
		t.Error("the deployment of an older version stays")
	}
	w.stop("web")
	w.sweep(1000*time.Hour, true)
	if w.store.Snapshot().Deployment(newest) != nil {
		t.Error("the deployment of a job that is to run no more stays")
	}
}

// A job of which all has failed for good is dead, but not stopped: whatever has it
// evaluated would start it again, if nobody knew any more that it has failed.
func TestADeadJobRemembersThatItFailed(t *testing.T) {
	w := newWorld(t)
	eval, failed := w.run("web", "service", structs.AllocClientFailed)
	done := w.store.Snapshot().Eval(eval)
	if status := w.store.Snapshot().Job("default", "web").GetStatus(); status != structs.JobStatusDead || !done.Terminal() {
		t.Fatalf("the job is %s", status)
	}
	w.sweep(3*time.Hour, false)
	if w.store.Snapshot().Alloc(failed) == nil {
		t.Error("the failed allocation is gone before its job")
	}
	w.sweep(5*time.Hour, false)
	if w.store.Snapshot().Alloc(failed) != nil || w.store.Snapshot().Job("default", "web") != nil {
		t.Error("it outlives the threshold of jobs")
	}
}

func TestASilentNodeGoesWhenNothingIsLeftOnIt(t *testing.T) {
	w := newWorld(t)
	_, alloc := w.run("web", "service", structs.AllocClientRunning)
	w.do(&command.SetNodeStatus{Now: start.UnixNano(), Nodes: []command.NodeStatus{{NodeID: w.node, Status: structs.NodeStatusDown}}})
	if got := w.sweep(1000*time.Hour, true); strings.Contains(got, "nodes") {
		t.Errorf("swept %s while an allocation is on the node", got)
	}
	w.do(&command.UpdateAllocs{Now: start.UnixNano(), Updates: []*structs.AllocUpdate{{ID: alloc, ClientStatus: structs.AllocClientComplete, ModifyTime: 1}}})
	if got := w.sweep(23*time.Hour, false); strings.Contains(got, "nodes") {
		t.Errorf("swept %s too early", got)
	}
	if got := w.sweep(25*time.Hour, false); !strings.Contains(got, "1 nodes") {
		t.Errorf("swept %q", got)
	}
}

func TestLargeSweepsComeInPieces(t *testing.T) {
	w := newWorld(t)
	var evals []*structs.Evaluation
	for range 2*maxItems + 10 {
		evals = append(evals, &structs.Evaluation{
			ID: ids.New(), Namespace: "default", JobID: "gone", Type: "service", Status: structs.EvalStatusComplete,
			CreateTime: start.UnixNano(), ModifyTime: start.UnixNano(),
		})
	}
	w.do(&command.UpsertEvals{Evals: evals, Now: start.UnixNano()})
	commands, _ := New(thresholds).Step(w.store.Snapshot(), start.Add(time.Hour), false)
	if len(commands) != 3 || slices.ContainsFunc(commands, func(c *command.Sweep) bool { return len(c.EvalIDs) > maxItems }) {
		t.Errorf("%d commands", len(commands))
	}
}

func TestALargeJobGoesInPieces(t *testing.T) {
	w := newWorld(t)
	evalID, _ := w.run("web", "service", structs.AllocClientComplete)
	seed, rows := ids.NewSeed(), make([]structs.Placement, maxItems+10)
	updates := make([]*structs.AllocUpdate, len(rows))
	for i := range rows {
		rows[i] = structs.Placement{NodeID: w.node, NameIndex: uint32(i + 1)}
		updates[i] = &structs.AllocUpdate{ID: ids.Derive(seed, uint32(i)), ClientStatus: structs.AllocClientComplete, ModifyTime: start.UnixNano()}
	}
	job := w.store.Snapshot().Job("default", "web")
	small := job.TaskGroups[0].AllocatedResources()
	small.Shared.DiskMB = 0
	for _, task := range small.Tasks {
		task.Cpu.CpuShares, task.Memory.MemoryMB = 1, 1
	}
	// The evaluation runs once more.
	again := w.store.Snapshot().Eval(evalID).Clone()
	again.Status, again.ID = structs.EvalStatusComplete, ids.New()
	w.do(&command.UpsertEvals{Evals: []*structs.Evaluation{pending(again)}, Now: start.UnixNano()})
	w.do(&command.ApplyPlans{Now: start.UnixNano(), Evals: []*structs.Evaluation{again}, Plans: []*structs.Plan{{
		EvalID: again.ID, Namespace: "default", JobID: "web",
		Groups: []structs.PlacementGroup{{TaskGroup: "g", Seed: seed, Resources: small, Rows: rows}},
	}}})
	w.do(&command.UpdateAllocs{Now: start.UnixNano(), Updates: updates})
	w.stop("web")
	commands, _ := New(thresholds).Step(w.store.Snapshot(), start.Add(1000*time.Hour), true)
	if len(commands) < 2 {
		t.Fatalf("%d commands", len(commands))
	}
	for _, c := range commands {
		if n := len(c.AllocIDs) + len(c.EvalIDs) + len(c.DeploymentIDs) + len(c.Jobs) + len(c.NodeIDs); n > maxItems {
			t.Errorf("%d items in one command", n)
		}
		w.do(c)
	}
	snap := w.store.Snapshot()
	for a := range snap.Allocs(structs.AllNamespaces, "") {
		t.Fatalf("allocation %s is still there", a.ID)
	}
	if snap.Job("default", "web") != nil {
		t.Error("the job is still there")
	}
}

func pending(e *structs.Evaluation) *structs.Evaluation {
	p := e.Clone()
	p.Status = structs.EvalStatusPending
	return p
}

// What a job has launched goes when it is done and old, the job itself only
// when it is stopped, and last.
func TestParentsGoAfterTheirChildren(t *testing.T) {
	w := newWorld(t)
	batch, parent, at := structs.JobTypeBatch, "cron", start.UnixNano()
	job := func(id string) *structs.Job {
		group := "g"
		j := &structs.Job{ID: &id, Type: &batch, SubmitTime: &at, TaskGroups: []*structs.TaskGroup{{Name: &group, Tasks: []*structs.Task{{Name: "t", Driver: "mock"}}}}}
		j.Canonicalize()
		return j
	}
	cron := job(parent)
	cron.Periodic = &structs.PeriodicConfig{Specs: []string{"@daily"}}
	child := job("cron/periodic-1")
	child.ParentID = &parent
	e := &structs.Evaluation{ID: ids.New(), Namespace: "default", JobID: "cron/periodic-1", Type: batch, Status: structs.EvalStatusPending, ModifyTime: at}
	w.do(&command.RegisterJob{Job: cron, Now: at})
	w.do(&command.RegisterJob{Job: child, Eval: e, Now: at})
	left := func(later time.Duration) string {
		commands, _ := New(thresholds).Step(w.store.Snapshot(), start.Add(later), false)
		for _, c := range commands {
			w.do(c)
		}
		var out []string
		for j := range w.store.Snapshot().Jobs("default", "") {
			out = append(out, j.GetID())
		}
		return strings.Join(out, " ")
	}
	is := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q is left, want %q", what, got, want)
		}
	}
	is("while the child runs", left(100*time.Hour), "cron cron/periodic-1")
	w.stop(parent)
	is("the job is stopped, its child runs", left(100*time.Hour), "cron cron/periodic-1")
	done := e.Clone()
	done.Status = structs.EvalStatusComplete
	w.do(&command.UpsertEvals{Evals: []*structs.Evaluation{done}, Now: at})
	is("the child is done", left(time.Hour), "cron cron/periodic-1")
	is("long done", left(100*time.Hour), "cron")
	is("the next round", left(100*time.Hour), "")
}

func TestAJobWithATaggedVersionStaysUntilTheTagIsGone(t *testing.T) {
	w := newWorld(t)
	w.run("web", structs.JobTypeService, structs.AllocClientComplete)
	w.do(&command.TagJobVersion{Namespace: "default", JobID: "web", Name: "gold", Tag: &structs.JobVersionTag{}})
	w.stop("web")
	w.sweep(5*time.Hour, true)
	if s := w.store.Snapshot(); s.Job("default", "web") == nil || s.JobVersionByTag("default", "web", "gold") == nil {
		t.Fatal("a version that has a name was swept with its job")
	}
	w.do(&command.TagJobVersion{Namespace: "default", JobID: "web", Name: "gold"})
	w.sweep(5*time.Hour, false)
	if w.store.Snapshot().Job("default", "web") != nil {
		t.Error("the job is still there, though no version of it has a name")
	}
}

// A tag keeps a batch job that is done: were its work forgotten, whatever has it
// evaluated would do it again.
func TestABatchJobThatATagKeepsRemembersWhatItDid(t *testing.T) {
	w := newWorld(t)
	_, done := w.run("sum", structs.JobTypeBatch, structs.AllocClientComplete)
	w.do(&command.TagJobVersion{Namespace: "default", JobID: "sum", Name: "gold", Tag: &structs.JobVersionTag{}})
	w.sweep(1000*time.Hour, true)
	if w.store.Snapshot().Alloc(done) == nil {
		t.Error("what it did is forgotten")
	}
	w.do(&command.TagJobVersion{Namespace: "default", JobID: "sum", Name: "gold"})
	w.sweep(1000*time.Hour, true)
	if s := w.store.Snapshot(); s.Alloc(done) != nil || s.Job("default", "sum") != nil {
		t.Error("it stays without the tag")
	}
}

// What older versions of a batch job have done may go: it doesn't count any more.
func TestWhatAnOlderVersionDidIsForgotten(t *testing.T) {
	w := newWorld(t)
	_, old := w.run("sum", structs.JobTypeBatch, structs.AllocClientComplete)
	changed := w.store.Snapshot().Job("default", "sum").Clone()
	*changed.Priority++
	w.do(&command.RegisterJob{Job: changed, Now: start.UnixNano()})
	w.do(&command.TagJobVersion{Namespace: "default", JobID: "sum", Name: "gold", Tag: &structs.JobVersionTag{}})
	w.sweep(1000*time.Hour, false)
	if s := w.store.Snapshot(); s.Alloc(old) != nil || s.Job("default", "sum") == nil {
		t.Error("what version 0 did is kept for as long as the job")
	}
}
