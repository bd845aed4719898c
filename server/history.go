package server

import (
	"context"
	"io"
	"path/filepath"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/server/history"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// HistoryConfig bounds what a server keeps of what left the state.
type HistoryConfig struct {
	// Off keeps nothing.
	Off bool
	// MaxBytes and MaxAge bound it; zero means 1 GiB and 14 days.
	MaxBytes int64
	MaxAge   time.Duration
}

// HistoryQuery says what is asked of the history.
type HistoryQuery = history.Query

// HistoryPosition is a place in the history.
type HistoryPosition = history.Position

// ParseHistoryPosition reads a place that a page named.
func ParseHistoryPosition(text string) (HistoryPosition, error) { return history.ParsePosition(text) }

// HistoryKinds are the kinds of objects that the history keeps.
func HistoryKinds() []string {
	return []string{structs.HistoryJob, structs.HistoryEvaluation, structs.HistoryAllocation, structs.HistoryDeployment}
}

// openHistory opens the history, unless it is off.
func (s *Server) openHistory() error {
	if s.cfg.History.Off {
		return nil
	}
	var err error
	s.history, err = history.Open(history.Config{
		Dir: filepath.Join(s.cfg.DataDir, "history"), MaxBytes: s.cfg.History.MaxBytes, MaxAge: s.cfg.History.MaxAge,
		Clock: s.cfg.Clock, Logger: s.log,
	})
	return err
}

// newStore returns an empty store that the history follows.
func (s *Server) newStore(feedSize int) *state.Store {
	opts := state.Options{FeedSize: feedSize}
	if s.history != nil {
		opts.Follower = s.history
	}
	return state.New(opts)
}

// historyRoom waits until the history has room for more, but not for ever: who
// collects garbage is told that the disk doesn't take it.
func (s *Server) historyRoom(ctx context.Context) error {
	if s.history == nil {
		return nil
	}
	ctx, cancel := loop.WithTimeout(ctx, historyLimit)
	defer cancel()
	return s.history.Room(ctx)
}

// History answers from what left the state.
func (s *Server) History(ctx context.Context, q HistoryQuery) (*structs.HistoryPage, error) {
	if s.history == nil {
		return nil, structs.NewError(structs.KindRefused, "this server keeps no history: its configuration has server { history_max_mb = 0 }")
	}
	return s.history.Page(ctx, s.cfg.Name, q)
}

// historyLimit bounds how long a snapshot, or a round of garbage collection, waits
// for the history.
const historyLimit = 30 * time.Second

// archived is a snapshot of the state that is written once everything that left
// the state before it is in the history: the log, from which the history could
// be completed, is cut then.
type archived struct {
	*state.Snapshot
	s *Server
}

// Persist implements replica.Snapshot.
func (a archived) Persist(w io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), historyLimit)
	defer cancel()
	if err := a.s.history.Sync(ctx, a.Index()); err != nil {
		a.s.log.Warn("a snapshot of the state is written before the history is: if the server ends now, that part of its history is missing",
			logx.KeyIndex, a.Index(), logx.KeyError, err)
	}
	return a.Snapshot.Persist(w)
}

// Figures counts what the server's rooms hold.
func (s *Server) Figures() map[string]int64 {
	out := s.Control.Figures()
	if s.history != nil {
		c := s.history.Counts()
		out["history.records"], out["history.bytes"] = int64(c.Records), c.Bytes
		out["history.waiting"], out["history.dropped"] = int64(c.Waiting), int64(c.Dropped)
		out["history.damaged"], out["history.gaps"] = int64(c.Damaged), int64(c.Gaps)
	}
	return out
}
