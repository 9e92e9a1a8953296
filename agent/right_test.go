package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/peer"

	"github.com/nsagent/nsagent/internal/peercred"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// A caller who was given no right gets nothing, whether or not the vault is open: nothing is
// signed, listed or told, no socket opened, and nothing managed.
func TestNoRightGivesNothing(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	c := &caller{peer: livePeer(t, f)}
	for _, locked := range []bool{false, true} {
		if locked {
			f.lock()
		}
		for name, do := range map[string]func() error{
			"signing":  func() error { return f.signBy(t.Context(), c) },
			"profiles": func() error { _, err := f.agent.listProfiles(c); return err },
			"status":   func() error { _, err := f.agent.statusFor(c); return err },
			"a socket": func() error {
				_, _, err := f.agent.openSocket(t.Context(), c, &pb.OpenSocketRequest{Profile: "acme"})
				return err
			},
			"a token":  func() error { _, _, err := f.agent.present(t.Context(), c, &pb.RedeemRequest{}); return err },
			"managing": func() error { return f.agent.admitOwner(c) },
		} {
			if err := do(); !errors.Is(err, errNoRight) {
				t.Errorf("%s, locked %v: got %v", name, locked, err)
			}
		}
	}
	f.unlock()
	s := f.agent.session
	if _, err := s.findFor(c, "acme"); !errors.Is(err, errNoRight) || c.may(s.profiles["acme"]) {
		t.Errorf("a profile: got %v", err)
	}
}

// Who comes by no connection of a socket has no right, be it gRPC or JSON; nor has a
// connection that was given none.
func TestNoConnectionHasNoRight(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	conn, other := net.Pipe()
	t.Cleanup(func() { _, _ = conn.Close(), other.Close() })
	of := func(c net.Conn) context.Context {
		return peer.NewContext(t.Context(), &peer.Peer{AuthInfo: peercred.AuthInfo{Peer: livePeer(t, f), Conn: c}})
	}
	unwelcome := &countedConn{Conn: peercred.NewConn(conn, livePeer(t, f))}
	f.agent.welcome(unwelcome, right{})
	welcome := &countedConn{Conn: peercred.NewConn(conn, livePeer(t, f))}
	f.agent.welcome(welcome, ofOwner())
	if _, err := (signerService{Agent: f.agent}).Sign(of(welcome), &pb.SignRequest{Profile: "acme", Url: sandboxURL}); err != nil {
		t.Fatalf("control: got %v", err)
	}
	for name, ctx := range map[string]context.Context{"another's": of(conn), "one without": of(unwelcome)} {
		if _, err := (signerService{Agent: f.agent}).Sign(ctx, &pb.SignRequest{Profile: "acme", Url: sandboxURL}); codeOf(err) != string(pb.CodeInternal) {
			t.Errorf("by a connection that is %s: got %v", name, err)
		}
	}
	for code, c := range map[pb.Code]*countedConn{pb.CodePeer: nil, pb.CodeInternal: unwelcome} {
		r := httptest.NewRequest(http.MethodPost, "/v1/sign", strings.NewReader(`{"profile":"acme","url":"`+sandboxURL+`"}`))
		if c != nil {
			r = r.WithContext(context.WithValue(r.Context(), connectionKey{}, c))
		}
		w := httptest.NewRecorder()
		f.agent.newHTTPServer().Handler.ServeHTTP(w, r)
		if w.Code == http.StatusOK || !strings.Contains(w.Body.String(), string(code)) {
			t.Errorf("JSON: got %d %s, want %s", w.Code, w.Body, code)
		}
	}
}

// The owner's right is for all profiles, stays good, and manages; of a profile that is not
// there it says so, and not that it is not for it.
func TestOwnersRightIsWhole(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	s, c := f.agent.session, &caller{peer: livePeer(t, f), has: ofOwner()}
	if !c.may(s.profiles["acme"]) {
		t.Error("a profile is not the owner's")
	}
	now := f.agent.clock()
	if at, err := f.agent.good(ofOwner(), now); err != nil || !at.Equal(now) {
		t.Errorf("got %v, %v", at, err)
	}
	if _, err := s.findFor(c, "absent"); refusedWith(err) != pb.CodeNoProfile {
		t.Errorf("a profile that is not there: got %v", err)
	}
	if err := f.agent.admitOwner(c); err != nil {
		t.Errorf("managing: got %v", err)
	}
}

// Nobody manages by a grant, also while it is good; what the agent does itself is not admitted.
func TestNobodyManagesByAGrant(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	c := &caller{peer: livePeer(t, f), has: of(f.grantOn(unlocktoken.Caveats{}, "acme"))}
	if err := f.agent.admitOwner(c); !errors.Is(err, errNoRight) {
		t.Errorf("got %v", err)
	}
	c.has.grant.revoked.Store(true)
	if err := f.agent.admitOwner(c); refusedWith(err) != pb.CodeRevoked {
		t.Errorf("revoked: got %v", err)
	}
	if err := f.agent.admitOwner(nil); !errors.Is(err, errNoRight) {
		t.Errorf("the agent: got %v", err)
	}
}

// TestAdminSocketAsksForTheOwnersRight: the server of admin.sock refuses whoever has not the
// owner's right, whatever socket it is put behind, in calls and in streams.
func TestAdminSocketAsksForTheOwnersRight(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	for name, c := range map[string]struct {
		right right
		code  string
	}{
		"the owner's": {ofOwner(), "ok"},
		"a grant's":   {of(f.grantOn(unlocktoken.Caveats{}, "acme")), string(pb.CodeInternal)},
		"none":        {right{}, string(pb.CodeInternal)},
	} {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		s, to := f.agent.newAdminServer(), newHandoff(l.Addr())
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(to) }()
		go func() { _ = (&acceptor{agent: f.agent, limit: 100, grpc: to, right: c.right}).run(ctx, l) }()
		rpc := pb.NewAdminClient(rawGRPC(t, path))
		if _, err := rpc.ListGrants(t.Context(), &pb.ListGrantsRequest{}); codeOf(err) != c.code {
			t.Errorf("%s: a call: got %v", name, err)
		}
		up, err := rpc.Upload(t.Context())
		if err == nil {
			err = up.Send(&pb.UploadRequest{})
		}
		if err == nil {
			_, err = up.CloseAndRecv()
		}
		if refused := codeOf(err) == string(pb.CodeInternal); refused != (c.code != "ok") {
			t.Errorf("%s: a stream: got %v", name, err)
		}
		cancel()
		s.Stop()
		<-ended
	}
}
