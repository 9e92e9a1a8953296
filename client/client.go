package client

import (
	"context"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Client is a connection to the agent's socket for use. It is safe for concurrent
// use by any number of goroutines.
//
// It outlives the agent: where the agent was stopped and started again, the next
// call connects to the new one. A call fails with ErrAgent only if nobody answers
// at the time of the call.
type Client struct {
	conn    *connection
	rpc     pb.SignerClient
	bulk    *bulk
	profile string
}

// Dial connects to the agent. Without options it goes by NSAGENT_SOCK, else
// $XDG_RUNTIME_DIR/nsagent/agent.sock, and trusts sockets and servers of its own
// user only (and of NSAGENT_SOCK_UID, where that is set).
//
// Where NSAGENT_TOKEN, NSAGENT_TOKEN_FILE or NSAGENT_TOKEN_FD names an unlock token, every
// connection has the right of that token and no other; the variables are removed from the
// environment of this process.
//
// The error matches ErrAgent where nobody answers, and ErrGrant, ErrRevoked or ErrExpired
// where the token is not taken. The caller must Close the client.
func Dial(ctx context.Context, opts ...Option) (*Client, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	if err := o.readToken(); err != nil {
		return nil, err
	}
	c, err := connect(ctx, o.socket(o.paths.Agent), o)
	if err != nil {
		o.unlockToken.Wipe()
		return nil, err
	}
	c.repeat = true // a signature that got lost on its way is made again
	client := &Client{conn: c, rpc: pb.NewSignerClient(c), profile: o.profile}
	client.bulk = newBulk(client.Stream)
	return client, nil
}

// Close ends the connection. Calls in flight, streams and later calls fail with
// ErrClosed. It returns nil, also when it is called again.
func (c *Client) Close() error {
	err := c.conn.close() // first, so that whoever waits learns that it was closed
	c.bulk.close()
	return err
}
