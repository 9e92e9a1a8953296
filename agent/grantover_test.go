package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestProgramOfAGrantThatIsOver: a program that was given a socket by an unlock token is told
// that the grant has ended or was revoked, and not that there is no agent; what the token
// opened is gone, and whoever runs the program is told how often it asked.
func TestProgramOfAGrantThatIsOver(t *testing.T) {
	var ahead shifted
	for name, c := range map[string]struct {
		end  func(*fixture, *unlocktoken.Token)
		want pb.Code
	}{
		"revoked": {func(f *fixture, token *unlocktoken.Token) {
			v, _, err := f.agent.vaultOfState(t.Context())
			if err == nil {
				err = f.agent.revokeGrant(t.Context(), nil, v, grantIDOf(t, token))
			}
			if err != nil {
				t.Fatal(err)
			}
		}, pb.CodeRevoked},
		"ended": {func(f *fixture, _ *unlocktoken.Token) {
			ahead.Store(int64(2 * time.Hour))
			f.agent.watchFor()
		}, pb.CodeExpired},
	} {
		t.Run(name, func(t *testing.T) {
			ahead.Store(0)
			f, token := lockedWith(t, unlocktoken.Caveats{NotAfter: time.Now().Unix() + 3600}, ahead.clock)
			before := f.agent.arena.Info().Used
			by := f.show(token)
			s, err := by.OpenSocket(t.Context(), client.SocketRequest{Profile: "acme"})
			if err != nil {
				t.Fatal(err)
			}
			at := s.Opened.GetPath()
			if got := signAt(t, at, "acme", "GET"); got != "ok" {
				t.Fatalf("control: got %s", got)
			}
			idle, err := pb.NewSignerClient(rawGRPC(t, at)).SignStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c.end(f, token)
			closedWithin(t, inTime, idle)
			for end := time.Now().Add(10 * time.Second); len(f.agent.presented.all()) > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("a connection still has a right")
				}
			}
			late := pb.NewSignerClient(rawGRPC(t, at)) // stays
			if _, err := late.Status(t.Context(), &pb.StatusRequest{}); err == nil {
				t.Error("status was told on the socket")
			}
			for range 2 {
				if got := signAt(t, at, "acme", "GET"); got != string(c.want) {
					t.Errorf("got %s, want %s", got, c.want)
				}
			}
			if _, err := by.Sign(t.Context(), request("acme")); !errors.Is(err, &client.Error{Code: c.want}) {
				t.Errorf("on the connection of the token: got %v, want %s", err, c.want)
			}
			if n := len(f.agent.presented.all()); n != 0 {
				t.Errorf("%d connections have a right, want none", n)
			}
			if use, err := s.Close(); err != nil || use.GetMade() != 1 || use.GetRefused() != 2 {
				t.Errorf("how it was used: %v, %v", use, err)
			}
			f.wantGone(at)
			_ = by.Close()
			f.settles("after the end", before)
		})
	}
}
