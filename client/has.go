package client

// HasAlloc reports whether the node keeps an allocation, running or not.
func (c *Client) HasAlloc(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.allocs[id]
	return ok
}
