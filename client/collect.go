package client

import (
	"context"
	"slices"

	"github.com/steppe-run/steppe/client/alloc"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// collect removes finished allocations when they are too many or take too
// much of the disk.
func (c *Client) collect(ctx context.Context) error {
	for ctx.Err() == nil {
		c.sleep(ctx, c.cfg.GC.Interval, c.gcWake)
		if ctx.Err() == nil {
			c.sweep(ctx)
		}
	}
	return ctx.Err()
}

// sweep removes finished allocations, the oldest first, until the node is
// within its limits. What can't be removed is left to the next sweep.
func (c *Client) sweep(ctx context.Context) {
	tried := map[*alloc.Runner]bool{}
	for ctx.Err() == nil {
		finished := slices.DeleteFunc(c.finished(), func(r *alloc.Runner) bool { return tried[r] })
		if len(finished) == 0 {
			return
		}
		c.mu.Lock()
		over := len(c.allocs) - c.cfg.GC.MaxAllocs
		c.mu.Unlock()
		n := max(over, 0)
		if n == 0 && c.diskFull(ctx) {
			n = max(c.cfg.GC.ParallelDestroys, 1)
		}
		if n == 0 {
			return
		}
		batch := finished[:min(n, len(finished))]
		c.destroyAll(ctx, batch)
		for _, r := range batch {
			tried[r] = true
		}
	}
}

// finished are the allocations whose end the servers know of.
func (c *Client) finished() []*alloc.Runner {
	var out []*alloc.Runner
	for _, r := range c.runners() {
		if !r.Finished() {
			continue
		}
		c.mu.Lock()
		told := c.sent[r.ID()] != nil && structs.ClientTerminal(c.sent[r.ID()].ClientStatus)
		c.mu.Unlock()
		if told {
			out = append(out, r)
		}
	}
	return out
}

// GC removes every finished allocation at once.
func (c *Client) GC() {
	c.destroyAll(context.Background(), c.finished())
}

// destroyAll removes everything of allocations, a few of them at a time.
func (c *Client) destroyAll(ctx context.Context, runners []*alloc.Runner) {
	parallel(ctx, c.cfg.GC.ParallelDestroys, runners, c.destroy)
}

// parallel calls f for each item, at most limit (but at least one) of them at
// once, and returns when all are done.
func parallel[T any](ctx context.Context, limit int, items []T, f func(T)) {
	next := make(chan T, len(items))
	for _, item := range items {
		next <- item
	}
	close(next)
	group := loop.New(context.WithoutCancel(ctx)) // what was begun is ended
	for range min(max(limit, 1), len(items)) {
		group.Go("worker", func(context.Context) error {
			for item := range next {
				f(item)
			}
			return nil
		})
	}
	_ = group.Wait() // its functions return no errors
}
