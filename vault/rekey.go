package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/keyring"
)

// ChangePassphrase puts a new passphrase in the place of an old one, in every key slot
// that opens by the old one; it returns how many. Those slots are gone from the vault,
// which keeps its VRK: older copies of the file still open by the old passphrase. kdf is
// the cost of the new one; zero keeps each slot's. Both passphrases are borrowed.
//
// Errors: ErrLocked, ErrPassphrase, ErrNeedPassphrase if one of the two is empty,
// ErrNoSlot if no slot takes a passphrase, ErrKeyring, those of a commit.
func (v *Vault) ChangePassphrase(ctx context.Context, old, fresh secret.Bytes, kdf KDF) (int, error) {
	v.work.Lock()
	defer v.work.Unlock()
	n, err := v.changePassphrase(ctx, old, fresh, kdf)
	if err != nil {
		return 0, fmt.Errorf("changing the passphrase: %w", err)
	}
	return n, nil
}

func (v *Vault) changePassphrase(ctx context.Context, old, fresh secret.Bytes, kdf KDF) (int, error) {
	if old.Len() == 0 || fresh.Len() == 0 {
		return 0, ErrNeedPassphrase
	}
	s, err := v.refresh(ctx)
	if err != nil {
		return 0, err
	}
	defer v.cfg.Arena.ReleaseMemory()
	opened, err := v.openedBy(ctx, s, old)
	if err != nil {
		return 0, err
	}
	var sealed []*envelope.Slot
	for _, slot := range opened {
		cost := kdf
		if cost == (KDF{}) {
			cost = slot.KDF
		}
		n, _, err := v.sealSlot(ctx, s.keys, Slot{Kind: slot.Kind, Passphrase: fresh, KDF: cost}, false)
		if err != nil {
			return 0, err
		}
		sealed = append(sealed, n)
	}
	return len(sealed), v.exchange(ctx, opened, sealed)
}

// openedBy returns the slots that a passphrase opens. One that the keyring keeps from
// being tried is an error: it would keep the old passphrase.
func (v *Vault) openedBy(ctx context.Context, s *session, passphrase secret.Bytes) ([]*envelope.Slot, error) {
	shares := envelope.Shares{Passphrase: passphrase}
	defer func() { shares.Keyring.Destroy() }()
	tried := false
	var opened []*envelope.Slot
	for _, slot := range s.root.Slots {
		if !slot.Kind.NeedsPassphrase() {
			continue
		}
		tried = true
		if slot.Kind.NeedsShare() && shares.Keyring.IsZero() {
			var err error
			if shares.Keyring, err = v.share(ctx); err != nil {
				return nil, err
			}
		}
		vrk, err := slot.Open(v.cfg.Arena, s.root.Vault, shares)
		switch {
		case err == nil:
			vrk.Destroy()
			opened = append(opened, slot)
		case !errors.Is(err, envelope.ErrOpen):
			return nil, err
		}
	}
	switch {
	case !tried:
		return nil, fmt.Errorf("%w: none takes a passphrase", ErrNoSlot)
	case len(opened) == 0:
		return nil, ErrPassphrase
	}
	return opened, nil
}

// PassphraseOpens reports whether a passphrase opens the vault by itself. It tries each
// slot, which takes as long as an unlock. Errors: ErrLocked.
func (v *Vault) PassphraseOpens(ctx context.Context, passphrase secret.Bytes) (bool, error) {
	v.work.Lock()
	defer v.work.Unlock()
	s, err := v.refresh(ctx)
	if err != nil {
		return false, fmt.Errorf("trying a passphrase: %w", err)
	}
	defer v.cfg.Arena.ReleaseMemory()
	for _, slot := range s.root.Slots {
		if !slot.Kind.NeedsPassphrase() || slot.Kind.NeedsShare() {
			continue
		}
		vrk, err := slot.Open(v.cfg.Arena, s.root.Vault, envelope.Shares{Passphrase: passphrase})
		switch {
		case err == nil:
			vrk.Destroy()
			return true, nil
		case !errors.Is(err, envelope.ErrOpen):
			return false, fmt.Errorf("trying a passphrase: %w", err)
		}
	}
	return false, nil
}

// Recover puts one slot in the place of all that take a passphrase or the keyring's
// share, which are taken for lost or forgotten. The share that the keyring holds is used
// on; where there is none, one is made. The caller has made sure of who asks, by the
// recovery code.
//
// Errors: ErrLocked, ErrNeedPassphrase, ErrSlot if slot is of another kind, ErrKeyring,
// those of a commit.
func (v *Vault) Recover(ctx context.Context, slot Slot) error {
	v.work.Lock()
	defer v.work.Unlock()
	if err := v.replaceLost(ctx, slot); err != nil {
		return fmt.Errorf("setting a new way to unlock: %w", err)
	}
	v.forgetShare(ctx)
	return nil
}

func (v *Vault) replaceLost(ctx context.Context, slot Slot) error {
	if !slot.Kind.NeedsPassphrase() && !slot.Kind.NeedsShare() {
		return fmt.Errorf("%w: %q is no kind that can be lost with a machine", ErrSlot, slot.Kind)
	}
	s, err := v.refresh(ctx)
	if err != nil {
		return err
	}
	lost := slices.DeleteFunc(slices.Clone(s.root.Slots), func(s *envelope.Slot) bool {
		return !s.Kind.NeedsPassphrase() && !s.Kind.NeedsShare()
	})
	makeShare := false
	if slot.Kind.NeedsShare() {
		switch share, err := v.share(ctx); {
		case err == nil:
			share.Destroy()
		case errors.Is(err, keyring.ErrNotFound):
			makeShare = true
		default:
			return err
		}
	}
	defer v.cfg.Arena.ReleaseMemory()
	sealed, _, err := v.sealSlot(ctx, s.keys, slot, makeShare)
	if err != nil {
		return err
	}
	return v.exchange(ctx, lost, []*envelope.Slot{sealed})
}

// exchange commits other slots in the place of some. Where another process took one of
// those away meanwhile, the error wraps ErrSlot.
func (v *Vault) exchange(ctx context.Context, old, fresh []*envelope.Slot) error {
	return v.commitLocked(ctx, func(s *session) (*edit, error) {
		keep := slices.DeleteFunc(slices.Clone(s.root.Slots), func(s *envelope.Slot) bool {
			return slices.ContainsFunc(old, func(o *envelope.Slot) bool { return o.ID == s.ID })
		})
		if len(keep)+len(old) != len(s.root.Slots) {
			return nil, fmt.Errorf("%w: the key slots were changed meanwhile", ErrSlot)
		}
		return &edit{slots: append(keep, fresh...)}, nil
	})
}
