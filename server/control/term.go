package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/server/blocked"
	"github.com/steppe-run/steppe/server/broker"
	"github.com/steppe-run/steppe/server/heartbeat"
	"github.com/steppe-run/steppe/server/intake"
	"github.com/steppe-run/steppe/server/placer"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// Waits of the leader.
const (
	barrierLimit = 2 * time.Minute
	termRetry    = time.Second
)

// term is what a server has while it leads: memory that is rebuilt from the
// state whenever leadership changes.
type term struct {
	s          *Control
	broker     *broker.Broker
	blocked    *blocked.Tracker
	heartbeats *heartbeat.Tracker
	held       *heartbeat.Held
	intake     *intake.Intake
	placer     *placer.Placer
	deploys    *deployLoop
	drains     *drainLoop
	launches   *launchLoop
	sweeps     *sweepLoop
	quarantine heartbeat.Quarantine
	// beats wakes the loop that expires nodes when a node is new to it.
	beats bell
}

// Lead leads until ctx ends, anew if something fails meanwhile.
func (s *Control) Lead(ctx context.Context) error {
	for ctx.Err() == nil {
		err := s.lead(ctx)
		if ctx.Err() != nil {
			return nil
		}
		s.log.Error("leading was interrupted and begins anew", logx.KeyError, err)
		if err := s.sleep(ctx, termRetry); err != nil {
			return nil
		}
	}
	return nil
}

// lead takes over once everything committed before is applied.
func (s *Control) lead(ctx context.Context) error {
	barrier, cancel := loop.WithTimeout(ctx, barrierLimit)
	err := s.journal.Barrier(barrier)
	cancel()
	if err != nil {
		return fmt.Errorf("wait until all earlier entries are applied: %w", err)
	}
	return s.serveTerm(ctx)
}

// serveTerm restores the leader's memory from the state and runs the
// controllers.
func (s *Control) serveTerm(ctx context.Context) error {
	snap := s.store.Snapshot()
	sub, err := s.store.Subscribe(snap.Index())
	if err != nil {
		return fmt.Errorf("follow the state: %w", err)
	}
	t := s.newTerm()
	t.restore(snap)
	if err := t.configure(ctx); err != nil {
		return err
	}
	g := loop.New(ctx)
	g.Go("feed", func(ctx context.Context) error { return t.pump(ctx, sub) })
	g.Go("placer", t.placer.Run)
	g.Go("intake", t.intake.Run)
	g.Go("litter", t.collectLitter)
	g.Go("heartbeats", t.expireNodes)
	g.Go("deployer", t.deploys.run)
	g.Go("drainer", t.drains.run)
	g.Go("periodic", t.launches.run)
	g.Go("sweeper", t.sweeps.run)
	if s.cfg.Beside != nil {
		g.Go("beside", s.cfg.Beside)
	}
	s.term.Store(t)
	s.log.Info("this server leads", logx.KeyIndex, snap.Index())
	err = g.Wait()
	s.term.Store(nil)
	s.log.Info("this server doesn't lead any more")
	return err
}

func (s *Control) newTerm() *term {
	t := &term{
		s:       s,
		broker:  broker.New(s.cfg.Clock, broker.Options{}),
		blocked: blocked.New(),
		heartbeats: heartbeat.New(heartbeat.Options{
			MinTTL:    s.cfg.MinHeartbeatTTL,
			PerSecond: s.cfg.MaxHeartbeatsPerSecond,
			Grace:     s.cfg.HeartbeatGrace,
			FirstTTL:  s.cfg.FailoverHeartbeatTTL,
			Tick:      expireTick,
		}),
		held:  heartbeat.NewHeld(heartbeat.Brake{Percent: s.cfg.Brake.Percent, MinNodes: s.cfg.Brake.MinNodes}, s.cfg.Brake.Hold),
		beats: newBell(),
	}
	t.intake = intake.New(s.commitUpdates)
	t.placer = placer.New(placer.Config{
		Queue:  evalQueue{t.broker},
		Log:    s.journal,
		Store:  s.store,
		NewID:  s.cfg.NewID,
		Clock:  s.cfg.Clock,
		Logger: s.log.With(logx.KeyRoom, "placer"),
		Freed:  t.roomLeft,
	})
	t.deploys = newDeployLoop(s)
	t.drains = newDrainLoop(s)
	t.launches = newLaunchLoop(s)
	t.sweeps = newSweepLoop(s)
	return t
}

// restore fills the leader's memory from a snapshot.
func (t *term) restore(snap *state.Snapshot) {
	t.broker.SetPaused(snap.SchedulerConfig().PauseEvalBroker)
	t.offerEvals(snap)
	t.offerRoom(snap)
	t.watchNodes(snap)
	t.deploys.reset(snap)
	t.drains.note()
	t.launches.reset()
}

// watchNodes gives every node that may be alive a time to live, and takes over
// what the leader before knew of those that are not heard of.
func (t *term) watchNodes(snap *state.Snapshot) {
	t.recall(snap)
	now := t.s.cfg.Clock.Now()
	var alive []string
	all, held := 0, 0
	for n := range snap.Nodes("") {
		all++
		if n.SilentSince != 0 {
			held++
		} else if n.Status != structs.NodeStatusDown && n.Status != structs.NodeStatusDisconnected {
			alive = append(alive, n.ID)
		}
	}
	t.heartbeats.Reset(alive, all, now)
	lost := 0
	for n := range snap.Nodes("") {
		switch {
		case n.Status == structs.NodeStatusDisconnected:
			t.heartbeats.Watch(n.ID, now)
		case n.Status == structs.NodeStatusDown && now.Sub(time.Unix(n.StatusUpdatedAt, 0)) < t.heartbeats.Window():
			lost++
		}
	}
	// They count beside those of whom it turns out now that they were silent too:
	// that is once everybody had the time to call.
	t.held.Lost(lost, now.Add(2*expireTick))
	if held > 0 {
		t.s.log.Error("many nodes are silent: their loss is held back, as it was by the leader before. "+brakeAdvice, logx.KeyCount, held)
	}
}

// offerEvals hands everything unfinished to the broker and the blocked ones to
// their tracker.
func (t *term) offerEvals(snap *state.Snapshot) {
	for e := range snap.EvalsByStatus(structs.EvalStatusPending) {
		t.broker.Enqueue(e)
	}
	for e := range snap.EvalsByStatus(structs.EvalStatusBlocked) {
		t.blocked.Block(e, blocked.NeedOf(snap, e))
	}
}

// evalQueue is the broker as the placer uses it.
type evalQueue struct{ b *broker.Broker }

// Take implements placer.Queue.
func (q evalQueue) Take(ctx context.Context, limit int) ([]*structs.Evaluation, error) {
	ds, err := q.b.Take(ctx, limit)
	return evalsOf(ds), err
}

// Poll implements placer.Queue.
func (q evalQueue) Poll(limit int) []*structs.Evaluation { return evalsOf(q.b.Poll(limit)) }

// Ack implements placer.Queue.
func (q evalQueue) Ack(ids ...string) { q.b.Ack(ids...) }

// Nack implements placer.Queue.
func (q evalQueue) Nack(ids ...string) { q.b.Nack(ids...) }

func evalsOf(ds []broker.Delivery) []*structs.Evaluation {
	out := make([]*structs.Evaluation, 0, len(ds))
	for _, d := range ds {
		out = append(out, d.Eval)
	}
	return out
}

// sleep waits for d, or until ctx ends.
func (s *Control) sleep(ctx context.Context, d time.Duration) error {
	return loop.Sleep(ctx, s.cfg.Clock, d)
}

// leaderGone reports whether an error only says that leadership moved on.
func leaderGone(err error) bool {
	return errors.Is(err, structs.ErrNotLeader) || errors.Is(err, context.Canceled)
}
