package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/keyring"
)

// pin is the newest state of the vault that somebody remembers: this process, or
// the machine in its keyring. Zero means none.
type pin struct {
	generation uint64
	hash       [32]byte // of the manifest
}

const pinSize = 8 + 32

// What RollbackProtection says.
const (
	protectionKeyring = "keyring pin"
	protectionUnknown = "weak: not checked before the first unlock"
	protectionNone    = "weak: no keyring; an older copy is noticed by the ledger, unless that is put back too"
)

// leadsTo returns ErrRollback unless root is the pinned state or descends from it.
func (p pin) leadsTo(root *envelope.Root) error {
	if p.generation == 0 {
		return nil
	}
	switch hash, ok := root.HashAt(p.generation); {
	case ok && hash == p.hash:
		return nil
	case root.Generation() < p.generation:
		return fmt.Errorf("%w: generation %d, seen before %d", ErrRollback, root.Generation(), p.generation)
	case !ok:
		return fmt.Errorf("%w: generation %d does not reach back to %d, seen before", ErrRollback, root.Generation(), p.generation)
	default:
		return fmt.Errorf("%w: generation %d has another past than the %d seen before", ErrRollback, root.Generation(), p.generation)
	}
}

func (p pin) encode() []byte {
	return append(binary.BigEndian.AppendUint64(nil, p.generation), p.hash[:]...)
}

// readPin returns the pin in the keyring, zero if there is none. A pin of another
// form is ErrRollback: whoever broke it would otherwise be rid of it.
func (v *Vault) readPin(ctx context.Context) (p pin, err error) {
	b, err := v.cfg.Keyring.Get(ctx, v.item(itemPin))
	if errors.Is(err, keyring.ErrNotFound) {
		return pin{}, nil
	}
	if errors.Is(err, keyring.ErrForeign) {
		return pin{}, fmt.Errorf("%w: the pin in the keyring is not one: %w", ErrRollback, err)
	}
	if err != nil {
		return pin{}, err
	}
	defer b.Destroy()
	err = b.Use(func(q []byte) error {
		if len(q) != pinSize || binary.BigEndian.Uint64(q) == 0 {
			return fmt.Errorf("%w: the pin in the keyring is not one", ErrRollback)
		}
		p.generation = binary.BigEndian.Uint64(q)
		copy(p.hash[:], q[8:])
		return nil
	})
	return p, err
}

// pinCheck is what comparing with the keyring's pin gave.
type pinCheck struct {
	protection string // what RollbackProtection is to say
	behind     bool   // whether the pin has to be moved
	keyring    error  // why the keyring did not answer; nil if it did, or if there is none
}

// checkPin compares root with the pin in the keyring. A keyring that does not
// answer weakens the protection and stops nobody: who only has the file cannot
// bring that about. The error is ErrRollback.
func (v *Vault) checkPin(ctx context.Context, root *envelope.Root) (pinCheck, error) {
	if v.cfg.Keyring == nil {
		return pinCheck{protection: protectionNone}, nil
	}
	p, err := v.readPin(ctx)
	switch {
	case errors.Is(err, ErrRollback):
		return pinCheck{}, err
	case err != nil:
		return pinCheck{protection: weak("the pin cannot be read", err), keyring: err}, nil
	}
	return pinCheck{protection: protectionKeyring, behind: p.generation != root.Generation()}, p.leadsTo(root)
}

// AtLeast has v, while it is locked, take nothing older than a generation, which this
// machine remembers elsewhere. Where what v has is older, it looks at the store, which may
// have a newer one by another process. Errors: ErrRollback, ErrDamaged, those of the store.
func (v *Vault) AtLeast(ctx context.Context, generation uint64) error {
	v.work.Lock()
	defer v.work.Unlock()
	v.mu.Lock()
	v.least = max(v.least, generation)
	current := v.root.Generation() >= v.least
	v.mu.Unlock()
	if current {
		return nil
	}
	v.Release()
	if _, _, err := v.loadPinned(ctx); err != nil {
		return fmt.Errorf("comparing the vault with what was seen: %w", err)
	}
	return nil
}

// notBeforeLeast returns ErrRollback where root is older than AtLeast says.
func (v *Vault) notBeforeLeast(root *envelope.Root) error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if root.Generation() < v.least {
		return fmt.Errorf("%w: generation %d, seen on this machine before %d", ErrRollback, root.Generation(), v.least)
	}
	return nil
}

// movePin pins root after a commit or an unlock. If that fails, the commit stands:
// RollbackProtection says so, and the next unlock or commit tries again.
func (v *Vault) movePin(ctx context.Context, root *envelope.Root) {
	protection := protectionNone
	if v.cfg.Keyring != nil {
		protection = protectionKeyring
		if err := v.setItem(ctx, itemPin, pin{root.Generation(), root.Hash()}.encode()); err != nil {
			protection = weak("the pin cannot be written", err)
		}
	}
	v.setProtection(protection)
}

func (v *Vault) setProtection(s string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.protection = s
}

func weak(what string, err error) string {
	if noKeyring(err) {
		return protectionNone
	}
	return fmt.Sprintf("weak: %s: %v", what, err)
}

// setItem writes an item of the keyring and wipes value.
func (v *Vault) setItem(ctx context.Context, name string, value []byte) error {
	b, err := v.cfg.Arena.Take(value)
	if err != nil {
		return err
	}
	defer b.Destroy()
	return v.cfg.Keyring.Set(ctx, v.item(name), b)
}
