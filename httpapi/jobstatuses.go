package httpapi

import (
	"iter"
	"net/http"

	"github.com/steppe-run/steppe/structs"
)

// statusesRequest picks the jobs whose statuses are wanted; none means all.
type statusesRequest struct {
	Jobs            []structs.NamespacedID
	IncludeChildren bool
}

// jobStatus is what the console shows of a job in a list.
type jobStatus struct {
	ID               string
	Namespace        string
	Name             string
	Type             string
	Status           string
	Priority         int
	Datacenters      []string
	NodePool         string
	ParentID         string
	Stop             bool
	Version          uint64
	SubmitTime       int64
	CreateIndex      uint64
	ModifyIndex      uint64
	GroupCountSum    int
	Allocs           []allocStatus
	ChildStatuses    []string
	LatestDeployment *deploymentStatus
}

// allocStatus is what the console needs of an allocation to count it.
type allocStatus struct {
	ID               string
	Group            string
	ClientStatus     string
	NodeID           string
	JobVersion       uint64
	FollowupEvalID   string
	NextAllocation   string
	DeploymentStatus struct {
		Canary  bool
		Healthy *bool
	}
}

// deploymentStatus is what the console needs of a deployment.
type deploymentStatus struct {
	ID                string
	JobVersion        uint64
	Status            string
	StatusDescription string
	IsActive          bool
	RequiresPromotion bool
	AllAutoPromote    bool
}

// jobStatuses lists jobs with what runs of them, the latest changed first.
func jobStatuses(c *call, v View) (reply, error) {
	var req statusesRequest
	if c.r.Method != http.MethodGet {
		if err := c.decodeOnce(&req); err != nil {
			return reply{}, err
		}
		if req.Jobs != nil && len(req.Jobs) == 0 {
			return reply{}, refuse(http.StatusBadRequest, "no jobs in request")
		}
	}
	children, err := c.flag("include_children")
	if err != nil {
		return reply{}, err
	}
	jobs := wantedJobs(c, v, req.Jobs)
	if !children && !req.IncludeChildren && len(req.Jobs) == 0 {
		jobs = where(jobs, func(j *structs.Job) bool { return j.GetParentID() == "" })
	}
	c.reverse = !c.reverse // newest first is the usual way here
	return list(c, v, jobs, listing[*structs.Job, *jobStatus]{
		order: byModification,
		key:   func(j *structs.Job) key { return key{number: j.GetModifyIndex(), last: j.NamespacedID().String()} },
		show:  func(j *structs.Job) *jobStatus { return statusOfJob(v, j) },
	})
}

func wantedJobs(c *call, v View, named []structs.NamespacedID) iter.Seq[*structs.Job] {
	if len(named) == 0 {
		return v.Jobs(c.namespace, c.prefix)
	}
	return func(yield func(*structs.Job) bool) {
		for _, n := range named {
			if n.Namespace == "" {
				n.Namespace = defaultNamespace
			}
			if j := v.Job(n.Namespace, n.ID); j != nil && !yield(j) {
				return
			}
		}
	}
}

func statusOfJob(v View, j *structs.Job) *jobStatus {
	ns, id := j.GetNamespace(), j.GetID()
	s := &jobStatus{
		ID: id, Namespace: ns, Name: j.GetName(), Type: j.GetType(), Status: j.GetStatus(), Priority: j.GetPriority(),
		Datacenters: j.Datacenters, NodePool: j.GetNodePool(), ParentID: j.GetParentID(), Stop: j.Stopped(),
		Version: j.GetVersion(), SubmitTime: structs.Value(j.SubmitTime), CreateIndex: j.GetCreateIndex(),
		ModifyIndex: j.GetModifyIndex(), Allocs: []allocStatus{}, ChildStatuses: []string{},
	}
	for _, g := range j.TaskGroups {
		s.GroupCountSum += g.GetCount()
	}
	if j.IsPeriodic() || j.IsParameterized() {
		for child := range v.JobChildren(ns, id) {
			s.ChildStatuses = append(s.ChildStatuses, child.GetStatus())
		}
	}
	for a := range v.AllocsByJob(ns, id) {
		one := allocStatus{ID: a.ID, Group: a.TaskGroup, ClientStatus: a.ClientStatus, NodeID: a.NodeID,
			JobVersion: a.JobVersion(), FollowupEvalID: a.FollowupEvalID, NextAllocation: a.NextAllocation}
		if d := a.DeploymentStatus; d != nil {
			one.DeploymentStatus.Canary, one.DeploymentStatus.Healthy = d.Canary, d.Healthy
		}
		s.Allocs = append(s.Allocs, one)
	}
	if d := v.LatestDeployment(ns, id); d != nil {
		s.LatestDeployment = &deploymentStatus{ID: d.ID, JobVersion: d.JobVersion, Status: d.Status,
			StatusDescription: d.StatusDescription, IsActive: d.Active(), RequiresPromotion: d.RequiresPromotion(),
			AllAutoPromote: autoPromotes(j, d)}
	}
	return s
}

// autoPromotes reports whether every group of a deployment that has canaries
// is promoted without anybody asking.
func autoPromotes(j *structs.Job, d *structs.Deployment) bool {
	canaries := false
	for name, state := range d.TaskGroups {
		if state.DesiredCanaries == 0 {
			continue
		}
		canaries = true
		g := j.LookupTaskGroup(name)
		if g == nil || g.Update == nil || !structs.Value(g.Update.AutoPromote) {
			return false
		}
	}
	return canaries
}
