package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
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
