package control

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/server/blocked"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// pump tells the leader's rooms what each applied entry changed.
func (t *term) pump(ctx context.Context, sub *feed.Subscription) error {
	for {
		change, err := sub.Next(ctx)
		var lagged *feed.LaggedError
		if errors.As(err, &lagged) {
			if sub, err = t.resync(); err == nil {
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("follow the state: %w", err)
		}
		for i := range change.Events {
			t.absorb(&change.Events[i], change.Index)
		}
		t.wake()
	}
}

// resync reads from the state what the feed dropped before it was read.
func (t *term) resync() (*feed.Subscription, error) {
	snap := t.s.store.Snapshot()
	t.s.log.Warn("the feed of changes was too fast to follow; reading the state instead", logx.KeyIndex, snap.Index())
	sub, err := t.s.store.Subscribe(snap.Index())
	if err != nil {
		return nil, err
	}
	t.recall(snap)
	t.broker.SetPaused(snap.SchedulerConfig().PauseEvalBroker)
	t.blocked.Reset()
	t.offerEvals(snap)
	t.offerRoom(snap)
	for d := range snap.ActiveDeployments() {
		t.deploys.note(d.ID, true)
	}
	t.drains.note()
	t.launches.reset()
	return sub, nil
}

// recall takes in which nodes are held back, and which are in quarantine.
func (t *term) recall(snap *state.Snapshot) {
	held, quarantined := map[string]int64{}, map[string]int64{}
	for n := range snap.Nodes("") {
		if n.SilentSince != 0 {
			held[n.ID] = n.SilentSince
		}
		if n.QuarantineUntil != 0 {
			quarantined[n.ID] = n.QuarantineUntil
		}
	}
	t.held.Replace(held)
	t.quarantine.Replace(quarantined)
}

func (t *term) absorb(ev *feed.Event, index uint64) {
	switch ev.Table() {
	case feed.TableEvals:
		t.absorbEval(ev)
	case feed.TableNodes:
		t.absorbNode(ev, index)
	case feed.TableAllocs:
		t.absorbAlloc(ev, index)
	case feed.TableDeployments:
		t.deploys.note(ev.Key(), false)
	case feed.TableNodePools:
		t.absorbPool(ev, index)
	case feed.TableJobs:
		old, _ := ev.Old().(*structs.Job)
		job, _ := ev.New().(*structs.Job)
		t.launches.note(old, job)
	}
}

// wake has the evaluations scheduled that capacity which came could serve.
func (t *term) wake() {
	t.broker.Enqueue(t.blocked.Match(blocked.State{Snapshot: t.s.store.Snapshot()})...)
}

// offerRoom offers what all nodes have left to the blocked evaluations: it is
// not known what changed since those were scheduled.
func (t *term) offerRoom(snap *state.Snapshot) {
	for n := range snap.Nodes("") {
		if n.Ready() {
			t.blocked.Note(n.ID, snap.Index()+1)
		}
	}
	t.wake()
}

// roomLeft notes nodes on which the placer gave back what a plan in flight held:
// evaluations scheduled meanwhile, on a state up to index, saw them fuller than
// they are.
func (t *term) roomLeft(nodeIDs []string, index uint64) {
	for _, id := range nodeIDs {
		t.blocked.Note(id, index+1)
	}
	t.wake()
}

// absorbPool wakes all if a pool's rules of its own changed.
func (t *term) absorbPool(ev *feed.Event, index uint64) {
	pool, _ := ev.New().(*structs.NodePool)
	old, _ := ev.Old().(*structs.NodePool)
	if !reflect.DeepEqual(rulesOf(old), rulesOf(pool)) {
		t.blocked.WakeAll(index)
	}
}

func rulesOf(pool *structs.NodePool) *structs.NodePoolSchedulerConfiguration {
	if pool == nil {
		return nil
	}
	return pool.SchedulerConfiguration
}

// reconfigured applies a configuration of the scheduler that was stored at
// index. What blocked evaluations wait for depends on whether they may preempt.
func (t *term) reconfigured(old, cfg *structs.SchedulerConfiguration, index uint64) {
	t.broker.SetPaused(cfg.PauseEvalBroker)
	if old.PreemptionConfig != cfg.PreemptionConfig {
		t.blocked.WakeAll(index)
		t.wake()
	}
}

// configure stores the configuration that a new region begins with, unless one
// was stored before.
func (t *term) configure(ctx context.Context) error {
	cfg := t.s.cfg.DefaultSchedulerConfig
	old := t.s.store.Snapshot().SchedulerConfig()
	if cfg == nil || old.ModifyIndex > 0 {
		return nil
	}
	var conflict *state.ConflictError
	result, err := t.s.propose(ctx, &command.SetSchedulerConfig{Config: cfg, CAS: true, CASIndex: old.ModifyIndex})
	switch {
	case errors.As(err, &conflict):
		return nil // a user was quicker
	case err != nil:
		return fmt.Errorf("store the scheduler's first configuration: %w", err)
	}
	t.reconfigured(old, cfg, indexOf(result))
	return nil
}

func (t *term) absorbEval(ev *feed.Event) {
	e, ok := ev.New().(*structs.Evaluation)
	if !ok {
		if old, ok := ev.Old().(*structs.Evaluation); ok {
			t.broker.Forget(old.ID)
			t.blocked.Forget(old)
		}
		return
	}
	switch {
	case e.Status == structs.EvalStatusPending:
		t.broker.Enqueue(e)
	case e.Status == structs.EvalStatusBlocked:
		t.blocked.Block(e, blocked.NeedOf(t.s.store.Snapshot(), e))
	case e.Terminal():
		t.broker.Forget(e.ID)
		t.blocked.Forget(e)
	}
}

func (t *term) absorbNode(ev *feed.Event, index uint64) {
	n, ok := ev.New().(*structs.Node)
	if !ok {
		t.heartbeats.Forget(ev.Key())
		t.held.Note(ev.Key(), 0)
		t.quarantine.Note(ev.Key(), 0)
		t.drains.note()
		return
	}
	t.held.Note(n.ID, n.SilentSince)
	t.quarantine.Note(n.ID, n.QuarantineUntil)
	old, _ := ev.Old().(*structs.Node)
	if n.DrainStrategy != nil || old != nil && old.DrainStrategy != nil {
		t.drains.note()
	}
	if n.Ready() {
		t.blocked.Note(n.ID, index)
	}
}

// absorbAlloc looks at an allocation that changed: it may have made room, be
// what a deployment or a drain waits for. It reads columns, since there may be
// a hundred thousand of them.
func (t *term) absorbAlloc(ev *feed.Event, index uint64) {
	old, fresh := ev.OldAlloc(), ev.NewAlloc()
	ended := !fresh.Valid() || fresh.Row().Terminal()
	if ended && old.Valid() && !old.Row().Terminal() {
		t.blocked.Note(old.Row().Node.ID, index)
		t.blocked.WakeJob(structs.NamespacedID{ID: old.Shared().JobID, Namespace: old.Shared().Namespace})
	} else if old.Valid() && fresh.Valid() && old.Shared() != fresh.Shared() && old.Shared().Ask != fresh.Shared().Ask {
		t.blocked.Note(old.Row().Node.ID, index) // it takes less, maybe
	}
	if !fresh.Valid() {
		return
	}
	if id := fresh.Shared().DeploymentID; id != "" {
		healthy := fresh.Row().Healthy()
		t.deploys.note(id, ended || healthy != nil && !*healthy)
	}
	t.drains.noteAlloc()
}

// Times of the evaluations' housekeeping.
const (
	litterInterval   = 5 * time.Second
	outrunInterval   = time.Minute
	followUpDelay    = time.Minute
	followUpJitterMS = 5 * 60 * 1000
	litterBatch      = 1024
)

// collectLitter cancels evaluations that need not run and fails those that
// could not.
func (t *term) collectLitter(ctx context.Context) error {
	nextOutrun := t.s.cfg.Clock.Now().Add(outrunInterval)
	for {
		if _, err := loop.Wait(ctx, t.s.cfg.Clock, litterInterval, t.broker.Litter()); err != nil {
			return err
		}
		// Should the answer to a change of the configuration have been lost.
		t.broker.SetPaused(t.s.store.Snapshot().SchedulerConfig().PauseEvalBroker)
		if now := t.s.cfg.Clock.Now(); !now.Before(nextOutrun) {
			nextOutrun = now.Add(outrunInterval)
			t.blocked.WakeOutrun()
			t.wake()
		}
		if err := t.sweepLitter(ctx); err != nil && !leaderGone(err) {
			t.s.log.Warn("superseded evaluations could not be canceled; this is retried", logx.KeyError, err)
		}
	}
}

func (t *term) sweepLitter(ctx context.Context) error {
	superseded, dead, missed := t.broker.Collect()
	now := t.s.cfg.Clock.Now()
	var evals []*structs.Evaluation
	for _, e := range superseded {
		c := e.Clone()
		c.Status = structs.EvalStatusCancelled
		c.StatusDescription = "a later evaluation of the job covers this one"
		c.ModifyTime = now.UnixNano()
		evals = append(evals, c)
	}
	for _, e := range dead {
		evals = append(evals, t.buried(e, now)...)
	}
	for len(evals) > 0 {
		n := min(len(evals), litterBatch)
		if _, err := t.s.propose(ctx, &command.UpsertEvals{Evals: evals[:n], Now: now.UnixNano()}); err != nil {
			return err
		}
		evals = evals[n:]
	}
	if missed {
		t.offerEvals(t.s.store.Snapshot())
	}
	return nil
}

// buried is an evaluation that failed at every delivery, and the one that
// tries again later.
func (t *term) buried(e *structs.Evaluation, now time.Time) []*structs.Evaluation {
	jitter := time.Duration(rand.New(rand.NewPCG(uint64(now.UnixNano()), e.CreateIndex)).IntN(followUpJitterMS)) * time.Millisecond
	next := &structs.Evaluation{
		ID:             t.s.cfg.NewID(),
		Namespace:      e.Namespace,
		Priority:       e.Priority,
		Type:           e.Type,
		TriggeredBy:    structs.TriggerFailedFollowUp,
		JobID:          e.JobID,
		JobModifyIndex: e.JobModifyIndex,
		Status:         structs.EvalStatusPending,
		PreviousEval:   e.ID,
		WaitUntil:      now.Add(followUpDelay + jitter),
		CreateTime:     now.UnixNano(),
		ModifyTime:     now.UnixNano(),
	}
	failed := e.Clone()
	failed.Status = structs.EvalStatusFailed
	failed.StatusDescription = "the evaluation failed each time it was tried; another one follows"
	failed.NextEval = next.ID
	failed.ModifyTime = now.UnixNano()
	return []*structs.Evaluation{failed, next}
}
