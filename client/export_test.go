package client

// AnswerTime is how long an agent may stay silent.
const AnswerTime = answerTime

// Streams reports whether Sign goes over a stream at the moment.
func (c *Client) Streams() bool {
	c.bulk.mu.Lock()
	defer c.bulk.mu.Unlock()
	return c.bulk.now != nil && !c.bulk.now.isOver()
}

// HeldShares returns how many shares of its token the client has not wiped.
func (c *Client) HeldShares() (n int) {
	for _, s := range c.conn.token.Shares {
		if s.Key != ([32]byte{}) {
			n++
		}
	}
	return n
}
