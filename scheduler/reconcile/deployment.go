package reconcile

import (
	"github.com/steppe-run/steppe/structs"
)

// lookAtDeployment decides what becomes of the job's latest deployment: it
// ends when the job stops or has a newer version, else it governs this run.
func (r *run) lookAtDeployment() {
	d := r.Deployment
	if d == nil {
		return
	}
	switch {
	case r.Job.Stopped():
		r.cancel(d, structs.DescDeploymentStopped)
	case d.JobVersion != r.Job.GetVersion() || d.JobCreateIndex != r.Job.GetCreateIndex():
		r.cancel(d, structs.DescDeploymentNewerJob)
	case d.Status != structs.DeploymentStatusCancelled:
		r.current = d
		r.failed = d.Status == structs.DeploymentStatusFailed
		r.paused = d.Active() && d.Status != structs.DeploymentStatusRunning
	}
}

func (r *run) cancel(d *structs.Deployment, why string) {
	if d.Active() {
		r.out.DeploymentUpdates = append(r.out.DeploymentUpdates, structs.DeploymentStatusUpdate{
			DeploymentID: d.ID, Status: structs.DeploymentStatusCancelled, StatusDescription: why,
		})
	}
}

// active returns the deployment under way: the current one, or the one that
// this run creates.
func (r *run) active() *structs.Deployment {
	if r.out.Deployment != nil {
		return r.out.Deployment
	}
	if r.current.Active() {
		return r.current
	}
	return nil
}

// strategy returns how a group's updates are paced, nil if they are not.
func (r *run) strategy(tg *structs.TaskGroup) *structs.UpdateStrategy {
	if r.batch || tg.Update == nil || structs.Value(tg.Update.MaxParallel) <= 0 {
		return nil
	}
	return tg.Update
}

// deploy puts a group under the deployment of this version, which is created
// if need be, and returns the group's part of it; nil if the group needs none.
// changes says that allocations of older versions are to be updated; size is how
// many are to run.
func (g *group) deploy(changes bool, size Total) *structs.DeploymentState {
	u := g.run.strategy(g.tg)
	if g.run.current != nil {
		return g.run.current.TaskGroups[g.name]
	}
	if u == nil || !changes && g.hasCurrent {
		return nil
	}
	d := g.run.out.Deployment
	if d == nil {
		d = g.run.newDeployment()
		g.run.out.Deployment = d
	}
	state := &structs.DeploymentState{
		AutoRevert:       structs.Value(u.AutoRevert),
		ProgressDeadline: structs.Value(u.ProgressDeadline),
		DesiredTotal:     size.Allocs,
		DesiredCanaries:  size.Canaries,
	}
	if state.ProgressDeadline > 0 {
		state.RequireProgressBy = g.run.Now.Add(state.ProgressDeadline)
	}
	d.TaskGroups[g.name] = state
	return state
}

func (r *run) newDeployment() *structs.Deployment {
	now := r.Now.UnixNano()
	return &structs.Deployment{
		ID:                 r.NewID(),
		Namespace:          r.Job.GetNamespace(),
		JobID:              r.Job.GetID(),
		JobVersion:         r.Job.GetVersion(),
		JobModifyIndex:     r.Job.GetModifyIndex(),
		JobSpecModifyIndex: r.Job.GetJobModifyIndex(),
		JobCreateIndex:     r.Job.GetCreateIndex(),
		TaskGroups:         map[string]*structs.DeploymentState{},
		Status:             structs.DeploymentStatusRunning,
		StatusDescription:  structs.DescDeploymentRunning,
		CreateTime:         now,
		ModifyTime:         now,
	}
}

// finishDeployment describes a new deployment, once all groups are part of it.
func (r *run) finishDeployment() {
	if d := r.out.Deployment; d != nil {
		d.StatusDescription = d.RunningDescription(r.Job)
	}
	if d := r.active(); d != nil {
		r.out.DeploymentID = d.ID
	}
}
