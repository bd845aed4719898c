package link

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/structs"
)

// SessionConfig is what a node's end of the link needs.
type SessionConfig struct {
	NodeID, SecretID string
	// Servers are the addresses (host:port) to begin with; servers send newer
	// lists later.
	Servers []string
	TLS     *TLS
	// Handler answers what servers ask of this node.
	Handler http.Handler
	Clock   clock.Clock
	Logger  *slog.Logger
}

// Session is a node's connection to its cluster: to one server at a time,
// another one when that is lost. Its methods wait for a connection as long as
// their context allows.
type Session struct{}

// AllocSet is what changed among a node's allocations.
type AllocSet struct {
	// Index to resume from.
	Index uint64
	// Full says that Upserts are all there is: what isn't among them is gone.
	Full    bool
	Upserts []*structs.Allocation
	Removed []string
}

// NewSession returns a session that connects once Run runs.
func NewSession(cfg SessionConfig) (*Session, error) {
	return nil, errors.New("make session: not written yet")
}

// Run keeps the session up until ctx ends.
func (s *Session) Run(ctx context.Context) error { return errors.New("run session: not written yet") }

// Register stores the node's description; it returns the time within which to
// heartbeat.
func (s *Session) Register(ctx context.Context, n *structs.Node) (time.Duration, error) {
	return 0, errors.New("register node: not written yet")
}

// Heartbeat renews the node's time to live and returns the next. It has a
// stream of its own. ErrNodeUnknown asks the node to register again.
func (s *Session) Heartbeat(ctx context.Context) (time.Duration, error) {
	return 0, errors.New("heartbeat: not written yet")
}

// WatchAllocs calls each with the node's allocations, from the index of the
// last set received (0: none yet), one call after the other. It outlives lost
// connections, and returns when ctx ends or each fails.
func (s *Session) WatchAllocs(ctx context.Context, from uint64, each func(*AllocSet) error) error {
	return errors.New("watch allocations: not written yet")
}

// UpdateAllocs reports the state of allocations; it returns once that is
// committed.
func (s *Session) UpdateAllocs(ctx context.Context, updates []*structs.AllocUpdate) error {
	return errors.New("update allocations: not written yet")
}

// UpsertServices stores service registrations of this node.
func (s *Session) UpsertServices(ctx context.Context, regs []*structs.ServiceRegistration) error {
	return errors.New("register services: not written yet")
}

// DeleteServices removes service registrations.
func (s *Session) DeleteServices(ctx context.Context, namespace string, ids []string) error {
	return errors.New("deregister services: not written yet")
}

// LookupServices lists the registrations of one service.
func (s *Session) LookupServices(ctx context.Context, namespace, name string) ([]*structs.ServiceRegistration, error) {
	return nil, errors.New("look up service: not written yet")
}

// Servers returns the addresses the session knows, the connected one first.
func (s *Session) Servers() []string { return nil }

// SetServers replaces the addresses.
func (s *Session) SetServers(addrs []string) {}

// LastContact is when a server last answered; zero if none has yet.
func (s *Session) LastContact() time.Time { return time.Time{} }
