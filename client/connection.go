package client

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/internal/peercred"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// answerTime is how long an agent that took a connection may stay silent. It
	// is on the same machine, and may have to start and to ask a keyring first: one that
	// needs longer is stopped or stuck.
	answerTime = 15 * time.Second
	// aliveTime is how long one may that has answered before.
	aliveTime = 5 * time.Second
	// pingAfter is how long a call may wait before the connection is probed, so
	// that a call without a deadline ends when the agent hangs. The agent closes
	// connections that probe more often than every 30 seconds.
	pingAfter = 40 * time.Second
	// graceTime is what calls have to end on a connection that took its leave, as the agent
	// gives it.
	graceTime = time.Minute
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
	path string
	// token is shown on each connection before anything else goes over it; nil: none is.
	token *unlocktoken.Token
	// idToken is shown with it, on the first connection.
	idToken *idToken
	uids    []uint32 // whose sockets and servers are trusted
	// repeat allows a call to be made twice where the connection broke before its
	// answer came.
	repeat bool
	// turn is held by the one caller that makes a failed connection stand again.
	turn chan struct{}

	mu      sync.Mutex // guards what follows
	failure error      // why the last attempt to connect failed, or nil
	// current is what calls go through. Without a token it connects anew by itself; with
	// one it stands for a single connection, so that no call goes over another before the
	// token was shown on it, and is replaced when that ends.
	current *grpc.ClientConn
	broken  *grpc.ClientConn // one on which a call met the end of its connection
	closed  bool
}

// connect dials path and waits until the server has proved who it is.
func connect(ctx context.Context, path string, o *options) (*connection, error) {
	c := &connection{path: path, token: o.unlockToken, idToken: o.idToken, turn: make(chan struct{}, 1)}
	c.uids = append([]uint32{uint32(os.Geteuid())}, o.serverUIDs...) // #nosec G115 -- a uid fits
	if err := c.renew(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// renew makes a channel, waits until it stands, shows the token on it, and puts it in the
// place of the one before. Calls that are under way on that have a while to end.
func (c *connection) renew(ctx context.Context) error {
	cc, err := c.open()
	if err != nil {
		return err
	}
	cc.Connect()
	err = c.await(ctx, cc, func(s connectivity.State) bool { return s == connectivity.TransientFailure })
	if err == nil && c.token != nil {
		err = c.wrap(ctx, redeem(ctx, cc, c.token, c.idToken))
	}
	if err != nil {
		_ = cc.Close()
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = cc.Close()
		return ErrClosed
	}
	if old := c.current; old != nil {
		time.AfterFunc(graceTime, func() { _ = old.Close() })
	}
	c.current = cc
	return nil
}

// open returns a channel that does not connect yet.
func (c *connection) open() (*grpc.ClientConn, error) {
	var spent atomic.Bool
	cc, err := grpc.NewClient("passthrough:///nsagent",
		grpc.WithTransportCredentials(peercred.NewClientCredentials(c.trusted)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			if spent.Swap(true) && c.token != nil {
				return nil, errSpent
			}
			return c.dial(ctx)
		}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: answerTime}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: aliveTime}),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
	)
	if err != nil {
		return nil, &Error{Code: pb.CodeInternal, Message: "the connection cannot be prepared", Why: err.Error(), cause: err}
	}
	return cc, nil
}

// errSpent keeps a channel from connecting a second time.
var errSpent = errors.New("client: another channel takes its place")

// channel returns what calls go through at the moment.
func (c *connection) channel() *grpc.ClientConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

func (c *connection) trusted(uid uint32) bool { return slices.Contains(c.uids, uid) }

// close ends the connection for good.
func (c *connection) close() error {
	c.mu.Lock()
	c.closed = true
	_ = c.current.Close() // it has an error for a second Close only
	c.mu.Unlock()
	c.forget()
	return nil
}

// forget wipes the token of a connection that was closed, unless it is being shown: who
// does so forgets it afterwards.
func (c *connection) forget() {
	if c.token == nil || !c.isClosed() {
		return
	}
	select {
	case c.turn <- struct{}{}:
		c.token.Wipe()
		<-c.turn
	default:
	}
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
func (c *connection) await(ctx context.Context, cc *grpc.ClientConn, failed func(connectivity.State) bool) error {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for {
		s := cc.GetState()
		switch {
		case s == connectivity.Ready:
			return nil
		case s == connectivity.Shutdown:
			return ErrClosed
		case failed(s):
			return c.unanswered()
		case s == connectivity.Idle:
			cc.Connect()
		}
		if !cc.WaitForStateChange(limited, s) {
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
// minutes, and refuses calls meanwhile. Where a token is to be shown, it waits until it was.
func (c *connection) ready(ctx context.Context) error {
	if !c.stands() {
		return c.recover(ctx)
	}
	return nil
}

// stands reports whether a call can be made as things are.
func (c *connection) stands() bool {
	c.mu.Lock()
	cc, broken := c.current, c.broken
	c.mu.Unlock()
	s := cc.GetState()
	if c.token != nil {
		return cc != broken && s == connectivity.Ready
	}
	return s != connectivity.TransientFailure
}

// broke takes note that a call on cc met the end of its connection, which grpc may still
// take for ready.
func (c *connection) broke(cc *grpc.ClientConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = cc
}

// recover makes a connection that does not stand stand again.
func (c *connection) recover(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		defer func() {
			<-c.turn
			c.forget()
		}()
	case <-ctx.Done():
		return ended("connecting to the agent", ctx.Err())
	}
	switch {
	case c.stands():
		return nil // another caller was faster
	case c.token != nil:
		return c.renew(ctx)
	}
	probe, err := c.dial(ctx)
	if err != nil {
		return err
	}
	_ = probe.Close()
	cc := c.channel()
	cc.ResetConnectBackoff()
	return c.await(ctx, cc, func(connectivity.State) bool { return false })
}

// Invoke makes one call. Its error is in this package's form.
func (c *connection) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.call(ctx, func(cc *grpc.ClientConn) error { return cc.Invoke(ctx, method, args, reply, opts...) })
}

// call makes one call by do, and where that may be repeated, once more where the connection
// broke before the answer came. Its error is in this package's form.
func (c *connection) call(ctx context.Context, do func(*grpc.ClientConn) error) error {
	for try := 1; ; try++ {
		if err := c.ready(ctx); err != nil {
			return err
		}
		cc := c.channel()
		err := do(cc)
		if err == nil {
			return nil
		}
		if broken(err) {
			c.broke(cc)
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
	cc := c.channel()
	s, err := cc.NewStream(ctx, desc, method, opts...)
	if err != nil {
		if broken(err) {
			c.broke(cc)
		}
		return nil, c.wrap(ctx, err)
	}
	return s, nil
}

func (c *connection) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// broken reports whether err is a failure of the connection, not an answer.
func broken(err error) bool {
	st, ok := status.FromError(err)
	return ok && st.Code() == codes.Unavailable && refusal(st) == nil
}

// wrap returns the error of a call in this package's form.
func (c *connection) wrap(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	if e := refusal(st); e != nil {
		e.cause = err
		return e
	}
	switch {
	case c.isClosed():
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
