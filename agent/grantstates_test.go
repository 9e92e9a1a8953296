package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestGrantsAreListedByTheirClock: a grant is listed as it is judged. One that was seen to have
// ended stays so where the clock is set back, also after a restart; that it is listed while
// the clock is ahead ends none.
func TestGrantsAreListedByTheirClock(t *testing.T) {
	f, ahead := unlockedAhead(t)
	token, g := f.mustGrant("acme")
	state := func() string {
		t.Helper()
		g, err := f.admin.Grant(t.Context(), g.GetId())
		if err != nil {
			t.Fatal(err)
		}
		return g.GetState()
	}
	ahead.Store(int64(2 * time.Hour))
	if got := state(); got != "expired" {
		t.Errorf("after its end: %s", got)
	}
	ahead.Store(0)
	if got := state(); got != "active" {
		t.Errorf("listed while the clock was ahead, which is set right: %s", got)
	}
	f.show(token)
	ahead.Store(int64(2 * time.Hour))
	if _, err := f.dialWith(token); !errors.Is(err, client.ErrExpired) {
		t.Fatalf("control: got %v", err)
	}
	ahead.Store(0)
	if got := state(); got != "expired" {
		t.Errorf("used after its end, and the clock set back: %s", got)
	}
	f.restart()
	if got := state(); got != "locked" || f.grantClock().noted != 0 {
		t.Errorf("locked: %s, by a clock that has %d", got, f.grantClock().noted)
	}
	f.unlock()
	if got := state(); got != "expired" {
		t.Errorf("after a restart: %s", got)
	}
}

// TestStatesOfGrants: a bundle is judged by the clock of whoever serves it, and that this
// machine's was ahead once ends none. That is how all others are listed; one that was made
// when a clock was ahead has not begun.
func TestStatesOfGrants(t *testing.T) {
	f, _ := unlockedAhead(t)
	now := f.agent.clock()
	f.grantClock().at(0, now.Add(2*time.Hour))
	id := unlocktoken.ID(f.agent.session.vault.ID())
	for _, c := range []struct {
		mode        string
		issued, end time.Duration // from now
		want        string
	}{
		{unlocktoken.Attached, 0, time.Hour, "expired"},
		{unlocktoken.Attached, 0, 3 * time.Hour, "active"},
		{unlocktoken.Attached, 2*time.Hour + clockSlack + time.Second, 3 * time.Hour, "pending"},
		{unlocktoken.Attached, 2*time.Hour + clockSlack - time.Second, 3 * time.Hour, "active"},
		{unlocktoken.Detached, 0, time.Hour, "active"},
		{unlocktoken.Detached, -time.Hour, -time.Minute, "expired"},
	} {
		g := &unlocktoken.Grant{Authority: unlocktoken.Authority{Vault: id, Mode: c.mode, IssuedAt: now.Add(c.issued).Unix(), Caveats: unlocktoken.Caveats{NotAfter: now.Add(c.end).Unix()}}}
		if got := stateOf(g, f.agent.clockOf(g)); got != c.want {
			t.Errorf("%s, made after %s, until %s: %s, want %s", c.mode, c.issued, c.end, got, c.want)
		}
	}
}

// TestGrantsThatAreUsedUp: a grant of which nothing is left is listed so, until it has ended or
// was revoked; one with a use left, and a bundle, whose uses are counted elsewhere, are not.
func TestGrantsThatAreUsedUp(t *testing.T) {
	f, ahead := unlockedAhead(t)
	made := func(uses uint64, detached bool) (*unlocktoken.Token, string) {
		t.Helper()
		s := f.spec("acme")
		s.Limits, s.Detached = &pb.GrantLimits{Uses: uses}, detached
		r, err := f.admin.NewGrant(t.Context(), f.passphrase(testPassphrase), s.NewGrant)
		if err != nil {
			t.Fatal(err)
		}
		return s.token(t, r), r.GetGrant().GetId()
	}
	state := func(when, id, want string) {
		t.Helper()
		if g, err := f.admin.Grant(t.Context(), id); err != nil || g.GetState() != want {
			t.Errorf("%s: got %q, %v, want %q", when, g.GetState(), err, want)
		}
	}
	sign := func(c *client.Client) {
		t.Helper()
		if _, err := c.Sign(t.Context(), request("acme")); err != nil {
			t.Fatal(err)
		}
	}
	token, id := made(2, false)
	_, other := made(2, false)
	_, bundled := made(2, true)
	c := f.show(token)
	sign(c)
	state("a use is left", id, "active")
	sign(c)
	state("none is left", id, "used up")
	state("another grant", other, "active")
	state("a bundle", bundled, "active")
	f.restart()
	f.unlock()
	state("after a restart", id, "used up")
	ahead.Store(int64(2 * time.Hour))
	state("after its end", id, "expired")
	ahead.Store(0)
	if _, err := f.admin.RevokeGrant(t.Context(), id, false); err != nil {
		t.Fatal(err)
	}
	state("revoked", id, "revoked")
}
