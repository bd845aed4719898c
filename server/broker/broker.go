// Package broker hands out evaluations: by priority, then age; one at a time
// for each job; later ones when they are due; failed ones again, up to a limit.
//
// It must not know how evaluations are stored or processed. Begin reading at
// Queue, the pure core; Broker gives it a clock and lets callers wait.
package broker

import (
	"context"
	"sync"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// Broker is a Queue for concurrent use. Who takes an evaluation must end it
// with Ack or Nack; there is no timeout behind its back.
type Broker struct {
	clock clock.Clock

	mu     sync.Mutex
	queue  *Queue
	paused bool
	// wake is closed and replaced when Take may find more than before.
	wake chan struct{}
	// litter receives when there are superseded or dead evaluations to
	// collect, or room again for missed ones.
	litter chan struct{}
}

// New returns an empty broker.
func New(c clock.Clock, opts Options) *Broker {
	return &Broker{clock: c, queue: NewQueue(opts), wake: make(chan struct{}), litter: make(chan struct{}, 1)}
}

// Enqueue takes evaluations.
func (b *Broker) Enqueue(evals ...*structs.Evaluation) {
	if len(evals) == 0 {
		return
	}
	b.change(func(now time.Time) {
		for _, e := range evals {
			b.queue.Enqueue(e, now)
		}
	})
}

// Forget drops an evaluation that ended by another road.
func (b *Broker) Forget(id string) {
	b.change(func(time.Time) { b.queue.Forget(id) })
}

// Ack ends deliveries well.
func (b *Broker) Ack(ids ...string) {
	b.change(func(now time.Time) {
		for _, id := range ids {
			b.queue.Ack(id, now)
		}
	})
}

// Nack ends deliveries badly: they are retried later, or given up.
func (b *Broker) Nack(ids ...string) {
	b.change(func(now time.Time) {
		for _, id := range ids {
			b.queue.Nack(id, now)
		}
	})
}

// SetPaused stops handing out, or goes on.
func (b *Broker) SetPaused(paused bool) {
	b.change(func(time.Time) { b.paused = paused })
}

// Poll hands out what there is, up to limit, without waiting.
func (b *Broker) Poll(limit int) []Delivery {
	out, _, _ := b.poll(limit)
	return out
}

// Take waits until there is something to do and hands out up to limit
// evaluations, each of another job.
func (b *Broker) Take(ctx context.Context, limit int) ([]Delivery, error) {
	for {
		out, wake, wait := b.poll(limit)
		if len(out) > 0 {
			return out, nil
		}
		if err := b.sleep(ctx, wake, wait); err != nil {
			return nil, err
		}
	}
}

// Litter receives when Collect has something new to give.
func (b *Broker) Litter() <-chan struct{} { return b.litter }

// Collect lists evaluations to cancel and evaluations to fail, and reports
// whether evaluations were refused and must be offered again. Both lists keep
// what they have until it is forgotten.
func (b *Broker) Collect() (superseded, dead []*structs.Evaluation, missed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue.Superseded(), b.queue.Dead(), b.queue.Missed()
}

// Stats counts what the broker holds.
func (b *Broker) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue.Stats()
}

func (b *Broker) change(f func(now time.Time)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := len(b.queue.superseded) + len(b.queue.dead)
	f(b.clock.Now())
	close(b.wake)
	b.wake = make(chan struct{})
	missed := b.queue.missed && len(b.queue.known) <= b.queue.opts.Limit/2
	if len(b.queue.superseded)+len(b.queue.dead) > before || missed {
		select {
		case b.litter <- struct{}{}:
		default: // already told
		}
	}
}

// poll takes what there is, else says how long until more is due; 0 is never.
func (b *Broker) poll(limit int) ([]Delivery, <-chan struct{}, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paused {
		return nil, b.wake, 0
	}
	now := b.clock.Now()
	out := b.queue.Take(limit, now)
	var wait time.Duration
	if due, ok := b.queue.NextDue(); ok {
		wait = max(due.Sub(now), time.Millisecond)
	}
	return out, b.wake, wait
}

func (b *Broker) sleep(ctx context.Context, wake <-chan struct{}, wait time.Duration) error {
	_, err := loop.Wait(ctx, b.clock, wait, wake)
	return err
}
