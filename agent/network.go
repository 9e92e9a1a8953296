package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/nsagent/nsagent/agent/gateway"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// launch starts a process and returns the connection to it.
type launch func(ctx context.Context) (*net.UnixConn, error)

// maxExchangers is how many exchangers run at once; whoever comes then waits.
const maxExchangers = 4

// launchTime is how long a process may take beside the time of its job: to start, and to
// hand over the answer.
const launchTime = 5 * time.Second

// network is the agent's way to NetSuite: a gateway that is started when it is first
// needed, and again after its end, and an exchanger for each request that carries a
// secret of lasting worth. It has no state that outlives it.
type network struct {
	exchangers chan struct{} // as many as run
	exchanger  launch        // nil: there is none

	mu    sync.Mutex // guards what follows, and is held while a gateway starts
	start launch     // nil: there is none, or no more
	conn  *gateway.Conn
}

// do has a request made by the gateway that has nothing to do with a session.
func (n *network) do(ctx context.Context, j gateway.Job, p gateway.Payload) (gateway.Answer, error) {
	c, err := n.connection(ctx)
	if err != nil {
		return gateway.Answer{}, err
	}
	return ask(ctx, c, j, p)
}

// doFor has a request made by the gateway for a session, with what is good for minutes: an
// access token, an assertion, a signature. The gateway ends with the session. The error is
// vault.ErrLocked where the session has ended; what was not sent by then is not sent.
func (n *network) doFor(ctx context.Context, s *session, j gateway.Job, p gateway.Payload) (gateway.Answer, error) {
	c, err := n.connection(ctx)
	if err != nil {
		return gateway.Answer{}, err
	}
	if err := s.line.share(c); err != nil {
		return gateway.Answer{}, err
	}
	return s.line.told(ask(ctx, c, j, p))
}

// exchange has a request made for a session by a process of its own, which connects to that
// one origin and ends: one with a refresh token, an authorization code, a client secret, or
// with what is answered by such. The process ends with the session. The error is
// vault.ErrLocked where the session has ended.
//
// ctx is for the wait until an exchanger may run, and no longer: what is sent may be good
// once, so that its answer is waited for, in the job's own time, whoever goes away.
func (n *network) exchange(ctx context.Context, s *session, j gateway.Job, p gateway.Payload) (gateway.Answer, error) {
	n.mu.Lock()
	over := n.start == nil
	n.mu.Unlock()
	if over || n.exchanger == nil {
		return gateway.Answer{}, noNetwork()
	}
	wait, cancel := s.line.bound(ctx)
	defer cancel()
	select {
	case n.exchangers <- struct{}{}:
		defer func() { <-n.exchangers }()
	case <-wait.Done():
		return s.line.told(gateway.Answer{}, refuse(errors.Join(ErrBusy, wait.Err()), pb.CodeLimited, "nothing was asked of NetSuite", "other requests with secrets are under way, as many as may be", "try again"))
	}
	ctx, cancel = s.line.during(ctx, j.Time()+launchTime)
	defer cancel()
	conn, err := n.exchanger(ctx)
	if err != nil {
		return s.line.told(gateway.Answer{}, fmt.Errorf("starting an exchanger: %w", errors.Join(ErrNetwork, err)))
	}
	c := gateway.NewConn(conn)
	defer func() { _ = c.Close() }()
	if err := s.line.hold(c); err != nil {
		return gateway.Answer{}, err
	}
	defer s.line.remove(c)
	return s.line.told(ask(ctx, c, j, p))
}

// ask has a process do a job. The answer says so where the process ended or the time was
// over.
func ask(ctx context.Context, c *gateway.Conn, j gateway.Job, p gateway.Payload) (gateway.Answer, error) {
	a, err := c.Do(ctx, j, p)
	switch {
	case errors.Is(err, gateway.ErrGone):
		return gateway.Answer{Failure: gateway.FailedGateway}, nil
	case errors.Is(err, context.DeadlineExceeded):
		return gateway.Answer{Failure: gateway.FailedTime}, nil
	case errors.Is(err, context.Canceled):
		return a, refuse(errors.Join(ErrNetwork, err), pb.CodeNetwork, "NetSuite was asked, and its answer not waited for", "whoever asked went away", "try again")
	}
	return a, err
}

func noNetwork() error {
	return refuse(ErrNetwork, pb.CodeNetwork, "this agent has no way to the network", "it was started without a gateway, or is about to end", "start it:  nsagent agent start")
}

// connection returns the connection to a gateway that lives.
func (n *network) connection(ctx context.Context) (*gateway.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.start == nil {
		return nil, noNetwork()
	}
	if n.conn != nil {
		select {
		case <-n.conn.Done():
		default:
			return n.conn, nil
		}
	}
	conn, err := n.start(ctx)
	if err != nil {
		return nil, fmt.Errorf("starting the gateway: %w", errors.Join(ErrNetwork, err))
	}
	n.conn = gateway.NewConn(conn)
	return n.conn, nil
}

// there reports whether there is a way to the network.
func (n *network) there() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.start != nil
}

// close ends the gateway, and starts no other for an exchange that is still under way.
func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.start = nil
	if n.conn != nil {
		_ = n.conn.Close()
		n.conn = nil
	}
}

// unreached returns the refusal for a failure of the network; what names the endeavour
// and host the other end.
func unreached(f gateway.Failure, what, host string) *Refusal {
	const ca = "if a proxy of your company is in the way, give the profile its CA (ca_file)"
	why, next := "", "nsagent doctor"
	switch f {
	case gateway.FailedName:
		why, next = "the name "+host+" has no address", "look at the account ID and at the network"
	case gateway.FailedConnect:
		why, next = "nobody answers at "+host, "look at the network and at the endpoint of the profile"
	case gateway.FailedUnknownCA:
		why, next = "the certificate of "+host+" is of an authority that this machine does not trust", ca
	case gateway.FailedExpired:
		why, next = "the certificate of "+host+" is not valid today", "look at the clock of this machine, and at the server"
	case gateway.FailedHost:
		why, next = "the certificate of "+host+" is for another name", ca
	case gateway.FailedTLS:
		why, next = host+" does not speak TLS 1.2 or later", ca
	case gateway.FailedTime:
		why, next = host+" did not answer in time", "try again"
	case gateway.FailedCut:
		why, next = host+" ended the connection before its answer was complete", "try again"
	case gateway.FailedSize, gateway.FailedAnswer:
		why, next = "what "+host+" sent is no answer of NetSuite's", "look at the endpoint of the profile, and for a proxy in the way"
	case gateway.FailedGateway:
		why, next = "the gateway process ended meanwhile", "try again"
	default:
		why = "the gateway could not do it (" + string(f) + ")"
	}
	return refuse(ErrNetwork, pb.CodeNetwork, what, why, next)
}
