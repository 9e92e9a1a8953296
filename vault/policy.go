package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// SetPolicy keeps text, at most 256 KiB, as the policy of the vault, in the place of the
// one before; without text there is none afterwards. With a machine key, which is
// borrowed, PolicyBy opens it while the vault is locked. It is durable when SetPolicy
// returns.
//
// replaces is asked about the one before, as the store has it then: its text, nil if there
// is none, or why it cannot be read. What it returns ends SetPolicy. Nil: whatever it is.
//
// Errors: ErrPolicy, that of replaces, and as of Add.
func (v *Vault) SetPolicy(ctx context.Context, text []byte, machine *secret.HMACKey, replaces func(old []byte, err error) error) error {
	err := v.commit(ctx, func(s *session) (*edit, error) {
		if replaces != nil {
			if err := replaces(s.openPolicy()); err != nil {
				return nil, err
			}
		}
		if len(text) == 0 {
			out := &edit{}
			for id := range s.policy {
				out.remove = append(out.remove, id)
			}
			return out, nil
		}
		p, err := s.keys.SealPolicy(text, machine)
		if errors.Is(err, envelope.ErrTooLarge) {
			return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
		}
		return &edit{policy: p}, err
	})
	if err != nil {
		return fmt.Errorf("keeping the policy: %w", err)
	}
	return nil
}

// Policy returns the policy of the unlocked vault, and whether there is one. It reads the
// store. Errors: ErrLocked, ErrRollback, ErrDamaged, those of the store.
func (v *Vault) Policy() (text []byte, ok bool, err error) {
	s, err := v.current()
	if err == nil {
		text, err = s.openPolicy()
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading the policy: %w", err)
	}
	return text, text != nil, nil
}

// openPolicy returns the text of the policy, nil if there is none.
func (s *session) openPolicy() ([]byte, error) {
	p, err := s.parsePolicy()
	if err != nil || p == nil {
		return nil, err
	}
	text, err := s.keys.OpenPolicy(p)
	if err != nil {
		return nil, classify(fmt.Errorf("policy: %w", err))
	}
	return text, nil
}

// PolicyBy returns the policy and whether there is one, also while the vault is locked, by
// the machine key that it was kept with. That there is none, a locked vault proves only
// together with OpenGranted: after that has succeeded, nobody else's state is taken for
// the vault's. Errors: ErrPolicy if it was kept with another machine key or none,
// ErrRollback, ErrKeyring as of OpenGranted, ErrDamaged, those of the arena and the store.
func (v *Vault) PolicyBy(ctx context.Context, machine *secret.HMACKey) (text []byte, ok bool, err error) {
	s, err := v.usable(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("reading the policy: %w", err)
	}
	p, err := s.parsePolicy()
	if err != nil || p == nil {
		return nil, false, err
	}
	text, err = p.OpenBy(v.cfg.Arena, s.root, machine)
	if errors.Is(err, envelope.ErrOpen) {
		return nil, false, fmt.Errorf("reading the policy: %w: %w", ErrPolicy, err)
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading the policy: %w", classify(err))
	}
	return text, true, nil
}

// parsePolicy returns the policy, nil if there is none, and with an error.
func (s *snapshot) parsePolicy() (*envelope.Policy, error) {
	if len(s.policy) > 1 {
		return nil, fmt.Errorf("%w: more than one policy", ErrDamaged)
	}
	for id, encoded := range s.policy {
		p, err := envelope.DecodePolicy(encoded)
		if err != nil {
			return nil, classify(fmt.Errorf("policy: %w", err))
		}
		if id != store.ID(s.root.Vault) || p.ID != s.root.Vault {
			return nil, fmt.Errorf("%w: policy %s is filed under another id", ErrDamaged, id)
		}
		return p, nil
	}
	return nil, nil
}
