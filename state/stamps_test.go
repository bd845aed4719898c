package state

import (
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// What comes without a time gets that of its entry; what has one keeps it.
func TestWhatHasNoTimeGetsThatOfItsEntry(t *testing.T) {
	w := newWorld(t)
	first := int64(5e9)
	e := testEval(testJob("web", 1))
	e.CreateTime = 0
	w.must(&command.RegisterJob{Job: testJob("web", 1), Eval: e, Now: first})
	equal(t, "submitted", *w.snap().Job("default", "web").SubmitTime, first)
	equal(t, "evaluation created", w.snap().Eval(e.ID).CreateTime, first)

	own := testJob("db", 1)
	own.SubmitTime = ptr(int64(3e9))
	e = testEval(own)
	e.CreateTime = 4e9
	w.must(&command.RegisterJob{Job: own, Eval: e, Now: first})
	equal(t, "submitted earlier", *w.snap().Job("default", "db").SubmitTime, int64(3e9))
	equal(t, "evaluation created earlier", w.snap().Eval(e.ID).CreateTime, int64(4e9))
}

func TestHealthHasTheTimeAtWhichItWasFound(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	found := time.Unix(7, 0).UTC()
	for name, c := range map[string]struct {
		told time.Time
		want time.Time
	}{
		"told":     {found, found},
		"not told": {time.Time{}, time.Unix(9, 0).UTC()},
	} {
		id := w.place(w.register(testJob(name, 1)), rowsOn(node)...)[0]
		w.must(&command.UpdateAllocs{Now: 9e9, Updates: []*structs.AllocUpdate{{
			ID: id, ClientStatus: "running", DeploymentStatus: &structs.AllocDeploymentStatus{Healthy: ptr(true), Timestamp: c.told},
		}}})
		equal(t, name, w.snap().Alloc(id).DeploymentStatus.Timestamp, c.want)
	}
}

// deployed places one allocation of a deployment.
func (w *world) deployed(d *structs.Deployment) (allocID string) {
	w.t.Helper()
	node, e := w.addNode(), w.register(testJob(d.JobID, 1))
	p := w.plan(e, rowsOn(node)...)
	p.Deployment, p.Groups[0].DeploymentID = d, d.ID
	w.must(&command.ApplyPlans{Plans: []*structs.Plan{p}, Evals: []*structs.Evaluation{complete(e)}, Now: w.now})
	return ids.Derive(p.Groups[0].Seed, 0)
}

func TestAPersonSaysThatAnAllocationIsHealthyOrNot(t *testing.T) {
	w := newWorld(t)
	d := &structs.Deployment{ID: ids.New(), Namespace: "default", JobID: "web", Status: "running",
		TaskGroups: map[string]*structs.DeploymentState{"web": {DesiredTotal: 1, ProgressDeadline: time.Minute, RequireProgressBy: time.Unix(60, 0).UTC()}}}
	id := w.deployed(d)
	is := func() []any {
		a, g := w.snap().Alloc(id), w.snap().Deployment(d.ID).TaskGroups["web"]
		return []any{*a.DeploymentStatus.Healthy, a.DeploymentStatus.Timestamp, g.HealthyAllocs, g.UnhealthyAllocs, g.RequireProgressBy}
	}
	w.must(&command.SetAllocHealth{DeploymentID: d.ID, Healthy: []string{id}, Now: 30e9})
	equal(t, "healthy", is(), []any{true, time.Unix(30, 0).UTC(), 1, 0, time.Unix(90, 0).UTC()})
	before := w.snap().Alloc(id).ModifyIndex
	w.must(&command.SetAllocHealth{DeploymentID: d.ID, Healthy: []string{id}, Now: 40e9})
	equal(t, "said again", []any{is()[1], w.snap().Alloc(id).ModifyIndex}, []any{time.Unix(30, 0).UTC(), before})
	w.must(&command.SetAllocHealth{DeploymentID: d.ID, Unhealthy: []string{id}, Now: 50e9})
	equal(t, "unhealthy after all", is(), []any{false, time.Unix(50, 0).UTC(), 0, 1, time.Unix(90, 0).UTC()})
}

// What was paused has its whole progress deadline again when it goes on, never less
// than it had.
func TestAResumedDeploymentHasItsProgressDeadlineAgain(t *testing.T) {
	for name, c := range map[string]struct {
		deadline time.Duration
		by       time.Time
		want     time.Time
	}{
		"anew":        {time.Minute, time.Unix(60, 0).UTC(), time.Unix(160, 0).UTC()},
		"it had more": {time.Minute, time.Unix(500, 0).UTC(), time.Unix(500, 0).UTC()},
		"no deadline": {0, time.Time{}, time.Time{}},
	} {
		w := newWorld(t)
		d := &structs.Deployment{ID: ids.New(), Namespace: "default", JobID: "web", Status: "paused",
			TaskGroups: map[string]*structs.DeploymentState{"web": {DesiredTotal: 1, ProgressDeadline: c.deadline, RequireProgressBy: c.by}}}
		w.deployed(d)
		w.must(&command.UpdateDeployment{Now: 100e9, Update: structs.DeploymentStatusUpdate{DeploymentID: d.ID, Status: "running", StatusDescription: "goes on"}})
		now := w.snap().Deployment(d.ID)
		equal(t, name, now.TaskGroups["web"].RequireProgressBy, c.want)
		equal(t, name+", changed", []any{now.ModifyIndex, now.ModifyTime}, []any{w.index, int64(100e9)})
	}
}

// Who waits for a change of summaries is woken by each, and by nothing else.
func TestTheIndexOfSummariesIsThatOfTheirLastChange(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	at := func() uint64 { return w.snap().TableIndex(feed.TableJobSummaries) }
	before := at()
	e := w.register(testJob("web", 1))
	if at() <= before {
		t.Error("a new job has a summary, and its table hasn't changed")
	}
	before = at()
	w.addNode()
	equal(t, "a node comes", at(), before)
	id := w.place(e, rowsOn(node)...)[0]
	equal(t, "placed", at(), w.index)
	w.report(id, "running")
	equal(t, "runs", at(), w.index)
	w.must(&command.DeregisterJob{Namespace: "default", JobID: "web", Purge: true})
	equal(t, "gone", at(), w.index)
}

// Each version that is kept no more is told as it was.
func TestAVersionThatGoesIsTold(t *testing.T) {
	w := newWorld(t)
	sub, err := w.store.Subscribe(w.index)
	if err != nil {
		t.Fatal(err)
	}
	for count := range structs.JobTrackedVersions + 2 {
		w.register(testJob("web", count+1))
	}
	var gone []uint64
	for sub.Waiting() {
		change, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range change.Events {
			if e := &change.Events[i]; e.Kind() == feed.JobVersionRemoved {
				gone = append(gone, e.Old().(*structs.Job).GetVersion())
			}
		}
	}
	equal(t, "gone", gone, []uint64{0, 1})
}
