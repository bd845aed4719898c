// Package server is one member of a region's control plane: it keeps a copy of
// the replicated state on disk, meets the other servers, holds the sessions of
// nodes, and has package control do the deciding.
//
// It must not know HTTP's routes, the command line, or what a node does with
// an allocation. Begin reading at Server; what is decided and how is told by
// control.Control.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/server/history"
	"github.com/steppe-run/steppe/server/identity"
	"github.com/steppe-run/steppe/server/members"
	"github.com/steppe-run/steppe/server/replica"
	"github.com/steppe-run/steppe/server/session"
	"github.com/steppe-run/steppe/state"
)

// Server is one member of a region's control plane.
type Server struct {
	*control.Control

	cfg     Config
	id      string
	log     *slog.Logger
	store   *state.Store
	fsm     *fsm
	mux     *link.Mux
	replica *replica.Replica
	members *members.Members
	session *session.Server
	forward net.Listener
	leader  *leaderTransport
	history *history.History // nil if it is off
}

// New opens a server: its log is read, its addresses are bound. It serves once
// Run runs, and Run must be called for it to be closed.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	id, err := identity.Of(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, id: id, log: cfg.Logger}
	if err := s.openHistory(); err != nil {
		return nil, err
	}
	s.store = s.newStore(control.FeedSize)
	s.fsm = newFSM(s.store)
	if s.history != nil {
		s.fsm.wrap = func(snap *state.Snapshot) replica.Snapshot { return archived{snap, s} }
	}
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
	if s.history != nil {
		if err := s.history.Adopt(s.replica.Stats().LastIndex, s.store.Index); err != nil {
			return err
		}
	}
	gossip, err := s.membersConfig()
	if err != nil {
		return err
	}
	if s.members, err = members.Open(gossip); err != nil {
		return fmt.Errorf("open gossip on %s: %w", s.cfg.SerfAddr, err)
	}
	s.Control = control.New(s.controlConfig())
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
	if s.history != nil {
		g.Go("history", s.history.Run)
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
	if s.history != nil {
		base.Go("history", s.history.Run)
	}
	top := loop.New(middle.Context())
	top.Go("state", s.fsm.watch)
	top.Go("gossip", s.members.Run)
	top.Go("bootstrap", s.bootstrap)
	top.Go("sessions", s.session.Run)
	top.Go("rehearsals", s.Desk().Run)
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

func (s *Server) controlConfig() control.Config {
	return control.Config{
		Store:   s.store,
		Journal: guarded{raftJournal{s.replica}, func() members.Member { return s.members.Oldest() }},
		Standing: func() (leads, known bool) {
			_, known = s.Leader()
			return s.IsLeader(), known
		},
		Beside: func(ctx context.Context) error { return s.members.Reconcile(ctx, voters{s}) },

		Region:                 s.cfg.Region,
		JobMaxCount:            s.cfg.JobMaxCount,
		HeartbeatGrace:         s.cfg.HeartbeatGrace,
		MinHeartbeatTTL:        s.cfg.MinHeartbeatTTL,
		MaxHeartbeatsPerSecond: s.cfg.MaxHeartbeatsPerSecond,
		FailoverHeartbeatTTL:   s.cfg.FailoverHeartbeatTTL,
		Brake:                  s.cfg.Brake,
		QuarantineAfter:        s.cfg.QuarantineAfter,
		GC:                     s.cfg.GC,
		Room:                   s.historyRoom,
		DefaultSchedulerConfig: s.cfg.DefaultSchedulerConfig,

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
	if err := s.Ready(); err != nil {
		return err
	}
	_, err := outcome(nil, s.replica.Verify(ctx))
	return err
}

// followLeadership leads while this server is the leader.
func (s *Server) followLeadership(ctx context.Context) error {
	var leading *loop.Group
	stop := func() {
		if leading != nil {
			leading.Stop()
			_ = leading.Wait() // Lead reports for itself
			leading = nil
		}
	}
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case gained, open := <-s.replica.Leadership():
			if !open {
				return nil
			}
			stop()
			if gained {
				leading = loop.New(ctx)
				leading.Go("lead", s.Lead)
			}
		}
	}
}
