package client

import (
	"maps"

	"github.com/steppe-run/steppe/structs"
)

// verdict reports the end of an allocation that never began here, so that
// nobody waits for it. It isn't written down: until the servers have it, they
// tell an agent that starts of the allocation again.
func (c *Client) verdict(id, status, why string) {
	update := &structs.AllocUpdate{ID: id, ClientStatus: status, ClientDescription: why, ModifyTime: c.clock.Now().UnixNano()}
	c.mu.Lock()
	c.verdicts[id] = update
	c.dirty[id] = true
	c.mu.Unlock()
	poke(c.sendWake)
}

// unreported returns the verdict on an allocation that the servers don't have
// yet, or nil.
func (c *Client) unreported(id string) *structs.AllocUpdate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.verdicts[id]
}

// dropVerdicts forgets the verdicts on allocations that aren't wanted: nobody
// waits for them any more.
func (c *Client) dropVerdicts(wanted map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.verdicts, func(id string, _ *structs.AllocUpdate) bool { return !wanted[id] })
}
