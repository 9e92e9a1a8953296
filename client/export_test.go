package client

// Streams reports whether Sign goes over a stream at the moment.
func (c *Client) Streams() bool {
	c.bulk.mu.Lock()
	defer c.bulk.mu.Unlock()
	return c.bulk.now != nil && !c.bulk.now.isOver()
}
