// Package session is the server's end of the node link: it admits nodes,
// passes on what they report, tells them what changed, and opens streams to
// them.
//
// It must not know the other rooms of the server: what it needs of them are
// the interfaces Backend and Cluster. Begin reading at Server.
package session

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

// Backend performs what nodes ask for. It is called on the leader only; if it
// answers structs.ErrNotLeader the call goes to the leader.
type Backend interface {
	// RegisterNode stores the node; it returns the index and the time to live.
	RegisterNode(ctx context.Context, n *structs.Node) (index uint64, ttl time.Duration, err error)
	// Heartbeat renews a node's time to live.
	Heartbeat(ctx context.Context, nodeID string) (ttl time.Duration, err error)
	// UpdateAllocs stores what a node reports. Batching is the backend's.
	UpdateAllocs(ctx context.Context, nodeID string, updates []*structs.AllocUpdate) (index uint64, err error)
	// UpsertServices and DeleteServices change service registrations.
	UpsertServices(ctx context.Context, regs []*structs.ServiceRegistration) (index uint64, err error)
	DeleteServices(ctx context.Context, namespace string, ids []string) (index uint64, err error)
}

// Cluster tells who the servers are.
type Cluster interface {
	IsLeader() bool
	// LeaderAddr is the leader's link address, if it is known.
	LeaderAddr() (addr string, known bool)
	// ServerAddrs are the link addresses of the servers that are alive.
	ServerAddrs() []string
	// LocalAddr is this server's own link address.
	LocalAddr() string
}

// Config is what the server's end needs.
type Config struct {
	Backend  Backend
	Cluster  Cluster
	Listener net.Listener // of link.ALPNSession
	TLS      *link.TLS
	Clock    clock.Clock
	Logger   *slog.Logger
}

// Server holds the sessions of nodes.
type Server struct{}

// New returns a server that admits nodes once Run runs.
func New(cfg Config) (*Server, error) { return nil, errors.New("make session server: not written yet") }

// Run admits sessions until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	return errors.New("run session server: not written yet")
}

// NodeTransport reaches the HTTP handler of a node, directly or through the
// server that holds its session. What it returns may be kept and shared.
func (s *Server) NodeTransport(nodeID string) (http.RoundTripper, error) {
	return nil, errors.New("reach node: not written yet")
}
