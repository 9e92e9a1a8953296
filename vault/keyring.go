package vault

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/keyring"
)

// Keyring is what the vault needs of the OS keyring. *keyring.Door is the one that
// is used; tests have others. Set borrows v and succeeds only once the keyring has
// given the value back; what Get returns is the caller's; a missing item is
// keyring.ErrNotFound.
type Keyring interface {
	Get(ctx context.Context, item string) (secret.Bytes, error)
	Set(ctx context.Context, item string, v secret.Bytes) error
	Delete(ctx context.Context, item string) error
}

var _ Keyring = (*keyring.Door)(nil)

// Items of the keyring, each under the vault's id.
const (
	itemShare   = "share"   // 32 bytes, part of what opens the VRK
	itemPin     = "pin"     // generation and manifest hash, 40 bytes
	itemMachine = "machine" // the machine key, 32 bytes
)

// present turns a nil *keyring.Door into no keyring.
func present(k Keyring) Keyring {
	if d, ok := k.(*keyring.Door); ok && d == nil {
		return nil
	}
	return k
}

// item returns the name of an item: 32 hexadecimal digits, a slash, the name.
func (v *Vault) item(name string) string { return hex.EncodeToString(v.id[:]) + "/" + name }

// share returns the keyring's share of the key slots. Errors: ErrKeyring.
func (v *Vault) share(ctx context.Context) (secret.Bytes, error) {
	if v.cfg.Keyring == nil {
		return secret.Bytes{}, fmt.Errorf("%w: this machine has none", ErrKeyring)
	}
	b, err := v.cfg.Keyring.Get(ctx, v.item(itemShare))
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: reading the vault's share: %w", ErrKeyring, err)
	}
	if n := b.Len(); n != envelope.ShareSize {
		b.Destroy()
		return secret.Bytes{}, fmt.Errorf("%w: the vault's share has %d bytes instead of %d", ErrKeyring, n, envelope.ShareSize)
	}
	return b, nil
}

// makeShare draws a share and puts it into the keyring, before anything depends on
// it. undo takes it away again.
func (v *Vault) makeShare(ctx context.Context) (share secret.Bytes, undo func(), err error) {
	nothing := func() {}
	if v.cfg.Keyring == nil {
		return share, nothing, fmt.Errorf("%w: this machine has none", ErrKeyring)
	}
	if share, err = v.random(envelope.ShareSize); err != nil {
		return share, nothing, err
	}
	undo = func() { _ = v.cfg.Keyring.Delete(context.WithoutCancel(ctx), v.item(itemShare)) }
	if err = v.cfg.Keyring.Set(ctx, v.item(itemShare), share); err != nil {
		share.Destroy()
		return secret.Bytes{}, nothing, fmt.Errorf("%w: writing the vault's share: %w", ErrKeyring, err)
	}
	return share, undo, nil
}

// random returns n bytes from the configured source.
func (v *Vault) random(n int) (secret.Bytes, error) {
	b, err := v.cfg.Arena.Alloc(n)
	if err != nil {
		return secret.Bytes{}, err
	}
	err = b.Use(func(p []byte) error {
		var err error
		secret.Do(func() { _, err = io.ReadFull(v.cfg.Rand, p) })
		return err
	})
	if err != nil {
		b.Destroy()
		return secret.Bytes{}, fmt.Errorf("drawing random bytes: %w", err)
	}
	return b, nil
}

// noKeyring reports whether err means that there is no keyring here at all, as
// against one that is locked or slow.
func noKeyring(err error) bool {
	return errors.Is(err, keyring.ErrNoBus) || errors.Is(err, keyring.ErrStaleBus) || errors.Is(err, keyring.ErrNoService)
}
