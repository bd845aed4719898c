package server

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/steppe-run/steppe/server/account"
	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/server/members"
	"github.com/steppe-run/steppe/server/placer"
	"github.com/steppe-run/steppe/server/replica"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// fsm is the store as the log drives it.
type fsm struct {
	store *state.Store
	// fatal receives an entry that this build can't read: from there on this
	// server would differ from the others, so it ends.
	fatal chan error
	// broken is that entry's error. Until the server has ended nothing more is
	// applied and no snapshot taken: it would hide the entry from the next start.
	// Only the log's goroutine uses it.
	broken error
	counts account.Log
	judge  interface {
		applied(entries []replica.Entry, store *state.Store) error
		restored(store *state.Store) error
	}
	// wrap makes of a snapshot of the state the one that the log keeps.
	wrap func(*state.Snapshot) replica.Snapshot
}

func newFSM(store *state.Store) *fsm {
	return &fsm{store: store, judge: newJudge(), fatal: make(chan error, 1), wrap: func(s *state.Snapshot) replica.Snapshot { return s }}
}

// Apply implements replica.FSM.
func (f *fsm) Apply(entries []replica.Entry) []any {
	readable := make([]state.Entry, 0, len(entries))
	for _, e := range entries {
		if f.broken != nil {
			break
		}
		c, err := command.Decode(e.Data)
		if err != nil {
			f.breakDown(fmt.Errorf("read log entry %d: %w", e.Index, err))
			break
		}
		f.counts.Add(c, len(e.Data))
		readable = append(readable, state.Entry{Index: e.Index, Command: c})
	}
	results := f.store.ApplyAll(readable)
	if err := f.judge.applied(entries[:len(readable)], f.store); err != nil {
		f.breakDown(err)
	}
	for len(results) < len(entries) {
		results = append(results, f.broken)
	}
	return results
}

// breakDown stops applying for good.
func (f *fsm) breakDown(err error) {
	f.broken = err
	select {
	case f.fatal <- err:
	default: // the first one is enough
	}
}

// Snapshot implements replica.FSM.
func (f *fsm) Snapshot() (replica.Snapshot, error) {
	if f.broken != nil {
		return nil, f.broken
	}
	return f.wrap(f.store.Snapshot()), nil
}

// Restore implements replica.FSM.
func (f *fsm) Restore(r io.Reader) error {
	if err := f.store.Restore(r); err != nil {
		return err
	}
	return f.judge.restored(f.store)
}

// watch ends the server when it can't follow the log any more.
func (f *fsm) watch(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-f.fatal:
		return err
	}
}

// outcome turns the log's errors into those that callers know, and a refusal
// of the store into an error.
func outcome(result any, err error) (any, error) {
	switch {
	case errors.Is(err, replica.ErrNotLeader):
		return nil, structs.ErrNotLeader
	case errors.Is(err, replica.ErrLeadershipLost):
		return nil, structs.NewError(structs.KindUnavailable,
			"leadership was lost while the change was under way: it may or may not have been made; read the state, then retry")
	case errors.Is(err, context.DeadlineExceeded):
		return nil, structs.NewError(structs.KindUnavailable,
			"the change was not committed in time: it may still be made; read the state, then retry")
	case errors.Is(err, replica.ErrClosed):
		return nil, structs.NewError(structs.KindUnavailable, "this server is stopping: ask another one")
	case err != nil:
		return nil, fmt.Errorf("commit command: %w", err)
	}
	if refusal, ok := result.(error); ok {
		return nil, refusal
	}
	return result, nil
}

// OutdatedMemberError refuses a change because a server of the region could not
// read it: proposed all the same, it would end that server.
type OutdatedMemberError struct {
	// Member is the server that is too old, Version what it runs.
	Member, Version string
	// Need is the feature level of the change, Have the server's.
	Need, Have int
}

// Error implements error.
func (e *OutdatedMemberError) Error() string {
	return fmt.Sprintf("server %s (version %s, feature level %d) can't read this change, which needs level %d: "+
		"upgrade that server, or, if it is gone for good, `steppe server force-leave %s`, then retry",
		e.Member, e.Version, e.Have, e.Need, e.Member)
}

// Unwrap says how the refusal is answered: it can be tried again later.
func (e *OutdatedMemberError) Unwrap() error {
	return structs.NewError(structs.KindUnavailable, "%s", e.Error())
}

// guarded is a journal that takes only what every member can read.
type guarded struct {
	control.Journal
	oldest func() members.Member
}

func (g guarded) check(c command.Command) error {
	need := command.LevelOf(c)
	if m := g.oldest(); m.FeatureLevel < need {
		return &OutdatedMemberError{Member: m.Name, Version: m.Version, Need: need, Have: m.FeatureLevel}
	}
	return nil
}

// Commit implements control.Journal.
func (g guarded) Commit(ctx context.Context, c command.Command) (any, error) {
	if err := g.check(c); err != nil {
		return nil, err
	}
	return g.Journal.Commit(ctx, c)
}

// Propose implements control.Journal.
func (g guarded) Propose(c command.Command) (placer.Future, error) {
	if err := g.check(c); err != nil {
		return nil, err
	}
	return g.Journal.Propose(c)
}

// raftJournal is the journal of a real server.
type raftJournal struct{ replica *replica.Replica }

// Commit implements control.Journal.
func (j raftJournal) Commit(ctx context.Context, c command.Command) (any, error) {
	data, err := command.Encode(c)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	_, result, err := j.replica.Propose(ctx, data)
	return outcome(result, err)
}

// Propose implements control.Journal.
func (j raftJournal) Propose(c command.Command) (placer.Future, error) {
	data, err := command.Encode(c)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	return raftFuture{j.replica.ProposeAsync(data)}, nil
}

// Barrier implements control.Journal.
func (j raftJournal) Barrier(ctx context.Context) error { return j.replica.Barrier(ctx) }

type raftFuture struct{ f *replica.Future }

// Wait implements placer.Future.
func (p raftFuture) Wait(ctx context.Context) (any, error) {
	_, result, err := p.f.Wait(ctx)
	return outcome(result, err)
}
