package server

import (
	"context"

	"github.com/steppe-run/steppe/structs"
)

// PromoteDeployment promotes canaries.
func (s *Server) PromoteDeployment(ctx context.Context, req *structs.DeploymentPromoteRequest) (*structs.DeploymentUpdateResponse, error) {
	return nil, structs.NotBuilt("promotions")
}

// FailDeployment marks a deployment failed, and reverts its job where the
// groups ask for it.
func (s *Server) FailDeployment(ctx context.Context, req *structs.DeploymentFailRequest) (*structs.DeploymentUpdateResponse, error) {
	return nil, structs.NotBuilt("deployment failures")
}

// PauseDeployment pauses or resumes a deployment.
func (s *Server) PauseDeployment(ctx context.Context, req *structs.DeploymentPauseRequest) (*structs.DeploymentUpdateResponse, error) {
	return nil, structs.NotBuilt("deployment pauses")
}

// SetAllocHealth records the health of a deployment's allocations by hand.
func (s *Server) SetAllocHealth(ctx context.Context, req *structs.DeploymentAllocHealthRequest) (*structs.DeploymentUpdateResponse, error) {
	return nil, structs.NotBuilt("manual health marks")
}

// UnblockDeployment lets a multiregion deployment go on.
func (s *Server) UnblockDeployment(ctx context.Context, req *structs.DeploymentUnblockRequest) (*structs.DeploymentUpdateResponse, error) {
	return nil, structs.NotBuilt("multiregion deployments")
}
