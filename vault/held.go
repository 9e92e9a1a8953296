package vault

import (
	"context"
	"fmt"
)

// OpenHeld is Open for calls that follow at once, such as those of an unlock. They work on
// what OpenHeld read: a large vault is then read, checked and parsed once, and not by each
// of them. That ends with Release, which the caller owes, with Lock, and with a commit. It
// never takes a state for the vault's that is older than this process, or this machine,
// remembers: then the store is read all the same. What somebody else commits meanwhile is
// seen after Release. Errors as of Open.
func OpenHeld(ctx context.Context, cfg Config) (*Vault, error) {
	v := &Vault{cfg: cfg.withDefaults(), protection: protectionUnknown}
	s, err := v.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the vault: %w", err)
	}
	if err := s.parseAll(); err != nil {
		return nil, fmt.Errorf("opening the vault: %w", err)
	}
	v.id, v.root, v.held = s.root.Vault, s.root, s
	return v, nil
}

// Release has v read the store again whenever it is asked for something. Releasing twice
// does nothing.
func (v *Vault) Release() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.held = nil
}

// read returns what v holds, unless seen is newer, or else what the store has. Errors: those
// of load.
func (v *Vault) read(ctx context.Context, seen pin) (*snapshot, error) {
	v.mu.RLock()
	s := v.held
	v.mu.RUnlock()
	if s != nil && seen.leadsTo(s.root) == nil {
		return s, nil
	}
	return v.load(ctx)
}
