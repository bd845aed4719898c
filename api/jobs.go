package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// Jobs lists jobs.
func (c *Client) Jobs(ctx context.Context, q *Query) ([]*structs.JobListStub, *Meta, error) {
	return list[*structs.JobListStub](ctx, c, "/v1/jobs", q)
}

// Job reads one job.
func (c *Client) Job(ctx context.Context, id string, q *Query) (*structs.Job, *Meta, error) {
	return one[structs.Job](ctx, c, jobPath(id, ""), q)
}

// RegisterJob submits a job.
func (c *Client) RegisterJob(ctx context.Context, req *structs.JobRegisterRequest, q *Query) (*structs.JobRegisterResponse, error) {
	return put[structs.JobRegisterResponse](ctx, c, "/v1/jobs", q, req)
}

// PlanJob tells what registering a job would do.
func (c *Client) PlanJob(ctx context.Context, req *structs.JobPlanRequest, q *Query) (*structs.JobPlanResponse, error) {
	id := ""
	if req.Job != nil && req.Job.ID != nil {
		id = *req.Job.ID
	}
	return put[structs.JobPlanResponse](ctx, c, jobPath(id, "plan"), q, req)
}

// ValidateJob checks a job without storing it.
func (c *Client) ValidateJob(ctx context.Context, job *structs.Job, q *Query) (*structs.JobValidateResponse, error) {
	return put[structs.JobValidateResponse](ctx, c, "/v1/validate/job", q, &structs.JobValidateRequest{Job: job})
}

// StopJob stops a job; see StopOptions.
func (c *Client) StopJob(ctx context.Context, id string, o StopOptions, q *Query) (*structs.JobDeregisterResponse, error) {
	params := Query{}
	if q != nil {
		params = *q
	}
	params.Params = map[string]string{"purge": fmt.Sprint(o.Purge), "no_shutdown_delay": fmt.Sprint(o.NoShutdownDelay)}
	if o.Global {
		params.Params["global"] = "true"
	}
	if o.EvalPriority > 0 {
		params.Params["eval_priority"] = fmt.Sprint(o.EvalPriority)
	}
	var out structs.JobDeregisterResponse
	_, err := c.Delete(ctx, jobPath(id, ""), &params, &out)
	return &out, err
}

// StopOptions says how to stop a job.
type StopOptions struct {
	// Purge removes the job instead of keeping it as stopped.
	Purge           bool
	NoShutdownDelay bool
	EvalPriority    int
	// Global stops the job in all its regions.
	Global bool
}

// JobVersions lists a job's versions, newest first; diffs asks for what each
// changed.
func (c *Client) JobVersions(ctx context.Context, id string, diffs bool, q *Query) (*structs.JobVersionsResponse, *Meta, error) {
	params := Query{}
	if q != nil {
		params = *q
	}
	params.Params = map[string]string{"diffs": fmt.Sprint(diffs)}
	return one[structs.JobVersionsResponse](ctx, c, jobPath(id, "versions"), &params)
}

// JobAllocations lists a job's allocations; all includes those of earlier jobs
// of the same name.
func (c *Client) JobAllocations(ctx context.Context, id string, all bool, q *Query) ([]*structs.AllocationListStub, *Meta, error) {
	return list[*structs.AllocationListStub](ctx, c, jobPath(id, "allocations"), withAll(q, all))
}

// JobEvaluations lists a job's evaluations.
func (c *Client) JobEvaluations(ctx context.Context, id string, q *Query) ([]*structs.Evaluation, *Meta, error) {
	return list[*structs.Evaluation](ctx, c, jobPath(id, "evaluations"), q)
}

// JobDeployments lists a job's deployments.
func (c *Client) JobDeployments(ctx context.Context, id string, all bool, q *Query) ([]*structs.Deployment, *Meta, error) {
	return list[*structs.Deployment](ctx, c, jobPath(id, "deployments"), withAll(q, all))
}

// LatestDeployment reads a job's newest deployment; nil if it never had one.
func (c *Client) LatestDeployment(ctx context.Context, id string, q *Query) (*structs.Deployment, *Meta, error) {
	var out *structs.Deployment
	meta, err := c.Get(ctx, jobPath(id, "deployment"), q, &out)
	return out, meta, err
}

// JobSummary counts a job's allocations by group and status.
func (c *Client) JobSummary(ctx context.Context, id string, q *Query) (*structs.JobSummary, *Meta, error) {
	return one[structs.JobSummary](ctx, c, jobPath(id, "summary"), q)
}

// JobSubmission reads the source of a job version.
func (c *Client) JobSubmission(ctx context.Context, id string, version uint64, q *Query) (*structs.JobSubmission, error) {
	params := Query{}
	if q != nil {
		params = *q
	}
	params.Params = map[string]string{"version": fmt.Sprint(version)}
	out, _, err := one[structs.JobSubmission](ctx, c, jobPath(id, "submission"), &params)
	return out, err
}

// EvaluateJob makes a new evaluation of a job.
func (c *Client) EvaluateJob(ctx context.Context, id string, o structs.EvalOptions, q *Query) (*structs.JobRegisterResponse, error) {
	return put[structs.JobRegisterResponse](ctx, c, jobPath(id, "evaluate"), q, &structs.JobEvaluateRequest{JobID: id, EvalOptions: o})
}

// DispatchJob makes a job from a parameterized one; with a token it makes the
// same one however often it is asked.
func (c *Client) DispatchJob(ctx context.Context, req *structs.JobDispatchRequest, token string, q *Query) (*structs.JobDispatchResponse, error) {
	params := Query{}
	if q != nil {
		params = *q
	}
	if token != "" {
		params.Params = map[string]string{"idempotency_token": token}
	}
	return put[structs.JobDispatchResponse](ctx, c, jobPath(req.JobID, "dispatch"), &params, req)
}

// ForcePeriodic launches a periodic job now.
func (c *Client) ForcePeriodic(ctx context.Context, id string, q *Query) (*structs.PeriodicForceResponse, error) {
	return put[structs.PeriodicForceResponse](ctx, c, jobPath(id, "periodic/force"), q, nil)
}

// RevertJob returns to an earlier version.
func (c *Client) RevertJob(ctx context.Context, req *structs.JobRevertRequest, q *Query) (*structs.JobRegisterResponse, error) {
	return put[structs.JobRegisterResponse](ctx, c, jobPath(req.JobID, "revert"), q, req)
}

// ScaleJob changes the count of a group.
func (c *Client) ScaleJob(ctx context.Context, id string, req *structs.ScalingRequest, q *Query) (*structs.JobRegisterResponse, error) {
	return put[structs.JobRegisterResponse](ctx, c, jobPath(id, "scale"), q, req)
}

// JobScaleStatus reads the scaling view of a job.
func (c *Client) JobScaleStatus(ctx context.Context, id string, q *Query) (*structs.JobScaleStatusResponse, *Meta, error) {
	return one[structs.JobScaleStatusResponse](ctx, c, jobPath(id, "scale"), q)
}

func jobPath(id, rest string) string {
	path := "/v1/job/" + segment(id)
	if rest != "" {
		path += "/" + strings.TrimPrefix(rest, "/")
	}
	return path
}

func withAll(q *Query, all bool) *Query {
	out := Query{}
	if q != nil {
		out = *q
	}
	if all {
		out.Params = map[string]string{"all": "true"}
	}
	return &out
}

func list[T any](ctx context.Context, c *Client, path string, q *Query) ([]T, *Meta, error) {
	var out []T
	meta, err := c.Get(ctx, path, q, &out)
	return out, meta, err
}

func one[T any](ctx context.Context, c *Client, path string, q *Query) (*T, *Meta, error) {
	out := new(T)
	meta, err := c.Get(ctx, path, q, out)
	if err != nil {
		return nil, nil, err
	}
	return out, meta, nil
}

func put[T any](ctx context.Context, c *Client, path string, q *Query, in any) (*T, error) {
	out := new(T)
	if _, err := c.send(ctx, http.MethodPut, path, q, in, out); err != nil {
		return nil, err
	}
	return out, nil
}
