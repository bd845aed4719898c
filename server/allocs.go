package server

import (
	"context"

	"github.com/steppe-run/steppe/structs"
)

// StopAlloc stops an allocation; the scheduler replaces it.
func (s *Server) StopAlloc(ctx context.Context, req *AllocStopRequest) (*structs.AllocStopResponse, error) {
	return nil, structs.NotBuilt("allocation stops")
}

// UpdateAllocs takes what a node reports about its allocations. It returns when
// the report is stored.
func (s *Server) UpdateAllocs(ctx context.Context, nodeID string, updates []*structs.AllocUpdate) error {
	return structs.NotBuilt("allocation updates")
}

// UpsertServices stores service registrations of a node's allocations.
func (s *Server) UpsertServices(ctx context.Context, services []*structs.ServiceRegistration) error {
	return structs.NotBuilt("service registrations")
}

// DeleteServices removes service registrations.
func (s *Server) DeleteServices(ctx context.Context, namespace string, ids []string) error {
	return structs.NotBuilt("service registrations")
}
