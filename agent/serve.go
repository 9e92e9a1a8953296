package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/nsagent/nsagent/internal/peercred"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Limits of the API, in bytes where nothing else is said.
const (
	maxAgentMessage = 256 << 10
	maxAdminMessage = 256 << 10
	maxAnswer       = 4608 << 10 // a list of 10,000 profiles
	maxHeaders      = 16 << 10
	// maxAwaited is how many calls may have sent headers and no message yet, on all
	// connections together, beside the few that each may have: what they have sent so
	// far is buffered.
	maxAwaited = 1024
	longestAge = 12 * time.Hour
)

// Calls per connection: 64 is what the bulk client keeps in flight, and a manager
// does one thing after the other.
const (
	maxStreams      = 64
	maxAdminStreams = 8
)

// limits are what the two sockets differ in.
type limits struct {
	message int
	streams uint32
	idle    time.Duration
	// ping is after how much silence a client is asked whether it is there. That one is
	// gone, the kernel says; that one stands still, as a job that was stopped at a terminal
	// does, ends no socket that it opened.
	ping time.Duration
}

func agentLimits() limits { return limits{maxAgentMessage, maxStreams, idleTime, longestAge} }
func adminLimits() limits {
	return limits{maxAdminMessage, maxAdminStreams, 30 * time.Second, 2 * time.Minute}
}

// window is what a connection, and each call on it, may have sent ahead: many requests of
// the usual size. That it is given keeps grpc-go from measuring one with a ping for every
// call, and from raising it to 16 MiB.
const window = 64 << 10

// idleTime is how long a connection to agent.sock may be of no use.
const idleTime = 15 * time.Minute

// serve runs both sockets until ctx ends.
func (a *Agent) serve(ctx context.Context, ls *listeners) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	// Signers check the caller in authorize, which JSON goes through too.
	use := a.newServer(agentLimits(), pb.Signer_ServiceDesc, func(*caller) error { return nil })
	pb.RegisterSignerServer(use, signerService{Agent: a})
	manage := a.newAdminServer()
	plain := a.newHTTPServer()

	toUse, toManage, toPlain := newHandoff(ls.agent.Addr()), newHandoff(ls.admin.Addr()), newHandoff(ls.agent.Addr())
	most := connectionLimit()
	onAgent := &acceptor{agent: a, limit: most - reservedConnections, grpc: toUse, http: toPlain, right: a.commonRight()}
	onAdmin := &acceptor{agent: a, limit: most, grpc: toManage, right: ofOwner()}

	a.sockets.serve(ctx, a, most, toUse, toPlain)

	done := make(chan error, 5)
	go func() { done <- unlessStopped(use.Serve(toUse)) }()
	go func() { done <- unlessStopped(manage.Serve(toManage)) }()
	go func() { done <- unlessStopped(plain.Serve(toPlain)) }()
	go func() { done <- onAgent.run(ctx, ls.agent) }()
	go func() { done <- onAdmin.run(ctx, ls.admin) }()

	var first error
	for i := range cap(done) {
		if i == 0 {
			select {
			case first = <-done:
			case <-ctx.Done():
				// Let the answer to Stop leave before its connection closes.
				finish(manage, 2*time.Second)
				first = <-done
			}
			a.sockets.close(func(s *grantSocket) { a.recordClosed(nil, s) })
			cancel()
			use.Stop()
			manage.Stop()
			_ = plain.Close()
			for _, h := range []*handoff{toUse, toManage, toPlain} {
				_ = h.Close()
			}
			continue
		}
		if err := <-done; first == nil {
			first = err
		}
	}
	return first
}

// unlessStopped returns err where it is more than a server's word for having been
// stopped, perhaps before it began.
func unlessStopped(err error) error {
	for _, stopped := range []error{grpc.ErrServerStopped, http.ErrServerClosed, net.ErrClosed} {
		if errors.Is(err, stopped) {
			return nil
		}
	}
	return err
}

// finish stops s once its calls are answered, or after limit.
func finish(s *grpc.Server, limit time.Duration) {
	t := time.AfterFunc(limit, s.Stop)
	defer t.Stop()
	s.GracefulStop()
}

// newAdminServer makes the gRPC server of admin.sock.
func (a *Agent) newAdminServer() *grpc.Server {
	s := a.newServer(adminLimits(), pb.Admin_ServiceDesc, a.admitOwner)
	pb.RegisterAdminServer(s, adminService{Agent: a})
	return s
}

// newServer makes a gRPC server that answers the methods of one service, and
// health, and nothing else. check is asked before each unary call.
func (a *Agent) newServer(l limits, desc grpc.ServiceDesc, check func(*caller) error) *grpc.Server {
	allowed := make(map[string]bool)
	for _, m := range desc.Methods {
		allowed["/"+desc.ServiceName+"/"+m.MethodName] = true
	}
	for _, m := range desc.Streams {
		allowed["/"+desc.ServiceName+"/"+m.StreamName] = true
	}
	for _, m := range []string{"Check", "List"} {
		allowed["/"+healthpb.Health_ServiceDesc.ServiceName+"/"+m] = true
	}
	s := grpc.NewServer(
		grpc.Creds(peercred.NewServerCredentials()),
		grpc.MaxRecvMsgSize(l.message),
		grpc.MaxSendMsgSize(maxAnswer),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(l.streams),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
		grpc.NumStreamWorkers(4),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: l.idle, MaxConnectionAge: longestAge, MaxConnectionAgeGrace: time.Minute,
			Time: l.ping, Timeout: 20 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 30 * time.Second, PermitWithoutStream: true}),
		grpc.InTapHandle(func(ctx context.Context, info *tap.Info) (context.Context, error) {
			if !strings.HasPrefix(info.FullMethodName, "/"+desc.ServiceName+"/") && !allowed[info.FullMethodName] {
				return ctx, status.Error(codes.Unimplemented, pb.OtherSocket)
			}
			if !allowed[info.FullMethodName] {
				return ctx, status.Error(codes.Unimplemented, "no such method on this socket")
			}
			return a.awaitRequest(ctx)
		}),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			a.received(ctx)
			if err := check(callerOf(ctx)); err != nil {
				return nil, a.reply(err)
			}
			return next(ctx, req)
		}),
	)
	h := health.NewServer()
	h.SetServingStatus(desc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(s, h)
	return s
}

// receipt is the deadline for the message that follows a call's headers.
type receipt struct {
	timer *time.Timer
	// here keeps what happens to a call that ends without a message from happening,
	// unless it has.
	here func() bool
	from *manners
}

type receiptKey struct{}

// awaitRequest ends a call whose message does not arrive in time, and refuses one
// that is too many. Interceptors cannot: grpc-go runs them once the message is
// there. A connection that keeps doing so is closed.
func (a *Agent) awaitRequest(ctx context.Context) (context.Context, error) {
	conn, m := connectionOf(ctx)
	m.calls.Add(1)
	if m.abandoned.Load() > maxAbandoned/4 {
		a.flood.spend(abandonedCost) // nobody else reads this connection, and it waits
	}
	abandon := func() {
		a.awaited.Add(-1)
		m.awaited.Add(-1)
		if m.abandon() {
			_ = conn.Close()
		}
	}
	if own := m.awaited.Add(1); a.awaited.Add(1) > maxAwaited && own > fairAwaited {
		abandon()
		return ctx, a.reply(fmt.Errorf("taking a call: %w", ErrBusy))
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &receipt{timer: time.AfterFunc(handshakeTime, cancel), from: m}
	r.here = context.AfterFunc(ctx, abandon)
	return context.WithValue(ctx, receiptKey{}, r), nil
}

// received notes that the first message of a call is there.
func (a *Agent) received(ctx context.Context) {
	if r, ok := ctx.Value(receiptKey{}).(*receipt); ok {
		r.timer.Stop()
		if r.here() {
			a.awaited.Add(-1)
			r.from.awaited.Add(-1)
			r.from.proper()
		}
	}
}

// callerOf returns who called. The credentials of newServer put a peer into each
// call, so that there is always one.
func callerOf(ctx context.Context) *caller {
	if ctx.Value(itself{}) != nil {
		return nil
	}
	if c, _ := connectionOf(ctx); c != nil {
		if counted, ok := c.(*countedConn); ok {
			return counted.caller()
		}
	}
	p, ok := peercred.FromContext(ctx)
	if !ok {
		p = &peercred.Peer{}
	}
	return &caller{peer: p}
}

// itself marks the context of what the agent does on its own.
type itself struct{}

// asItself returns a context for what nobody asked the agent for: the log names the agent.
func asItself(ctx context.Context) context.Context { return context.WithValue(ctx, itself{}, true) }
