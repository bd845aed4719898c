package httpapi

import (
	"cmp"
	"net/http"

	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

// wrote answers a write with what it returned.
func wrote[T any](value *T, index uint64, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return reply{value: value, index: index}, nil
}

// done answers a write that has nothing to tell but its index.
func done(index uint64, err error) (reply, error) {
	return reply{index: index}, err
}

// registered answers a write of a job.
func registered(resp *structs.JobRegisterResponse, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return wrote(resp, cmp.Or(resp.LastIndex, resp.JobModifyIndex), nil)
}

// writeRequest is who asks, and where.
func (c *call) writeRequest(namespace string) structs.WriteRequest {
	return structs.WriteRequest{
		Region:    cmp.Or(c.region, c.api.cfg.Region),
		Namespace: cmp.Or(namespace, c.namespace),
		SecretID:  c.token,
	}
}

// placeJob fills in the namespace and region that a job leaves to the query.
func (c *call) placeJob(j *structs.Job) {
	if structs.Value(j.Namespace) == "" {
		ns := c.namespace
		j.Namespace = &ns
	}
	if structs.Value(j.Region) == "" {
		region := cmp.Or(c.region, c.api.cfg.Region)
		j.Region = &region
	}
}

// checkJob refuses a body without a job, or with another one than the path
// names.
func (c *call) checkJob(j *structs.Job) error {
	if j == nil {
		return refuse(http.StatusBadRequest, "Job must be specified")
	}
	if j.GetID() == "" {
		return refuse(http.StatusBadRequest, "Job ID hasn't been provided")
	}
	if id := c.param("job_id"); id != "" && id != j.GetID() {
		return refuse(http.StatusBadRequest, "Job ID does not match name")
	}
	c.placeJob(j)
	return nil
}

// jobRegister stores a job.
func jobRegister(c *call) (reply, error) {
	var req structs.JobRegisterRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	if err := c.checkJob(req.Job); err != nil {
		return reply{}, err
	}
	req.WriteRequest = c.writeRequest(req.Job.GetNamespace())
	return registered(c.api.cfg.Server.RegisterJob(c.ctx(), &req))
}

// jobPlan tells what registering a job would do.
func jobPlan(c *call) (reply, error) {
	var req structs.JobPlanRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	if err := c.checkJob(req.Job); err != nil {
		return reply{}, err
	}
	req.WriteRequest = c.writeRequest(req.Job.GetNamespace())
	resp, err := c.api.cfg.Server.PlanJob(c.ctx(), &req)
	return wrote(resp, 0, err)
}

// jobValidate tells what is wrong with a job.
func jobValidate(c *call) (reply, error) {
	var req structs.JobValidateRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	if req.Job == nil {
		return reply{}, refuse(http.StatusBadRequest, "Job must be specified")
	}
	c.placeJob(req.Job)
	req.WriteRequest = c.writeRequest(req.Job.GetNamespace())
	resp, err := c.api.cfg.Server.ValidateJob(c.ctx(), &req)
	return wrote(resp, 0, err)
}

// jobStop stops a job, and removes it if asked to.
func jobStop(c *call) (reply, error) {
	req := &server.JobDeregisterRequest{Namespace: c.namespace, JobID: c.param("job_id")}
	var err error
	if req.Purge, err = c.flag("purge"); err != nil {
		return reply{}, err
	}
	if req.NoShutdownDelay, err = c.flag("no_shutdown_delay"); err != nil {
		return reply{}, err
	}
	if _, err = c.flag("global"); err != nil { // one region only: nothing more to stop
		return reply{}, err
	}
	priority, given, err := c.number("eval_priority")
	if err != nil || given && (priority < structs.JobMinPriority || priority > structs.JobMaxPriority) {
		return reply{}, refuse(http.StatusBadRequest, "eval_priority must be a number from %d to %d", structs.JobMinPriority, structs.JobMaxPriority)
	}
	req.EvalPriority = int(priority)
	resp, err := c.api.cfg.Server.DeregisterJob(c.ctx(), req)
	if err != nil {
		return reply{}, err
	}
	return wrote(resp, cmp.Or(resp.LastIndex, resp.JobModifyIndex), nil)
}

// matchID refuses a body that names another job than the path; a body that
// names none means the path's.
func (c *call) matchID(id *string, otherwise string) error {
	want := c.param("job_id")
	if *id == "" {
		*id = want
	}
	if *id != want {
		return refuse(http.StatusBadRequest, "%s", otherwise)
	}
	return nil
}

// jobEvaluate has a job evaluated again.
func jobEvaluate(c *call) (reply, error) {
	var req structs.JobEvaluateRequest
	if _, err := c.decodeOptional(&req); err != nil {
		return reply{}, err
	}
	if err := c.matchID(&req.JobID, "JobID not same as job name"); err != nil {
		return reply{}, err
	}
	req.WriteRequest = c.writeRequest("")
	return registered(c.api.cfg.Server.EvaluateJob(c.ctx(), &req))
}

// jobRevert makes an older version of a job the newest.
func jobRevert(c *call) (reply, error) {
	var req structs.JobRevertRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	if req.JobID == "" {
		return reply{}, refuse(http.StatusBadRequest, "JobID must be specified")
	}
	if err := c.matchID(&req.JobID, "Job ID does not match"); err != nil {
		return reply{}, err
	}
	req.WriteRequest = c.writeRequest("")
	return registered(c.api.cfg.Server.RevertJob(c.ctx(), &req))
}

// jobStable marks a version of a job stable, or not.
func jobStable(c *call) (reply, error) {
	var req structs.JobStabilityRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	if req.JobID == "" {
		return reply{}, refuse(http.StatusBadRequest, "JobID must be specified")
	}
	if err := c.matchID(&req.JobID, "Job ID does not match"); err != nil {
		return reply{}, err
	}
	req.WriteRequest = c.writeRequest("")
	resp, err := c.api.cfg.Server.SetJobStability(c.ctx(), &req)
	if err != nil {
		return reply{}, err
	}
	return wrote(resp, cmp.Or(resp.LastIndex, resp.JobModifyIndex), nil)
}

// jobScaleTo sets the count of a group.
func jobScaleTo(c *call) (reply, error) {
	var req structs.ScalingRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	id := c.param("job_id")
	if job := req.Target["Job"]; job != "" && job != id {
		return reply{}, refuse(http.StatusBadRequest, "job ID in payload did not match URL")
	}
	if ns := req.Target["Namespace"]; ns != "" && ns != c.namespace {
		return reply{}, refuse(http.StatusBadRequest, "namespace in payload did not match the request's")
	}
	if req.Target["Group"] == "" {
		return reply{}, refuse(http.StatusBadRequest, "missing task group name for scaling action")
	}
	if req.Error && req.Count != nil {
		return reply{}, refuse(http.StatusBadRequest, "scaling action should not contain count if error is true")
	}
	req.WriteRequest = c.writeRequest("")
	return registered(c.api.cfg.Server.ScaleJob(c.ctx(), id, &req))
}

// jobTag names a version of a job.
func jobTag(c *call) (reply, error) {
	var req structs.TagVersionRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	tag := c.tagRequest()
	tag.Description = req.Description
	if !req.Latest {
		tag.Version = &req.Version
	}
	return tagged(c.api.cfg.Server.TagJobVersion(c.ctx(), tag))
}

// jobUntag takes the name of a version away.
func jobUntag(c *call) (reply, error) {
	tag := c.tagRequest()
	tag.Remove = true
	return tagged(c.api.cfg.Server.TagJobVersion(c.ctx(), tag))
}

func (c *call) tagRequest() *server.JobTagRequest {
	return &server.JobTagRequest{Namespace: c.namespace, JobID: c.param("job_id"), Name: c.param("tag_name")}
}

func tagged(resp *server.JobTagResponse, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return wrote(resp, resp.Index, nil)
}
