package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// holdVault has a call work on the unlocked vault until free is called, as one does that
// stretches a passphrase.
func (f *fixture) holdVault(profile string) (free func()) {
	f.t.Helper()
	begun, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	v := f.agent.session.vault
	go func() {
		defer close(ended)
		_, _ = v.Edit(context.Background(), profile, func(vault.Record) (vault.Edit, error) {
			close(begun)
			<-goOn
			return vault.Edit{}, errors.New("nothing to change")
		})
	}()
	<-begun
	free = sync.OnceFunc(func() { close(goOn); <-ended })
	f.t.Cleanup(free)
	return free
}

// revocations returns how often the ledger says that a grant was revoked.
func (f *fixture) revocations(id unlocktoken.ID) (n int) {
	f.t.Helper()
	err := store.ReadLedger(f.paths.Ledger, func(e store.Entry) {
		if e.Kind == ledgerGrantRevoked && string(e.Subject) == string(id[:]) {
			n++
		}
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// missing says what does not have the revocation; "" where it has.
func missing(what string, has bool) string {
	if has {
		return ""
	}
	return what + " does not have it"
}

// TestRevocationWaitsForNobody: a grant is served no more, and is in the ledger, once, where
// other agents and the next one find it, while another call has the turn and the vault
// itself; a locked agent, whose vault does not change, has answered by then.
func TestRevocationWaitsForNobody(t *testing.T) {
	for _, locked := range []bool{false, true} {
		f := start(t)
		f.unlock()
		f.addTBA("acme")
		token, g := f.mustGrant("acme")
		id := grantIDOf(t, token)
		if locked {
			f.lock()
		}
		f.shown(token)
		end, err := f.agent.beginAdmin(t.Context()) // a passphrase is stretched, or a keyring asked
		if err != nil {
			t.Fatal(err)
		}
		free := func() {}
		if !locked {
			free = f.holdVault("acme")
		}
		done := make(chan error, 1)
		go func() { _, err := f.admin.RevokeGrant(t.Context(), g.GetId(), false); done <- err }()
		eventually(t, inTime, func() string { return missing("the ledger", f.revocations(id) > 0) })
		if n := len(f.agent.presented.all()); n != 0 {
			t.Errorf("locked %v: %d connections are served", locked, n)
		}
		if locked {
			err = <-done
		} else {
			select {
			case err = <-done:
				t.Errorf("it was answered before the vault has it: %v", err)
			default:
			}
		}
		free()
		end()
		if !locked {
			err = <-done
		}
		if err != nil {
			t.Errorf("locked %v: %v", locked, err)
		}
		if _, err := f.dialWith(token); !errors.Is(err, client.ErrRevoked) {
			t.Errorf("locked %v: shown again: got %v", locked, err)
		}
		if n := f.revocations(id); n != 1 {
			t.Errorf("locked %v: it is in the ledger %d times", locked, n)
		}
	}
}

// TestRevocationWaitsForNoSocket: a grant is in the ledger and in the log while the path of
// its socket is being removed, which may take long.
func TestRevocationWaitsForNoSocket(t *testing.T) {
	goOn := make(chan struct{})
	f := start(t, func(c *Config) {
		remove := c.Unlisten
		c.Unlisten = func(ctx context.Context, path string) error {
			<-goOn
			return remove(ctx, path)
		}
	})
	free := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(free)
	f.unlock()
	f.addTBA("acme")
	g, err := f.grantAt(shortDir(t)+"/s", "acme")
	if err != nil {
		t.Fatal(err)
	}
	id := f.grants(t)[0].ID
	done := make(chan error, 1)
	go func() { _, err := f.admin.RevokeGrant(t.Context(), g.GetId(), false); done <- err }()
	eventually(t, inTime, func() string { return missing("the ledger", f.revocations(id) > 0) })
	eventually(t, inTime, func() string {
		return missing("the log", slices.Contains(f.events("grant.revoke"), "grant.revoke ok"))
	})
	free()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRevocationInADamagedVault: who revokes a grant while the vault file is not the vault's is
// told that, and the grant is revoked.
func TestRevocationInADamagedVault(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token, g := f.mustGrant("acme")
	id := grantIDOf(t, token)
	_, back := f.forgeVault(id)
	if _, err := f.admin.RevokeGrant(t.Context(), g.GetId(), false); errorCode(err) != string(pb.CodeDamaged) {
		t.Errorf("got %v", err)
	}
	if got := f.events("grant.revoke"); f.revocations(id) != 1 || !slices.Equal(got, []string{"grant.revoke ok"}) {
		t.Errorf("it is in the ledger %d times, and the log says %q", f.revocations(id), got)
	}
	back()
	if _, err := f.dialWith(token); !errors.Is(err, client.ErrRevoked) {
		t.Errorf("with the real file: got %v", err)
	}
}

// TestRevokeOfNoGrant: a name that is of no grant, or may be of several, revokes none, and that
// somebody tried is on record.
func TestRevokeOfNoGrant(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.mustGrant("acme")
	f.mustGrant("acme")
	names := []string{"g_", "g_" + strings.Repeat("a", 26), "acme"}
	for _, name := range names {
		if _, err := f.admin.RevokeGrant(t.Context(), name, false); err == nil {
			t.Errorf("%q was revoked", name)
		}
	}
	if got := f.events("grant.revoke"); !slices.Equal(got, slices.Repeat([]string{"grant.revoke denied NSA-NOTFOUND"}, len(names))) {
		t.Errorf("the log says %q", got)
	}
	if f.revocations(unlocktoken.ID{}) != 0 {
		t.Error("the ledger has a grant without a name")
	}
}
