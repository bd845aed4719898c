package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/link/linkpb"
	"github.com/steppe-run/steppe/structs"
)

// SessionConfig is what a node's end of the link needs.
type SessionConfig struct {
	// NodeID and SecretID may stay empty: Register tells them.
	NodeID, SecretID string
	// Servers are the addresses (host:port) to begin with; servers send newer
	// lists later.
	Servers []string
	TLS     *certs.TLS
	// Handler answers what servers ask of this node; SetHandler can set it
	// later.
	Handler http.Handler
	Clock   clock.Clock
	Logger  *slog.Logger
}

// Session is a node's connection to its cluster: to one server at a time,
// another one when that is lost. Its methods wait for a connection as long as
// their context allows.
type Session struct {
	tls   *certs.TLS
	clock clock.Clock
	log   *slog.Logger
	jobs  *jobCache

	mu      sync.Mutex // guards what follows
	rng     *rand.Rand
	caller  Caller
	handler http.Handler
	servers []string
	current *connection   // nil while there is none
	changed chan struct{} // closed when current changes
	// registered is the index at which the servers stored the node last.
	registered uint64
	// reports counts what was told of allocations since then.
	reports uint64
	contact time.Time
	failing time.Time // since when current has answered no call; zero if it has
}

// NewSession returns a session that connects once Run runs.
func NewSession(cfg SessionConfig) (*Session, error) {
	if cfg.TLS == nil {
		return nil, errors.New("make session: there are no certificates")
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Logger == nil {
		cfg.Logger = logx.Discard()
	}
	s := &Session{
		tls: cfg.TLS, clock: cfg.Clock, log: cfg.Logger, jobs: newJobCache(), rng: newRand(),
		caller:  Caller{NodeID: cfg.NodeID, SecretID: cfg.SecretID},
		handler: cfg.Handler, changed: make(chan struct{}),
	}
	s.SetServers(cfg.Servers)
	return s, nil
}

// newRand returns a source that no other node shares, so that nodes don't
// choose alike.
func newRand() *rand.Rand {
	return rand.New(rand.NewChaCha8([32]byte([]byte(ids.New())[:32])))
}

// SetHandler sets what answers the servers' requests.
func (s *Session) SetHandler(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

// ServeHTTP implements http.Handler: it is what servers reach.
func (s *Session) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	h := s.handler
	s.mu.Unlock()
	if h == nil {
		http.Error(w, "the node is still starting", http.StatusServiceUnavailable)
		return
	}
	h.ServeHTTP(w, r)
}

// Register stores the node's description; it returns the time within which to
// heartbeat. The node's ID and secret are from then on those of the session.
func (s *Session) Register(ctx context.Context, n *structs.Node) (time.Duration, error) {
	packed, err := PackNoun(n)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.caller.NodeID, s.caller.SecretID = n.ID, n.SecretID
	s.mu.Unlock()
	var reply *linkpb.RegisterReply
	err = s.call(ctx, "register node", func(ctx context.Context, c *connection) (err error) {
		reply, err = c.node.Register(ctx, &linkpb.RegisterRequest{Node: packed})
		return err
	})
	if err != nil {
		return 0, err
	}
	s.SetServers(reply.GetServers())
	s.mu.Lock()
	if at := reply.GetIndex(); at > s.registered {
		s.registered, s.reports = at, 0
	}
	s.mu.Unlock()
	return time.Duration(reply.GetTtlNanos()), nil
}

// Heartbeat renews the node's time to live and returns the next. It has a
// stream of its own, so that nothing large can delay it. ErrNodeUnknown asks
// the node to register again.
func (s *Session) Heartbeat(ctx context.Context) (time.Duration, error) {
	var reply *linkpb.HeartbeatReply
	err := s.call(ctx, "heartbeat", func(ctx context.Context, c *connection) (err error) {
		reply, err = c.beat.Heartbeat(ctx, &linkpb.HeartbeatRequest{})
		return err
	})
	if err != nil {
		return 0, err
	}
	s.SetServers(reply.GetServers())
	return time.Duration(reply.GetTtlNanos()), nil
}

// UpdateAllocs reports the state of allocations; it returns once that is
// committed.
func (s *Session) UpdateAllocs(ctx context.Context, updates []*structs.AllocUpdate) error {
	s.mu.Lock()
	s.reports++
	order := structs.ReportOrder(s.registered, s.reports)
	s.mu.Unlock()
	for _, u := range updates {
		u.Order = order
	}
	packed, err := PackNoun(updates)
	if err != nil {
		return err
	}
	return s.call(ctx, "update allocations", func(ctx context.Context, c *connection) error {
		_, err := c.node.UpdateAllocs(ctx, &linkpb.UpdateAllocsRequest{Updates: packed})
		return err
	})
}

// UpsertServices stores service registrations of this node.
func (s *Session) UpsertServices(ctx context.Context, regs []*structs.ServiceRegistration) error {
	return s.upsertServices(ctx, regs, false)
}

// SyncServices makes service registrations all there are of this node.
func (s *Session) SyncServices(ctx context.Context, regs []*structs.ServiceRegistration) error {
	return s.upsertServices(ctx, regs, true)
}

func (s *Session) upsertServices(ctx context.Context, regs []*structs.ServiceRegistration, full bool) error {
	packed, err := PackNoun(regs)
	if err != nil {
		return err
	}
	return s.call(ctx, "register services", func(ctx context.Context, c *connection) error {
		_, err := c.node.UpsertServices(ctx, &linkpb.UpsertServicesRequest{Services: packed, Full: full})
		return err
	})
}

// DeleteServices removes service registrations of this node; others and
// unknown ones are passed over.
func (s *Session) DeleteServices(ctx context.Context, namespace string, ids []string) error {
	return s.call(ctx, "deregister services", func(ctx context.Context, c *connection) error {
		_, err := c.node.DeleteServices(ctx, &linkpb.DeleteServicesRequest{Namespace: namespace, Ids: ids})
		return err
	})
}

// LookupServices lists the registrations of one service.
func (s *Session) LookupServices(ctx context.Context, namespace, name string) ([]*structs.ServiceRegistration, error) {
	var out []*structs.ServiceRegistration
	err := s.call(ctx, "look up service", func(ctx context.Context, c *connection) error {
		reply, err := c.node.LookupServices(ctx, &linkpb.LookupServicesRequest{Namespace: namespace, Name: name})
		if err != nil {
			return err
		}
		return UnpackNoun(reply.GetServices(), &out)
	})
	return out, err
}

const (
	// attempt is how long one server may take to answer.
	attempt = 15 * time.Second
	// patience is how long a server may answer nothing before another is
	// tried. An election, during which no server can help, takes less.
	patience = 6 * time.Second
)

// call makes one call, with whichever server answers, until ctx ends.
func (s *Session) call(ctx context.Context, what string, f func(context.Context, *connection) error) error {
	for wait := newBackoff(50*time.Millisecond, 2*time.Second); ; {
		c, caller, err := s.connected(ctx)
		if err != nil {
			return fmt.Errorf("%s: no server could be reached: %w", what, err)
		}
		one, cancel := context.WithTimeout(caller.Outgoing(ctx), attempt)
		err = f(one, c)
		cancel()
		s.answered(c, err)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || !passing(err) {
			return translate(what, err)
		}
		if !s.pause(ctx, wait.next(s.random())) {
			return translate(what, err)
		}
	}
}

// answered notes whether a server answered; one that repeatedly doesn't is
// given up.
func (s *Session) answered(c *connection, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	if err == nil || !passing(err) {
		s.contact, s.failing = now, time.Time{}
		return
	}
	if c != s.current {
		return
	}
	if s.failing.IsZero() {
		s.failing = now
	}
	if now.Sub(s.failing) >= patience {
		s.log.Info("the server doesn't answer, trying another", logx.KeyAddr, c.addr, logx.KeyError, err)
		_ = c.peer.Close() // Run notices
	}
}

// LastContact is when a server last answered; zero if none has yet.
func (s *Session) LastContact() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.contact
}

func (s *Session) random() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.Float64()
}

// pause waits for d; false if ctx ended.
func (s *Session) pause(ctx context.Context, d time.Duration) bool {
	timer := s.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}
