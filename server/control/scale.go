package control

import (
	"context"
	"math"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// ScaleJob sets the count of the group that req.Target names under "Group",
// or, without a count, records a scaling event.
func (s *Control) ScaleJob(ctx context.Context, jobID string, req *structs.ScalingRequest) (*structs.JobRegisterResponse, error) {
	snap := s.store.Snapshot()
	current := snap.Job(req.Namespace, jobID)
	if current == nil {
		return nil, structs.ErrJobNotFound
	}
	name := req.Target["Group"]
	group := current.LookupTaskGroup(name)
	if group == nil {
		return nil, structs.NewError(structs.KindInvalid, "the job has no task group %q to scale: name one in the target", name)
	}
	if req.Error && req.Count != nil {
		return nil, structs.NewError(structs.KindInvalid, "a scaling event that reports an error can't set a count too")
	}
	now := s.cfg.Clock.Now()
	event := &structs.ScalingEvent{
		Count:         req.Count,
		PreviousCount: int64(group.GetCount()),
		Error:         req.Error,
		Message:       req.Message,
		Meta:          req.Meta,
		Time:          uint64(now.UnixNano()),
	}
	c := &command.RegisterJob{
		Job:            current,
		EnforceIndex:   true,
		JobModifyIndex: current.GetJobModifyIndex(),
		Scaling:        map[string]*structs.ScalingEvent{name: event},
		Now:            now.UnixNano(),
	}
	if req.JobModifyIndex != 0 {
		c.JobModifyIndex = req.JobModifyIndex
	}
	if req.Count != nil {
		if snap.SchedulerConfig().RejectJobRegistration {
			return nil, structs.ErrRegistrationDisabled
		}
		if d := snap.LatestDeployment(req.Namespace, jobID); d.Active() {
			return nil, structs.NewError(structs.KindInvalid,
				"job scaling blocked due to active deployment %s: wait for it, promote it or fail it", d.ID)
		}
		job, err := scaled(current, group, *req.Count, s.rules().MaxCount)
		if err != nil {
			return nil, err
		}
		if err := s.settleDue(ctx, current.NamespacedID()); err != nil {
			return nil, err
		}
		submitted := now.UnixNano()
		job.SubmitTime = &submitted
		c.Job = job
		c.Submission = snap.JobSubmission(req.Namespace, jobID, current.GetVersion())
		if !job.IsTemplate() {
			c.Eval = s.evals.New(job, structs.TriggerJobScaling, now)
			event.EvalID = &c.Eval.ID
		}
	}
	return s.register(ctx, c)
}

// scaled returns a copy of the job with another count of one group; limit is what
// a job may ask for, 0 for no limit.
func scaled(current *structs.Job, group *structs.TaskGroup, count int64, limit int) (*structs.Job, error) {
	lowest, highest := int64(0), int64(limit)
	if limit == 0 {
		highest = math.MaxInt64
	}
	if p := group.Scaling; p != nil {
		lowest = structs.ValueOr(p.Min, lowest)
		highest = structs.ValueOr(p.Max, highest)
	}
	if count < lowest {
		return nil, structs.NewError(structs.KindInvalid, "group count was less than scaling policy minimum: %d < %d", count, lowest)
	}
	if count > highest {
		return nil, structs.NewError(structs.KindInvalid, "group count was greater than scaling policy maximum: %d > %d", count, highest)
	}
	job := current.Clone()
	n := int(count)
	job.LookupTaskGroup(group.GetName()).Count = &n
	if err := job.Validate(); err != nil {
		return nil, err
	}
	return job, job.ValidateCount(limit)
}
