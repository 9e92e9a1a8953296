//go:build !race

package agent

import (
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

func grantNameOf(t *testing.T, token *unlocktoken.Token) string {
	t.Helper()
	return unlocktoken.GrantName(grantIDOf(t, token))
}

// TestRevocationSurvivesAKill guards T-06: an agent that is killed as soon as it said that a
// grant is revoked does not take its tokens when it is started anew, locked or not.
func TestRevocationSurvivesAKill(t *testing.T) {
	d := newDaemon(t, os.Geteuid(), "")
	d.start()
	d.unlock()
	d.addByFile("acme", sample(2), sample(4))
	token, other := d.mint(unlocktoken.Caveats{}, "acme"), d.mint(unlocktoken.Caveats{}, "acme")
	d.must("lock")
	d.show(token)
	d.must("grant", "revoke", grantNameOf(t, token))
	d.kill()
	d.start()
	for range 2 {
		_, err := client.Dial(t.Context(), client.WithSocket(d.paths.Agent), client.WithUnlockToken(token.Text()))
		if !errors.Is(err, client.ErrRevoked) {
			t.Errorf("got %v, want ErrRevoked", err)
		}
		d.show(other)
		d.unlock()
	}
}

// TestRevocationReachesTheOtherAgent guards T-06: what an agent has said that it revoked,
// another one on the vault serves no more, though the first is killed at once. In the sandbox
// both are the product.
func TestRevocationReachesTheOtherAgent(t *testing.T) {
	d := newDaemon(t, os.Geteuid(), "")
	d.start()
	d.unlock()
	d.addByFile("acme", sample(2), sample(4))
	for _, locked := range []bool{true, false} {
		token := d.mint(unlocktoken.Caveats{}, "acme")
		o := d.beside()
		o.start()
		if !locked {
			o.unlock()
		}
		c := o.show(token)
		if _, err := c.Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
			t.Fatal(err)
		}
		d.must("grant", "revoke", grantNameOf(t, token))
		d.kill()
		if _, err := c.Sign(t.Context(), client.Request{URL: sandboxURL}); !errors.Is(err, client.ErrRevoked) {
			t.Errorf("locked %v: got %v, want ErrRevoked", locked, err)
		}
		o.stop()
		d.start()
	}
}

// TestKilledAgentGivesNoMoreUses kills the agent again and again while a token of so many
// uses is used, from several connections: in all there are never more, and a locked agent
// that is started anew serves the token with nobody's help.
func TestKilledAgentGivesNoMoreUses(t *testing.T) {
	d := newDaemon(t, os.Geteuid(), "")
	d.start()
	d.unlock()
	d.addByFile("acme", sample(2), sample(4))
	const uses = 400
	token := d.mint(unlocktoken.Caveats{Uses: uses}, "acme")
	var made atomic.Int64
	kills := 4
	if needs.Long() {
		kills = 60
	}
	for range kills {
		var users sync.WaitGroup
		for range 3 {
			users.Go(func() {
				c, err := client.Dial(t.Context(), client.WithSocket(d.paths.Agent), client.WithUnlockToken(token.Text()))
				if err != nil {
					return // it was killed before, or nothing is left
				}
				defer func() { _ = c.Close() }()
				for {
					if _, err := c.Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
						return
					}
					made.Add(1)
				}
			})
		}
		time.Sleep(time.Duration(20+rand.IntN(150)) * time.Millisecond) // #nosec G404 -- when to kill
		d.kill()
		users.Wait()
		d.start()
	}
	c := d.show(token)
	var err error
	for err == nil {
		if _, err = c.Sign(t.Context(), client.Request{URL: sandboxURL}); err == nil {
			made.Add(1)
		}
	}
	if !errors.Is(err, client.ErrGrantScope) {
		t.Errorf("at the end: got %v, want ErrGrantScope", err)
	}
	if n := made.Load(); n > uses || n == 0 {
		t.Errorf("%d uses of %d", n, uses)
	} else {
		t.Logf("%d uses of %d, with %d kills", n, uses, kills)
	}
}

// TestUsesMade: what is told of a grant is how many uses were made, not how many were
// reserved; what a killed agent had reserved counts.
func TestUsesMade(t *testing.T) {
	d := newDaemon(t, os.Geteuid(), "")
	d.start()
	d.unlock()
	d.addByFile("acme", sample(2), sample(4))
	const uses, block = 160, 160 / blocksOfLimit
	token := d.mint(unlocktoken.Caveats{Uses: uses}, "acme")
	without := d.mint(unlocktoken.Caveats{}, "acme")
	sign := func(n int) {
		t.Helper()
		c := d.show(token)
		for range n {
			if _, err := c.Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
				t.Fatal(err)
			}
		}
	}
	made := func(when string, token *unlocktoken.Token, want uint64) {
		t.Helper()
		g, err := d.dialAdmin().Grant(t.Context(), grantNameOf(t, token))
		if err != nil || g.GetUsesMade() != want {
			t.Errorf("%s: got %d, %v, want %d", when, g.GetUsesMade(), err, want)
		}
	}
	made("at first", token, 0)
	sign(3)
	made("within a block", token, 3)
	sign(block)
	made("beyond a block", token, 3+block)
	if _, err := d.show(without).Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
		t.Error(err)
	}
	made("without a limit", without, 0)
	d.must("lock")
	sign(1)
	made("locked, when nobody can tell", token, 0)
	d.unlock()
	made("unlocked again", token, 4+block)
	d.stop()
	d.start()
	d.unlock()
	made("after a clean end", token, 4+block)
	sign(1)
	d.kill()
	d.start()
	d.unlock()
	made("after a kill", token, 4+2*block)
}
