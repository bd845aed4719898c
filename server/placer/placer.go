// Package placer is the one place of a region where evaluations become plans.
// It keeps the index of what nodes have left, schedules on the newest state
// plus its own entries in flight, commits several evaluations in one entry and
// several entries at a time, and schedules again what the store refused.
//
// It must not know how evaluations are queued or how the log is kept: Queue
// and Log are what it uses of them. Begin reading at Placer.Run.
package placer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// Queue hands out evaluations, each of another job.
type Queue interface {
	// Take waits for evaluations.
	Take(ctx context.Context, limit int) ([]*structs.Evaluation, error)
	// Poll returns what there is at once.
	Poll(limit int) []*structs.Evaluation
	Ack(ids ...string)
	Nack(ids ...string)
}

// Log commits commands, in the order of the calls.
type Log interface {
	Propose(c command.Command) (Future, error)
	// Barrier returns once the fate of everything proposed before is known: the
	// store has it, or never will.
	Barrier(ctx context.Context) error
}

// Future is a command under way.
type Future interface {
	// Wait returns the store's result.
	Wait(ctx context.Context) (any, error)
}

// Store is what the placer reads.
type Store interface {
	Snapshot() *state.Snapshot
	Subscribe(from uint64) (*feed.Subscription, error)
}

// Config is what a placer needs.
type Config struct {
	Queue  Queue
	Log    Log
	Store  Store
	NewID  func() string
	Clock  clock.Clock
	Logger *slog.Logger
	// Freed is told, unless nil, on which nodes room was given back that a plan
	// in flight had held: evaluations scheduled up to a state didn't see it.
	Freed func(nodeIDs []string, index uint64)
}

// Bounds of one entry and of how much is in flight.
const (
	maxEvals = 256
	maxRows  = 10_000
	// maxSlice is how long evaluations are scheduled before what there is is
	// committed, and what came meanwhile is looked at.
	maxSlice    = 5 * time.Millisecond
	maxInFlight = 4
	commitLimit = 30 * time.Second
)

// Placer turns evaluations into committed plans. One goroutine runs it.
type Placer struct {
	cfg      Config
	room     *room
	scratch  scheduler.Scratch
	todo     []*structs.Evaluation // taken, not scheduled yet
	inFlight []*entry
	attempts map[string]int
	// preparing is the evaluation that takes several slices before it can be
	// decided, if there is one; others that do wait for it.
	preparing string
	// unsure says that an entry failed which may be applied all the same: until
	// that is known, whatever is decided may have been decided before.
	unsure bool
	counts counters
}

type counters struct{ evals, placed, refused, entries atomic.Int64 }

// New returns a placer that works once Run runs.
func New(cfg Config) *Placer {
	return &Placer{cfg: cfg, attempts: map[string]int{}}
}

// Run places until ctx ends.
func (p *Placer) Run(ctx context.Context) error {
	p.room = newRoom(p.cfg.Store)
	for ctx.Err() == nil { // a job that takes many slices waits for nothing
		if err := p.turn(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Stats counts what was done: evaluations, placements committed, nodes that
// refused, log entries.
func (p *Placer) Stats() map[string]int64 {
	return map[string]int64{
		"evaluations": p.counts.evals.Load(),
		"placements":  p.counts.placed.Load(),
		"refusals":    p.counts.refused.Load(),
		"entries":     p.counts.entries.Load(),
	}
}

// turn does one of three things: it commits another batch, waits for the
// oldest one in flight, or waits for work.
func (p *Placer) turn(ctx context.Context) error {
	if len(p.inFlight) >= maxInFlight {
		return p.settleOldest(ctx)
	}
	p.refill()
	if len(p.todo) == 0 {
		if len(p.inFlight) > 0 {
			return p.settleOldest(ctx)
		}
		evals, err := p.cfg.Queue.Take(ctx, maxEvals)
		if err != nil {
			return fmt.Errorf("take evaluations: %w", err)
		}
		p.todo = evals
	}
	return p.commitBatch(ctx)
}

// refill takes what has come since the last slice: the highest priority goes
// first, also before what was taken earlier and is not finished. Among equals
// the order stays, so that a job of many slices lets others through.
func (p *Placer) refill() {
	fresh := p.cfg.Queue.Poll(max(minPoll, maxEvals-len(p.todo)))
	if len(fresh) == 0 && slices.IsSortedFunc(p.todo, byPriority) {
		return
	}
	p.todo = append(p.todo, fresh...)
	slices.SortStableFunc(p.todo, byPriority)
}

// minPoll is how many evaluations are looked for even if many wait here.
const minPoll = 16

func byPriority(a, b *structs.Evaluation) int { return cmp.Compare(b.Priority, a.Priority) }

func (p *Placer) commitBatch(ctx context.Context) error {
	if err := p.makeSure(ctx); err != nil {
		return err
	}
	snap, err := p.room.advance(ctx)
	if err != nil {
		return fmt.Errorf("follow the state: %w", err)
	}
	e := p.schedule(snap)
	if len(e.outcomes) == 0 {
		if len(p.inFlight) > 0 {
			return p.settleOldest(ctx)
		}
		return nil
	}
	e.future, err = p.cfg.Log.Propose(e.command(p.cfg.Clock.Now()))
	if err != nil {
		p.abandon(e, err)
		return nil
	}
	p.counts.entries.Add(1)
	p.inFlight = append(p.inFlight, e)
	return nil
}

// makeSure waits until the state shows whether the entries that failed were
// applied. Who can't find out doesn't lead any more.
func (p *Placer) makeSure(ctx context.Context) error {
	if !p.unsure {
		return nil
	}
	ctx, cancel := loop.WithTimeout(ctx, commitLimit)
	defer cancel()
	if err := p.cfg.Log.Barrier(ctx); err != nil {
		return fmt.Errorf("find out what became of plans that were not committed: %w", err)
	}
	p.unsure = false
	return nil
}

// settleOldest waits for the oldest entry in flight and does what follows.
func (p *Placer) settleOldest(ctx context.Context) error {
	e := p.inFlight[0]
	p.inFlight = p.inFlight[1:]
	waitCtx, cancel := loop.WithTimeout(ctx, commitLimit)
	defer cancel()
	result, err := e.future.Wait(waitCtx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		p.abandon(e, err)
		return nil
	}
	plans, ok := result.(*state.PlanResult)
	if !ok {
		p.abandon(e, errors.New("the store gave no plan result"))
		return nil
	}
	p.settle(e, plans)
	return nil
}

// abandon gives an entry's evaluations back. Whether it was committed is not
// known yet, so nothing is decided before it is, and the index of capacity is
// built anew.
func (p *Placer) abandon(e *entry, why error) {
	p.cfg.Logger.Warn("plans were not committed; their evaluations will be retried",
		logx.KeyError, why, logx.KeyCount, len(e.outcomes))
	p.unsure = true
	p.room.Drop()
	for _, o := range e.outcomes {
		p.room.release(o.decision.Plan)
		delete(p.attempts, o.eval.ID)
		p.cfg.Queue.Nack(o.eval.ID)
		p.freed(o.decision.Plan)
	}
}

// freed tells where a plan that failed had held room.
func (p *Placer) freed(plan *structs.Plan) {
	if p.cfg.Freed == nil || len(plan.Groups) == 0 {
		return
	}
	var nodes []string
	for i := range plan.Groups {
		for j := range plan.Groups[i].Rows {
			nodes = append(nodes, plan.Groups[i].Rows[j].NodeID)
		}
	}
	slices.Sort(nodes)
	p.cfg.Freed(slices.Compact(nodes), p.room.index)
}

func (p *Placer) settle(e *entry, result *state.PlanResult) {
	var done []string
	for _, o := range e.outcomes {
		id := o.eval.ID
		refused, rejected := result.Refused[id], result.Rejected[id]
		switch {
		case len(refused) > 0 || rejected != "":
			p.counts.refused.Add(int64(max(1, len(refused))))
			p.room.undo(o.decision.Plan, refused)
			p.freed(o.decision.Plan)
			p.again(o, refused, rejected)
		case o.decision.More:
			p.room.release(o.decision.Plan)
			p.todo = append(p.todo, o.eval)
		default:
			p.room.release(o.decision.Plan)
			p.counts.evals.Add(1)
			delete(p.attempts, id)
			done = append(done, id)
		}
		p.counts.placed.Add(int64(stored(o.decision.Plan, refused, rejected)))
	}
	p.cfg.Queue.Ack(done...)
}

// again schedules an evaluation anew after the store refused a part of its
// plan, until it was tried often enough.
func (p *Placer) again(o *outcome, refused []state.RefusedNode, rejected string) {
	reason := rejected
	if len(refused) > 0 {
		reason = refused[0].Reason
	}
	p.attempts[o.eval.ID]++
	p.cfg.Logger.Debug("a plan was refused in part and is made again",
		logx.KeyEval, o.eval.ID, logx.KeyReason, reason, logx.KeyCount, p.attempts[o.eval.ID])
	p.todo = append(p.todo, o.eval)
}

// stored counts the rows of a plan that the store took.
func stored(plan *structs.Plan, refused []state.RefusedNode, rejected string) int {
	if rejected != "" {
		return 0
	}
	n := rows(plan)
	for _, node := range refused {
		for i := range plan.Groups {
			for j := range plan.Groups[i].Rows {
				if plan.Groups[i].Rows[j].NodeID == node.NodeID {
					n--
				}
			}
		}
	}
	return n
}

func rows(plan *structs.Plan) int {
	n := 0
	for i := range plan.Groups {
		n += len(plan.Groups[i].Rows)
	}
	return n
}
