//go:build !race

package agent

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/granttest"
	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// mint puts a grant into the vault of the daemon, and returns a token of it.
func (d *daemon) mint(limits unlocktoken.Caveats, profiles ...string) *unlocktoken.Token {
	d.t.Helper()
	token, err := granttest.Mint(d.t.Context(), d.paths, testPassphrase, limits, profiles...)
	if err != nil {
		d.t.Fatal(err)
	}
	return token
}

// show connects with a token, which must be taken.
func (d *daemon) show(token *unlocktoken.Token) *client.Client {
	d.t.Helper()
	c, err := client.Dial(d.t.Context(), client.WithSocket(d.paths.Agent), client.WithUnlockToken(token.Text()))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestMemoryOfTokens guards M-03, M-12 and G-10 for a locked agent that serves a token: no
// share, and nothing that it opens, is outside locked memory while it is used; there is
// none anywhere once the connection has closed, somebody has locked, or the grant has
// ended.
func TestMemoryOfTokens(t *testing.T) {
	needs.Root(t, "scans the memory of another process")
	d := startDaemon(t, "memory = \"mlock\"\n") // the other mode, root cannot read at all
	c := newCanaries(t, testPassphrase)
	admin := d.dialAdmin()
	if _, err := admin.Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
		t.Fatal(err)
	}
	d.needsErasing()
	if err := d.addTBA(admin, "acme", c.consumerSecret, c.tokenSecret); err != nil {
		t.Fatal(err)
	}
	m2m := &pb.Profile{Name: "m2m", Account: "1234567_SB1", Auth: "m2m", ClientId: sample(1), Certificate: c.certificate, Scopes: []string{"restlets"}}
	if _, err := admin.AddProfile(t.Context(), m2m, map[string]client.Sealer{"private_key": sealWith(d.arena, c.privateKey)}); err != nil {
		t.Fatal(err)
	}
	lock := func() {
		t.Helper()
		if err := admin.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	use := func(what string, token *unlocktoken.Token) *client.Client {
		t.Helper()
		needles := needlesOf(token, c)
		signer := d.show(token)
		for i := range 100 {
			if _, err := signer.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL}); err != nil {
				t.Fatal(err)
			}
			if i%10 == 0 {
				if _, err := signer.Assertion(t.Context(), client.AssertionRequest{Profile: "m2m"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if r := d.atRest(what+", in use", needles, noneUnlocked); r.Total.Locked == 0 {
			t.Errorf("%s: control: locked memory holds nothing either:\n%s", what, r)
		}
		return signer
	}
	lock()
	d.atRest("locked", c.needles, none)

	token := d.mint(unlocktoken.Caveats{}, "acme", "m2m")
	if err := use("until it closes", token).Close(); err != nil {
		t.Fatal(err)
	}
	d.atRest("after the connection", needlesOf(token, c), none)

	use("until lock", token)
	lock()
	d.atRest("after lock", needlesOf(token, c), none)

	short := d.mint(unlocktoken.Caveats{NotAfter: time.Now().Unix() + 30}, "acme", "m2m")
	use("until its end", short)
	d.atRestWithin(60*time.Second, "after its end", needlesOf(short, c), none)

	revoked := d.mint(unlocktoken.Caveats{}, "acme", "m2m")
	use("until it is revoked", revoked)
	d.must("grant", "revoke", grantNameOf(t, revoked), "-q")
	d.atRest("after it was revoked", needlesOf(revoked, c), none)

	// In an unlocked agent the shares are of no use, and are not kept.
	if _, err := admin.Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
		t.Fatal(err)
	}
	d.show(token)
	d.atRest("unlocked", shareNeedles(token), none)
}

// needlesOf are the canaries and the shares of a token.
func needlesOf(token *unlocktoken.Token, c canaries) []memscan.Needle {
	return append(slices.Clone(c.needles), shareNeedles(token)...)
}

func shareNeedles(token *unlocktoken.Token) []memscan.Needle {
	var all []memscan.Needle
	for i, s := range token.Shares {
		all = append(all, memscan.Needles(fmt.Sprintf("share %d", i), s.Key[:])...)
	}
	return all
}
