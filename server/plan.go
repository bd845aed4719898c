package server

import (
	"context"
	"fmt"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// PlanJob tells what registering a job would do; nothing is stored.
func (s *Server) PlanJob(_ context.Context, req *structs.JobPlanRequest) (*structs.JobPlanResponse, error) {
	job, warnings, err := s.admit(req.Job, req.Namespace)
	if err != nil {
		return nil, err
	}
	snap := s.store.Snapshot()
	old := snap.Job(job.GetNamespace(), job.GetID())
	view := proposal{Snapshot: snap, job: succeed(old, job, snap.Index()+1)}
	decision, err := s.rehearse(view)
	if err != nil {
		return nil, err
	}
	resp := &structs.JobPlanResponse{
		Annotations:    decision.Annotations,
		FailedTGAllocs: decision.Eval.FailedTGAllocs,
		CreatedEvals:   decision.FollowUps,
		Warnings:       structs.WarningText(warnings),
	}
	if old != nil {
		resp.JobModifyIndex = old.GetJobModifyIndex()
	}
	if req.Diff {
		resp.Diff = old.Diff(job, true)
		structs.Annotate(resp.Diff, decision.Annotations)
	}
	return resp, nil
}

// rehearse schedules the proposed job on what the nodes have left.
func (s *Server) rehearse(view proposal) (scheduler.Decision, error) {
	now := s.cfg.Clock.Now()
	eval := newEval(view.job, structs.TriggerJobRegister, now)
	eval.AnnotatePlan = true
	decision, err := scheduler.Schedule(scheduler.Input{
		View:     view,
		Capacity: capacityOf(view.Snapshot),
		Config:   view.SchedulerConfig(),
		Eval:     eval,
		Now:      now,
		Seed:     view.Index(),
		NewID:    ids.New,
		Annotate: true,
	})
	if err != nil {
		return scheduler.Decision{}, fmt.Errorf("plan job: %w", err)
	}
	return decision, nil
}

// capacityOf indexes what the nodes of a snapshot have left.
func capacityOf(snap *state.Snapshot) *scheduler.Capacity {
	c := scheduler.NewCapacity()
	for n := range snap.Nodes("") {
		c.UpsertNode(n)
	}
	for a := range snap.Allocs(structs.AllNamespaces, "") {
		if !a.TerminalStatus() {
			c.SetAlloc(a)
		}
	}
	return c
}

// proposal is a snapshot in which one job is another.
type proposal struct {
	*state.Snapshot
	job *structs.Job
}

// Job implements scheduler.View.
func (p proposal) Job(namespace, id string) *structs.Job {
	if p.job.GetNamespace() == namespace && p.job.GetID() == id {
		return p.job
	}
	return p.Snapshot.Job(namespace, id)
}

// succeed gives a proposed job the bookkeeping that it would be stored with.
func succeed(old, job *structs.Job, index uint64) *structs.Job {
	version, created := uint64(0), index
	if old != nil {
		if !old.Stopped() && !structs.SpecChanged(old, job) {
			return old
		}
		version, created = old.GetVersion()+1, old.GetCreateIndex()
	}
	job.Version, job.CreateIndex = &version, &created
	job.ModifyIndex, job.JobModifyIndex = &index, &index
	return job
}
