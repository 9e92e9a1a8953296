package vault

import (
	"context"
	"testing"

	"github.com/nsagent/nsagent/vault/keyring"
)

// TestCheckShare: whether the keyring has the share is known of a vault that is locked, and
// stays so.
func TestCheckShare(t *testing.T) {
	f := newVault(t, nil)
	g := f.another()
	if err := g.CheckShare(context.Background()); err != nil {
		t.Error(err)
	}
	if !g.Locked() {
		t.Error("looking for the share opened the vault")
	}
	delete(f.keyring.items, f.item(itemShare))
	wantError(t, "no share", g.CheckShare(context.Background()), keyring.ErrNotFound)
	f.keyring.items[f.item(itemShare)] = []byte("short")
	wantError(t, "a share of another size", g.CheckShare(context.Background()), ErrKeyring)
}
