// Package control is what a region's control plane does with the replicated
// state: it turns what users and nodes ask into one command each and, on the
// leader, decides what runs where and watches over nodes, deployments and
// drains. Each room beside it (broker, placer, deployer, …) knows its own task
// only; this one wires them together.
//
// It must not know how the log is replicated, who the members are, or any
// socket: a Journal and a few functions are all it has of them, so that a whole
// region runs in one process on a clock moved by hand. Begin reading at Control,
// then Lead (term.go) for what the leader does, and RegisterJob (jobs.go) for a
// typical action.
package control

import (
	"log/slog"
	"sync/atomic"

	"github.com/steppe-run/steppe/server/evals"
	"github.com/steppe-run/steppe/server/placer"
	"github.com/steppe-run/steppe/server/rehearse"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// FeedSize is how many changes a store's feed should keep for those who follow
// it.
const FeedSize = 4096

// Control is the control plane of one server.
type Control struct {
	cfg     Config
	log     *slog.Logger
	store   *state.Store
	journal Journal
	desk    *rehearse.Desk
	evals   evals.Maker

	// term is what only the leader has; nil on everyone else, and on a leader
	// that isn't ready yet.
	term atomic.Pointer[term]
}

// New returns a control plane that leads while Lead runs.
func New(cfg Config) *Control {
	cfg = cfg.withDefaults()
	s := &Control{cfg: cfg, log: cfg.Logger, store: cfg.Store, journal: cfg.Journal, evals: evals.Maker{NewID: cfg.NewID}}
	s.desk = rehearse.NewDesk(placer.NewFollower(s.store), cfg.Clock)
	return s
}

// Store is the replicated state, for reads.
func (s *Control) Store() *state.Store { return s.store }

// Desk is where jobs are rehearsed; its owner runs it.
func (s *Control) Desk() *rehearse.Desk { return s.desk }

// Leading reports whether this server leads and is ready to act: a server that
// was just elected first catches up.
func (s *Control) Leading() bool {
	leads, _ := s.cfg.Standing()
	return leads && s.term.Load() != nil
}

// Ready says why this server can't act as the leader, nil if it can.
func (s *Control) Ready() error {
	_, err := s.leading()
	return err
}

// leading returns the current term, or why there is none.
func (s *Control) leading() (*term, error) {
	if t := s.term.Load(); t != nil {
		return t, nil
	}
	if leads, known := s.cfg.Standing(); known && !leads {
		return nil, structs.ErrNotLeader
	}
	return nil, structs.ErrNoLeader
}
