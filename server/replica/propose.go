package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// enqueueTimeout bounds how long a proposal waits to be taken up.
const enqueueTimeout = 30 * time.Second

// Future is a proposal under way.
type Future struct {
	done   chan struct{}
	index  uint64
	result any
	err    error
}

// Wait returns what Propose would. When ctx ends first the entry may still be
// committed.
func (f *Future) Wait(ctx context.Context) (uint64, any, error) {
	select {
	case <-f.done:
		return f.index, f.result, f.err
	case <-ctx.Done():
		return 0, nil, fmt.Errorf("wait for the entry to be committed: %w", ctx.Err())
	}
}

// Done is closed when Wait would answer at once.
func (f *Future) Done() <-chan struct{} { return f.done }

// Propose commits data and returns its index and the FSM's result. A result
// that is an error is the FSM's refusal of a committed entry: it is returned
// as result.
func (r *Replica) Propose(ctx context.Context, data []byte) (uint64, any, error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	return r.propose(data, remaining(ctx, r.clock.Now())).Wait(ctx)
}

// ProposeAsync proposes data and returns as soon as it is queued. Entries
// commit in the order of the calls.
func (r *Replica) ProposeAsync(data []byte) *Future { return r.propose(data, enqueueTimeout) }

func (r *Replica) propose(data []byte, timeout time.Duration) *Future {
	f := &Future{done: make(chan struct{})}
	if !r.begin() {
		f.err = ErrClosed
		close(f.done)
		return f
	}
	under := r.raft.Apply(data, timeout)
	r.group.Go("await entry", func(context.Context) error {
		defer r.pending.Done()
		defer close(f.done)
		if f.err = translate(under.Error()); f.err == nil {
			f.index, f.result = under.Index(), under.Response()
		}
		return nil
	})
	return f
}

// begin counts a call that closing must wait for, unless it is too late.
func (r *Replica) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.pending.Add(1)
	return true
}

// await waits for one of the library's futures, which know no context.
func (r *Replica) await(ctx context.Context, start func() raft.Future) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !r.begin() {
		return ErrClosed
	}
	done := make(chan error, 1)
	r.group.Go("await raft", func(context.Context) error {
		defer r.pending.Done()
		done <- translate(start().Error())
		return nil
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Verify asks a majority whether this server is still the leader.
func (r *Replica) Verify(ctx context.Context) error {
	return r.await(ctx, r.raft.VerifyLeader)
}

// Barrier waits until all that was committed before is applied here.
func (r *Replica) Barrier(ctx context.Context) error {
	timeout := remaining(ctx, r.clock.Now())
	return r.await(ctx, func() raft.Future { return r.raft.Barrier(timeout) })
}

// remaining is how long ctx lasts, at most enqueueTimeout.
func remaining(ctx context.Context, now time.Time) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return enqueueTimeout
	}
	return min(max(deadline.Sub(now), time.Millisecond), enqueueTimeout)
}

// translate turns the library's errors into those that callers tell apart.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNotLeader
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
		return ErrLeadershipLost
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrClosed
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("the log is too busy to take the entry: %w", context.DeadlineExceeded)
	}
	return err
}
