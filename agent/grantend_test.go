package agent

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// closed waits until the agent has closed the connection of p.
func (p *presentation) closed(what string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), inTime)
	defer cancel()
	if !p.conn.(*grpc.ClientConn).WaitForStateChange(ctx, connectivity.Ready) {
		p.t.Errorf("%s: the connection stays", what)
	}
}

// shown shows a token with no client that would show it again.
func (f *fixture) shown(token *unlocktoken.Token) *presentation {
	f.t.Helper()
	p := f.present()
	if got := p.redeem(p.request(token)); got != "ok" {
		f.t.Fatal(got)
	}
	return p
}

// lockedWith returns an agent that is locked, and a token for one of its two profiles.
func lockedWith(t *testing.T, limits unlocktoken.Caveats, change ...func(*Config)) (*fixture, *unlocktoken.Token) {
	t.Helper()
	f := start(t, change...)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	token := f.mint(limits, "acme")
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f, token
}

// settles waits until so much locked memory is in use: connections are closed on the agent's
// side a moment after ours.
func (f *fixture) settles(what string, want int) {
	f.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); f.agent.arena.Info().Used != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("%s: %d bytes of locked memory are in use, want %d", what, f.agent.arena.Info().Used, want)
		}
	}
}

// Requirement T-06: revoking ends what is going on, at once, for who is unlocked and who is
// not, and nobody can show a token of the grant again.
func TestRevocation(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	before := f.agent.arena.Info().Used
	id := grantIDOf(t, token)
	v, _, err := f.agent.vaultOfState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	locked := f.shown(token)
	if _, err := locked.rpc.Sign(t.Context(), &pb.SignRequest{Url: sandboxURL}); err != nil {
		t.Fatal(err)
	}
	other := f.shown(f.mint(unlocktoken.Caveats{}, "other"))
	if err := f.agent.revokeGrant(t.Context(), nil, v, id); err != nil {
		t.Fatal(err)
	}
	locked.closed("of the grant")
	if _, err := other.rpc.Sign(t.Context(), &pb.SignRequest{Url: sandboxURL}); err != nil {
		t.Errorf("of another grant: %v", err)
	}
	if _, err := f.dialWith(token); !errors.Is(err, client.ErrRevoked) {
		t.Errorf("shown again: got %v", err)
	}
	narrow, err := token.Narrow(unlocktoken.Caveats{}, nil, constant{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.dialWith(narrow); !errors.Is(err, client.ErrRevoked) {
		t.Errorf("narrowed: got %v", err)
	}
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.settles("after lock", before)
	f.restart()
	if _, err := f.dialWith(token); !errors.Is(err, client.ErrRevoked) {
		t.Errorf("after a restart: got %v", err)
	}
	f.unlock()
	if _, err := f.dialWith(token); !errors.Is(err, client.ErrRevoked) {
		t.Errorf("unlocked: got %v", err)
	}
}

func grantIDOf(t testing.TB, token *unlocktoken.Token) unlocktoken.ID {
	t.Helper()
	g, err := token.Chain.Read()
	if err != nil {
		t.Fatal(err)
	}
	return g.Authority.Grant
}

// constant is a random source for keys that do not matter.
type constant struct{}

func (constant) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// What a token opened is gone when the connection closes that showed it.
func TestOwnEndsWithItsConnection(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	before := f.agent.arena.Info().Used
	for range 3 {
		c := f.show(token)
		if _, err := c.Sign(t.Context(), request("acme")); err != nil {
			t.Fatal(err)
		}
		if f.agent.arena.Info().Used <= before {
			t.Fatal("control: the token opened nothing")
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		f.settles("after the connection", before)
	}
}

// A grant that ends closes its connections and drops what they opened, by a clock that
// somebody moved, too.
func TestGrantEnds(t *testing.T) {
	var ahead shifted
	f, token := lockedWith(t, unlocktoken.Caveats{}, ahead.clock)
	before := f.agent.arena.Info().Used
	p := f.shown(token)
	ahead.Store(int64(2 * time.Hour))
	// The agent may have looked, and closed it, before.
	if _, err := p.rpc.Sign(t.Context(), &pb.SignRequest{Url: sandboxURL}); codeOf(err) != string(pb.CodeExpired) && status.Code(err) != codes.Unavailable {
		t.Errorf("used after its end: got %v", err)
	}
	wake(f.agent.ends)
	p.closed("after its end")
	f.settles("after its end", before)

	ahead.Store(0)
	if _, err := f.dialWith(token); !errors.Is(err, client.ErrExpired) {
		t.Errorf("with the clock set back: got %v", err)
	}
	f.restart()
	if _, err := f.dialWith(token); !errors.Is(err, client.ErrExpired) {
		t.Errorf("with the clock set back, after a restart: got %v", err)
	}
}

// The end of a grant is noted when its connection is closed for it, locked or not. So a clock
// that is set back gives it to nobody again, though nobody met its end.
func TestGrantEndsUnused(t *testing.T) {
	for _, locked := range []bool{false, true} {
		var ahead shifted
		f, token := lockedWith(t, unlocktoken.Caveats{}, ahead.clock)
		if !locked {
			f.unlock()
		}
		f.shown(token)
		ahead.Store(int64(2 * time.Hour))
		f.agent.endGrants(time.Minute)
		ahead.Store(0)
		f.restart()
		if _, err := f.dialWith(token); !errors.Is(err, client.ErrExpired) {
			t.Errorf("locked %v, after a restart: got %v", locked, err)
		}
	}
}

// A grant has not ended whose end lies further off than a time.Time reaches: it is the vault
// that signed it, whatever the agent itself would make.
func TestGrantWithAFarEnd(t *testing.T) {
	for _, end := range []int64{1 << 40, math.MaxInt64 - 1, math.MaxInt64} {
		f, token := lockedWith(t, unlocktoken.Caveats{NotAfter: end})
		p := f.shown(token)
		if next := f.agent.endGrants(time.Minute); next != time.Minute {
			t.Errorf("end %d: the agent looks again after %s", end, next)
		}
		if _, err := p.rpc.Sign(t.Context(), &pb.SignRequest{Url: sandboxURL}); err != nil {
			t.Errorf("end %d: %v", end, err)
		}
	}
}

// A clock that was far ahead ended the grants of its time; the owner's next grant works.
func TestClockThatWasAhead(t *testing.T) {
	f, ahead := unlockedAhead(t)
	old, _ := f.mustGrant("acme")
	ahead.Store(int64(50 * 365 * 24 * time.Hour))
	if _, err := f.dialWith(old); !errors.Is(err, client.ErrExpired) {
		t.Fatalf("got %v", err)
	}
	ahead.Store(0)
	g, err := old.Chain.Read()
	if err != nil {
		t.Fatal(err)
	}
	for time.Now().Unix() == g.IssuedAt { // a grant of the very second would count as a new one
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := f.dialWith(f.mint(unlocktoken.Caveats{}, "acme")); !errors.Is(err, client.ErrExpired) {
		t.Errorf("one that was not made by the owner: got %v", err)
	}
	fresh, _ := f.mustGrant("acme")
	for range 2 {
		f.show(fresh)
		if _, err := f.dialWith(old); !errors.Is(err, client.ErrExpired) {
			t.Errorf("the old one: got %v", err)
		}
		f.restart()
	}
}

// When the session of the owner ends by itself, a token goes on by what it opens; what it
// had opened before the owner changed a limit counts no more.
func TestTokenAfterTheSessionIsOver(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	c := f.show(token)
	write := client.Request{Profile: "acme", Method: "POST", URL: sandboxURL}
	if _, err := c.Sign(t.Context(), write); err != nil {
		t.Fatal(err)
	}
	f.unlock()
	if _, err := f.admin.EditProfile(t.Context(), "acme", client.ProfileEdit{Profile: &pb.Profile{Access: "read"}, Fields: []string{"access"}}); err != nil {
		t.Fatal(err)
	}
	f.clock.Add(int64(2 * time.Hour))
	f.agent.look()
	for range 2 { // over the old connection, if it were there still, and over a new one
		if _, err := c.Sign(t.Context(), write); !errors.Is(err, client.ErrReadOnly) {
			t.Errorf("got %v, want ErrReadOnly", err)
		}
	}
	if _, err := c.Sign(t.Context(), request("acme")); err != nil {
		t.Error(err)
	}
	if !f.locked() {
		t.Error("control: the session is not over")
	}
}

// Calls that come after the end of a session, and before the connections of tokens were
// closed for it, have the token shown again, and are not told that the vault is locked.
func TestTokenIsShownAgain(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	c := f.show(token)
	for _, call := range []func() error{
		func() error { _, err := c.Sign(t.Context(), request("acme")); return err },
		func() error { _, err := c.Profiles(t.Context()); return err },
		func() error {
			s, err := c.OpenSocket(t.Context(), client.SocketRequest{Profile: "acme"})
			if err != nil {
				return err
			}
			if _, err := f.through(s.Opened.GetPath()).Sign(t.Context(), request("acme")); err != nil {
				t.Errorf("on the socket: %v", err)
			}
			if n := len(f.agent.sockets.report(f.agent.boottime(), f.agent.clock())); n != 1 {
				t.Errorf("%d sockets are open, want 1", n)
			}
			_, err = s.Close()
			return err
		},
	} {
		for _, shown := range f.agent.presented.all() {
			f.agent.dropOwn(shown.now().grant) // as it is after an unlock
		}
		if err := call(); err != nil {
			t.Error(err)
		}
	}
}

// Unlocking gives a token that was shown before nothing more, and locking again takes it
// from nobody for longer than it takes to show it again.
func TestTokenAcrossUnlockAndLock(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	c := f.show(token)
	for _, change := range []func(){func() {}, f.unlock, func() {
		if err := f.admin.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
	}} {
		change()
		if _, err := c.Sign(t.Context(), request("acme")); err != nil {
			t.Error(err)
		}
		if _, err := c.Sign(t.Context(), request("other")); !errors.Is(err, client.ErrGrantScope) {
			t.Errorf("outside: got %v", err)
		}
	}
}
