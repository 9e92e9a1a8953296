package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
)

// Proof is what a person or a server gives to open a key slot: at most one of these.
// The zero Proof means that the keyring has to do. All are borrowed.
type Proof struct {
	Passphrase secret.Bytes
	Recovery   secret.Bytes // the key of a recovery code, 16 bytes
	KeyFile    secret.Bytes // the key of a key file, 32 bytes
}

// key returns what p opens slots of a kind with, and that kind; "" if p is no key.
func (p Proof) key() (secret.Bytes, SlotKind) {
	switch {
	case !p.Recovery.IsZero():
		return p.Recovery, SlotRecovery
	case !p.KeyFile.IsZero():
		return p.KeyFile, SlotKeyFile
	default:
		return secret.Bytes{}, ""
	}
}

// Unlock opens the vault by a passphrase; see UnlockBy.
func (v *Vault) Unlock(ctx context.Context, passphrase secret.Bytes) error {
	return v.UnlockBy(ctx, Proof{Passphrase: passphrase})
}

// UnlockBy opens the vault. With a passphrase it tries the key slots that take one, if
// there are any; with a recovery code or a key file, those of that kind; without any,
// those that take the keyring alone.
//
// An unlocked vault may be unlocked again: that reads the store anew and proves the
// passphrase.
//
// Errors: ErrPassphrase, ErrNeedPassphrase, ErrKey, ErrNeedKey, ErrNoSlot, ErrKeyring,
// ErrRollback, ErrDamaged, ErrNewer, ErrLocked if Lock was called meanwhile, those of
// the arena and the store.
func (v *Vault) UnlockBy(ctx context.Context, proof Proof) error {
	v.work.Lock()
	defer v.work.Unlock()
	if err := v.unlock(ctx, proof); err != nil {
		return fmt.Errorf("unlocking the vault: %w", err)
	}
	return nil
}

// Prove checks that proof opens a key slot of the unlocked vault, and changes nothing:
// it is the fresh proof for a change that somebody who merely found it unlocked must not
// make. Nothing is fallen back on: a slot that the keyring alone opens says nothing of who
// asks, since it opens for every program of the user. Errors: those of UnlockBy.
func (v *Vault) Prove(ctx context.Context, proof Proof) error {
	v.work.Lock()
	s, err := v.refresh(ctx)
	v.work.Unlock() // a passphrase takes a second, and others read the vault meanwhile
	if err != nil {
		return fmt.Errorf("proving who asks: %w", err)
	}
	if err := enough(s.root.Slots, proof); err != nil {
		return fmt.Errorf("proving who asks: %w", err)
	}
	defer v.cfg.Arena.ReleaseMemory()
	keys, err := v.openSlots(ctx, s.root, proof, nil)
	if err != nil {
		return fmt.Errorf("proving who asks: %w", err)
	}
	keys.Destroy()
	return nil
}

// enough returns an error if none of the slots takes what proof is, or it leaves out what
// one of them would take.
func enough(slots []*envelope.Slot, proof Proof) error {
	_, kind := proof.key()
	passphrase := slices.ContainsFunc(slots, func(s *envelope.Slot) bool { return s.Kind.NeedsPassphrase() })
	file := slices.ContainsFunc(slots, func(s *envelope.Slot) bool { return s.Kind == SlotKeyFile })
	switch {
	case kind != "":
		return nil // candidates are those of that kind
	case passphrase && proof.Passphrase.Len() == 0:
		return ErrNeedPassphrase
	case passphrase:
		return nil
	case file:
		return ErrNeedKey
	default:
		return fmt.Errorf("%w: none takes what was given", ErrNoSlot)
	}
}

func (v *Vault) unlock(ctx context.Context, proof Proof) error {
	v.mu.RLock()
	locks := v.locks
	v.mu.RUnlock()

	// Before a passphrase is tried: one that is given to an older vault may meet a
	// cheaper key slot that was taken away since.
	s, pinned, err := v.loadPinned(ctx)
	if err != nil {
		return err
	}

	defer v.cfg.Arena.ReleaseMemory()
	keys, err := v.openSlots(ctx, s.root, proof, pinned.keyring)
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
func (v *Vault) openSlots(ctx context.Context, root *envelope.Root, proof Proof, failed error) (*envelope.Keys, error) {
	slots, err := candidates(root.Slots, proof)
	if err != nil {
		return nil, err
	}
	shares := envelope.Shares{Passphrase: proof.Passphrase}
	shares.Key, _ = proof.key()
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
			return nil, errors.Join(wrong, err) // what is wrong already stays so
		case s.Kind.NeedsPassphrase():
			wrong = ErrPassphrase
		case s.Kind.KeySize() > 0:
			wrong = ErrKey
		case wrong == nil:
			wrong = fmt.Errorf("%w: its share does not open this vault", ErrKeyring)
		}
	}
	return nil, errors.Join(wrong, noShare)
}

// candidates returns the slots to try, those first that take nothing but what is
// surely there.
func candidates(all []*envelope.Slot, proof Proof) ([]*envelope.Slot, error) {
	var with, without, byKey []*envelope.Slot
	_, keyKind := proof.key()
	for _, kind := range []SlotKind{SlotKeyring, SlotKeyringPassphrase, SlotPassphrase, SlotKeyFile, SlotRecovery} {
		for _, s := range all {
			switch {
			case s.Kind != kind:
			case kind == keyKind:
				byKey = append(byKey, s)
			case kind.NeedsPassphrase():
				with = append(with, s)
			case kind == SlotKeyring:
				without = append(without, s)
			}
		}
	}
	switch {
	case keyKind != "" && len(byKey) == 0:
		return nil, fmt.Errorf("%w: %s", ErrNoSlot, keyKind)
	case keyKind != "":
		return byKey, nil
	case proof.Passphrase.Len() > 0 && len(with) > 0:
		return with, nil
	case len(without) > 0:
		return without, nil
	case len(with) > 0:
		return nil, ErrNeedPassphrase
	default:
		return nil, ErrNeedKey
	}
}
