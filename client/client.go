package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/nsagent/nsagent/internal/peercred"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Client is a connection to the agent's socket for use. It is safe for concurrent
// use, and reconnects by itself after the agent was restarted.
type Client struct {
	conn    *connection
	rpc     pb.SignerClient
	profile string
}

// Dial connects to the agent. Without options it goes by NSAGENT_SOCK, else
// $XDG_RUNTIME_DIR/nsagent/agent.sock, and trusts sockets and servers of its own
// user only (and of NSAGENT_SOCK_UID, where that is set).
//
// The error matches ErrAgent where nobody answers. The caller must Close the
// client.
func Dial(ctx context.Context, opts ...Option) (*Client, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	c, err := connect(ctx, o.socket(o.paths.Agent), o)
	if err != nil {
		return nil, err
	}
	return &Client{conn: c, rpc: pb.NewSignerClient(c.grpc), profile: o.profile}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.grpc.Close() }

// connection is a checked gRPC connection to one socket.
type connection struct {
	grpc *grpc.ClientConn

	mu   sync.Mutex // guards dial
	dial error      // why the last attempt to connect failed
}

// connect dials path and waits until the server has proved who it is.
func connect(ctx context.Context, path string, o *options) (*connection, error) {
	c := &connection{}
	uids := append([]uint32{uint32(os.Geteuid())}, o.serverUIDs...) // #nosec G115 -- a uid fits
	trusted := func(uid uint32) bool {
		for _, u := range uids {
			if u == uid {
				return true
			}
		}
		return false
	}
	var err error
	c.grpc, err = grpc.NewClient("passthrough:///nsagent",
		grpc.WithTransportCredentials(peercred.NewClientCredentials(trusted)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, err := dialSocket(ctx, path, uids)
			c.note(err)
			return conn, err
		}),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
	)
	if err != nil {
		return nil, fmt.Errorf("preparing the connection: %w", err)
	}
	if err := c.wait(ctx); err != nil {
		_ = c.grpc.Close()
		return nil, err
	}
	return c, nil
}

// wait returns once the connection stands, or the first attempt has failed.
func (c *connection) wait(ctx context.Context) error {
	c.grpc.Connect()
	for {
		switch s := c.grpc.GetState(); s {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure, connectivity.Shutdown:
			if err := c.lastDial(); err != nil {
				return err
			}
			return noAgent(peercred.ErrWrongServer, "what listens on the socket is not an agent of this user")
		default:
			if !c.grpc.WaitForStateChange(ctx, s) {
				return fmt.Errorf("connecting to the agent: %w", ctx.Err())
			}
		}
	}
}

func (c *connection) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dial = err
}

func (c *connection) lastDial() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dial
}

// wrap returns the error of a call in this package's form.
func (c *connection) wrap(err error) error { return wrap(err, c.lastDial()) }

// dialSocket checks the path before it connects, and connects.
func dialSocket(ctx context.Context, path string, uids []uint32) (net.Conn, error) {
	if err := socketpath.CheckSocket(path, uids...); err != nil {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, noAgent(err, "there is no socket at "+path)
		case errors.Is(err, socketpath.ErrTooLong):
			return nil, &Error{Code: pb.CodeSocket, Message: "the socket path is too long", Why: err.Error(), cause: err}
		default:
			return nil, &Error{Code: pb.CodeAgent, Message: "the socket is not to be trusted", Why: err.Error(), cause: err}
		}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, noAgent(err, "nobody listens at "+path)
	}
	return conn, nil
}

// serverUIDs reads NSAGENT_SOCK_UID.
func serverUIDs(value string) ([]uint32, error) {
	if value == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return nil, &Error{Code: pb.CodeUsage, Message: "NSAGENT_SOCK_UID is not a user ID", Why: "it is a decimal number", cause: err}
	}
	return []uint32{uint32(n)}, nil
}
