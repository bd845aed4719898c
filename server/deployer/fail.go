package deployer

import (
	"fmt"
	"time"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// Verdict says why and how a deployment fails.
type Verdict struct {
	Description string
	// Revert asks for a return to the latest stable version.
	Revert bool
	EvalID string
	Now    time.Time
}

// Fail returns the command that fails a deployment and, if asked for and
// possible, registers the latest stable version of its job again.
func Fail(v View, dep *structs.Deployment, verdict Verdict) *command.UpdateDeployment {
	job := v.Job(dep.Namespace, dep.JobID)
	c := &command.UpdateDeployment{
		Update: structs.DeploymentStatusUpdate{
			DeploymentID:      dep.ID,
			Status:            structs.DeploymentStatusFailed,
			StatusDescription: verdict.Description,
		},
		Eval: evaluation(dep, job, verdict.EvalID, verdict.Now),
		Now:  verdict.Now.UnixNano(),
	}
	if verdict.Revert && job != nil {
		var suffix string
		c.Job, suffix = rollback(v, dep, job, c.Now)
		c.Update.StatusDescription += suffix
	}
	return c
}

// rollback returns the job to register again, nil if there is none or it
// would change nothing, and what to tell about it. It is a version of its own,
// submitted now.
func rollback(v View, dep *structs.Deployment, job *structs.Job, now int64) (*structs.Job, string) {
	stable := LatestStable(v, dep)
	switch {
	case stable == nil:
		return nil, structs.DescDeploymentNoRollbackTarget
	case !structs.SpecChanged(job, stable):
		return nil, fmt.Sprintf(structs.DescDeploymentRollbackNoopFmt, stable.GetVersion())
	}
	again := stable.Clone()
	again.Stable, again.SubmitTime = nil, &now
	return again, fmt.Sprintf(structs.DescDeploymentRollbackFmt, stable.GetVersion())
}

// LatestStable returns the newest stable version of the deployment's job that
// is older than the deployment's, or nil.
func LatestStable(v View, dep *structs.Deployment) *structs.Job {
	for _, job := range v.JobVersions(dep.Namespace, dep.JobID) {
		if job.IsStable() && job.GetVersion() < dep.JobVersion {
			return job
		}
	}
	return nil
}

func evaluation(dep *structs.Deployment, job *structs.Job, id string, now time.Time) *structs.Evaluation {
	e := &structs.Evaluation{
		ID:           id,
		Namespace:    dep.Namespace,
		Priority:     structs.JobDefaultPriority,
		Type:         structs.JobTypeService,
		TriggeredBy:  structs.TriggerDeploymentWatcher,
		JobID:        dep.JobID,
		DeploymentID: dep.ID,
		Status:       structs.EvalStatusPending,
		CreateTime:   now.UnixNano(),
		ModifyTime:   now.UnixNano(),
	}
	if job != nil {
		e.Priority, e.Type = job.GetPriority(), job.GetType()
	}
	return e
}
