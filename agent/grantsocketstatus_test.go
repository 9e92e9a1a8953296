package agent

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestStatusOfGrantSockets: the owner sees each socket that others may use and whose right it
// has; who has only a right of that kind sees none of them.
func TestStatusOfGrantSockets(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	sockets := func(c *client.Client) []*pb.GrantSocketStatus {
		t.Helper()
		st, err := c.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.GetGrantSockets()
	}
	want := func(when string, all ...*pb.GrantSocketStatus) {
		t.Helper()
		got := sockets(f.signer)
		if !proto.Equal(&pb.StatusResponse{GrantSockets: got}, &pb.StatusResponse{GrantSockets: all}) {
			t.Errorf("%s: got %v, want %v", when, got, all)
		}
	}
	want("at first")
	path := filepath.Join(shortDir(t), "s")
	g, err := f.grantAt(path, "acme")
	if err != nil {
		t.Fatal(err)
	}
	standing := &pb.GrantSocketStatus{Path: path, Grant: g.GetId(), ExpiresAt: g.GetNotAfter(), Standing: true}
	want("of a grant", standing)

	own := f.openSocket("acme")
	all := sockets(f.signer)
	if len(all) != 2 || all[0].GetPath() > all[1].GetPath() {
		t.Fatalf("with exec's: got %v, want two in order", all)
	}
	for _, s := range all {
		left := time.Until(time.Unix(s.GetExpiresAt(), 0))
		if s.GetPath() == own.Opened.GetPath() && (s.GetGrant() != "" || s.GetProfile() != "acme" || s.GetStanding() || left > socketTTL || left < socketTTL-time.Minute) {
			t.Errorf("exec's: got %v", s)
		}
	}
	token := f.mint(unlocktoken.Caveats{}, "acme")
	for who, c := range map[string]*client.Client{"by its socket": f.through(path), "by exec's": f.through(own.Opened.GetPath()), "by a token": f.show(token)} {
		if got := sockets(c); len(got) != 0 {
			t.Errorf("%s: got %v, want none", who, got)
		}
	}
	byToken, err := f.show(token).OpenSocket(t.Context(), client.SocketRequest{})
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(5 * time.Minute).Unix()
	short := f.mint(unlocktoken.Caveats{NotAfter: end}, "acme")
	byShort, err := f.show(short).OpenSocket(t.Context(), client.SocketRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		socket *client.Socket
		token  *unlocktoken.Token
		end    int64 // the grant's or the socket's, whichever comes first
	}{{byToken, token, byToken.Opened.GetExpiresAt()}, {byShort, short, end}} {
		i := slices.IndexFunc(sockets(f.signer), func(s *pb.GrantSocketStatus) bool { return s.GetPath() == c.socket.Opened.GetPath() })
		if i < 0 {
			t.Fatal("the socket of a token is not told of")
		}
		s := sockets(f.signer)[i]
		if s.GetGrant() != unlocktoken.GrantName(grantIDOf(t, c.token)) || s.GetExpiresAt() < c.end-1 || s.GetExpiresAt() > c.end {
			t.Errorf("of a token: got %v, want its grant, and %d as the end", s, c.end)
		}
	}

	for _, s := range []*client.Socket{byToken, byShort, own} {
		if _, err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	want("when they are closed", standing)
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("locked", standing)
	if _, err := f.admin.RevokeGrant(t.Context(), g.GetId(), false); err != nil {
		t.Fatal(err)
	}
	f.wantGone(path)
	want("revoked")
}
