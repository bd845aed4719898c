package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/squeeze"
	"github.com/steppe-run/steppe/server/periodic"
	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

func parameterized(id string) *structs.Job {
	job := servertest.Job(id, structs.JobTypeBatch, 1)
	job.ParameterizedJob = &structs.ParameterizedJobConfig{MetaRequired: []string{"who"}, MetaOptional: []string{"why"}}
	job.Meta = map[string]string{"team": "blue", "why": "because"}
	return job
}

func cronJob(id, cron string) *structs.Job {
	job := servertest.Job(id, structs.JobTypeBatch, 1)
	job.Periodic = &structs.PeriodicConfig{Specs: []string{cron}}
	return job
}

func dispatchOf(id string) *structs.JobDispatch {
	return &structs.JobDispatch{
		JobDispatchRequest: structs.JobDispatchRequest{JobID: id, Meta: map[string]string{"who": "me"}, Payload: []byte("hello")},
		WriteRequest:       structs.WriteRequest{Namespace: structs.DefaultNamespace},
	}
}

func (w *world) childrenOf(id string) []*structs.Job {
	return slices.Collect(w.s.store.Snapshot().JobChildren(structs.DefaultNamespace, id))
}

func TestADispatchedJobRuns(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		resp := w.register(parameterized("pack"))
		if resp.EvalID != "" {
			t.Errorf("the job itself is evaluated: %+v", resp)
		}
		for e := range w.s.store.Snapshot().Evals("*", "") {
			t.Errorf("evaluation %+v", e)
		}
		d := dispatchOf("pack")
		d.IdPrefixTemplate, d.Priority = "night", 70
		made, err := w.s.DispatchJob(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("pack/dispatch-night-%d-", time.Now().Unix())
		if !strings.HasPrefix(made.DispatchedJobID, want) || len(made.DispatchedJobID) != len(want)+8 {
			t.Errorf("the job is %q, want %q and 8 digits", made.DispatchedJobID, want)
		}
		w.until(time.Minute, "the job is done", func(snap *state.Snapshot) bool {
			return snap.Job("default", made.DispatchedJobID).GetStatus() == structs.JobStatusDead
		})
		snap := w.s.store.Snapshot()
		child := snap.Job("default", made.DispatchedJobID)
		payload, err := squeeze.Unpack(child.Payload, structs.MaxDispatchPayload)
		if err != nil || string(payload) != "hello" {
			t.Errorf("payload %q: %v", payload, err)
		}
		if child.GetParentID() != "pack" || !child.Dispatched || child.GetPriority() != 70 || child.GetName() != child.GetID() ||
			fmt.Sprint(child.Meta) != "map[team:blue who:me why:because]" {
			t.Errorf("the job is %+v with meta %v", child, child.Meta)
		}
		if n := len(slices.Collect(snap.AllocsByJob("default", child.GetID()))); n != 1 || snap.Eval(made.EvalID) == nil {
			t.Errorf("%d allocations, evaluation %q", n, made.EvalID)
		}
		if parent := snap.Job("default", "pack"); parent.GetStatus() != structs.JobStatusRunning {
			t.Errorf("the job it was made from is %s", parent.GetStatus())
		}
	})
}

func TestADispatchIsMadeOnceByManyAtOnce(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.register(parameterized("pack"))
		g := loop.New(t.Context())
		ids := make([]string, 20)
		for i := range ids {
			g.Go(fmt.Sprint("caller ", i), func(ctx context.Context) error {
				d := dispatchOf("pack")
				d.IdempotencyToken = fmt.Sprint("token-", i%2)
				resp, err := w.s.DispatchJob(ctx, d)
				if err == nil {
					ids[i] = resp.DispatchedJobID
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		slices.Sort(ids)
		if ids = slices.Compact(ids); len(ids) != 2 || len(w.childrenOf("pack")) != 2 {
			t.Errorf("two tokens have made %v, there are %d", ids, len(w.childrenOf("pack")))
		}
	})
}

func TestDispatchesThatAreRefused(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.register(parameterized("pack"))
		quiet := parameterized("quiet")
		quiet.ParameterizedJob.Payload = "forbidden"
		w.register(quiet)
		loud := parameterized("loud")
		loud.ParameterizedJob.Payload = "required"
		w.register(loud)
		w.register(servertest.Job("web", structs.JobTypeService, 1))
		stopped := parameterized("stopped")
		w.register(stopped)
		if _, err := w.s.DeregisterJob(t.Context(), &JobDeregisterRequest{Namespace: "default", JobID: "stopped"}); err != nil {
			t.Fatal(err)
		}
		for want, c := range map[string]struct {
			job    string
			change func(d *structs.JobDispatch)
		}{
			"job not found":                             {"nope", nil},
			`job "web" is not parameterized`:            {"web", nil},
			`job "stopped" is stopped`:                  {"stopped", nil},
			"unpermitted metadata keys: [x y]":          {"pack", func(d *structs.JobDispatch) { d.Meta["x"], d.Meta["y"] = "", "" }},
			"did not provide required meta keys: [who]": {"pack", func(d *structs.JobDispatch) { d.Meta = nil }},
			"requires a payload":                        {"loud", func(d *structs.JobDispatch) { d.Payload = nil }},
			"forbids a payload":                         {"quiet", nil},
			"more than the limit of 16384":              {"pack", func(d *structs.JobDispatch) { d.Payload = make([]byte, 16<<10+1) }},
			"priority must be from 1 to 100":            {"pack", func(d *structs.JobDispatch) { d.Priority = 101 }},
			"prefix of the ID":                          {"pack", func(d *structs.JobDispatch) { d.IdPrefixTemplate = "a b" }},
		} {
			d := dispatchOf(c.job)
			if c.change != nil {
				c.change(d)
			}
			if _, err := w.s.DispatchJob(t.Context(), d); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		}
		d := dispatchOf("pack")
		d.Payload = make([]byte, 16<<10)
		if _, err := w.s.DispatchJob(t.Context(), d); err != nil {
			t.Errorf("as much as there may be: %v", err)
		}
		if n := len(w.childrenOf("pack")); n != 1 {
			t.Errorf("%d jobs were made", n)
		}
	})
}

func TestAPeriodicJobIsLaunched(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		began := time.Now()
		resp := w.register(cronJob("cron", "*/10 * * * *"))
		if resp.EvalID != "" {
			t.Errorf("the job itself is evaluated: %+v", resp)
		}
		plan, err := w.s.PlanJob(t.Context(), &structs.JobPlanRequest{Job: cronJob("cron", "*/10 * * * *")})
		if err != nil || plan.NextPeriodicLaunch == nil || !plan.NextPeriodicLaunch.Equal(began.Truncate(10*time.Minute).Add(10*time.Minute)) {
			t.Errorf("planned: %+v, %v", plan, err)
		}
		w.pass(time.Hour + time.Minute)
		children := w.childrenOf("cron")
		if len(children) != 6 {
			t.Fatalf("%d launches in an hour", len(children))
		}
		for i, j := range children {
			due := began.Truncate(10 * time.Minute).Add(time.Duration(i+1) * 10 * time.Minute)
			if j.GetID() != fmt.Sprintf("cron/periodic-%d", due.Unix()) || j.GetStatus() != structs.JobStatusDead {
				t.Errorf("launch %d is %s, %s", i, j.GetID(), j.GetStatus())
			}
			if late := time.Unix(0, *j.SubmitTime).Sub(due); late < 0 || late > time.Second {
				t.Errorf("launch %d came %s after its time", i, late)
			}
		}
		// With a new schedule only that counts.
		w.register(cronJob("cron", "0 0 1 1 *"))
		w.pass(time.Hour)
		if n := len(w.childrenOf("cron")); n != 6 {
			t.Errorf("%d launches", n)
		}
	})
}

// What is due is launched before its job changes, even if the loop that launches
// has not come to it.
func TestALaunchThatIsDueIsNotLostToAChange(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		job := cronJob("cron", "0 * * * *")
		w.register(job)
		w.s.journal.(*memoryJournal).set(errors.New("the disk is slow"))
		w.pass(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour + time.Minute + 500*time.Millisecond)))
		w.s.journal.(*memoryJournal).set(nil)
		w.register(cronJob("cron", "30 * * * *"))
		children := w.childrenOf("cron")
		if len(children) != 1 || children[0].GetID() != fmt.Sprintf("cron/periodic-%d", time.Now().Truncate(time.Hour).Unix()) {
			t.Errorf("%d launches: %+v", len(children), children)
		}
	})
}

func TestALaunchByForce(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		job := cronJob("cron", "0 0 1 1 *")
		job.Periodic.ProhibitOverlap = ptr(true)
		w.register(job)
		req := &structs.PeriodicForceRequest{JobID: "cron", WriteRequest: structs.WriteRequest{Namespace: "default"}}
		for range 3 { // in the same second, while none is done
			resp, err := w.s.ForcePeriodic(t.Context(), req)
			if err != nil || w.s.store.Snapshot().Eval(resp.EvalID) == nil {
				t.Fatalf("%+v: %v", resp, err)
			}
		}
		if n := len(w.childrenOf("cron")); n != 3 {
			t.Errorf("%d launches", n)
		}
		w.register(servertest.Job("web", structs.JobTypeService, 1))
		for id, want := range map[string]string{"nope": "job not found", "web": "not periodic"} {
			if _, err := w.s.ForcePeriodic(t.Context(), &structs.PeriodicForceRequest{JobID: id, WriteRequest: req.WriteRequest}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", id, err)
			}
		}
		if _, err := w.s.DeregisterJob(t.Context(), &JobDeregisterRequest{Namespace: "default", JobID: "cron"}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.s.ForcePeriodic(t.Context(), req); err == nil || !strings.Contains(err.Error(), "is stopped") {
			t.Errorf("stopped: %v", err)
		}
	})
}

// A launch that the state refuses for good is left out and told, once.
func TestALaunchThatCanNotBeMadeIsLeftOut(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.register(cronJob("cron", "0 * * * *"))
		due := time.Now().Truncate(time.Hour).Add(time.Hour)
		key := structs.NamespacedID{Namespace: "default", ID: "cron"}
		d, ok := periodic.New(w.s.cfg.NewID).Due(w.s.store.Snapshot(), key, due)
		if !ok {
			t.Fatal("nothing is due")
		}
		d.Launch.Job.NodePool = ptr("gone")
		if err := w.s.settle(t.Context(), []periodic.Decision{d}, due); err != nil {
			t.Fatal(err)
		}
		snap := w.s.store.Snapshot()
		want := "launch of " + due.UTC().Format(time.RFC3339) + ` left out: job "` + d.Launch.Job.GetID() + `" is in nonexistent node pool "gone"`
		if got := *snap.Job("default", "cron").StatusDescription; got != want || len(w.childrenOf("cron")) != 0 || snap.LaunchedUntil("default", "cron") != due.Unix() {
			t.Errorf("told %q, want %q; %d launches", got, want, len(w.childrenOf("cron")))
		}
	})
}

// A job that ran and becomes one that others are made from stops running.
func TestAJobBecomesATemplate(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.register(servertest.Job("pack", structs.JobTypeService, 1))
		w.until(time.Minute, "it runs", func(snap *state.Snapshot) bool { return len(w.live(snap, "pack")) == 1 })
		w.register(parameterized("pack"))
		w.until(time.Minute, "it runs no more", func(snap *state.Snapshot) bool { return len(w.live(snap, "pack")) == 0 })
		if _, err := w.s.RevertJob(t.Context(), &structs.JobRevertRequest{JobID: "pack", JobVersion: 0, WriteRequest: structs.WriteRequest{Namespace: "default"}}); err != nil {
			t.Fatal(err)
		}
		w.until(time.Minute, "it runs again", func(snap *state.Snapshot) bool { return len(w.live(snap, "pack")) == 1 })
	})
}
