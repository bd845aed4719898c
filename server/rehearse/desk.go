package rehearse

import (
	"context"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// Index is what nodes have left, following the state.
type Index interface {
	// Advance brings it up to the newest snapshot and returns that.
	Advance(ctx context.Context) (*state.Snapshot, error)
	// Capacity is the index as of the last Advance.
	Capacity() *scheduler.Capacity
	// Drop gives it up; the next Advance begins anew.
	Drop()
}

// Seat is what a rehearsal reads: a snapshot, and what nodes have left by it.
type Seat struct {
	Snap     *state.Snapshot
	Capacity *scheduler.Capacity
}

// step is how often the index follows the state while nobody asks, so that it is
// at hand at once and the feed doesn't run away from it.
const step = 500 * time.Millisecond

// Desk lends one index to those who rehearse, one after the other.
type Desk struct {
	clock clock.Clock
	turn  chan struct{} // holds a token while nobody has the index
	index Index
}

// NewDesk returns a desk whose index is made when it is first asked for, or once
// Run runs.
func NewDesk(index Index, c clock.Clock) *Desk {
	d := &Desk{clock: c, index: index, turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	return d
}

// Use calls f with the newest state. What f gets must not be kept.
func (d *Desk) Use(ctx context.Context, f func(Seat) error) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.leave()
	snap, err := d.index.Advance(ctx)
	if err != nil {
		d.index.Drop()
		return fmt.Errorf("count what the nodes have left: %w", err)
	}
	return f(Seat{Snap: snap, Capacity: d.index.Capacity()})
}

// UseFor is Use once the index is prepared for a job, which may take long: the
// desk is left between the slices of that. The job may be nil.
func (d *Desk) UseFor(ctx context.Context, job *structs.Job, f func(Seat) error) error {
	return d.UseForAll(ctx, func(Seat) []*structs.Job { return []*structs.Job{job} }, f)
}

// UseForAll is UseFor for several jobs.
func (d *Desk) UseForAll(ctx context.Context, jobs func(Seat) []*structs.Job, f func(Seat) error) error {
	for done := false; ; {
		err := d.Use(ctx, func(on Seat) error {
			for _, job := range jobs(on) {
				if done = scheduler.Prepare(on.Capacity, job); !done {
					return ctx.Err()
				}
			}
			done = true
			return f(on)
		})
		if done || err != nil {
			return err
		}
	}
}

// Run keeps the index up to date until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	for {
		if err := loop.Sleep(ctx, d.clock, step); err != nil {
			return err
		}
		// What fails is tried again at the next step, or told to who asks.
		_ = d.Use(ctx, func(Seat) error { return nil })
	}
}

func (d *Desk) enter(ctx context.Context) error {
	if n, err := loop.Await(ctx, d.turn); n != 0 {
		return fmt.Errorf("wait for the index of what nodes have left: %w", err)
	}
	return nil
}

func (d *Desk) leave() { d.turn <- struct{}{} }
