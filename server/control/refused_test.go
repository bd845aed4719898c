package control

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/structs"
)

// What can never come to an end is refused when it is submitted, and leaves
// nothing behind.
func TestWhatCanNeverSucceedIsRefused(t *testing.T) {
	update := func(u structs.UpdateStrategy) *structs.Job {
		return with(servertest.Job("never", structs.JobTypeService, 1), func(g *structs.TaskGroup) { g.Update = &u })
	}
	volume := update(structs.UpdateStrategy{Canary: ptr(1)})
	volume.TaskGroups[0].Volumes = map[string]*structs.VolumeRequest{"data": {
		Name: "data", Type: structs.VolumeTypeHost, Source: "data", AccessMode: "single-node-writer", AttachmentMode: "file-system",
	}}
	play(t, func(t *testing.T, w *world) {
		for want, job := range map[string]*structs.Job{
			"must be less than the progress_deadline of 1m0s, is 5m0s":             update(structs.UpdateStrategy{ProgressDeadline: ptr(time.Minute)}),
			"must be less than the healthy_deadline of 5m0s, is 6m0s":              update(structs.UpdateStrategy{MinHealthyTime: ptr(6 * time.Minute)}),
			"needs canaries: set canary, or leave auto_promote out":                update(structs.UpdateStrategy{AutoPromote: ptr(true)}),
			`a canary would have to write to volume "data" beside the old version`: volume,
			"it never fires": cronJob("never", "0 0 30 2 *"),
			"fires every second, faster than jobs can be launched": cronJob("never", "* * * * * * *"),
		} {
			before := w.s.store.Snapshot().Index()
			_, err := w.s.RegisterJob(t.Context(), &structs.JobRegisterRequest{Job: job})
			var invalid *structs.ValidationError
			if !errors.As(err, &invalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
			if now := w.s.store.Snapshot().Index(); now != before || w.s.store.Snapshot().Job("default", "never") != nil {
				t.Errorf("%s: something was stored at index %d", want, now)
			}
		}
	})
}

// What asks for something that isn't there, or isn't ready, is refused by kind.
func TestActionsThatAreRefusedLeaveNothing(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		job := with(servertest.Job("web", structs.JobTypeService, 2), canary(false))
		w.settled(job)
		w.register(with(job, version("2")))
		w.pass(2 * time.Second) // the canary runs, and isn't healthy yet
		d := w.s.store.Snapshot().LatestDeployment("default", "web")
		promote := func(groups ...string) error {
			_, err := w.s.PromoteDeployment(t.Context(), &structs.DeploymentPromoteRequest{DeploymentID: d.ID, All: len(groups) == 0, Groups: groups})
			return err
		}
		for _, c := range []struct {
			what string
			kind structs.ErrorKind
			do   func() error
		}{
			{`group "web" has 0/1 healthy`, structs.KindRefused, func() error { return promote() }},
			{`has no group "api"`, structs.KindNotFound, func() error { return promote("web", "api") }},
			{`job "web" at version 7 not found: versions 1 and 0 are kept`, structs.KindNotFound, func() error {
				req := &structs.JobRevertRequest{JobID: "web", JobVersion: 7}
				req.Namespace = "default"
				_, err := w.s.RevertJob(t.Context(), req)
				return err
			}},
			{"node not found", structs.KindNotFound, func() error {
				_, err := w.s.DrainNode(t.Context(), &structs.NodeUpdateDrainRequest{NodeID: "nope", DrainSpec: &structs.DrainSpec{Deadline: time.Hour}})
				return err
			}},
			{"deployment not found", structs.KindNotFound, func() error {
				_, err := w.s.FailDeployment(t.Context(), &structs.DeploymentFailRequest{DeploymentID: "nope"})
				return err
			}},
		} {
			before := *w.s.store.Snapshot().LatestDeployment("default", "web")
			err := c.do()
			var refused *structs.Error
			if !errors.As(err, &refused) || refused.Kind != c.kind || !strings.Contains(err.Error(), c.what) {
				t.Errorf("%v, want %s", err, c.what)
			}
			after := *w.s.store.Snapshot().LatestDeployment("default", "web")
			if after.ModifyIndex != before.ModifyIndex || w.s.store.Snapshot().Job("default", "web").GetVersion() != 1 {
				t.Errorf("%s: something was done all the same", c.what)
			}
		}
	})
}

// A service whose first deployment waited for capacity in vain has nothing else
// to run: it goes on waiting, and takes the room that comes late.
func TestAFirstDeploymentThatFailedLeavesTheJobWaiting(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		job := servertest.Job("big", structs.JobTypeService, 2)
		job.TaskGroups[0].Tasks[0].Resources.MemoryMB = ptr(600)
		w.register(job)
		w.pass(5 * time.Second)
		if got := w.s.store.Snapshot().Job("default", "big").GetStatus(); got != structs.JobStatusRunning {
			t.Errorf("while its deployment runs the job is %s", got)
		}
		w.until(15*time.Minute, "the deployment fails", deployed("big", structs.DeploymentStatusFailed))
		w.pass(time.Minute)
		why, _, err := w.s.WhyJob(t.Context(), "default", "big")
		if err != nil {
			t.Fatal(err)
		}
		if want := "1 of 2 placed; 1 can't be placed: the only node has no room: memory"; !strings.Contains(why.Summary, want) {
			t.Errorf("the reason doesn't say %q: %s", want, why.Summary)
		}
		w.addNode("b")
		w.until(time.Minute, "both run", w.running("big", 2))
	})
}

// A change that failed is not tried again: what it would still place is missing,
// and the reason is told.
func TestAChangeThatFailedIsTheReason(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.addNode("a")
		w.settled(servertest.Job("big", structs.JobTypeService, 1))
		job := servertest.Job("big", structs.JobTypeService, 2)
		job.TaskGroups[0].Tasks[0].Resources.MemoryMB = ptr(5000)
		w.register(job)
		w.until(15*time.Minute, "the deployment fails", deployed("big", structs.DeploymentStatusFailed))
		w.pass(time.Minute)
		d := w.s.store.Snapshot().LatestDeployment("default", "big")
		why, _, err := w.s.WhyJob(t.Context(), "default", "big")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"deployment " + d.ID[:8], structs.DescDeploymentProgressDeadline, "change the job or revert it"} {
			if !strings.Contains(why.Summary, want) {
				t.Errorf("the reason doesn't say %q: %s", want, why.Summary)
			}
		}
	})
}
