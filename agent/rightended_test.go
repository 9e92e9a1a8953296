package agent

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestAccessTokenOfARightThatEnds: an access token that was asked for while the grant was good
// is not given out once that is over, on a connection that stays for the socket which was
// opened there; who has another right gets it.
func TestAccessTokenOfARightThatEnds(t *testing.T) {
	for _, where := range []string{"here", "beside"} {
		goOn := make(chan struct{})
		w := startTokens(t, func(rw http.ResponseWriter, _ *http.Request) {
			<-goOn
			grant(rw, 1, 3600)
		})
		agents := map[string]*fixture{"here": w.fixture, "beside": w.beside()}
		token := w.mint(unlocktoken.Caveats{Kinds: []string{string(policy.KindToken)}}, "m2m")
		c := w.show(token)
		if _, err := c.OpenSocket(t.Context(), client.SocketRequest{Profile: "m2m"}); err != nil {
			t.Fatal(err)
		}
		answer := make(chan error)
		go func() {
			_, err := c.AccessToken(t.Context(), client.AccessTokenRequest{Profile: "m2m"})
			answer <- err
		}()
		eventually(t, inTime, func() string {
			if w.exchanges.Load() == 0 {
				return "nobody has asked NetSuite"
			}
			return ""
		})
		if _, err := agents[where].admin.RevokeGrant(t.Context(), unlocktoken.GrantName(grantIDOf(t, token)), false); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		if err := <-answer; !errors.Is(err, client.ErrRevoked) {
			t.Errorf("revoked %s: got %v", where, err)
		}
		if got := w.events("token"); !slices.Equal(got, []string{"token ok", "token failed NSA-REVOKED"}) {
			t.Errorf("revoked %s: the log says %q", where, got)
		}
		if r, err := w.token(); err != nil || r.GetAccessToken() != "token-1" {
			t.Errorf("revoked %s: the owner: got %v", where, err)
		}
	}
}

// TestRightThatEndsWhileTheLedgerIsWaitedFor: a use that was allowed, and is counted for long,
// is not made once the grant is over.
func TestRightThatEndsWhileTheLedgerIsWaitedFor(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	g := f.grantOn(unlocktoken.Caveats{Uses: 10}, "acme")
	peer := livePeer(t, f)
	f.agent.ledgers <- struct{}{}
	answer := make(chan error)
	go func() {
		_, err := f.agent.sign(t.Context(), &caller{peer: peer, has: of(g)}, &pb.SignRequest{Url: sandboxURL})
		answer <- err
	}()
	eventually(t, inTime, func() string {
		if f.agent.counters.reserving.TryLock() {
			f.agent.counters.reserving.Unlock()
			return "nobody waits for the ledger"
		}
		return ""
	})
	g.revoked.Store(true)
	<-f.agent.ledgers
	if err := <-answer; !errors.Is(err, ErrRevoked) {
		t.Errorf("got %v", err)
	}
	if got := f.events("sign"); !slices.Equal(got, []string{"sign ok", "sign failed NSA-REVOKED"}) {
		t.Errorf("the log says %q", got)
	}
}
