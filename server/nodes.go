package server

import (
	"context"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// RegisterNode stores a node's description and tells it its heartbeat TTL.
func (s *Server) RegisterNode(ctx context.Context, node *structs.Node) (time.Duration, error) {
	return 0, structs.NotBuilt("node registrations")
}

// HeartbeatNode notes that a node is alive and tells it its next TTL.
func (s *Server) HeartbeatNode(ctx context.Context, nodeID string) (time.Duration, error) {
	return 0, structs.NotBuilt("heartbeats")
}

// EvaluateNode has every job with allocations on the node evaluated.
func (s *Server) EvaluateNode(ctx context.Context, nodeID string) (*NodeUpdateResponse, error) {
	return nil, structs.NotBuilt("node evaluations")
}

// SetNodeEligibility marks a node eligible or ineligible for placements.
func (s *Server) SetNodeEligibility(ctx context.Context, req *structs.NodeUpdateEligibilityRequest) (*structs.NodeEligibilityUpdateResponse, error) {
	return nil, structs.NotBuilt("eligibility changes")
}

// DrainNode starts, changes or ends the drain of a node.
func (s *Server) DrainNode(ctx context.Context, req *structs.NodeUpdateDrainRequest) (*structs.NodeDrainUpdateResponse, error) {
	return nil, structs.NotBuilt("drains")
}

// PurgeNode removes a node; its work is replaced.
func (s *Server) PurgeNode(ctx context.Context, nodeID string) (*structs.NodePurgeResponse, error) {
	return nil, structs.NotBuilt("node purges")
}
