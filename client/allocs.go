package client

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/steppe-run/steppe/client/alloc"
	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

// strayPatience bounds clearing away what nobody knows any more.
const strayPatience = 30 * time.Second

// restore brings back the allocations that were known before the agent was
// restarted, and clears away directories that belong to none.
func (c *Client) restore(ctx context.Context) error {
	records, err := c.memory.Allocs()
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, record := range alloc.PredecessorsFirst(records) {
		known[record.Alloc.ID] = true
		c.start(record.Alloc, record)
	}
	if err := c.clearStrays(ctx, known); err != nil {
		return err
	}
	if len(records) > 0 {
		c.services.Reregister() // what was taken back while nobody told of it is known only by being missing
		c.logger.Info("allocations were found again", logx.KeyCount, len(records))
	}
	return nil
}

// clearStrays ends and removes what is left of allocations that are not known
// any more: the memory of them was lost.
func (c *Client) clearStrays(ctx context.Context, known map[string]bool) error {
	ids, err := c.host.Dirs.List()
	if err != nil {
		return err
	}
	ctx, cancel := loop.WithTimeout(ctx, strayPatience)
	defer cancel()
	for _, id := range ids {
		if known[id] {
			continue
		}
		dir := c.host.Dirs.Dir(id)
		err := task.EndLeftovers(ctx, c.deps.Drivers, dir)
		if err == nil {
			err = dir.Destroy()
		}
		if err != nil {
			c.logger.Warn("what is left of an unknown allocation could not be cleared away", logx.KeyAlloc, id, logx.KeyError, err)
		}
	}
	return nil
}

// watchAllocs takes in what the servers want of this node.
func (c *Client) watchAllocs(ctx context.Context) error {
	pause := retryMin
	var index uint64
	for ctx.Err() == nil {
		err := c.session.WatchAllocs(ctx, index, func(set *link.AllocSet) error {
			pause = retryMin
			c.apply(set)
			index = set.Index
			return nil
		})
		if ctx.Err() != nil {
			break
		}
		c.logger.Warn("watching allocations failed and is tried again", logx.KeyError, err)
		c.sleep(ctx, pause, nil)
		pause = min(pause*2, retryMax)
	}
	return ctx.Err()
}

// apply starts, updates, stops and removes allocations.
func (c *Client) apply(set *link.AllocSet) {
	wanted := map[string]bool{}
	for _, a := range knownFirst(set.Upserts, c.runner) {
		wanted[a.ID] = true
		c.upsert(a)
	}
	removed := set.Removed
	if set.Full {
		for _, r := range c.runners() {
			if !wanted[r.ID()] {
				removed = append(removed, r.ID())
			}
		}
		c.dropVerdicts(wanted)
	}
	for _, id := range removed {
		c.remove(id)
	}
}

// knownFirst puts what is here already before what is new: an allocation that
// replaces another must find it told to stop.
func knownFirst(list []*structs.Allocation, runner func(id string) *alloc.Runner) []*structs.Allocation {
	known, fresh := make([]*structs.Allocation, 0, len(list)), []*structs.Allocation{}
	for _, a := range list {
		if runner(a.ID) != nil {
			known = append(known, a)
		} else {
			fresh = append(fresh, a)
		}
	}
	return append(known, fresh...)
}

func (c *Client) upsert(a *structs.Allocation) {
	r := c.runner(a.ID)
	if r != nil && a.ClientStatus == structs.AllocClientUnknown {
		// The servers had lost sight of this node, maybe without its noticing, and
		// believe nothing that they were told before.
		c.retell(a.ID)
	}
	switch {
	case r == nil && a.ClientTerminal():
		// It has ended, and the servers know.
	case r == nil && a.ServerTerminal():
		c.verdict(a.ID, structs.AllocClientComplete, "It was stopped before this node had seen it")
	case r == nil:
		c.start(a, nil)
	case ended(a) && !structs.ClientTerminal(r.Status().ClientStatus):
		// This node has told that it ended, could not write it down and forgot it:
		// what has ended never runs again.
		c.logger.Warn("allocation that has ended was begun again and is stopped", logx.KeyAlloc, a.ID)
		r.StopNow()
	case a.AllocModifyIndex != 0 && a.AllocModifyIndex == r.Alloc().AllocModifyIndex:
		// It is sent again after a lost connection, and nothing is new.
	default:
		if a.Job == nil {
			a.Job = r.Alloc().Job
		}
		if err := r.Update(a); err != nil {
			c.logger.Error("allocation could not be written down", logx.KeyAlloc, a.ID, logx.KeyError, err)
		}
	}
}

// ended reports whether the node has told that an allocation ended.
func ended(a *structs.Allocation) bool {
	return a.ClientStatus == structs.AllocClientComplete || a.ClientStatus == structs.AllocClientFailed
}

// start makes the runner of an allocation and lets it run.
func (c *Client) start(a *structs.Allocation, restored *local.Alloc) {
	if a.Job == nil || a.Job.LookupTaskGroup(a.TaskGroup) == nil {
		c.logger.Error("allocation came without its task group and can't be run", logx.KeyAlloc, a.ID, logx.KeyGroup, a.TaskGroup)
		c.verdict(a.ID, structs.AllocClientFailed, fmt.Sprintf("The allocation came without its task group %q and can't be run", a.TaskGroup))
		return
	}
	r := alloc.New(c.host, a, restored)
	c.mu.Lock()
	work := c.work
	if work == nil {
		c.mu.Unlock()
		return
	}
	c.allocs[a.ID] = r
	delete(c.verdicts, a.ID)
	c.dirty[a.ID] = true
	c.mu.Unlock()
	work.Go("allocation "+a.ID, func(ctx context.Context) error {
		if err := r.Run(ctx); err != nil {
			c.logger.Error("allocation failed", logx.KeyAlloc, a.ID, logx.KeyError, err)
		}
		poke(c.gcWake)
		return nil
	})
	poke(c.sendWake)
}

// remove ends an allocation that the servers have forgotten, and what is left
// of it.
func (c *Client) remove(id string) {
	r := c.runner(id)
	if r == nil {
		c.clean(id, nil)
		return
	}
	r.Stop()
	c.mu.Lock()
	work := c.work
	c.mu.Unlock()
	if work == nil {
		return
	}
	work.Go("remove allocation "+id, func(ctx context.Context) error {
		_, err := loop.Await(ctx, r.Done())
		if err == nil {
			c.destroy(r)
		}
		return err
	})
}

// destroy removes everything of an allocation whose tasks are dead.
func (c *Client) destroy(r *alloc.Runner) {
	if err := r.Destroy(); err != nil {
		c.logger.Error("allocation could not be removed", logx.KeyAlloc, r.ID(), logx.KeyError, err)
		return
	}
	c.mu.Lock()
	delete(c.allocs, r.ID())
	delete(c.dirty, r.ID())
	delete(c.sent, r.ID())
	c.mu.Unlock()
}

// runner returns the runner of an allocation, or nil.
func (c *Client) runner(id string) *alloc.Runner {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.allocs[id]
}

// runners returns all runners, the oldest allocation first.
func (c *Client) runners() []*alloc.Runner {
	c.mu.Lock()
	out := make([]*alloc.Runner, 0, len(c.allocs))
	for _, r := range c.allocs {
		out = append(out, r)
	}
	c.mu.Unlock()
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i].Alloc(), out[j].Alloc()
		if a.CreateTime != b.CreateTime {
			return a.CreateTime < b.CreateTime
		}
		return a.ID < b.ID
	})
	return out
}

// checkChanged has an allocation look at its checks.
func (c *Client) checkChanged(id string) {
	if r := c.runner(id); r != nil {
		r.Poke()
	}
}

// retryAfter doubles a pause within bounds.
func retryAfter(pause time.Duration) time.Duration { return min(pause*2, retryMax) }
