package control

import (
	"context"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/server/placer"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
)

// proposeLimit bounds how long one command may take to be committed.
const proposeLimit = 30 * time.Second

// Journal commits commands in order; each is applied before it is answered.
type Journal interface {
	// Commit returns what the store made of a command.
	Commit(ctx context.Context, c command.Command) (any, error)
	// Propose begins to commit a command.
	Propose(c command.Command) (placer.Future, error)
	// Barrier waits until everything proposed before is applied, or never will be.
	Barrier(ctx context.Context) error
}

// propose commits a command and returns what the store made of it.
func (s *Control) propose(ctx context.Context, c command.Command) (any, error) {
	ctx, cancel := loop.WithTimeout(ctx, proposeLimit)
	defer cancel()
	return s.journal.Commit(ctx, c)
}

// commit is propose for commands whose result is an R.
func commit[R any](ctx context.Context, s *Control, c command.Command) (R, error) {
	var none R
	result, err := s.propose(ctx, c)
	if err != nil {
		return none, err
	}
	r, ok := result.(R)
	if !ok {
		return none, fmt.Errorf("apply command: the store returned %T where %T was due", result, none)
	}
	return r, nil
}

// indexOf returns the index of any of the store's results.
func indexOf(result any) uint64 {
	switch r := result.(type) {
	case *state.Applied:
		return r.Index
	case *state.NodeResult:
		return r.Index
	case *state.JobResult:
		return r.Index
	case *state.DeploymentResult:
		return r.Index
	case *state.PlanResult:
		return r.Index
	case *state.SweepResult:
		return r.Index
	case *state.LaunchResult:
		return r.Index
	}
	panic(fmt.Sprintf("result %T has no index", result)) // a new kind of result must be added above
}
