package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// periodicJob is a job that is launched every minute.
func periodicJob(id string) *structs.Job {
	j := testJob(id, 1)
	j.Type, j.Periodic = ptr("batch"), &structs.PeriodicConfig{Enabled: ptr(true), Specs: []string{"* * * * *"}}
	return j
}

func parameterizedJob(id string) *structs.Job {
	j := testJob(id, 1)
	j.Type, j.ParameterizedJob = ptr("batch"), &structs.ParameterizedJobConfig{Payload: "optional"}
	return j
}

// childOf is a job as it is made from another.
func childOf(parent *structs.Job, name, token string) *structs.Job {
	j := testJob(parent.GetID()+"/"+name, 1)
	j.Type, j.ParentID, j.Dispatched = parent.Type, parent.ID, parent.IsParameterized()
	if token != "" {
		j.DispatchIdempotencyToken = &token
	}
	return j
}

func (w *world) dispatch(parent, name, token string) any {
	p := w.snap().Job("default", parent)
	child := childOf(p, name, token)
	return w.apply(&command.DispatchJob{Job: child, ParentModifyIndex: p.GetJobModifyIndex(), Eval: testEval(child), Now: w.now})
}

// launchOf is the launch of a job at an instant, as it is decided now.
func (w *world) launchOf(parent string, instant int64) command.Launch {
	p := w.snap().Job("default", parent)
	child := childOf(p, fmt.Sprint("periodic-", instant), "")
	return command.Launch{
		Namespace: "default", JobID: parent, ParentModifyIndex: p.GetJobModifyIndex(), Instant: instant, After: w.snap().LaunchedUntil("default", parent),
		Job: child, Eval: testEval(child),
	}
}

// launch settles a launch, and expects that it is refused as want says.
func (w *world) launch(what string, l command.Launch, want error) {
	w.t.Helper()
	r := w.must(&command.LaunchJobs{Launches: []command.Launch{l}, Now: w.now}).(*LaunchResult)
	if !errors.Is(r.Refused[0], want) {
		w.t.Errorf("%s: %v, want %v", what, r.Refused[0], want)
	}
}

func (w *world) children(parent string) []string {
	var out []string
	for j := range w.snap().JobChildren("default", parent) {
		out = append(out, strings.TrimPrefix(j.GetID(), parent+"/"))
	}
	return out
}

// finish completes the evaluations of a job without any allocation, so that it
// is done.
func (w *world) finish(id string) {
	w.t.Helper()
	var done []*structs.Evaluation
	for e := range w.snap().EvalsByJob("default", id) {
		done = append(done, complete(e))
	}
	w.must(&command.UpsertEvals{Evals: done, Now: w.now})
}

func TestADispatchIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	w.must(&command.RegisterJob{Job: parameterizedJob("pack"), Now: w.now})
	equal(t, "status", w.status("pack"), "running")
	r := w.dispatch("pack", "dispatch-1", "once").(*JobResult)
	equal(t, "the first", r.Existing, "")
	equal(t, "its evaluation", len(slices.Collect(w.snap().EvalsByJob("default", "pack/dispatch-1"))), 1)
	r = w.dispatch("pack", "dispatch-2", "once").(*JobResult)
	equal(t, "the same token", r.Existing, "pack/dispatch-1")
	w.dispatch("pack", "dispatch-3", "twice")
	w.dispatch("pack", "dispatch-4", "")
	w.dispatch("pack", "dispatch-5", "")
	equal(t, "children", w.children("pack"), []string{"dispatch-1", "dispatch-3", "dispatch-4", "dispatch-5"})
	equal(t, "counted", *w.snap().JobSummary("default", "pack").Children, structs.JobChildrenSummary{Pending: 4})

	w.finish("pack/dispatch-1")
	r = w.dispatch("pack", "dispatch-6", "once").(*JobResult)
	equal(t, "the token of a child that is done", r.Existing, "pack/dispatch-1")
	again, err := restored(w.snap())
	if err != nil {
		t.Fatal(err)
	}
	w.store = again
	r = w.dispatch("pack", "dispatch-6", "once").(*JobResult)
	equal(t, "the token after restoring", r.Existing, "pack/dispatch-1")
	w.must(&command.Sweep{Jobs: []command.JobKey{{Namespace: "default", JobID: "pack/dispatch-1"}},
		EvalIDs: []string{slices.Collect(w.snap().EvalsByJob("default", "pack/dispatch-1"))[0].ID}})
	r = w.dispatch("pack", "dispatch-6", "once").(*JobResult)
	equal(t, "the token of a child that was swept", r.Existing, "")
	equal(t, "children in the end", w.children("pack"), []string{"dispatch-3", "dispatch-4", "dispatch-5", "dispatch-6"})
}

func TestADispatchThatIsRefused(t *testing.T) {
	w := newWorld(t)
	w.must(&command.RegisterJob{Job: parameterizedJob("pack")})
	parent := w.snap().Job("default", "pack")
	at := parent.GetJobModifyIndex()
	w.dispatch("pack", "dispatch-1", "")
	for name, c := range map[string]struct {
		change func(c *command.DispatchJob)
		want   error
	}{
		"no job":          {func(c *command.DispatchJob) { c.Job = nil }, nil},
		"no parent":       {func(c *command.DispatchJob) { c.Job.ParentID = ptr("nope") }, structs.ErrJobNotFound},
		"parent changed":  {func(c *command.DispatchJob) { c.ParentModifyIndex-- }, nil},
		"ID is taken":     {func(c *command.DispatchJob) { c.Job.ID = ptr("pack/dispatch-1") }, ErrChildExists},
		"pool is no more": {func(c *command.DispatchJob) { c.Job.NodePool = ptr("gone") }, nil},
	} {
		cmd := &command.DispatchJob{Job: childOf(parent, "dispatch-2", ""), ParentModifyIndex: at}
		c.change(cmd)
		before := w.snap().StateHash()
		err, refused := w.store.Apply(w.index, cmd).(error)
		if !refused || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		equal(t, name, w.snap().StateHash(), before)
	}
	w.must(&command.DeregisterJob{Namespace: "default", JobID: "pack"})
	if _, refused := w.dispatch("pack", "dispatch-2", "").(error); !refused {
		t.Error("a stopped job was dispatched")
	}
	w.must(&command.RegisterJob{Job: testJob("web", 1)})
	if _, refused := w.dispatch("web", "dispatch-2", "").(error); !refused {
		t.Error("a job that isn't parameterized was dispatched")
	}
}

func TestALaunchIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	w.must(&command.RegisterJob{Job: periodicJob("cron")})
	first := w.launchOf("cron", 60)
	w.launch("the first", first, nil)
	w.launch("the first again", first, ErrLaunchSettled)
	equal(t, "settled until", w.snap().LaunchedUntil("default", "cron"), int64(60))
	equal(t, "its evaluation", len(slices.Collect(w.snap().EvalsByJob("default", "cron/periodic-60"))), 1)

	late := w.launchOf("cron", 59)
	w.launch("an earlier one", late, ErrLaunchSettled)
	stale := w.launchOf("cron", 120)
	stale.ParentModifyIndex--
	conflict := w.must(&command.LaunchJobs{Launches: []command.Launch{stale}}).(*LaunchResult).Refused[0]
	if !errors.As(conflict, new(*ConflictError)) {
		t.Errorf("a launch of another specification: %v", conflict)
	}
	alone := w.launchOf("cron", 120)
	alone.Alone = true
	w.launch("one that must be alone", alone, ErrLaunchOverlaps)
	left := w.launchOf("cron", 120)
	left.Job, left.Eval, left.Note = nil, nil, "left out"
	w.launch("one that is left out", left, nil)
	equal(t, "note", *w.snap().Job("default", "cron").StatusDescription, "left out")
	w.finish("cron/periodic-60")
	alone = w.launchOf("cron", 180)
	alone.Alone = true
	w.launch("alone again", alone, nil)
	equal(t, "children", w.children("cron"), []string{"periodic-180", "periodic-60"})
	equal(t, "counted", *w.snap().JobSummary("default", "cron").Children, structs.JobChildrenSummary{Pending: 1, Dead: 1})

	again, err := restored(w.snap())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "settled after restoring", again.Snapshot().LaunchedUntil("default", "cron"), int64(180))
}

func TestALaunchThatAUserForces(t *testing.T) {
	w := newWorld(t)
	w.must(&command.RegisterJob{Job: periodicJob("cron")})
	forced := w.launchOf("cron", 60)
	forced.Forced = true
	w.launch("forced", forced, nil)
	w.launch("forced again", forced, ErrChildExists)
	equal(t, "it settles nothing", w.snap().LaunchedUntil("default", "cron"), int64(0))
	w.launch("what is due at that very instant", w.launchOf("cron", 60), nil)
	equal(t, "is settled", w.snap().LaunchedUntil("default", "cron"), int64(60))
	equal(t, "and was launched once", w.children("cron"), []string{"periodic-60"})

	disabled := periodicJob("cron")
	disabled.Periodic.Enabled = ptr(false)
	w.must(&command.RegisterJob{Job: disabled})
	w.launch("disabled", w.launchOf("cron", 120), ErrLaunchSettled)
	forced = w.launchOf("cron", 121)
	forced.Forced = true
	w.launch("disabled and forced", forced, nil)
	foreign := w.launchOf("cron", 122)
	foreign.Forced, foreign.Job.ParentID = true, ptr("other")
	if w.must(&command.LaunchJobs{Launches: []command.Launch{foreign}}).(*LaunchResult).Refused[0] == nil {
		t.Error("a launch made the child of another job")
	}
}

// Several launches of one entry stand for themselves.
func TestOneRefusedLaunchDoesNotKeepTheOthers(t *testing.T) {
	w := newWorld(t)
	w.must(&command.RegisterJob{Job: periodicJob("a")})
	w.must(&command.RegisterJob{Job: periodicJob("b")})
	bad, gone := w.launchOf("a", 60), w.launchOf("b", 60)
	bad.After, gone.JobID = 17, "gone"
	r := w.must(&command.LaunchJobs{Launches: []command.Launch{bad, w.launchOf("b", 60), gone}}).(*LaunchResult)
	if diff := cmp.Diff([]bool{true, false, true}, []bool{r.Refused[0] != nil, r.Refused[1] != nil, r.Refused[2] != nil}); diff != "" {
		t.Error(diff)
	}
	equal(t, "launched", w.children("b"), []string{"periodic-60"})
}

// A job that is registered anew finds the children of the one before it.
func TestChildrenOutliveTheirParent(t *testing.T) {
	w := newWorld(t)
	w.must(&command.RegisterJob{Job: periodicJob("cron")})
	w.launch("the first", w.launchOf("cron", 60), nil)
	w.must(&command.DeregisterJob{Namespace: "default", JobID: "cron", Purge: true})
	equal(t, "the launches are forgotten", w.snap().LaunchedUntil("default", "cron"), int64(0))
	equal(t, "the child is there", w.status("cron/periodic-60"), "pending")
	w.must(&command.RegisterJob{Job: periodicJob("cron")})
	equal(t, "and counted", *w.snap().JobSummary("default", "cron").Children, structs.JobChildrenSummary{Pending: 1})
	w.launch("the same launch", w.launchOf("cron", 60), nil)
	equal(t, "is not made again", w.children("cron"), []string{"periodic-60"})
	w.finish("cron/periodic-60")
	equal(t, "done", *w.snap().JobSummary("default", "cron").Children, structs.JobChildrenSummary{Dead: 1})
}

// family draws what may happen to the children of two jobs.
func (h *history) family() {
	cron, pack := h.snap().Job("default", "cron"), h.snap().Job("default", "pack")
	switch what := h.draw(9, "family"); {
	case cron == nil || pack == nil || what == 0:
		h.both(&command.RegisterJob{Job: periodicJob("cron"), Now: h.now})
		h.both(&command.RegisterJob{Job: parameterizedJob("pack"), Now: h.now})
	case what <= 2:
		l := h.launchOf("cron", int64(60*h.draw(5, "instant")+60))
		l.Eval.ID, l.Alone, l.Forced = h.newID(), h.draw(2, "alone") == 0, h.draw(4, "forced") == 0
		if h.draw(4, "stale") == 0 {
			l.After = 0
		}
		until, known := h.snap().LaunchedUntil("default", "cron"), h.snap().Job("default", l.Job.GetID())
		r := h.both(&command.LaunchJobs{Launches: []command.Launch{l, l}, Now: h.now}).(*LaunchResult)
		if r.Refused[1] == nil {
			h.rt.Fatalf("the same launch was made twice: %+v", l)
		}
		if r.Refused[0] == nil && known != nil && l.Forced {
			h.rt.Fatalf("launch %s was made, and was there", l.Job.GetID())
		}
		if now := h.snap().LaunchedUntil("default", "cron"); now < until || r.Refused[0] == nil && !l.Forced && now != l.Instant {
			h.rt.Fatalf("launches were settled until %d, then until %d by %+v", until, now, l)
		}
	case what <= 5:
		child := childOf(pack, fmt.Sprint("dispatch-", h.draw(6, "name")), []string{"", "a", "b"}[h.draw(3, "token")])
		e := h.eval(child)
		r, ok := h.both(&command.DispatchJob{Job: child, ParentModifyIndex: pack.GetJobModifyIndex(), Eval: e, Now: h.now}).(*JobResult)
		if ok && r.Existing == "" && h.snap().Eval(e.ID) == nil {
			h.rt.Fatal("a dispatch was made without its evaluation")
		}
	default:
		children := slices.Concat(h.children("cron"), h.children("pack"))
		if len(children) == 0 {
			return
		}
		name := h.oneOf(children, "child")
		id := map[bool]string{true: "cron/", false: "pack/"}[strings.HasPrefix(name, "periodic")] + name
		h.grow(id, what)
	}
}

// grow has one child go on with its life, or its parent with its own.
func (h *history) grow(id string, what int) {
	switch what {
	case 6:
		var done []*structs.Evaluation
		for e := range h.snap().EvalsByJob("default", id) {
			done = append(done, complete(e))
		}
		h.both(&command.UpsertEvals{Evals: done})
	case 7:
		c := &command.Sweep{Jobs: []command.JobKey{{Namespace: "default", JobID: id}}}
		for e := range h.snap().EvalsByJob("default", id) {
			c.EvalIDs = append(c.EvalIDs, e.ID)
		}
		h.both(c)
	default:
		parent, _, _ := strings.Cut(id, "/")
		h.both(&command.DeregisterJob{Namespace: "default", JobID: parent, Purge: h.draw(2, "purge") == 0})
	}
}

// checkChildren: a job's children are counted as they are, and an idempotency
// token has one at most.
func checkChildren(s *Snapshot, wrong func(string, ...any)) {
	tokens, children := map[string]string{}, 0
	defer func() {
		if s.t.Children.Len() != children || s.t.Tokens.Len() != len(tokens) {
			wrong("%d children are listed, %d of tokens; there are %d and %d", s.t.Children.Len(), s.t.Tokens.Len(), children, len(tokens))
		}
	}()
	for j := range s.Jobs("*", "") {
		counted := structs.JobChildrenSummary{}
		for child := range s.JobChildren(j.GetNamespace(), j.GetID()) {
			*childCount(&counted, child.GetStatus())++
		}
		if kept := s.JobSummary(j.GetNamespace(), j.GetID()); kept != nil && kept.Children != nil && *kept.Children != counted {
			wrong("children of job %s are %+v, counted as %+v", j.GetID(), counted, *kept.Children)
		}
		if l := s.LaunchedUntil(j.GetNamespace(), j.GetID()); l != 0 && j.GetID() != "cron" {
			wrong("job %s has launches until %d", j.GetID(), l)
		}
		if j.GetParentID() == "" {
			continue
		}
		children++
		if !slices.Contains(slices.Collect(s.JobChildren(j.GetNamespace(), j.GetParentID())), j) {
			wrong("job %s is not among the children of %s", j.GetID(), j.GetParentID())
		}
		if token := structs.Value(j.DispatchIdempotencyToken); token != "" {
			if other := tokens[token]; other != "" {
				wrong("token %s has made %s and %s", token, other, j.GetID())
			}
			tokens[token] = j.GetID()
			if found := s.t.Dispatched(parentOf(j), token); found != j {
				wrong("token %s doesn't lead to %s", token, j.GetID())
			}
		}
	}
}
