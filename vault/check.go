package vault

import (
	"context"
	"fmt"

	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// Check reads the whole vault and opens everything that can be opened: locked, the
// structure and the signature; unlocked, every part of every version of every record
// as well. nil means that nothing is amiss. Errors: ErrDamaged, ErrRollback,
// ErrNewer, those of the arena and the store.
func (v *Vault) Check(ctx context.Context) error {
	v.work.Lock()
	defer v.work.Unlock()
	if err := v.check(ctx); err != nil {
		return fmt.Errorf("checking the vault: %w", err)
	}
	return nil
}

// CheckRecord opens everything in one record of the unlocked vault, and keeps nothing
// of it. Errors: ErrNotFound, ErrLocked, and as of Check.
func (v *Vault) CheckRecord(name string) error {
	s, err := v.current()
	if err == nil {
		err = s.checkRecord(name)
	}
	if err != nil {
		return fmt.Errorf("checking record %q: %w", name, err)
	}
	return nil
}

func (s *session) checkRecord(name string) error {
	e := s.index.byName[name]
	if e == nil {
		return ErrNotFound
	}
	r, err := s.parse(e.ID)
	if err != nil {
		return err
	}
	o, err := s.keys.NewOpener()
	if err != nil {
		return err
	}
	defer o.Close()
	m, err := o.Check(r)
	if err == nil {
		err = s.checkBlobs(o, r, m)
	}
	return classify(err)
}

func (v *Vault) check(ctx context.Context) error {
	if v.Locked() {
		seen := v.cfg.Memory.newest(v.id)
		s, err := v.load(ctx)
		if err != nil {
			return err
		}
		if s.root.Vault != v.id {
			return fmt.Errorf("%w: another vault is in its place", ErrDamaged)
		}
		if err := seen.leadsTo(s.root); err != nil {
			return err
		}
		return s.parseAll()
	}
	s, err := v.refresh(ctx)
	if err != nil {
		return err
	}
	defer v.cfg.Arena.ReleaseMemory()
	ids := make([]store.ID, 0, len(s.raw))
	for id := range s.raw {
		ids = append(ids, id)
	}
	return parallel(s.keys, len(ids), func(o *envelope.Opener, i int) error {
		r, err := s.parse(ids[i])
		if err != nil {
			return err
		}
		m, err := o.Check(r)
		if err == nil {
			err = s.checkBlobs(o, r, m)
		}
		if err != nil {
			return classify(fmt.Errorf("record %s: %w", ids[i], err))
		}
		return nil
	})
}
