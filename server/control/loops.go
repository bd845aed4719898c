package control

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/server/deployer"
	"github.com/steppe-run/steppe/server/drainer"
	"github.com/steppe-run/steppe/server/sweeper"
	"github.com/steppe-run/steppe/state"
)

// Rhythm of the loops: changes that come close together are looked at once.
const (
	deployPause = 100 * time.Millisecond
	drainPause  = 250 * time.Millisecond
	drainPoll   = 10 * time.Second
	retryPause  = time.Second
)

// bell wakes one loop, however often it is rung meanwhile.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default: // it rings already
	}
}

// wait returns when the bell rings, at a time (zero: never), or when ctx ends.
func (s *Control) wait(ctx context.Context, b bell, at time.Time) error {
	_, err := loop.Until(ctx, s.cfg.Clock, at, b)
	return err
}

// deployLoop runs the deployer.
type deployLoop struct {
	s    *Control
	core *deployer.Deployer
	bell bell

	mu    sync.Mutex
	notes map[string]bool // deployment id: look at its allocations too
}

func newDeployLoop(s *Control) *deployLoop {
	return &deployLoop{s: s, core: deployer.New(s.cfg.NewID), bell: newBell(), notes: map[string]bool{}}
}

// reset looks at every active deployment of a snapshot. It is called before
// run.
func (l *deployLoop) reset(snap *state.Snapshot) {
	l.core.Reset(snap)
	l.bell.ring()
}

func (l *deployLoop) note(id string, scan bool) {
	l.mu.Lock()
	l.notes[id] = l.notes[id] || scan
	l.mu.Unlock()
	l.bell.ring()
}

func (l *deployLoop) run(ctx context.Context) error {
	var next time.Time
	for {
		if err := l.s.wait(ctx, l.bell, next); err != nil {
			return err
		}
		if err := l.s.sleep(ctx, deployPause); err != nil {
			return err
		}
		next = l.step(ctx)
	}
}

func (l *deployLoop) step(ctx context.Context) time.Time {
	l.mu.Lock()
	notes := l.notes
	l.notes = map[string]bool{}
	l.mu.Unlock()
	for id, scan := range notes {
		l.core.Note(id, scan)
	}
	now := l.s.cfg.Clock.Now()
	actions, next := l.core.Step(l.s.store.Snapshot(), now)
	for _, a := range actions {
		if _, err := l.s.propose(ctx, a.Command); err != nil {
			l.core.Failed(a)
			next = now.Add(retryPause)
			if !leaderGone(err) {
				l.s.log.Warn("a deployment could not be moved on; this is retried",
					logx.KeyDeployment, a.DeploymentID, logx.KeyError, err)
			}
		}
	}
	return next
}

// drainLoop runs the drainer.
type drainLoop struct {
	s    *Control
	core *drainer.Drainer
	bell bell
	// draining is set while there may be draining nodes: only then do changes
	// of allocations matter.
	draining atomic.Bool
}

func newDrainLoop(s *Control) *drainLoop {
	return &drainLoop{s: s, core: drainer.New(s.cfg.NewID), bell: newBell()}
}

func (l *drainLoop) note() { l.bell.ring() }

func (l *drainLoop) noteAlloc() {
	if l.draining.Load() {
		l.bell.ring()
	}
}

func (l *drainLoop) run(ctx context.Context) error {
	var next time.Time
	for {
		if err := l.s.wait(ctx, l.bell, next); err != nil {
			return err
		}
		if err := l.s.sleep(ctx, drainPause); err != nil {
			return err
		}
		next = l.step(ctx)
	}
}

func (l *drainLoop) step(ctx context.Context) time.Time {
	now := l.s.cfg.Clock.Now()
	// Set before the snapshot is taken, so that no change is missed between.
	l.draining.Store(true)
	snap := l.s.store.Snapshot()
	if !anyDraining(snap) {
		l.draining.Store(false)
		return time.Time{}
	}
	commands, next := l.core.Step(snap, now)
	if poll := now.Add(drainPoll); next.IsZero() || poll.Before(next) {
		next = poll
	}
	for _, c := range commands {
		if _, err := l.s.propose(ctx, c); err != nil {
			var conflict *state.ConflictError
			if !leaderGone(err) && !errors.As(err, &conflict) {
				l.s.log.Warn("a drain could not be moved on; this is retried", logx.KeyError, err)
			}
			return now.Add(retryPause)
		}
	}
	return next
}

func anyDraining(snap *state.Snapshot) bool {
	for n := range snap.Nodes("") {
		if n.DrainStrategy != nil {
			return true
		}
	}
	return false
}

// sweepLoop runs the sweeper.
type sweepLoop struct {
	s    *Control
	core *sweeper.Sweeper
	turn bell // rings while nobody sweeps: one sweep at a time
}

func newSweepLoop(s *Control) *sweepLoop {
	g := s.cfg.GC
	l := &sweepLoop{s: s, turn: newBell(), core: sweeper.New(sweeper.Thresholds{
		Eval: g.EvalThreshold, BatchEval: g.BatchEvalThreshold, Job: g.JobThreshold,
		Node: g.NodeThreshold, Deployment: g.DeploymentThreshold,
	})}
	l.turn.ring()
	return l
}

func (l *sweepLoop) run(ctx context.Context) error {
	for {
		if err := l.s.sleep(ctx, l.s.cfg.GC.Interval); err != nil {
			return err
		}
		if err := l.sweep(ctx, false); err != nil && !leaderGone(err) {
			l.s.log.Warn("garbage could not be collected; the next round tries again", logx.KeyError, err)
		}
	}
}

// sweep removes what may go. What the removal of one thing sets free goes in
// the same call if it is forced.
func (l *sweepLoop) sweep(ctx context.Context, force bool) error {
	if err := l.s.wait(ctx, l.turn, time.Time{}); err != nil {
		return err
	}
	defer l.turn.ring()
	const rounds = 3
	for round := 0; round < rounds; {
		removed := 0
		commands, more := l.core.Step(l.s.store.Snapshot(), l.s.cfg.Clock.Now(), force)
		for _, c := range commands {
			if err := l.s.cfg.Room(ctx); err != nil {
				return err
			}
			result, err := commit[*state.SweepResult](ctx, l.s, c)
			if err != nil {
				return err
			}
			removed += result.Evals + result.Allocs + result.Deployments + result.Jobs + result.Nodes
		}
		if removed == 0 || !force && !more {
			return nil
		}
		if !more {
			round++
		}
	}
	return nil
}
