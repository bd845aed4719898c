package client

import "github.com/steppe-run/steppe/structs"

// Figures are what the node runs, for metrics.
type Figures struct {
	// Allocs counts the allocations here by client status.
	Allocs map[string]int
	// Total and Allocated are what the node offers and what of it is taken.
	Total, Allocated structs.Comparable
}

// Figures counts what the node runs.
func (c *Client) Figures() Figures {
	f := Figures{
		Allocs: map[string]int{structs.AllocClientPending: 0, structs.AllocClientRunning: 0},
	}
	if node := c.Node(); node != nil {
		f.Total = node.Comparable()
	}
	for _, r := range c.runners() {
		f.Allocs[r.Status().ClientStatus]++
		if r.Finished() {
			continue
		}
		f.Allocated.Add(r.Alloc().AllocatedResources.Comparable())
	}
	return f
}
