package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
)

// Unlock opens the vault. With a passphrase it tries the key slots that take one, if
// there are any; without, those that take none. passphrase is borrowed; the zero
// Bytes means none.
//
// An unlocked vault may be unlocked again: that reads the store anew and proves the
// passphrase.
//
// Errors: ErrPassphrase, ErrNeedPassphrase, ErrKeyring, ErrRollback, ErrDamaged,
// ErrNewer, ErrLocked if Lock was called meanwhile, those of the arena and the store.
func (v *Vault) Unlock(ctx context.Context, passphrase secret.Bytes) error {
	v.work.Lock()
	defer v.work.Unlock()
	if err := v.unlock(ctx, passphrase); err != nil {
		return fmt.Errorf("unlocking the vault: %w", err)
	}
	return nil
}

func (v *Vault) unlock(ctx context.Context, passphrase secret.Bytes) error {
	v.mu.RLock()
	locks := v.locks
	v.mu.RUnlock()
	seen := v.cfg.Memory.newest(v.id)

	s, err := v.load(ctx)
	if err != nil {
		return err
	}
	if s.root.Vault != v.id {
		return fmt.Errorf("%w: another vault is in its place", ErrDamaged)
	}
	// Before a passphrase is tried: one that is given to an older vault may meet a
	// cheaper key slot that was taken away since.
	if err := seen.leadsTo(s.root); err != nil {
		return err
	}
	pinned, err := v.checkPin(ctx, s.root)
	if err != nil {
		return err
	}

	defer v.cfg.Arena.ReleaseMemory()
	keys, err := v.openSlots(ctx, s.root, passphrase, pinned.keyring)
	if err != nil {
		return err
	}
	ix, err := trust(keys, s)
	if err != nil {
		keys.Destroy()
		return err
	}
	if !v.enter(locks, keys, s.root, ix) {
		keys.Destroy()
		return ErrLocked
	}
	v.setProtection(pinned.protection)
	if pinned.behind {
		v.movePin(ctx, s.root)
	}
	return nil
}

// trust checks that the manifest was signed by the vault itself, and opens what the
// records say about themselves.
func trust(keys *envelope.Keys, s *snapshot) (*index, error) {
	public, err := keys.PublicKey()
	if err != nil {
		return nil, err
	}
	if public != s.root.PublicKey {
		return nil, fmt.Errorf("%w: the manifest is signed by somebody else", ErrDamaged)
	}
	return openIndex(keys, s, newIndex(0))
}

// enter makes keys those of the vault, unless Lock was called since locks was read.
// A vault that is unlocked already keeps its keys, which others are using; they are
// the same.
func (v *Vault) enter(locks uint64, keys *envelope.Keys, root *envelope.Root, ix *index) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.locks != locks {
		return false
	}
	if v.keys != nil {
		keys.Destroy()
	} else {
		v.keys = keys
	}
	v.cfg.Memory.remember(v.id, root)
	v.root, v.index = root, ix
	return true
}

// openSlots opens the VRK by the first key slot that fits. failed is why the keyring
// did not answer before: it is not asked, and waited for, a second time.
func (v *Vault) openSlots(ctx context.Context, root *envelope.Root, passphrase secret.Bytes, failed error) (*envelope.Keys, error) {
	slots, err := candidates(root.Slots, passphrase)
	if err != nil {
		return nil, err
	}
	shares := envelope.Shares{Passphrase: passphrase}
	defer func() { shares.Keyring.Destroy() }()
	var noShare, wrong error
	if failed != nil {
		noShare = fmt.Errorf("%w: %w", ErrKeyring, failed)
	}
	for _, s := range slots {
		if s.Kind.NeedsShare() && shares.Keyring.IsZero() {
			if noShare == nil {
				shares.Keyring, noShare = v.share(ctx)
			}
			if noShare != nil {
				continue
			}
		}
		vrk, err := s.Open(v.cfg.Arena, root.Vault, shares)
		switch {
		case err == nil:
			return envelope.NewKeys(v.cfg.Arena, v.cfg.Rand, root.Vault, vrk), nil
		case !errors.Is(err, envelope.ErrOpen):
			return nil, err
		case s.Kind.NeedsPassphrase():
			wrong = ErrPassphrase
		case wrong == nil:
			wrong = fmt.Errorf("%w: its share does not open this vault", ErrKeyring)
		}
	}
	return nil, errors.Join(wrong, noShare)
}

// candidates returns the slots to try, those first that take nothing but what is
// surely there.
func candidates(all []*envelope.Slot, passphrase secret.Bytes) ([]*envelope.Slot, error) {
	var with, without []*envelope.Slot
	for _, kind := range []SlotKind{SlotKeyring, SlotKeyringPassphrase, SlotPassphrase} {
		for _, s := range all {
			switch {
			case s.Kind != kind:
			case kind.NeedsPassphrase():
				with = append(with, s)
			default:
				without = append(without, s)
			}
		}
	}
	switch {
	case passphrase.Len() > 0 && len(with) > 0:
		return with, nil
	case len(without) == 0:
		return nil, ErrNeedPassphrase
	default:
		return without, nil
	}
}
