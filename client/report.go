package client

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

const (
	// reportQuiet is how long changes are gathered that nobody waits for.
	reportQuiet = 200 * time.Millisecond
	// reportGap is the least time between two reports, so that many
	// allocations that start at once share a few of them.
	reportGap = 10 * time.Millisecond
	// reportMax is the most allocations in one report.
	reportMax = 512
)

// allocChanged notes that an allocation has something new to tell.
func (c *Client) allocChanged(id string) {
	c.mu.Lock()
	c.dirty[id] = true
	c.mu.Unlock()
	poke(c.sendWake)
}

// reportAll has everything told again.
func (c *Client) reportAll() {
	c.mu.Lock()
	for id := range c.allocs {
		c.tellAgain(id)
	}
	c.mu.Unlock()
	poke(c.sendWake)
}

// retell has an allocation told again, changed or not.
func (c *Client) retell(id string) {
	c.mu.Lock()
	c.tellAgain(id)
	c.mu.Unlock()
	poke(c.sendWake)
}

// tellAgain forgets what was told of an allocation, and what is being told at
// this moment: that may be of before. c.mu is held.
func (c *Client) tellAgain(id string) {
	c.dirty[id], c.again[id] = true, true
	delete(c.sent, id)
}

// report tells the servers what became of allocations: a new status or health
// at once, mere events a little later.
func (c *Client) report(ctx context.Context) error {
	pause := retryMin
	var since time.Time // when the oldest change that may wait was seen
	for ctx.Err() == nil {
		updates, urgent := c.gather()
		now := c.clock.Now()
		switch {
		case len(updates) == 0:
			since = time.Time{}
			c.sleep(ctx, 0, c.sendWake)
			continue
		case since.IsZero():
			since = now
		}
		if left := since.Add(reportQuiet).Sub(now); !urgent && left > 0 {
			c.sleep(ctx, left, c.sendWake)
			continue
		}
		if err := c.send(ctx, updates); err != nil {
			if ctx.Err() == nil {
				c.logger.Warn("allocations could not be reported and are tried again", logx.KeyError, err, logx.KeyCount, len(updates))
			}
			c.sleep(ctx, pause, nil)
			pause = retryAfter(pause)
			continue
		}
		pause, since = retryMin, time.Time{}
		c.sleep(ctx, reportGap, nil)
	}
	return ctx.Err()
}

// gather collects what differs from what was last told. Allocations without
// news are not dirty any more.
func (c *Client) gather() (updates []*structs.AllocUpdate, urgent bool) {
	c.mu.Lock()
	ids := make([]string, 0, len(c.dirty))
	for id := range c.dirty {
		if len(ids) < reportMax {
			ids = append(ids, id)
		}
	}
	c.mu.Unlock()
	slices.Sort(ids) // what follows from a report comes in its order
	for _, id := range ids {
		r := c.runner(id)
		if r == nil {
			if update := c.unreported(id); update != nil {
				updates, urgent = append(updates, update), true
			} else {
				c.clean(id, nil)
			}
			continue
		}
		c.mu.Lock()
		delete(c.dirty, id) // what changes from here on is dirty again
		delete(c.again, id)
		before := c.sent[id]
		c.mu.Unlock()
		update := r.Status()
		if same(before, update) {
			continue
		}
		c.mu.Lock()
		c.dirty[id] = true
		c.mu.Unlock()
		updates = append(updates, update)
		urgent = urgent || awaited(before, update)
	}
	return updates, urgent
}

// awaited reports whether an update says what somebody may be waiting for. The
// first word of an allocation that is still pending is no such thing: telling
// it would only delay the next.
func awaited(before, update *structs.AllocUpdate) bool {
	if before == nil {
		return update.ClientStatus != structs.AllocClientPending
	}
	return before.ClientStatus != update.ClientStatus ||
		before.DeploymentStatus.HasHealth() != update.DeploymentStatus.HasHealth()
}

func (c *Client) send(ctx context.Context, updates []*structs.AllocUpdate) error {
	callCtx, cancel := loop.WithTimeout(ctx, callPatience)
	defer cancel()
	if err := c.session.UpdateAllocs(callCtx, updates); err != nil {
		return err
	}
	for _, update := range updates {
		c.clean(update.ID, update)
	}
	return nil
}

// clean remembers what was told. The allocation stays dirty: it may have
// changed while it was being told, and is compared again.
func (c *Client) clean(id string, update *structs.AllocUpdate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if update == nil {
		delete(c.again, id)
		delete(c.dirty, id)
		delete(c.sent, id)
		delete(c.verdicts, id)
		return
	}
	if c.verdicts[id] == update {
		delete(c.verdicts, id)
	}
	if c.allocs[id] != nil && !c.again[id] {
		c.sent[id] = update
	}
}

// same reports whether two updates say the same, time and order aside.
func same(a, b *structs.AllocUpdate) bool {
	if a == nil {
		return false
	}
	x, y := *a, *b
	x.ModifyTime, y.ModifyTime = 0, 0
	x.Order, y.Order = 0, 0
	return reflect.DeepEqual(x, y)
}
