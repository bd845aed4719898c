// Package server is one simulated server of a region: the control plane and the
// store of a real one, its log in memory, its machine virtual.
//
// It must not know nodes, users or faults. Begin reading at Server.
package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/server/placer"
	"github.com/steppe-run/steppe/server/session"
	"github.com/steppe-run/steppe/sim/quorum"
	"github.com/steppe-run/steppe/sim/virtual"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// Config is what a server is made of.
type Config struct {
	Name    string
	Runtime *virtual.Runtime
	Region  *quorum.Region
	NewID   func() string
	Logger  *slog.Logger
	// Settings are the control plane's, but for what this room fills in.
	Settings control.Config
	// State is the snapshot of a state that the server begins with, nil for none:
	// all entries up to the one before the log's first.
	State []byte
	// Applied is told of each entry that this server applied, right after it.
	Applied func(s *Server, index uint64)
}

// Server is one server, through all of its lives.
type Server struct {
	cfg      Config
	member   *quorum.Member
	snapshot []byte // durable
	life     int

	machine *virtual.Machine // nil while it is down
	control *control.Control
	changes *session.Changes
	bell    chan struct{}
	leads   uint64 // counts how often leadership was gained or lost; odd while it leads
}

// New returns a server that is down, with nothing on its disk but what it begins
// with.
func New(cfg Config) *Server {
	return &Server{cfg: cfg, member: cfg.Region.Add(cfg.Name), snapshot: cfg.State}
}

// Name of the server.
func (s *Server) Name() string { return s.cfg.Name }

// Member is its part in the log.
func (s *Server) Member() *quorum.Member { return s.member }

// Machine it runs on; nil while it is down.
func (s *Server) Machine() *virtual.Machine { return s.machine }

// Control is its control plane; it must not be asked while the server is down.
func (s *Server) Control() *control.Control { return s.control }

// Changes is what its nodes are told from.
func (s *Server) Changes() *session.Changes { return s.changes }

// Store is what it has applied.
func (s *Server) Store() *state.Store { return s.control.Store() }

// Start begins a life of the server, with what is on its disk.
func (s *Server) Start() error {
	store := state.New(state.Options{FeedSize: control.FeedSize})
	if s.snapshot != nil {
		if err := store.Restore(bytes.NewReader(s.snapshot)); err != nil {
			return fmt.Errorf("start server %s: %w", s.cfg.Name, err)
		}
	}
	s.life++
	s.machine = s.cfg.Runtime.Machine(fmt.Sprintf("%s#%d", s.cfg.Name, s.life))
	settings := s.cfg.Settings
	settings.Store, settings.Journal = store, journal{s.member}
	settings.Standing = func() (leads, known bool) { return s.member.Leading(), s.cfg.Region.Leader() != nil }
	settings.NewID, settings.Clock, settings.Logger = s.cfg.NewID, s.machine, s.cfg.Logger.With("server", s.cfg.Name)
	s.control = control.New(settings)
	s.changes = session.NewChanges(store, s.machine)
	s.bell, s.leads = make(chan struct{}, 1), 0
	group := loop.New(s.machine.Context())
	group.Go("changes", s.changes.Run)
	group.Go("leadership", s.followLeadership)
	s.member.Up(s.machine, s, store.Index())
	return nil
}

// Crash ends the server's life: what isn't on its disk is gone.
func (s *Server) Crash() {
	if s.machine == nil {
		return
	}
	machine := s.machine
	s.member.Down()
	s.machine = nil
	machine.Kill()
}

// Snapshot writes what was applied to the disk: the next life begins with it.
func (s *Server) Snapshot() error {
	var data bytes.Buffer
	if err := s.Store().Snapshot().Persist(&data); err != nil {
		return fmt.Errorf("write a snapshot of %s: %w", s.cfg.Name, err)
	}
	s.snapshot = data.Bytes()
	return nil
}

// Apply implements quorum.Owner.
func (s *Server) Apply(index uint64, entries []quorum.Entry) []any {
	store := s.Store()
	results := make([]any, 0, len(entries))
	for i, e := range entries {
		at := index + uint64(i)
		if e.Data == nil {
			store.Skip(at)
			results = append(results, nil)
			continue
		}
		c, err := command.Decode(e.Data)
		if err != nil {
			panic(fmt.Sprintf("sim: entry %d can't be read: %v", at, err)) // this build has written it
		}
		results = append(results, store.Apply(at, c))
		if s.cfg.Applied != nil {
			s.cfg.Applied(s, at)
		}
	}
	return results
}

// Leads implements quorum.Owner.
func (s *Server) Leads() { s.turn() }

// Follows implements quorum.Owner.
func (s *Server) Follows() { s.turn() }

func (s *Server) turn() {
	s.leads++
	select {
	case s.bell <- struct{}{}:
	default:
	}
	s.machine.Look()
}

// followLeadership leads while this server is the leader. A term ends before the
// next one begins.
func (s *Server) followLeadership(ctx context.Context) error {
	for {
		if _, err := loop.Await(ctx, s.bell); err != nil {
			return err
		}
		turn := s.leads
		if turn%2 == 0 {
			continue
		}
		term := loop.New(ctx)
		term.Go("lead", s.control.Lead)
		for s.leads == turn {
			if _, err := loop.Await(ctx, s.bell); err != nil {
				return err
			}
		}
		term.Stop()
		if err := term.Wait(); err != nil {
			return err
		}
		s.ring() // it may lead again already
	}
}

func (s *Server) ring() {
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

// journal is the server's log as the control plane uses it.
type journal struct{ m *quorum.Member }

// Commit implements control.Journal.
func (j journal) Commit(ctx context.Context, c command.Command) (any, error) {
	f, err := j.Propose(c)
	if err != nil {
		return nil, err
	}
	return f.Wait(ctx)
}

// Propose implements control.Journal.
func (j journal) Propose(c command.Command) (placer.Future, error) {
	data, err := command.Encode(c)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	f, err := j.m.Propose(data)
	if err != nil {
		return nil, outcomeOf(err)
	}
	return future{f}, nil
}

// Barrier implements control.Journal.
func (j journal) Barrier(ctx context.Context) error {
	f, err := j.m.Propose(nil)
	if err != nil {
		return outcomeOf(err)
	}
	_, _, err = f.Wait(ctx)
	return outcomeOf(err)
}

type future struct{ f *quorum.Future }

// Wait implements placer.Future.
func (p future) Wait(ctx context.Context) (any, error) {
	_, result, err := p.f.Wait(ctx)
	if err != nil {
		return nil, outcomeOf(err)
	}
	if refusal, ok := result.(error); ok {
		return nil, refusal
	}
	return result, nil
}

// outcomeOf turns the log's errors into those that the control plane knows.
func outcomeOf(err error) error {
	switch {
	case errors.Is(err, quorum.ErrNotLeader):
		return structs.ErrNotLeader
	case errors.Is(err, quorum.ErrLeadershipLost), errors.Is(err, context.DeadlineExceeded):
		return structs.NewError(structs.KindUnavailable, "the change may or may not have been made: %v", err)
	}
	return err
}
