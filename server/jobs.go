package server

import (
	"context"

	"github.com/steppe-run/steppe/structs"
)

// RegisterJob stores a job and has it evaluated.
func (s *Server) RegisterJob(ctx context.Context, req *structs.JobRegisterRequest) (*structs.JobRegisterResponse, error) {
	return nil, structs.NotBuilt("job registrations")
}

// PlanJob tells what registering a job would do; nothing is stored.
func (s *Server) PlanJob(ctx context.Context, req *structs.JobPlanRequest) (*structs.JobPlanResponse, error) {
	return nil, structs.NotBuilt("job plans")
}

// ValidateJob tells what is wrong with a job; nothing is stored.
func (s *Server) ValidateJob(ctx context.Context, req *structs.JobValidateRequest) (*structs.JobValidateResponse, error) {
	return nil, structs.NotBuilt("job validations")
}

// DeregisterJob stops a job, and removes it if asked to.
func (s *Server) DeregisterJob(ctx context.Context, req *JobDeregisterRequest) (*structs.JobDeregisterResponse, error) {
	return nil, structs.NotBuilt("job stops")
}

// EvaluateJob has a job evaluated again.
func (s *Server) EvaluateJob(ctx context.Context, req *structs.JobEvaluateRequest) (*structs.JobRegisterResponse, error) {
	return nil, structs.NotBuilt("job evaluations")
}

// RevertJob registers an older version of a job as its newest.
func (s *Server) RevertJob(ctx context.Context, req *structs.JobRevertRequest) (*structs.JobRegisterResponse, error) {
	return nil, structs.NotBuilt("job reverts")
}

// ScaleJob sets the count of the group that req.Target names under "Group",
// or records a scaling event.
func (s *Server) ScaleJob(ctx context.Context, jobID string, req *structs.ScalingRequest) (*structs.JobRegisterResponse, error) {
	return nil, structs.NotBuilt("job scalings")
}

// SetJobStability marks a job version stable or not.
func (s *Server) SetJobStability(ctx context.Context, req *structs.JobStabilityRequest) (*structs.JobStabilityResponse, error) {
	return nil, structs.NotBuilt("job stability marks")
}

// TagJobVersion names a version of a job.
func (s *Server) TagJobVersion(ctx context.Context, req *JobTagRequest) (*JobTagResponse, error) {
	return nil, structs.NotBuilt("job version tags")
}
