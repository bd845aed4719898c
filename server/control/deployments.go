package control

import (
	"context"
	"slices"

	"github.com/steppe-run/steppe/server/deployer"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// PromoteDeployment promotes canaries.
func (s *Control) PromoteDeployment(ctx context.Context, req *structs.DeploymentPromoteRequest) (*structs.DeploymentUpdateResponse, error) {
	snap, d, err := s.activeDeployment(req.DeploymentID, structs.ErrDeploymentTerminalPromote)
	if err != nil {
		return nil, err
	}
	if !req.All && len(req.Groups) == 0 {
		return nil, structs.NewError(structs.KindInvalid, "say which groups to promote, or all")
	}
	groups := req.Groups
	for _, name := range groups {
		if d.TaskGroups[name] == nil {
			return nil, structs.NewError(structs.KindNotFound, "deployment %q has no group %q", d.ID, name)
		}
	}
	if req.All {
		groups = nil
	}
	return s.changeDeployment(ctx, &command.PromoteDeployment{
		DeploymentID:      d.ID,
		Groups:            groups,
		StatusDescription: describe(snap, d, d.Status, func(name string) bool { return req.All || slices.Contains(groups, name) }),
		Eval:              s.deploymentEval(snap, d),
		Now:               s.cfg.Clock.Now().UnixNano(),
	})
}

// FailDeployment marks a deployment failed, and reverts its job where the
// groups ask for it.
func (s *Control) FailDeployment(ctx context.Context, req *structs.DeploymentFailRequest) (*structs.DeploymentUpdateResponse, error) {
	snap, d, err := s.activeDeployment(req.DeploymentID, structs.ErrDeploymentTerminalFail)
	if err != nil {
		return nil, err
	}
	return s.changeDeployment(ctx, deployer.Fail(snap, d, deployer.Verdict{
		Description: structs.DescDeploymentFailedByUser,
		Revert:      anyAutoRevert(d),
		EvalID:      s.cfg.NewID(),
		Now:         s.cfg.Clock.Now(),
	}))
}

func anyAutoRevert(d *structs.Deployment) bool {
	for _, g := range d.TaskGroups {
		if g.AutoRevert {
			return true
		}
	}
	return false
}

// PauseDeployment pauses or resumes a deployment.
func (s *Control) PauseDeployment(ctx context.Context, req *structs.DeploymentPauseRequest) (*structs.DeploymentUpdateResponse, error) {
	terminal := structs.ErrDeploymentTerminalResume
	if req.Pause {
		terminal = structs.ErrDeploymentTerminalPause
	}
	snap, d, err := s.activeDeployment(req.DeploymentID, terminal)
	if err != nil {
		return nil, err
	}
	update := structs.DeploymentStatusUpdate{
		DeploymentID:      d.ID,
		Status:            structs.DeploymentStatusPaused,
		StatusDescription: structs.DescDeploymentPaused,
	}
	c := &command.UpdateDeployment{Now: s.cfg.Clock.Now().UnixNano()}
	if !req.Pause {
		update.Status = structs.DeploymentStatusRunning
		update.StatusDescription = describe(snap, d, update.Status, func(string) bool { return false })
		c.Eval = s.deploymentEval(snap, d)
	}
	c.Update = update
	return s.changeDeployment(ctx, c)
}

// describe is what is told of a deployment with a status once some of its groups
// are promoted; "" leaves what is told of one that doesn't run.
func describe(snap *state.Snapshot, d *structs.Deployment, status string, promoted func(group string) bool) string {
	if status != structs.DeploymentStatusRunning {
		return ""
	}
	next := d.Clone()
	for name, g := range next.TaskGroups {
		g.Promoted = g.Promoted || promoted(name)
	}
	return next.RunningDescription(snap.Job(d.Namespace, d.JobID))
}

// SetAllocHealth records the health of a deployment's allocations by hand.
func (s *Control) SetAllocHealth(ctx context.Context, req *structs.DeploymentAllocHealthRequest) (*structs.DeploymentUpdateResponse, error) {
	snap, d, err := s.activeDeployment(req.DeploymentID, structs.ErrDeploymentTerminalHealth)
	if err != nil {
		return nil, err
	}
	if len(req.HealthyAllocationIDs)+len(req.UnhealthyAllocationIDs) == 0 {
		return nil, structs.NewError(structs.KindInvalid, "name at least one allocation as healthy or unhealthy")
	}
	for _, id := range append(append([]string(nil), req.HealthyAllocationIDs...), req.UnhealthyAllocationIDs...) {
		if a := snap.Alloc(id); a == nil || a.DeploymentID != d.ID {
			return nil, structs.NewError(structs.KindNotFound, "allocation %q is not part of deployment %q", id, d.ID)
		}
	}
	return s.changeDeployment(ctx, &command.SetAllocHealth{
		DeploymentID: d.ID,
		Healthy:      req.HealthyAllocationIDs,
		Unhealthy:    req.UnhealthyAllocationIDs,
		Eval:         s.deploymentEval(snap, d),
		Now:          s.cfg.Clock.Now().UnixNano(),
	})
}

// UnblockDeployment lets a multiregion deployment go on.
func (s *Control) UnblockDeployment(_ context.Context, _ *structs.DeploymentUnblockRequest) (*structs.DeploymentUpdateResponse, error) {
	return nil, structs.NotBuilt("multiregion deployments")
}

func (s *Control) activeDeployment(id string, terminal error) (*state.Snapshot, *structs.Deployment, error) {
	snap := s.store.Snapshot()
	d := snap.Deployment(id)
	switch {
	case d == nil:
		return nil, nil, structs.ErrDeploymentNotFound
	case !d.Active():
		return nil, nil, terminal
	}
	return snap, d, nil
}

func (s *Control) deploymentEval(snap *state.Snapshot, d *structs.Deployment) *structs.Evaluation {
	job := snap.Job(d.Namespace, d.JobID)
	if job == nil {
		return nil
	}
	e := s.evals.New(job, structs.TriggerDeploymentWatcher, s.cfg.Clock.Now())
	e.DeploymentID = d.ID
	return e
}

func (s *Control) changeDeployment(ctx context.Context, c command.Command) (*structs.DeploymentUpdateResponse, error) {
	result, err := commit[*state.DeploymentResult](ctx, s, c)
	if err != nil {
		return nil, err
	}
	resp := &structs.DeploymentUpdateResponse{
		DeploymentModifyIndex: result.Index,
		RevertedJobVersion:    result.RevertedVersion,
		WriteMeta:             structs.WriteMeta{LastIndex: result.Index},
	}
	if e := evalOf(c); e != nil {
		resp.EvalID, resp.EvalCreateIndex = e.ID, result.Index
	}
	return resp, nil
}

func evalOf(c command.Command) *structs.Evaluation {
	switch c := c.(type) {
	case *command.PromoteDeployment:
		return c.Eval
	case *command.UpdateDeployment:
		return c.Eval
	case *command.SetAllocHealth:
		return c.Eval
	}
	return nil
}
