package vault

import (
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// While opening and unlocking.
var (
	// ErrLocked means that the vault has to be unlocked first.
	ErrLocked = errors.New("vault: locked")

	// ErrNeedPassphrase means that no key slot opens without a passphrase, and none
	// was given.
	ErrNeedPassphrase = errors.New("vault: a passphrase is needed")

	// ErrPassphrase means that the passphrase opens no key slot. Where a slot takes
	// the keyring's share as well, a wrong share looks the same.
	ErrPassphrase = errors.New("vault: wrong passphrase")

	// ErrNeedKey means that no key slot opens without a key file or a recovery code, and
	// none was given.
	ErrNeedKey = errors.New("vault: a key file or a recovery code is needed")

	// ErrKey means that the key file or recovery code opens no key slot.
	ErrKey = errors.New("vault: wrong key file or recovery code")

	// ErrNoSlot means that the vault has no key slot of the kind that was tried.
	ErrNoSlot = errors.New("vault: no key slot of that kind")

	// ErrKeyring means that the OS keyring did not give, or not take, what was
	// needed; the error it wraps says why.
	ErrKeyring = errors.New("vault: keyring")

	// ErrDamaged means that the vault was changed by something other than nsagent.
	ErrDamaged = errors.New("vault: damaged")

	// ErrBlob means that the file of a long secret is not there; it is an ErrDamaged too.
	ErrBlob = errors.New("vault: a blob is missing")

	// ErrNewer means that the vault was written by a newer nsagent.
	ErrNewer = errors.New("vault: written by a newer nsagent")

	// ErrRollback means that the vault is older than what this machine has seen, or
	// does not descend from it.
	ErrRollback = errors.New("vault: older than, or not descended from, what this machine has seen")
)

// While working with records and slots.
var (
	// ErrExists means that a record of that name is there already.
	ErrExists = errors.New("vault: record exists")

	// ErrNotFound means that there is no record, part or slot of that name.
	ErrNotFound = errors.New("vault: not found")

	// ErrRecord means a record that cannot be kept: an empty secret, a bad name,
	// something too long.
	ErrRecord = errors.New("vault: bad record")

	// ErrSlot means a key slot that cannot be made or taken away.
	ErrSlot = errors.New("vault: bad key slot")

	// ErrGrant means a grant that cannot be made, or that does not open by the key that
	// was given for it.
	ErrGrant = errors.New("vault: bad grant")

	// ErrPolicy means a policy that cannot be kept, or that does not open by the machine
	// key that was given.
	ErrPolicy = errors.New("vault: bad policy")

	// ErrMachineKey means that there is no machine key and none can be made, or that
	// it cannot be reached.
	ErrMachineKey = errors.New("vault: machine key")
)

// classify puts the sentinel of this package in front of an error from below that
// has none yet.
func classify(err error) error {
	for _, c := range []struct{ below, ours error }{
		{secret.ErrDestroyed, ErrLocked},
		{envelope.ErrNewer, ErrNewer},
		{store.ErrNewer, ErrNewer},
		{store.ErrDamaged, ErrDamaged},
		{envelope.ErrFormat, ErrDamaged},
		{envelope.ErrSignature, ErrDamaged},
		{envelope.ErrManifest, ErrDamaged},
		{envelope.ErrOpen, ErrDamaged},
		{envelope.ErrKDF, ErrDamaged},
	} {
		if errors.Is(err, c.below) && !errors.Is(err, c.ours) {
			return fmt.Errorf("%w: %w", c.ours, err)
		}
	}
	return err
}
