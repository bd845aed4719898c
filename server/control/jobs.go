package control

import (
	"context"

	"github.com/steppe-run/steppe/scheduler/explain"
	"github.com/steppe-run/steppe/server/admission"
	"github.com/steppe-run/steppe/server/rehearse"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// RegisterJob stores a job and has it evaluated. Like the other requests that
// bring a job it takes that over: the caller must not use it any more.
func (s *Control) RegisterJob(ctx context.Context, req *structs.JobRegisterRequest) (*structs.JobRegisterResponse, error) {
	job, warnings, err := admission.Admit(s.store.Snapshot(), s.rules(), req.Job, req.Namespace)
	if err != nil {
		return nil, err
	}
	snap := s.store.Snapshot()
	if snap.SchedulerConfig().RejectJobRegistration {
		return nil, structs.ErrRegistrationDisabled
	}
	if err := checkPriority(req.EvalPriority); err != nil {
		return nil, err
	}
	now := s.cfg.Clock.Now() // before what is due is settled: no launch may lie between
	if err := s.settleDue(ctx, job.NamespacedID()); err != nil {
		return nil, err
	}
	submitted := now.UnixNano()
	job.SubmitTime = &submitted
	eval := s.firstEval(snap.Job(job.GetNamespace(), job.GetID()), job, now)
	if eval != nil && req.EvalPriority > 0 {
		eval.Priority = req.EvalPriority
	}
	resp, err := s.register(ctx, &command.RegisterJob{
		Job:               job,
		Submission:        req.Submission,
		EnforceIndex:      req.EnforceIndex,
		JobModifyIndex:    req.JobModifyIndex,
		PreserveCounts:    req.PreserveCounts,
		PreserveResources: req.PreserveResources,
		Eval:              eval,
		Now:               submitted,
	})
	if err != nil {
		return nil, err
	}
	resp.Warnings = structs.WarningText(warnings)
	return resp, nil
}

// rules are what this server asks of all jobs.
func (s *Control) rules() admission.Rules {
	return admission.Rules{Region: s.cfg.Region, MaxCount: max(0, s.cfg.JobMaxCount)}
}

// register commits a registration and answers for it.
func (s *Control) register(ctx context.Context, c *command.RegisterJob) (*structs.JobRegisterResponse, error) {
	result, err := commit[*state.JobResult](ctx, s, c)
	if err != nil {
		return nil, err
	}
	resp := &structs.JobRegisterResponse{JobModifyIndex: result.JobModifyIndex}
	resp.LastIndex = result.Index
	if c.Eval != nil {
		resp.EvalID, resp.EvalCreateIndex = c.Eval.ID, result.Index
	}
	return resp, nil
}

// ValidateJob tells what is wrong with a job; nothing is stored.
func (s *Control) ValidateJob(_ context.Context, req *structs.JobValidateRequest) (*structs.JobValidateResponse, error) {
	if req.Job == nil {
		return nil, structs.NewError(structs.KindInvalid, "Job must be specified")
	}
	job, warnings, err := admission.Check(s.store.Snapshot(), s.rules(), req.Job, req.Namespace)
	resp := &structs.JobValidateResponse{DriverConfigValidated: true}
	if unbuilt := admission.NotBuilt(job); unbuilt != nil {
		warnings = append(warnings, unbuilt.Error())
	}
	resp.Warnings = structs.WarningText(warnings)
	if err != nil {
		resp.Error = err.Error()
		resp.ValidationErrors = admission.Faults(err)
	}
	return resp, nil
}

// PlanJob tells what registering a job would do; nothing is stored.
func (s *Control) PlanJob(ctx context.Context, req *structs.JobPlanRequest) (*structs.JobPlanResponse, error) {
	job, warnings, err := admission.Admit(s.store.Snapshot(), s.rules(), req.Job, req.Namespace)
	if err != nil {
		return nil, err
	}
	resp := &structs.JobPlanResponse{Warnings: structs.WarningText(warnings)}
	return resp, s.desk.UseFor(ctx, job, func(on rehearse.Seat) error {
		old := on.Snap.Job(job.GetNamespace(), job.GetID())
		proposed := rehearse.Succeed(old, job, on.Snap.Index()+1)
		decision, err := rehearse.Job(on, proposed, s.evals.New(proposed, structs.TriggerJobRegister, s.cfg.Clock.Now()))
		if err != nil {
			return err
		}
		resp.Annotations, resp.FailedTGAllocs = decision.Annotations, decision.Eval.FailedTGAllocs
		resp.CreatedEvals = decision.FollowUps
		resp.Outcome, resp.Annotations.PreemptedAllocs = explain.Outcome(on.Snap, job, decision.Plan)
		if old != nil {
			resp.JobModifyIndex = old.GetJobModifyIndex()
		}
		if job.IsPeriodicActive() {
			if next := job.Periodic.Next(s.cfg.Clock.Now()); !next.IsZero() {
				resp.NextPeriodicLaunch = &next
			}
		}
		if req.Diff {
			resp.Diff = old.Diff(job, true)
			structs.Annotate(resp.Diff, decision.Annotations)
		}
		return nil
	})
}

// WhyJob says why a job is placed as it is, and as of which index.
func (s *Control) WhyJob(ctx context.Context, namespace, id string) (why *structs.JobWhy, index uint64, err error) {
	err = s.desk.UseFor(ctx, s.store.Snapshot().Job(namespace, id), func(on rehearse.Seat) (err error) {
		job := on.Snap.Job(namespace, id)
		if job == nil {
			return structs.ErrJobNotFound
		}
		index = on.Snap.Index()
		why, err = rehearse.WhyJob(on, s.cfg.Clock.Now(), job)
		return err
	})
	return why, index, err
}

// WhyAlloc says why an allocation is on its node.
func (s *Control) WhyAlloc(ctx context.Context, id string) (why *structs.AllocWhy, index uint64, err error) {
	var job *structs.Job
	if a := s.store.Snapshot().Alloc(id); a != nil {
		job = a.Job
	}
	err = s.desk.UseFor(ctx, job, func(on rehearse.Seat) error {
		a := on.Snap.Alloc(id)
		if a == nil {
			return structs.ErrAllocNotFound
		}
		why, index = rehearse.WhyAlloc(on, s.cfg.Clock.Now(), a), on.Snap.Index()
		return nil
	})
	return why, index, err
}

// WhyNot says what keeps a job off a node.
func (s *Control) WhyNot(ctx context.Context, nodeID, namespace, jobID string) (why *structs.NodeWhyNot, index uint64, err error) {
	err = s.desk.UseFor(ctx, s.store.Snapshot().Job(namespace, jobID), func(on rehearse.Seat) error {
		node := on.Snap.Node(nodeID)
		if node == nil {
			return structs.ErrNodeNotFound
		}
		job := on.Snap.Job(namespace, jobID)
		if job == nil {
			return structs.ErrJobNotFound
		}
		why, index = rehearse.WhyNot(on, s.cfg.Clock.Now(), node, job), on.Snap.Index()
		return nil
	})
	return why, index, err
}

// Capacity counts how many more of a job's allocations fit; nothing is stored.
func (s *Control) Capacity(ctx context.Context, req *structs.CapacityRequest) (report *structs.CapacityReport, index uint64, err error) {
	job, warnings, err := admission.Admit(s.store.Snapshot(), s.rules(), req.Job, req.Namespace)
	if err != nil {
		return nil, 0, err
	}
	err = s.desk.UseFor(ctx, job, func(on rehearse.Seat) error {
		report, index = rehearse.Capacity(on, s.cfg.Clock.Now(), job), on.Snap.Index()
		report.Warnings = structs.WarningText(warnings)
		return nil
	})
	return report, index, err
}

// DeregisterJob stops a job, and removes it if asked to. A job that isn't there
// is stopped already.
func (s *Control) DeregisterJob(ctx context.Context, req *JobDeregisterRequest) (*structs.JobDeregisterResponse, error) {
	if err := checkPriority(req.EvalPriority); err != nil {
		return nil, err
	}
	now := s.cfg.Clock.Now()
	job := s.store.Snapshot().Job(req.Namespace, req.JobID)
	if job == nil {
		return nil, structs.ErrJobNotFound
	}
	c := &command.DeregisterJob{
		Namespace:       req.Namespace,
		JobID:           req.JobID,
		Purge:           req.Purge,
		NoShutdownDelay: req.NoShutdownDelay,
		Now:             now.UnixNano(),
	}
	if !job.IsPeriodic() && !job.IsParameterized() {
		c.Eval = s.evals.New(job, structs.TriggerJobDeregister, now)
		if req.EvalPriority > 0 {
			c.Eval.Priority = req.EvalPriority
		}
	}
	result, err := commit[*state.JobResult](ctx, s, c)
	if err != nil {
		return nil, err
	}
	resp := &structs.JobDeregisterResponse{JobModifyIndex: result.JobModifyIndex}
	resp.LastIndex = result.Index
	if c.Eval != nil {
		resp.EvalID, resp.EvalCreateIndex = c.Eval.ID, result.Index
	}
	return resp, nil
}

// EvaluateJob has a job evaluated again; with ForceReschedule its failed
// allocations are replaced now, whatever their reschedule block says.
func (s *Control) EvaluateJob(ctx context.Context, req *structs.JobEvaluateRequest) (*structs.JobRegisterResponse, error) {
	snap := s.store.Snapshot()
	job := snap.Job(req.Namespace, req.JobID)
	switch {
	case job == nil:
		return nil, structs.ErrJobNotFound
	case job.IsPeriodic():
		return nil, structs.NewError(structs.KindRefused, "can't evaluate periodic job: its launches are evaluated")
	case job.IsParameterized():
		return nil, structs.NewError(structs.KindRefused, "can't evaluate parameterized job: its dispatches are evaluated")
	}
	now := s.cfg.Clock.Now()
	eval := s.evals.New(job, structs.TriggerJobRegister, now)
	c := &command.TransitionAllocs{Evals: []*structs.Evaluation{eval}, Now: now.UnixNano()}
	if req.EvalOptions.ForceReschedule {
		yes := true
		for a := range snap.AllocsByJob(req.Namespace, req.JobID) {
			if a.ClientStatus == structs.AllocClientFailed && a.DesiredStatus == structs.AllocDesiredRun && a.NextAllocation == "" {
				c.Transitions = append(c.Transitions, command.AllocTransition{
					AllocID: a.ID, Transition: structs.DesiredTransition{ForceReschedule: &yes},
				})
			}
		}
	}
	result, err := s.propose(ctx, c)
	if err != nil {
		return nil, err
	}
	resp := &structs.JobRegisterResponse{
		EvalID: eval.ID, EvalCreateIndex: indexOf(result), JobModifyIndex: job.GetJobModifyIndex(),
	}
	resp.LastIndex = indexOf(result)
	return resp, nil
}

// RevertJob registers an older version of a job as its newest.
func (s *Control) RevertJob(ctx context.Context, req *structs.JobRevertRequest) (*structs.JobRegisterResponse, error) {
	snap := s.store.Snapshot()
	current := snap.Job(req.Namespace, req.JobID)
	if current == nil {
		return nil, structs.ErrJobNotFound
	}
	if want := req.EnforcePriorVersion; want != nil && *want != current.GetVersion() {
		return nil, structs.NewError(structs.KindRefused,
			"the job is at version %d, not at %d as the request demands", current.GetVersion(), *want)
	}
	if current.GetVersion() == req.JobVersion {
		return nil, structs.NewError(structs.KindRefused, "can't revert to current version %d", req.JobVersion)
	}
	prior := snap.JobVersion(req.Namespace, req.JobID, req.JobVersion)
	if prior == nil {
		return nil, structs.VersionNotFound(req.JobID, req.JobVersion, snap.JobVersions(req.Namespace, req.JobID))
	}
	job := prior.Clone()
	revive(job)
	now := s.cfg.Clock.Now()
	if err := s.settleDue(ctx, current.NamespacedID()); err != nil {
		return nil, err
	}
	submitted := now.UnixNano()
	job.SubmitTime = &submitted
	return s.register(ctx, &command.RegisterJob{
		Job:            job,
		Submission:     snap.JobSubmission(req.Namespace, req.JobID, req.JobVersion),
		EnforceIndex:   true,
		JobModifyIndex: current.GetJobModifyIndex(),
		Eval:           s.firstEval(current, job, now),
		Now:            submitted,
	})
}

// revive takes off a stored version what belongs to its place in history.
func revive(job *structs.Job) {
	no := false
	job.Stop, job.Stable = &no, &no
	job.VersionTag = nil
}

// SetJobStability marks a job version stable or not.
func (s *Control) SetJobStability(ctx context.Context, req *structs.JobStabilityRequest) (*structs.JobStabilityResponse, error) {
	if snap := s.store.Snapshot(); snap.JobVersion(req.Namespace, req.JobID, req.JobVersion) == nil {
		return nil, structs.VersionNotFound(req.JobID, req.JobVersion, snap.JobVersions(req.Namespace, req.JobID))
	}
	result, err := commit[*state.JobResult](ctx, s, &command.MarkJobStable{
		Namespace:  req.Namespace,
		JobID:      req.JobID,
		JobVersion: req.JobVersion,
		Stable:     req.Stable,
		Now:        s.cfg.Clock.Now().UnixNano(),
	})
	if err != nil {
		return nil, err
	}
	resp := &structs.JobStabilityResponse{JobModifyIndex: result.JobModifyIndex}
	resp.LastIndex = result.Index
	return resp, nil
}

// TagJobVersion names a version of a job.
func (s *Control) TagJobVersion(ctx context.Context, req *JobTagRequest) (*JobTagResponse, error) {
	snap := s.store.Snapshot()
	job := snap.Job(req.Namespace, req.JobID)
	switch {
	case job == nil:
		return nil, structs.ErrJobNotFound
	case req.Name == "":
		return nil, structs.NewError(structs.KindInvalid, "a tag needs a name")
	case len([]rune(req.Description)) > structs.JobVersionTagMaxDescription:
		return nil, structs.NewError(structs.KindInvalid, "a tag's description may have %d characters at most",
			structs.JobVersionTagMaxDescription)
	}
	c := &command.TagJobVersion{Namespace: req.Namespace, JobID: req.JobID, Name: req.Name}
	if req.Remove {
		tagged := snap.JobVersionByTag(req.Namespace, req.JobID, req.Name)
		if tagged == nil {
			return nil, structs.NewError(structs.KindNotFound, "tag %q not found on job %q", req.Name, req.JobID)
		}
		c.JobVersion = tagged.GetVersion()
	} else {
		c.JobVersion = structs.ValueOr(req.Version, job.GetVersion())
		c.Tag = &structs.JobVersionTag{
			Name: req.Name, Description: req.Description, TaggedTime: s.cfg.Clock.Now().UnixNano(),
		}
	}
	result, err := commit[*state.JobResult](ctx, s, c)
	if err != nil {
		return nil, err
	}
	resp := &JobTagResponse{Index: result.Index}
	if c.Tag != nil {
		resp.Name, resp.Description, resp.TaggedTime = c.Tag.Name, c.Tag.Description, c.Tag.TaggedTime
	}
	return resp, nil
}

func checkPriority(p int) error {
	if p < 0 || p > structs.JobMaxPriority {
		return structs.NewError(structs.KindInvalid, "the evaluation's priority must be from %d to %d, is %d",
			structs.JobMinPriority, structs.JobMaxPriority, p)
	}
	return nil
}
