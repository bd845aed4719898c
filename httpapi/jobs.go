package httpapi

import (
	"iter"
	"net/http"

	"github.com/steppe-run/steppe/structs"
)

// jobsList lists jobs.
func jobsList(c *call, v View) (reply, error) {
	meta, err := c.flag("meta")
	if err != nil {
		return reply{}, err
	}
	return listJobs(c, v, v.Jobs(c.namespace, c.prefix), meta)
}

func listJobs(c *call, v View, jobs iter.Seq[*structs.Job], meta bool) (reply, error) {
	return list(c, v, jobs, listing[*structs.Job, *structs.JobListStub]{
		order: byNamespace,
		key:   func(j *structs.Job) key { return key{first: j.GetNamespace(), last: j.GetID()} },
		show: func(j *structs.Job) *structs.JobListStub {
			return jobStub(j, v.JobSummary(j.GetNamespace(), j.GetID()), meta)
		},
	})
}

// jobOf finds the job that the path names.
func jobOf(c *call, v View) (*structs.Job, error) {
	if j := v.Job(c.namespace, c.param("job_id")); j != nil {
		return j, nil
	}
	return nil, structs.ErrJobNotFound
}

// jobRead reads one job.
func jobRead(c *call, v View) (reply, error) {
	j, err := jobOf(c, v)
	if err != nil {
		return reply{}, err
	}
	return reply{value: j, index: j.GetModifyIndex()}, nil
}

// jobSummary reads the counts of a job's allocations.
func jobSummary(c *call, v View) (reply, error) {
	s := v.JobSummary(c.namespace, c.param("job_id"))
	if s == nil {
		return reply{}, structs.ErrJobNotFound
	}
	return reply{value: s, index: s.ModifyIndex}, nil
}

// jobAllocations lists the allocations of a job, by default only those of the
// job that has the name now.
func jobAllocations(c *call, v View) (reply, error) {
	everything, err := c.flag("all")
	if err != nil {
		return reply{}, err
	}
	ns, id := c.namespace, c.param("job_id")
	job := v.Job(ns, id)
	allocs := where(v.AllocsByJob(ns, id), func(a *structs.Allocation) bool {
		return everything || job == nil || a.Job == nil || a.Job.GetCreateIndex() == job.GetCreateIndex()
	})
	return reply{value: all(allocs, fullStub), index: c.indexOf(v)}, nil
}

// jobEvaluations lists the evaluations of a job.
func jobEvaluations(c *call, v View) (reply, error) {
	evals := v.EvalsByJob(c.namespace, c.param("job_id"))
	return reply{value: all(evals, same[*structs.Evaluation]), index: c.indexOf(v)}, nil
}

// jobDeployments lists the deployments of a job, by default only those of the
// job that has the name now.
func jobDeployments(c *call, v View) (reply, error) {
	everything, err := c.flag("all")
	if err != nil {
		return reply{}, err
	}
	ns, id := c.namespace, c.param("job_id")
	job := v.Job(ns, id)
	deployments := where(v.DeploymentsByJob(ns, id), func(d *structs.Deployment) bool {
		return everything || job == nil || d.JobCreateIndex == job.GetCreateIndex()
	})
	return reply{value: all(deployments, same[*structs.Deployment]), index: c.indexOf(v)}, nil
}

// jobDeployment reads a job's newest deployment; null if it has none.
func jobDeployment(c *call, v View) (reply, error) {
	d := v.LatestDeployment(c.namespace, c.param("job_id"))
	return reply{value: orNull(d), index: c.indexOf(v)}, nil
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

// jobServices lists the service registrations of a job.
func jobServices(c *call, v View) (reply, error) {
	j, err := jobOf(c, v)
	if err != nil {
		return reply{}, err
	}
	services := where(v.Services(c.namespace), func(s *structs.ServiceRegistration) bool { return s.JobID == j.GetID() })
	return reply{value: all(services, same[*structs.ServiceRegistration]), index: c.indexOf(v)}, nil
}

// jobSubmission reads the source that a version was registered from.
func jobSubmission(c *call, v View) (reply, error) {
	version, given, err := c.number("version")
	if err != nil {
		return reply{}, err
	}
	if !given {
		return reply{}, refuse(http.StatusBadRequest, "Missing or invalid \"version\": say which version's source is wanted")
	}
	source := v.JobSubmission(c.namespace, c.param("job_id"), version)
	if source == nil {
		return reply{}, refuse(http.StatusNotFound, "job source not found")
	}
	return reply{value: source, index: c.indexOf(v)}, nil
}

// jobAction is an action with the task it belongs to.
type jobAction struct {
	*structs.Action
	TaskGroupName string
	TaskName      string
}

// jobActions lists the actions that a job's tasks define.
func jobActions(c *call, v View) (reply, error) {
	j, err := jobOf(c, v)
	if err != nil {
		return reply{}, err
	}
	actions := []jobAction{}
	for _, g := range j.TaskGroups {
		for _, t := range g.Tasks {
			for _, a := range t.Actions {
				actions = append(actions, jobAction{a, g.GetName(), t.Name})
			}
		}
	}
	return reply{value: actions, index: j.GetModifyIndex()}, nil
}

// jobScale tells how many of each group are wanted and there.
func jobScale(c *call, v View) (reply, error) {
	j, err := jobOf(c, v)
	if err != nil {
		return reply{}, err
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
	return reply{value: status, index: c.indexOf(v)}, nil
}
