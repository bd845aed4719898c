// Package server is the control plane of a region: it keeps the replicated
// state, decides what runs where, and answers those who ask. Each of its rooms
// (broker, placer, deployer, …) knows its own task only; this package wires
// them together and turns what users ask into one command each.
//
// It must not know HTTP's routes, the command line, or what a node does with
// an allocation. Begin reading at Server, then lead (term.go) for what the
// leader does, and RegisterJob (jobs.go) for a typical action.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/server/identity"
	"github.com/steppe-run/steppe/server/members"
	"github.com/steppe-run/steppe/server/placer"
	"github.com/steppe-run/steppe/server/rehearse"
	"github.com/steppe-run/steppe/server/replica"
	"github.com/steppe-run/steppe/server/session"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// feedSize is how many changes the feed keeps for those who follow it.
const feedSize = 4096

// Server is one member of a region's control plane.
type Server struct {
	cfg     Config
	id      string
	log     *slog.Logger
	store   *state.Store
	fsm     *fsm
	mux     *link.Mux
	replica *replica.Replica
	journal journal
	members *members.Members
	session *session.Server
	forward net.Listener
	leader  *leaderTransport
	desk    *rehearse.Desk

	// reconcile keeps Raft's configuration in line with gossip; the leader runs
	// it.
	reconcile func(context.Context) error

	// term is what only the leader has; nil on everyone else, and on a leader
	// that isn't ready yet.
	term atomic.Pointer[term]
}

// New opens a server: its log is read, its addresses are bound. It serves once
// Run runs, and Run must be called for it to be closed.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	id, err := identity.Of(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, id: id, log: cfg.Logger, store: state.New(state.Options{FeedSize: feedSize})}
	s.fsm = newFSM(s.store)
	s.desk = rehearse.NewDesk(placer.NewFollower(s.store), cfg.Clock)
	s.leader = &leaderTransport{server: s}
	if err := s.open(); err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

// open binds and opens what the server consists of, in the order in which one
// part needs the other.
func (s *Server) open() error {
	var err error
	if s.mux, err = link.Listen(s.cfg.LinkAddr, s.cfg.TLS, s.log); err != nil {
		return fmt.Errorf("bind the link address %s: %w", s.cfg.LinkAddr, err)
	}
	if s.cfg.LinkAdvertiseAddr == "" {
		s.cfg.LinkAdvertiseAddr = s.mux.Addr().String()
	}
	s.mux.LimitPerClient(s.cfg.MaxConnsPerClient)
	s.forward = s.mux.Listener(link.ALPNHTTP)
	if s.replica, err = replica.Open(s.replicaConfig()); err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	s.journal = guarded{raftJournal{s.replica}, func() members.Member { return s.members.Oldest() }}
	gossip, err := s.membersConfig()
	if err != nil {
		return err
	}
	if s.members, err = members.Open(gossip); err != nil {
		return fmt.Errorf("open gossip on %s: %w", s.cfg.SerfAddr, err)
	}
	s.reconcile = func(ctx context.Context) error { return s.members.Reconcile(ctx, voters{s}) }
	s.session, err = session.New(session.Config{
		Backend:  s,
		Cluster:  cluster{s},
		Store:    s.store,
		Listener: s.mux.Listener(link.ALPNSession),
		TLS:      s.cfg.TLS,
		Clock:    s.cfg.Clock,
		Logger:   s.log,
	})
	if err != nil {
		return fmt.Errorf("open node sessions: %w", err)
	}
	return nil
}

// abandon closes what open had opened before it failed: each part closes when
// its Run ends.
func (s *Server) abandon() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	g := loop.New(over)
	if s.members != nil {
		g.Go("gossip", s.members.Run)
	}
	if s.replica != nil {
		g.Go("log", s.replica.Run)
	}
	if s.mux != nil {
		g.Go("link", s.mux.Run)
	}
	_ = g.Wait() // what failed first is what the caller wants to know
}

// Run serves until ctx ends or something fails for good. What others rest on
// ends last: the controllers, then the log, which may hand leadership over,
// then the port that it does so through.
func (s *Server) Run(ctx context.Context) error {
	base := loop.New(context.WithoutCancel(ctx))
	base.Go("link", s.mux.Run)
	middle := loop.New(base.Context())
	middle.Go("log", s.replica.Run)
	top := loop.New(middle.Context())
	top.Go("state", s.fsm.watch)
	top.Go("gossip", s.members.Run)
	top.Go("bootstrap", s.bootstrap)
	top.Go("sessions", s.session.Run)
	top.Go("rehearsals", s.desk.Run)
	top.Go("leadership", s.followLeadership)
	defer context.AfterFunc(ctx, top.Stop)()
	err := top.Wait()
	middle.Stop()
	err = errors.Join(err, middle.Wait())
	s.leader.close()
	base.Stop()
	return errors.Join(err, base.Wait())
}

func (s *Server) replicaConfig() replica.Config {
	return replica.Config{
		ID:       s.id,
		Addr:     s.cfg.LinkAdvertiseAddr,
		DataDir:  s.cfg.DataDir,
		Listener: s.mux.Listener(link.ALPNRaft),
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			return link.Dial(ctx, addr, s.cfg.TLS, link.ALPNRaft)
		},
		FSM:        s.fsm,
		Dev:        s.cfg.Dev,
		Multiplier: s.cfg.RaftMultiplier,

		SnapshotThreshold: s.cfg.SnapshotThreshold,
		SnapshotInterval:  s.cfg.SnapshotInterval,
		TrailingLogs:      s.cfg.TrailingLogs,

		Clock:  s.cfg.Clock,
		Logger: s.log,
	}
}

// bootstrap makes the first Raft configuration, if there is none yet and
// enough servers have met.
func (s *Server) bootstrap(ctx context.Context) error {
	err := s.members.Bootstrap(ctx, s.replica.HasState, func(voters []members.Voter) error {
		servers := make([]replica.Server, 0, len(voters))
		for _, v := range voters {
			servers = append(servers, replica.Server{ID: v.ID, Addr: v.Addr, Voter: true})
		}
		return s.replica.Bootstrap(servers)
	})
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	return nil
}

// ID is the server's identity for life.
func (s *Server) ID() string { return s.id }

// Store is the replicated state, for reads.
func (s *Server) Store() *state.Store { return s.store }

// LinkAddr is the address of the node protocol, as told to others.
func (s *Server) LinkAddr() string { return s.cfg.LinkAdvertiseAddr }

// ForwardListener accepts connections by which other agents forward HTTP
// requests; the agent serves its API on it.
func (s *Server) ForwardListener() net.Listener { return s.forward }

// ForwardTransport carries HTTP requests to the leader's API, whatever host
// they name. It may be kept; it follows the leader.
func (s *Server) ForwardTransport() http.RoundTripper { return s.leader }

// NodeTransport carries HTTP requests to a node's own API.
func (s *Server) NodeTransport(nodeID string) (http.RoundTripper, error) {
	return s.session.NodeTransport(nodeID)
}

// IsLeader reports whether this server leads its region right now.
func (s *Server) IsLeader() bool { return s.replica.IsLeader() }

// Leading reports whether this server leads and is ready to act: a server that
// was just elected first catches up.
func (s *Server) Leading() bool { return s.term.Load() != nil && s.IsLeader() }

// Leader returns the leader's link address, if one is known.
func (s *Server) Leader() (addr string, known bool) {
	_, addr, known = s.replica.Leader()
	return addr, known
}

// LeaderContact is how long ago this server heard from the leader; zero on the
// leader.
func (s *Server) LeaderContact() time.Duration { return s.replica.LastContact() }

// ConsistentIndex waits until a read on this server, which must be the leader,
// sees everything acknowledged before the call.
func (s *Server) ConsistentIndex(ctx context.Context) error {
	if _, err := s.leading(); err != nil {
		return err
	}
	_, err := outcome(nil, s.replica.Verify(ctx))
	return err
}

// leading returns the current term, or why there is none.
func (s *Server) leading() (*term, error) {
	if t := s.term.Load(); t != nil {
		return t, nil
	}
	if _, known := s.Leader(); known && !s.IsLeader() {
		return nil, structs.ErrNotLeader
	}
	return nil, structs.ErrNoLeader
}
