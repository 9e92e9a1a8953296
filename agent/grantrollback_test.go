package agent

import (
	"errors"
	"os"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// putBack ends the agent, puts an older vault file in the place of the one that is there,
// and runs another agent on it.
func (f *fixture) putBack(old []byte) {
	f.t.Helper()
	if err := f.admin.Stop(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.waitEnd()
	if err := os.WriteFile(f.paths.Vault, old, 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.run()
}

func (f *fixture) vaultFile() []byte {
	f.t.Helper()
	b, err := os.ReadFile(f.paths.Vault)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

const denyAll = "version = 1\n[[rule]]\nname = \"nothing\"\neffect = \"deny\"\nwhat = \"*\"\n"

// TestTokenOnAnOlderVault: a token on a locked agent does not bring back the policy of a
// vault file from before the last change that was made on this machine.
func TestTokenOnAnOlderVault(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token := f.mint(unlocktoken.Caveats{}, "acme")
	old := f.vaultFile()
	f.restart()
	f.unlock()
	f.adopt(denyAll) // and no unlock after it
	newer := f.vaultFile()
	f.putBack(old)
	if _, err := f.dialWith(token); codeOf(err) != string(pb.CodeRollback) {
		t.Errorf("on the older vault: got %v", err)
	}
	if _, err := f.admin.Unlock(t.Context(), sealWith(f.arena, testPassphrase), 0); codeOf(err) != string(pb.CodeRollback) {
		t.Errorf("unlocking the older vault: got %v", err)
	}
	f.putBack(newer)
	if _, err := f.show(token).Sign(t.Context(), request("acme")); !errors.Is(err, client.ErrDenied) {
		t.Errorf("on the newest: got %v", err)
	}
}

// TestLedgerHasEachGeneration: a change that the vault has made is in the ledger when the
// call that asked for it is answered, also that of an unlock.
func TestLedgerHasEachGeneration(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	check := func(what string) {
		t.Helper()
		v := f.agent.session.vault
		l, err := f.agent.openLedger(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		if got, _ := l.Get(ledgerGeneration, v.ID()); got != v.Generation() {
			t.Errorf("%s: the ledger has generation %d, the vault %d", what, got, v.Generation())
		}
	}
	check("a profile")
	_, g := f.mustGrant("acme")
	check("a grant")
	_, other := f.mustGrant("acme")
	if _, err := f.admin.RevokeGrant(t.Context(), g.GetId(), false); err != nil {
		t.Fatal(err)
	}
	check("a revocation")
	f.lock()
	if _, err := f.admin.RevokeGrant(t.Context(), other.GetId(), false); err != nil {
		t.Fatal(err)
	}
	f.unlock()
	check("an unlock that has a revocation to write down")
}
