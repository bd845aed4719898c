// Package work answers requests about what shall run and what does: jobs,
// allocations, evaluations, deployments and the services they registered. Each
// function stands in a row of the table of routes.
//
// It must not know who may ask or which agent has to answer: package door has
// settled that. Begin reading at JobsList and JobRegister.
package work

import (
	"fmt"
	"iter"
	"net/http"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/httpapi/show"
	"github.com/steppe-run/steppe/internal/squeeze"
	"github.com/steppe-run/steppe/structs"
)

// JobsList lists jobs.
func JobsList(c *door.Call, v backend.View) (door.Reply, error) {
	meta, err := c.Flag("meta")
	if err != nil {
		return door.Reply{}, err
	}
	return listJobs(c, v, v.Jobs(c.Namespace, c.Prefix), meta)
}

func listJobs(c *door.Call, v backend.View, jobs iter.Seq[*structs.Job], meta bool) (door.Reply, error) {
	return door.List(c, v, jobs, door.Listing[*structs.Job, *structs.JobListStub]{
		Order: door.ByNamespace,
		Key:   func(j *structs.Job) door.Key { return door.Key{First: j.GetNamespace(), Last: j.GetID()} },
		Show: func(j *structs.Job) *structs.JobListStub {
			return show.JobStub(j, v.JobSummary(j.GetNamespace(), j.GetID()), meta)
		},
	})
}

// jobOf finds the job that the path names.
func jobOf(c *door.Call, v backend.View) (*structs.Job, error) {
	if j := v.Job(c.Namespace, c.Param("job_id")); j != nil {
		return j, nil
	}
	return nil, structs.ErrJobNotFound
}

// JobRead reads one job.
func JobRead(c *door.Call, v backend.View) (door.Reply, error) {
	j, err := jobOf(c, v)
	if err != nil {
		return door.Reply{}, err
	}
	index := j.GetModifyIndex()
	if len(j.Payload) > 0 {
		whole := *j
		if whole.Payload, err = squeeze.Unpack(j.Payload, structs.MaxDispatchPayload); err != nil {
			return door.Reply{}, fmt.Errorf("read the job's payload: %w", err)
		}
		j = &whole
	}
	return door.Reply{Value: j, Index: index}, nil
}

// JobSummary reads the counts of a job's allocations.
func JobSummary(c *door.Call, v backend.View) (door.Reply, error) {
	s := v.JobSummary(c.Namespace, c.Param("job_id"))
	if s == nil {
		return door.Reply{}, structs.ErrJobNotFound
	}
	return door.Reply{Value: s, Index: s.ModifyIndex}, nil
}

// JobAllocations lists the allocations of a job, by default only those of the
// job that has the name now.
func JobAllocations(c *door.Call, v backend.View) (door.Reply, error) {
	everything, err := c.Flag("all")
	if err != nil {
		return door.Reply{}, err
	}
	ns, id := c.Namespace, c.Param("job_id")
	job := v.Job(ns, id)
	allocs := door.Where(v.AllocsByJob(ns, id), func(a *structs.Allocation) bool {
		return everything || job == nil || a.Job == nil || a.Job.GetCreateIndex() == job.GetCreateIndex()
	})
	return door.Reply{Value: door.All(allocs, show.FullStub), Index: c.IndexOf(v)}, nil
}

// JobEvaluations lists the evaluations of a job.
func JobEvaluations(c *door.Call, v backend.View) (door.Reply, error) {
	evals := v.EvalsByJob(c.Namespace, c.Param("job_id"))
	return door.Reply{Value: door.All(evals, door.Same[*structs.Evaluation]), Index: c.IndexOf(v)}, nil
}

// JobDeployments lists the deployments of a job, by default only those of the
// job that has the name now.
func JobDeployments(c *door.Call, v backend.View) (door.Reply, error) {
	everything, err := c.Flag("all")
	if err != nil {
		return door.Reply{}, err
	}
	ns, id := c.Namespace, c.Param("job_id")
	job := v.Job(ns, id)
	deployments := door.Where(v.DeploymentsByJob(ns, id), func(d *structs.Deployment) bool {
		return everything || job == nil || d.JobCreateIndex == job.GetCreateIndex()
	})
	return door.Reply{Value: door.All(deployments, door.Same[*structs.Deployment]), Index: c.IndexOf(v)}, nil
}

// JobDeployment reads a job's newest deployment; null if it has none.
func JobDeployment(c *door.Call, v backend.View) (door.Reply, error) {
	d := v.LatestDeployment(c.Namespace, c.Param("job_id"))
	return door.Reply{Value: orNull(d), Index: c.IndexOf(v)}, nil
}

// null is sent as JSON's null, where nil would mean an empty body.
type null struct{}

// MarshalJSON implements json.Marshaler.
func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

func orNull[T any](v *T) any {
	if v == nil {
		return null{}
	}
	return v
}

// JobServices lists the service registrations of a job.
func JobServices(c *door.Call, v backend.View) (door.Reply, error) {
	j, err := jobOf(c, v)
	if err != nil {
		return door.Reply{}, err
	}
	services := door.Where(v.Services(c.Namespace), func(s *structs.ServiceRegistration) bool { return s.JobID == j.GetID() })
	return door.Reply{Value: door.All(services, door.Same[*structs.ServiceRegistration]), Index: c.IndexOf(v)}, nil
}

// JobSubmission reads the source that a version was registered from.
func JobSubmission(c *door.Call, v backend.View) (door.Reply, error) {
	version, given, err := c.Number("version")
	if err != nil {
		return door.Reply{}, err
	}
	if !given {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "Missing or invalid \"version\": say which version's source is wanted")
	}
	source := v.JobSubmission(c.Namespace, c.Param("job_id"), version)
	if source == nil {
		return door.Reply{}, door.Refuse(http.StatusNotFound, "job source not found")
	}
	return door.Reply{Value: source, Index: c.IndexOf(v)}, nil
}

// jobAction is an action with the task it belongs to.
type jobAction struct {
	*structs.Action
	TaskGroupName string
	TaskName      string
}

// JobActions lists the actions that a job's tasks define.
func JobActions(c *door.Call, v backend.View) (door.Reply, error) {
	j, err := jobOf(c, v)
	if err != nil {
		return door.Reply{}, err
	}
	actions := []jobAction{}
	for _, g := range j.TaskGroups {
		for _, t := range g.Tasks {
			for _, a := range t.Actions {
				actions = append(actions, jobAction{a, g.GetName(), t.Name})
			}
		}
	}
	return door.Reply{Value: actions, Index: j.GetModifyIndex()}, nil
}

// JobScale tells how many of each group are wanted and there.
func JobScale(c *door.Call, v backend.View) (door.Reply, error) {
	j, err := jobOf(c, v)
	if err != nil {
		return door.Reply{}, err
	}
	status := &structs.JobScaleStatusResponse{
		JobID: j.GetID(), Namespace: j.GetNamespace(), JobCreateIndex: j.GetCreateIndex(),
		JobModifyIndex: j.GetJobModifyIndex(), JobStopped: j.Stopped(), TaskGroups: map[string]structs.TaskGroupScaleStatus{},
	}
	counts := map[string]structs.TaskGroupScaleStatus{}
	for a := range v.AllocsByJob(j.GetNamespace(), j.GetID()) {
		if a.TerminalStatus() {
			continue
		}
		n := counts[a.TaskGroup]
		n.Placed++
		if a.ClientStatus == structs.AllocClientRunning {
			n.Running++
		}
		if a.DeploymentStatus.IsHealthy() {
			n.Healthy++
		} else if a.DeploymentStatus.IsUnhealthy() {
			n.Unhealthy++
		}
		counts[a.TaskGroup] = n
	}
	events := v.ScalingEvents(j.GetNamespace(), j.GetID())
	for _, g := range j.TaskGroups {
		n := counts[g.GetName()]
		n.Desired = g.GetCount()
		for _, e := range events[g.GetName()] {
			n.Events = append(n.Events, *e)
		}
		status.TaskGroups[g.GetName()] = n
	}
	return door.Reply{Value: status, Index: c.IndexOf(v)}, nil
}

// PoolJobs lists the jobs that use a pool.
func PoolJobs(c *door.Call, v backend.View) (door.Reply, error) {
	pool := c.Param("name")
	if v.NodePool(pool) == nil {
		return door.Reply{}, structs.ErrNodePoolNotFound
	}
	if c.Prefix != "" {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "prefix argument not allowed")
	}
	meta, err := c.Flag("meta")
	if err != nil {
		return door.Reply{}, err
	}
	uses := func(j *structs.Job) bool { return j.GetNodePool() == pool }
	return listJobs(c, v, door.Where(v.Jobs(c.Namespace, ""), uses), meta)
}
