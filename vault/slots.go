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
	SlotRecovery          = envelope.KindRecovery          // a recovery code
	SlotKeyFile           = envelope.KindKeyFile           // the key in a key file
)

// Weakest returns the kind of the slot that is easiest to get past; "" of no slots.
// Slots are an OR. A key file opens for whoever can read it, and lies on a disk in
// clear; a keyring opens for every program of the user while the user is logged in; a
// passphrase has to be guessed; the two together need both. A recovery code cannot be
// guessed and is kept off the machine.
func Weakest(slots []SlotInfo) SlotKind {
	for _, kind := range []SlotKind{SlotKeyFile, SlotKeyring, SlotPassphrase, SlotKeyringPassphrase, SlotRecovery} {
		if slices.ContainsFunc(slots, func(s SlotInfo) bool { return s.Kind == kind }) {
			return kind
		}
	}
	return ""
}

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
	Key        secret.Bytes // borrowed; of a recovery code or key file, Kind.KeySize bytes
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
	return infos(v.root.Slots)
}

func infos(slots []*envelope.Slot) []SlotInfo {
	l := make([]SlotInfo, 0, len(slots))
	for _, s := range slots {
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
	sealed, _, err := v.sealSlot(ctx, s.keys, slot, !slices.ContainsFunc(s.root.Slots, takesShare))
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

// RemoveSlot takes a key slot away, unless it is the last, and with the last one that
// takes it the share in the keyring. Copies of the vault made before still open by what
// was taken away: the VRK stays the same. Errors: ErrLocked, ErrNotFound,
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
	v.forgetShare(ctx)
	return nil
}

// forgetShare deletes the share from the keyring if no slot takes it any more. Where
// the keyring does not do it, the share that stays opens older copies at most.
func (v *Vault) forgetShare(ctx context.Context) {
	takes := slices.ContainsFunc(v.Slots(), func(s SlotInfo) bool { return s.Kind.NeedsShare() })
	if !takes && v.cfg.Keyring != nil {
		_ = v.cfg.Keyring.Delete(ctx, v.item(itemShare))
	}
}

func takesShare(s *envelope.Slot) bool { return s.Kind.NeedsShare() }

// sealSlot makes a key slot, with the share that is in the keyring or, if makeShare is
// set, a new one. undo takes back what it did outside the vault.
func (v *Vault) sealSlot(ctx context.Context, keys *envelope.Keys, slot Slot, makeShare bool) (sealed *envelope.Slot, undo func(), err error) {
	undo = func() {}
	if slot.Kind.NeedsPassphrase() && slot.Passphrase.Len() == 0 {
		return nil, undo, ErrNeedPassphrase
	}
	kdf := slot.KDF
	if kdf == (KDF{}) {
		kdf = KDFDefault
	}
	shares := envelope.Shares{Passphrase: slot.Passphrase, Key: slot.Key}
	if slot.Kind.NeedsShare() {
		if makeShare {
			shares.Keyring, undo, err = v.makeShare(ctx)
		} else {
			shares.Keyring, err = v.share(ctx)
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
