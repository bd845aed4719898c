// Package server is the control plane of a region: it keeps the replicated
// state, decides what runs where, and answers those who ask. Each of its rooms
// (broker, placer, deployer, …) knows its own task only; this package wires
// them together and turns what users ask into one command each.
//
// It must not know HTTP's routes, the command line, or what a node does with
// an allocation. Begin reading at Server.
package server

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// Server is one member of a region's control plane.
type Server struct {
	cfg   Config
	store *state.Store
}

// New prepares a server; nothing is bound or started yet.
func New(cfg Config) (*Server, error) {
	return &Server{cfg: cfg.withDefaults(), store: state.New(state.Options{})}, nil
}

// Store is the replicated state, for reads.
func (s *Server) Store() *state.Store { return s.store }

// Run serves until ctx ends or something fails for good.
func (s *Server) Run(ctx context.Context) error { return structs.NotBuilt("servers") }

// Ready is closed once the server has bound its addresses.
func (s *Server) Ready() <-chan struct{} { return nil }

// LinkAddr is the bound address of the node protocol, once Ready.
func (s *Server) LinkAddr() string { return s.cfg.LinkAddr }

// SerfAddr is the bound address of gossip, once Ready.
func (s *Server) SerfAddr() string { return s.cfg.SerfAddr }

// ForwardListener accepts connections by which other servers forward HTTP
// requests; the agent serves its API on it.
func (s *Server) ForwardListener() net.Listener { return nil }

// ForwardTransport carries HTTP requests to the leader's API.
func (s *Server) ForwardTransport() http.RoundTripper { return nil }

// NodeTransport carries HTTP requests to a node's own API.
func (s *Server) NodeTransport(nodeID string) (http.RoundTripper, error) {
	return nil, structs.NotBuilt("streams to nodes")
}

// IsLeader reports whether this server leads its region right now.
func (s *Server) IsLeader() bool { return false }

// Leader returns the leader's link address, if one is known.
func (s *Server) Leader() (addr string, known bool) { return "", false }

// LeaderContact is how long ago this server heard from the leader; zero on the
// leader.
func (s *Server) LeaderContact() time.Duration { return 0 }

// ConsistentIndex waits until a read on this server, which must be the leader,
// sees everything acknowledged before the call.
func (s *Server) ConsistentIndex(ctx context.Context) error { return structs.ErrNoLeader }

// Stats are figures for people, by room.
func (s *Server) Stats() map[string]map[string]string { return nil }
