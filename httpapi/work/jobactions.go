package work

import (
	"cmp"
	"errors"
	"io"
	"net/http"

	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

// registered answers a write of a job.
func registered(resp *structs.JobRegisterResponse, err error) (door.Reply, error) {
	if err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(resp, cmp.Or(resp.LastIndex, resp.JobModifyIndex), nil)
}

// placeJob fills in the namespace and region that a job leaves to the query.
func placeJob(c *door.Call, j *structs.Job) {
	if structs.Value(j.Namespace) == "" {
		ns := c.Namespace
		j.Namespace = &ns
	}
	if structs.Value(j.Region) == "" {
		region := cmp.Or(c.Region, c.Config().Region)
		j.Region = &region
	}
}

// checkJob refuses a body without a job, or with another one than the path
// names.
func checkJob(c *door.Call, j *structs.Job) error {
	if j == nil {
		return door.Refuse(http.StatusBadRequest, "Job must be specified")
	}
	if j.GetID() == "" {
		return door.Refuse(http.StatusBadRequest, "Job ID hasn't been provided")
	}
	if id := c.Param("job_id"); id != "" && id != j.GetID() {
		return door.Refuse(http.StatusBadRequest, "Job ID does not match name")
	}
	placeJob(c, j)
	return nil
}

// JobRegister stores a job.
func JobRegister(c *door.Call) (door.Reply, error) {
	var req structs.JobRegisterRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	if err := checkJob(c, req.Job); err != nil {
		return door.Reply{}, err
	}
	req.WriteRequest = c.WriteRequest(req.Job.GetNamespace())
	return registered(c.Server().RegisterJob(c.Ctx(), &req))
}

// JobPlan tells what registering a job would do.
func JobPlan(c *door.Call) (door.Reply, error) {
	var req structs.JobPlanRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	if err := checkJob(c, req.Job); err != nil {
		return door.Reply{}, err
	}
	req.WriteRequest = c.WriteRequest(req.Job.GetNamespace())
	resp, err := c.Server().PlanJob(c.Ctx(), &req)
	return door.Wrote(resp, 0, err)
}

// JobValidate tells what is wrong with a job.
func JobValidate(c *door.Call) (door.Reply, error) {
	var req structs.JobValidateRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	if req.Job == nil {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "Job must be specified")
	}
	placeJob(c, req.Job)
	req.WriteRequest = c.WriteRequest(req.Job.GetNamespace())
	resp, err := c.Server().ValidateJob(c.Ctx(), &req)
	return door.Wrote(resp, 0, err)
}

// JobStop stops a job, and removes it if asked to.
func JobStop(c *door.Call) (door.Reply, error) {
	req := &server.JobDeregisterRequest{Namespace: c.Namespace, JobID: c.Param("job_id")}
	var err error
	if req.Purge, err = c.Flag("purge"); err != nil {
		return door.Reply{}, err
	}
	if req.NoShutdownDelay, err = c.Flag("no_shutdown_delay"); err != nil {
		return door.Reply{}, err
	}
	if _, err = c.Flag("global"); err != nil { // one region only: nothing more to stop
		return door.Reply{}, err
	}
	priority, given, err := c.Number("eval_priority")
	if err != nil || given && priority != 0 && (priority < structs.JobMinPriority || priority > structs.JobMaxPriority) {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "eval_priority must be a number from %d to %d", structs.JobMinPriority, structs.JobMaxPriority)
	}
	req.EvalPriority = int(priority)
	resp, err := c.Server().DeregisterJob(c.Ctx(), req)
	if err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(resp, cmp.Or(resp.LastIndex, resp.JobModifyIndex), nil)
}

// matchID refuses a body that names another job than the path; a body that
// names none means the path's.
func matchID(c *door.Call, id *string, otherwise string) error {
	want := c.Param("job_id")
	if *id == "" {
		*id = want
	}
	if *id != want {
		return door.Refuse(http.StatusBadRequest, "%s", otherwise)
	}
	return nil
}

// JobEvaluate has a job evaluated again.
func JobEvaluate(c *door.Call) (door.Reply, error) {
	var req structs.JobEvaluateRequest
	if _, err := c.DecodeOptional(&req); err != nil {
		return door.Reply{}, err
	}
	if err := matchID(c, &req.JobID, "JobID not same as job name"); err != nil {
		return door.Reply{}, err
	}
	req.WriteRequest = c.WriteRequest("")
	return registered(c.Server().EvaluateJob(c.Ctx(), &req))
}

// JobDispatch makes a job from a parameterized one.
func JobDispatch(c *door.Call) (door.Reply, error) {
	var d structs.JobDispatch
	if _, err := c.DecodeOptional(&d.JobDispatchRequest); err != nil {
		return door.Reply{}, err
	}
	if err := matchID(c, &d.JobID, "Job ID does not match"); err != nil {
		return door.Reply{}, err
	}
	return dispatch(c, &d)
}

// JobDispatchPayload is JobDispatch with nothing but a payload, which the body is.
func JobDispatchPayload(c *door.Call) (door.Reply, error) {
	payload, err := io.ReadAll(c.Request.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return door.Reply{}, err
	case err != nil:
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "the payload could not be read from the request's body: %v", err)
	}
	d := structs.JobDispatch{JobDispatchRequest: structs.JobDispatchRequest{JobID: c.Param("job_id"), Payload: payload}}
	return dispatch(c, &d)
}

func dispatch(c *door.Call, d *structs.JobDispatch) (door.Reply, error) {
	d.WriteRequest = c.WriteRequest("")
	d.IdempotencyToken = c.Request.URL.Query().Get("idempotency_token")
	resp, err := c.Server().DispatchJob(c.Ctx(), d)
	if err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(resp, resp.LastIndex, nil)
}

// PeriodicForce launches a periodic job now.
func PeriodicForce(c *door.Call) (door.Reply, error) {
	resp, err := c.Server().ForcePeriodic(c.Ctx(), &structs.PeriodicForceRequest{JobID: c.Param("job_id"), WriteRequest: c.WriteRequest("")})
	if err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(resp, resp.LastIndex, nil)
}

// JobRevert makes an older version of a job the newest.
func JobRevert(c *door.Call) (door.Reply, error) {
	var req structs.JobRevertRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	if req.JobID == "" {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "JobID must be specified")
	}
	if err := matchID(c, &req.JobID, "Job ID does not match"); err != nil {
		return door.Reply{}, err
	}
	req.WriteRequest = c.WriteRequest("")
	return registered(c.Server().RevertJob(c.Ctx(), &req))
}

// JobStable marks a version of a job stable, or not.
func JobStable(c *door.Call) (door.Reply, error) {
	var req structs.JobStabilityRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	if req.JobID == "" {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "JobID must be specified")
	}
	if err := matchID(c, &req.JobID, "Job ID does not match"); err != nil {
		return door.Reply{}, err
	}
	req.WriteRequest = c.WriteRequest("")
	resp, err := c.Server().SetJobStability(c.Ctx(), &req)
	if err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(resp, cmp.Or(resp.LastIndex, resp.JobModifyIndex), nil)
}

// JobScaleTo sets the count of a group.
func JobScaleTo(c *door.Call) (door.Reply, error) {
	var req structs.ScalingRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	id := c.Param("job_id")
	if job := req.Target["Job"]; job != "" && job != id {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "job ID in payload did not match URL")
	}
	if ns := req.Target["Namespace"]; ns != "" && ns != c.Namespace {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "namespace in payload did not match the request's")
	}
	if req.Target["Group"] == "" {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "missing task group name for scaling action")
	}
	if req.Error && req.Count != nil {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "scaling action should not contain count if error is true")
	}
	req.WriteRequest = c.WriteRequest("")
	return registered(c.Server().ScaleJob(c.Ctx(), id, &req))
}

// JobTag names a version of a job.
func JobTag(c *door.Call) (door.Reply, error) {
	var req structs.TagVersionRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	tag := tagRequest(c)
	tag.Description = req.Description
	if !req.Latest {
		tag.Version = &req.Version
	}
	return tagged(c.Server().TagJobVersion(c.Ctx(), tag))
}

// JobUntag takes the name of a version away.
func JobUntag(c *door.Call) (door.Reply, error) {
	tag := tagRequest(c)
	tag.Remove = true
	return tagged(c.Server().TagJobVersion(c.Ctx(), tag))
}

func tagRequest(c *door.Call) *server.JobTagRequest {
	return &server.JobTagRequest{Namespace: c.Namespace, JobID: c.Param("job_id"), Name: c.Param("tag_name")}
}

func tagged(resp *server.JobTagResponse, err error) (door.Reply, error) {
	if err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(resp, resp.Index, nil)
}
