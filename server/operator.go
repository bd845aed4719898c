package server

import (
	"context"

	"github.com/steppe-run/steppe/structs"
)

// GC removes everything that is finished and unreachable, whatever its age.
func (s *Server) GC(ctx context.Context) error { return structs.NotBuilt("collections") }

// ReconcileSummaries recomputes job summaries. They are derived on every
// change, so there is nothing to repair; it checks that there is a leader.
func (s *Server) ReconcileSummaries(ctx context.Context) error {
	return structs.NotBuilt("reconciliations")
}

// SetSchedulerConfig replaces the scheduler's configuration.
func (s *Server) SetSchedulerConfig(ctx context.Context, req *SchedulerConfigRequest) (*structs.SchedulerSetConfigurationResponse, error) {
	return nil, structs.NotBuilt("scheduler configurations")
}

// UpsertNodePool stores a node pool and returns the index.
func (s *Server) UpsertNodePool(ctx context.Context, pool *structs.NodePool) (uint64, error) {
	return 0, structs.NotBuilt("node pools")
}

// DeleteNodePool removes a node pool that nothing uses.
func (s *Server) DeleteNodePool(ctx context.Context, name string) (uint64, error) {
	return 0, structs.NotBuilt("node pools")
}

// UpsertNamespace stores a namespace and returns the index.
func (s *Server) UpsertNamespace(ctx context.Context, ns *structs.Namespace) (uint64, error) {
	return 0, structs.NotBuilt("namespaces")
}

// DeleteNamespace removes a namespace that nothing uses.
func (s *Server) DeleteNamespace(ctx context.Context, name string) (uint64, error) {
	return 0, structs.NotBuilt("namespaces")
}

// DeleteServiceRegistration removes one registration by hand.
func (s *Server) DeleteServiceRegistration(ctx context.Context, namespace, name, id string) (uint64, error) {
	return 0, structs.NotBuilt("service registrations")
}

// Members lists the servers that gossip knows, of every region.
func (s *Server) Members() []*structs.AgentMember { return nil }

// Join meets the servers at addrs and returns how many answered.
func (s *Server) Join(addrs []string) (int, error) { return 0, structs.NotBuilt("joins") }

// ForceLeave declares a failed member gone; prune forgets it altogether.
func (s *Server) ForceLeave(name string, prune bool) error { return structs.NotBuilt("leaves") }

// Regions lists the known regions, sorted.
func (s *Server) Regions() []string { return []string{s.cfg.Region} }

// Peers lists the link addresses of the Raft members.
func (s *Server) Peers() ([]string, error) { return nil, structs.NotBuilt("peers") }

// RaftConfiguration describes the Raft members.
func (s *Server) RaftConfiguration() (*structs.RaftConfiguration, error) {
	return nil, structs.NotBuilt("peers")
}

// RemoveRaftPeer removes a member by its id.
func (s *Server) RemoveRaftPeer(ctx context.Context, id string) error {
	return structs.NotBuilt("peers")
}

// TransferLeadership hands leadership to the member with the id or address.
func (s *Server) TransferLeadership(ctx context.Context, id, address string) error {
	return structs.NotBuilt("transfers")
}
