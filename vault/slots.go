package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// SlotKind says what opens a key slot.
type SlotKind = envelope.Kind

// The kinds of key slot.
const (
	SlotKeyring           = envelope.KindKeyring           // the OS keyring alone
	SlotPassphrase        = envelope.KindPassphrase        // a passphrase alone
	SlotKeyringPassphrase = envelope.KindKeyringPassphrase // both; neither alone says anything
)

// KDF is the cost of a passphrase; see envelope.KDF.
type KDF = envelope.KDF

// Costs to choose from.
var (
	KDFDefault = envelope.KDFDefault // 256 MiB, 3 passes, 4 threads: about 0.9 s on two cores
	KDFLow     = envelope.KDFLow     // 19 MiB, 2 passes, 1 thread: the floor
)

// Slot is a key slot to be made.
type Slot struct {
	Kind       SlotKind
	Passphrase secret.Bytes // borrowed; the bytes as they are, no normalisation
	KDF        KDF          // the zero value means KDFDefault
}

// SlotInfo describes a key slot.
type SlotInfo struct {
	ID   store.ID
	Kind SlotKind
	KDF  KDF // zero for a slot without passphrase
}

// Slots returns the key slots, in the order of their ids. Any one of them opens the
// vault.
func (v *Vault) Slots() []SlotInfo {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var l []SlotInfo
	for _, s := range v.root.Slots {
		l = append(l, SlotInfo{ID: store.ID(s.ID), Kind: s.Kind, KDF: s.KDF})
	}
	return l
}

// AddSlot adds a key slot to the unlocked vault. Errors: ErrLocked,
// ErrNeedPassphrase, ErrSlot, ErrKeyring, those of a commit.
func (v *Vault) AddSlot(ctx context.Context, slot Slot) error {
	v.work.Lock()
	defer v.work.Unlock()
	s, err := v.refresh(ctx)
	if err != nil {
		return fmt.Errorf("adding a key slot: %w", err)
	}
	if len(s.root.Slots) >= envelope.MaxSlots {
		return fmt.Errorf("adding a key slot: %w: there are %d already", ErrSlot, len(s.root.Slots))
	}
	sealed, _, err := v.sealSlot(ctx, s.keys, slot, s.root.Slots)
	if err != nil {
		return fmt.Errorf("adding a key slot: %w", err)
	}
	defer v.cfg.Arena.ReleaseMemory()
	err = v.commitLocked(ctx, func(s *session) (*edit, error) {
		return &edit{slots: append(slices.Clone(s.root.Slots), sealed)}, nil
	})
	if err != nil {
		// A share that was made for it stays in the keyring: the commit may have been
		// made all the same.
		return fmt.Errorf("adding a key slot: %w", err)
	}
	return nil
}

// RemoveSlot takes a key slot away, unless it is the last. Copies of the vault made
// before still open by it: the VRK stays the same. Errors: ErrLocked, ErrNotFound,
// ErrSlot, those of a commit.
func (v *Vault) RemoveSlot(ctx context.Context, id store.ID) error {
	err := v.commit(ctx, func(s *session) (*edit, error) {
		slots := slices.DeleteFunc(slices.Clone(s.root.Slots), func(s *envelope.Slot) bool { return s.ID == envelope.ID(id) })
		switch len(slots) {
		case len(s.root.Slots):
			return nil, fmt.Errorf("%w: key slot %s", ErrNotFound, id)
		case 0:
			return nil, fmt.Errorf("%w: it is the last", ErrSlot)
		}
		return &edit{slots: slots}, nil
	})
	if err != nil {
		return fmt.Errorf("removing a key slot: %w", err)
	}
	return nil
}

// sealSlot makes a key slot, and the keyring's share if none of others has one. undo
// takes back what it did outside the vault.
func (v *Vault) sealSlot(ctx context.Context, keys *envelope.Keys, slot Slot, others []*envelope.Slot) (sealed *envelope.Slot, undo func(), err error) {
	undo = func() {}
	if slot.Kind.NeedsPassphrase() && slot.Passphrase.Len() == 0 {
		return nil, undo, ErrNeedPassphrase
	}
	kdf := slot.KDF
	if kdf == (KDF{}) {
		kdf = KDFDefault
	}
	shares := envelope.Shares{Passphrase: slot.Passphrase}
	if slot.Kind.NeedsShare() {
		if slices.ContainsFunc(others, func(s *envelope.Slot) bool { return s.Kind.NeedsShare() }) {
			shares.Keyring, err = v.share(ctx)
		} else {
			shares.Keyring, undo, err = v.makeShare(ctx)
		}
		if err != nil {
			return nil, undo, err
		}
		defer shares.Keyring.Destroy()
	}
	sealed, err = keys.SealSlot(slot.Kind, kdf, shares)
	switch {
	case err == nil:
		return sealed, undo, nil
	case errors.Is(err, envelope.ErrInput), errors.Is(err, envelope.ErrKDF):
		err = fmt.Errorf("%w: %w", ErrSlot, err)
	}
	undo()
	return nil, func() {}, err
}
