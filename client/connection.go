package client

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/internal/peercred"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// answerTime is how long an agent that took a connection may stay silent. It
	// is on the same machine: one that needs longer is stopped or stuck.
	answerTime = 5 * time.Second
	// pingAfter is how long a call may wait before the connection is probed, so
	// that a call without a deadline ends when the agent hangs. The agent closes
	// connections that probe more often than every 30 seconds.
	pingAfter = 40 * time.Second
	// maxAnswer is the longest message that an agent sends.
	maxAnswer = 5 << 20
	// window is what the agent may send ahead. That it is given keeps grpc-go from
	// measuring one with a ping for every call.
	window = 64 << 10
)

// connection is a connection to one socket, checked each time it is made. It is
// what the generated clients call through, so that every call, on either socket,
// goes by the same rules.
type connection struct {
	grpc *grpc.ClientConn
	path string
	uids []uint32 // whose sockets and servers are trusted
	// repeat allows a call to be made twice where the connection broke before its
	// answer came.
	repeat bool
	// turn is held by the one caller that makes a failed connection stand again.
	turn chan struct{}

	mu      sync.Mutex // guards failure
	failure error      // why the last attempt to connect failed, or nil
}

// connect dials path and waits until the server has proved who it is.
func connect(ctx context.Context, path string, o *options) (*connection, error) {
	c := &connection{path: path, turn: make(chan struct{}, 1)}
	c.uids = append([]uint32{uint32(os.Geteuid())}, o.serverUIDs...) // #nosec G115 -- a uid fits
	var err error
	c.grpc, err = grpc.NewClient("passthrough:///nsagent",
		grpc.WithTransportCredentials(peercred.NewClientCredentials(c.trusted)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return c.dial(ctx) }),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: answerTime}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: answerTime}),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
	)
	if err != nil {
		return nil, &Error{Code: pb.CodeInternal, Message: "the connection cannot be prepared", Why: err.Error(), cause: err}
	}
	c.grpc.Connect()
	if err := c.await(ctx, func(s connectivity.State) bool { return s == connectivity.TransientFailure }); err != nil {
		_ = c.grpc.Close()
		return nil, err
	}
	return c, nil
}

func (c *connection) trusted(uid uint32) bool { return slices.Contains(c.uids, uid) }

// close ends the connection for good.
func (c *connection) close() error {
	_ = c.grpc.Close() // it has an error for a second Close only
	return nil
}

// dial checks the path, connects, and checks who listens. Not a byte is sent.
func (c *connection) dial(ctx context.Context) (net.Conn, error) {
	conn, err := dialSocket(ctx, c.path, c.uids)
	if err == nil {
		if err = peercred.CheckServer(conn, c.trusted); err != nil {
			_ = conn.Close()
			conn, err = nil, untrusted(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = err
	return conn, err
}

func dialSocket(ctx context.Context, path string, uids []uint32) (net.Conn, error) {
	if err := socketpath.CheckSocket(path, uids...); err != nil {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, noAgent(err, "there is no socket at "+path)
		case errors.Is(err, socketpath.ErrTooLong):
			return nil, &Error{Code: pb.CodeSocket, Message: "the socket path is too long", Why: err.Error(), cause: err}
		default:
			return nil, untrusted(err)
		}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, noAgent(err, "nobody listens at "+path)
	}
	return conn, nil
}

// lastFailure returns why the last attempt to connect failed; nil if it got as far
// as a server that is trusted.
func (c *connection) lastFailure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// await returns once the connection stands. It gives up in a state that failed
// approves of, where the agent stays silent, or when ctx ends.
func (c *connection) await(ctx context.Context, failed func(connectivity.State) bool) error {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for {
		s := c.grpc.GetState()
		switch {
		case s == connectivity.Ready:
			return nil
		case s == connectivity.Shutdown:
			return ErrClosed
		case failed(s):
			return c.unanswered()
		case s == connectivity.Idle:
			c.grpc.Connect()
		}
		if !c.grpc.WaitForStateChange(limited, s) {
			if err := ctx.Err(); err != nil {
				return ended("connecting to the agent", err)
			}
			return c.unanswered()
		}
	}
}

// unanswered says why no connection came about.
func (c *connection) unanswered() error {
	if err := c.lastFailure(); err != nil {
		return err
	}
	return noAgent(nil, "what listens at "+c.path+" does not answer: it may be stopped, or have no connection left")
}

// ready sees to it that a call is not refused for a failure that is over. While
// connecting fails, grpc waits longer and longer between attempts, up to two
// minutes, and refuses calls meanwhile.
func (c *connection) ready(ctx context.Context) error {
	if c.grpc.GetState() != connectivity.TransientFailure {
		return nil
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ended("connecting to the agent", ctx.Err())
	}
	if c.grpc.GetState() != connectivity.TransientFailure {
		return nil // another caller was faster
	}
	probe, err := c.dial(ctx)
	if err != nil {
		return err
	}
	_ = probe.Close()
	c.grpc.ResetConnectBackoff()
	return c.await(ctx, func(connectivity.State) bool { return false })
}

// Invoke makes one call. Its error is in this package's form.
func (c *connection) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	for try := 1; ; try++ {
		if err := c.ready(ctx); err != nil {
			return err
		}
		err := c.grpc.Invoke(ctx, method, args, reply, opts...)
		if err == nil {
			return nil
		}
		if try > 1 || !c.repeat || !broken(err) || ctx.Err() != nil {
			return c.wrap(ctx, err)
		}
	}
}

// NewStream opens a stream. Errors of the stream itself are for Stream to wrap.
func (c *connection) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	s, err := c.grpc.NewStream(ctx, desc, method, opts...)
	if err != nil {
		return nil, c.wrap(ctx, err)
	}
	return s, nil
}

// broken reports whether err is a failure of the connection, not an answer.
func broken(err error) bool {
	st, ok := status.FromError(err)
	return ok && st.Code() == codes.Unavailable && refusal(st) == nil
}

// wrap returns the error of a call in this package's form.
func (c *connection) wrap(ctx context.Context, err error) error {
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	if e := refusal(st); e != nil {
		e.cause = err
		return e
	}
	switch {
	case c.grpc.GetState() == connectivity.Shutdown:
		return ErrClosed
	case ctx.Err() != nil:
		return ended("asking the agent", ctx.Err())
	case st.Code() == codes.DeadlineExceeded: // grpc's clock was a moment ahead of ctx
		return ended("asking the agent", context.DeadlineExceeded)
	case st.Code() == codes.Unavailable:
		if err := c.lastFailure(); err != nil {
			return err
		}
	}
	e := fromStatus(st)
	e.cause = err
	return e
}
