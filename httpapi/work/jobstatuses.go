package work

import (
	"iter"
	"net/http"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
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

// JobStatuses lists jobs with what runs of them, the latest changed first.
func JobStatuses(c *door.Call, v backend.View) (door.Reply, error) {
	var req statusesRequest
	if c.Request.Method != http.MethodGet {
		if err := c.DecodeOnce(&req); err != nil {
			return door.Reply{}, err
		}
		if req.Jobs != nil && len(req.Jobs) == 0 {
			return door.Reply{}, door.Refuse(http.StatusBadRequest, "no jobs in request")
		}
	}
	children, err := c.Flag("include_children")
	if err != nil {
		return door.Reply{}, err
	}
	jobs := wantedJobs(c, v, req.Jobs)
	if !children && !req.IncludeChildren && len(req.Jobs) == 0 {
		jobs = door.Where(jobs, func(j *structs.Job) bool { return j.GetParentID() == "" })
	}
	c.Reverse = !c.Reverse // newest first is the usual way here
	return door.List(c, v, jobs, door.Listing[*structs.Job, *jobStatus]{
		Order: door.ByModification,
		Key: func(j *structs.Job) door.Key {
			return door.Key{Number: j.GetModifyIndex(), Last: j.NamespacedID().String()}
		},
		Show: func(j *structs.Job) *jobStatus { return statusOfJob(v, j) },
	})
}

func wantedJobs(c *door.Call, v backend.View, named []structs.NamespacedID) iter.Seq[*structs.Job] {
	if len(named) == 0 {
		return v.Jobs(c.Namespace, c.Prefix)
	}
	return func(yield func(*structs.Job) bool) {
		for _, n := range named {
			if n.Namespace == "" {
				n.Namespace = door.DefaultNamespace
			}
			if j := v.Job(n.Namespace, n.ID); j != nil && !yield(j) {
				return
			}
		}
	}
}

func statusOfJob(v backend.View, j *structs.Job) *jobStatus {
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
