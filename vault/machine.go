package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nsagent/nsagent/internal/atomicfile"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/keyring"
)

const (
	machineKeySize = 32
	// inKeyring is what the machine key file holds if the key is in the keyring. The
	// note keeps a keyring that is out of reach for once from being answered by a
	// second key, under which nothing written before would verify.
	inKeyring      = "keyring\n"
	maxMachineFile = 64
)

// MachineKey returns the key that binds what is written while the vault is locked to
// this machine: an item of the keyring or, without a keyring, a file of mode 0600,
// which is weaker. It is made at first use. The caller destroys it. It works while the
// vault is locked. Errors: ErrMachineKey, ErrKeyring, those of the arena.
func (v *Vault) MachineKey(ctx context.Context) (key *secret.HMACKey, weak bool, err error) {
	v.machine.Lock()
	defer v.machine.Unlock()
	b, weak, err := v.machineKey(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("reading the machine key: %w", err)
	}
	defer b.Destroy()
	key, err = v.cfg.Arena.NewHMACKey(b)
	return key, weak, err
}

// NewMachineKey puts a new machine key in the place of one that is lost with its keyring
// or belongs to another machine. What was written under the old one verifies no more.
// With inKeyring a keyring that does not answer is an error; without, the key goes into
// the file then. The caller destroys it. Errors: ErrMachineKey, ErrKeyring, those of the
// arena.
func (v *Vault) NewMachineKey(ctx context.Context, inKeyring bool) (key *secret.HMACKey, weak bool, err error) {
	v.machine.Lock()
	defer v.machine.Unlock()
	b, weak, err := v.renewMachineKey(ctx, inKeyring)
	if err != nil {
		return nil, false, fmt.Errorf("making a machine key: %w", err)
	}
	defer b.Destroy()
	key, err = v.cfg.Arena.NewHMACKey(b)
	return key, weak, err
}

func (v *Vault) renewMachineKey(ctx context.Context, inKeyring bool) (b secret.Bytes, weak bool, err error) {
	err = keyring.ErrNoService
	if v.cfg.Keyring != nil {
		b, err = v.newMachineItem(ctx)
		b.Destroy()
	}
	if err != nil && inKeyring {
		return secret.Bytes{}, false, fmt.Errorf("%w: %w", ErrKeyring, err)
	}
	if v.cfg.MachineKeyFile != "" {
		if rerr := os.Remove(v.cfg.MachineKeyFile); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			return secret.Bytes{}, false, fmt.Errorf("%w: %w", ErrMachineKey, rerr)
		}
	}
	if err != nil {
		b, err = v.newMachineFile()
		return b, true, err
	}
	return v.machineKey(ctx)
}

func (v *Vault) machineKey(ctx context.Context) (b secret.Bytes, weak bool, err error) {
	b, noted, err := v.machineFile()
	if err != nil || !b.IsZero() {
		return b, true, err
	}
	if v.cfg.Keyring != nil {
		b, err = v.machineItem(ctx, noted)
		if err == nil || noted || !noKeyring(err) {
			return b, false, err
		}
	}
	if noted {
		return b, false, fmt.Errorf("%w: it is in an OS keyring, and there is none here (removing %s makes a new key)", ErrMachineKey, v.cfg.MachineKeyFile)
	}
	b, err = v.newMachineFile()
	return b, true, err
}

// machineFile returns what the file holds: a key, or the note that the key is in the
// keyring, or neither.
func (v *Vault) machineFile() (b secret.Bytes, noted bool, err error) {
	if v.cfg.MachineKeyFile == "" {
		return b, false, nil
	}
	data, err := atomicfile.ReadRegular(v.cfg.MachineKeyFile, maxMachineFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return b, false, nil
	case err != nil:
		return b, false, fmt.Errorf("%w: %w", ErrMachineKey, err)
	case string(data) == inKeyring:
		return b, true, nil
	case len(data) != machineKeySize:
		secret.Wipe(data)
		return b, false, fmt.Errorf("%w: %s has %d bytes instead of %d", ErrMachineKey, v.cfg.MachineKeyFile, len(data), machineKeySize)
	}
	b, err = v.cfg.Arena.Take(data)
	return b, false, err
}

// machineItem returns the key in the keyring and makes it if there is none, unless
// the note says that there was one.
func (v *Vault) machineItem(ctx context.Context, noted bool) (secret.Bytes, error) {
	b, err := v.cfg.Keyring.Get(ctx, v.item(itemMachine))
	if errors.Is(err, keyring.ErrNotFound) && !noted {
		b, err = v.newMachineItem(ctx)
	}
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrKeyring, err)
	}
	if n := b.Len(); n != machineKeySize {
		b.Destroy()
		return secret.Bytes{}, fmt.Errorf("%w: its item in the keyring has %d bytes instead of %d", ErrMachineKey, n, machineKeySize)
	}
	if !noted && v.cfg.MachineKeyFile != "" {
		if err := v.writeMachineFile([]byte(inKeyring)); err != nil && !errors.Is(err, atomicfile.ErrExists) {
			b.Destroy()
			return secret.Bytes{}, err
		}
	}
	return b, nil
}

// newMachineItem makes the key and reads it back, so that of two processes that make
// one at the same time both most likely take the same.
func (v *Vault) newMachineItem(ctx context.Context) (secret.Bytes, error) {
	fresh, err := v.random(machineKeySize)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer fresh.Destroy()
	if err := v.cfg.Keyring.Set(ctx, v.item(itemMachine), fresh); err != nil {
		return secret.Bytes{}, err
	}
	return v.cfg.Keyring.Get(ctx, v.item(itemMachine))
}

func (v *Vault) newMachineFile() (secret.Bytes, error) {
	if v.cfg.MachineKeyFile == "" {
		return secret.Bytes{}, fmt.Errorf("%w: there is no keyring and no file for it", ErrMachineKey)
	}
	fresh, err := v.random(machineKeySize)
	if err != nil {
		return secret.Bytes{}, err
	}
	err = fresh.Use(v.writeMachineFile)
	if err == nil {
		return fresh, nil
	}
	fresh.Destroy()
	if errors.Is(err, atomicfile.ErrExists) { // another process was first
		if b, noted, err := v.machineFile(); err == nil && !noted && !b.IsZero() {
			return b, nil
		}
	}
	return secret.Bytes{}, err
}

func (v *Vault) writeMachineFile(data []byte) error {
	err := atomicfile.Write(v.cfg.MachineKeyFile, data, atomicfile.Options{NoPrevious: true, Exclusive: true})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMachineKey, err)
	}
	return nil
}
