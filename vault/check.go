package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// Check reads the whole vault and opens everything that can be opened: locked, the
// structure and the signature; unlocked, every part of every version of every record,
// what the grants say of themselves and the policy as well. nil means that nothing is amiss. Errors: ErrDamaged, ErrRollback,
// ErrNewer, those of the arena and the store.
func (v *Vault) Check(ctx context.Context) error {
	v.work.Lock()
	defer v.work.Unlock()
	if err := v.check(ctx); err != nil {
		return fmt.Errorf("checking the vault: %w", err)
	}
	return nil
}

// Summary is what a state of the vault says without a key.
type Summary struct {
	ID         []byte // 16 bytes
	Generation uint64
	Records    int
	Grants     int
	Blobs      map[store.BlobHash]bool // that it names
}

// Inspect checks the structure and the signature of a state of the vault: the present
// one, or that of ".prev". Whether the signature is the vault's own takes a key.
// Errors: ErrDamaged, ErrNewer.
func Inspect(loaded store.Snapshot) (Summary, error) {
	s, err := verified(loaded)
	if err != nil {
		return Summary{}, err
	}
	out := Summary{ID: s.root.Vault[:], Generation: s.root.Generation(), Records: len(s.raw), Grants: len(s.grants), Blobs: make(map[store.BlobHash]bool)}
	for id := range s.raw {
		r, err := s.parse(id)
		if err != nil {
			return Summary{}, err
		}
		for _, h := range r.Blobs() {
			out.Blobs[store.BlobHash(h)] = true
		}
	}
	if err := s.checkWraps(); err != nil {
		return Summary{}, err
	}
	if _, err := s.parsePolicy(); err != nil {
		return Summary{}, err
	}
	return out, nil
}

// CheckPin compares the vault with the pin in the keyring, which needs no key of the
// vault. protection says what RollbackProtection would. The error is ErrRollback, or
// as of Open.
func (v *Vault) CheckPin(ctx context.Context) (protection string, err error) {
	s, err := v.load(ctx)
	if err != nil {
		return "", fmt.Errorf("checking the rollback pin: %w", err)
	}
	c, err := v.checkPin(ctx, s.root)
	if err != nil {
		return "", fmt.Errorf("checking the rollback pin: %w", err)
	}
	return c.protection, nil
}

// CheckShare looks whether the keyring has the share of the key slots, which needs no key of
// the vault and opens nothing. Whether it is the right one takes what else a slot needs.
// Errors: ErrKeyring.
func (v *Vault) CheckShare(ctx context.Context) error {
	b, err := v.share(ctx)
	b.Destroy()
	return err
}

// CheckRecords opens everything in every record of the unlocked vault, as Check does,
// and goes on where one does not open. faults has those, by name. Errors as of Check.
func (v *Vault) CheckRecords(ctx context.Context) (n int, faults map[string]error, err error) {
	v.work.Lock()
	s, err := v.refresh(ctx)
	v.work.Unlock()
	if err != nil {
		return 0, nil, fmt.Errorf("checking the records: %w", err)
	}
	defer v.cfg.Arena.ReleaseMemory()
	all := s.index.sorted()
	found := make([]error, len(all))
	err = withOpeners(s.keys, len(all), func(o *envelope.Opener, i int) error {
		if found[i] = s.checkEntry(o, all[i]); errors.Is(found[i], ErrLocked) {
			return found[i]
		}
		return nil
	})
	if err != nil {
		return 0, nil, fmt.Errorf("checking the records: %w", err)
	}
	faults = make(map[string]error)
	for i, err := range found {
		if err != nil {
			faults[all[i].Name] = err
		}
	}
	return len(all), faults, nil
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
	o, err := s.keys.NewOpener()
	if err != nil {
		return err
	}
	defer o.Close()
	return s.checkEntry(o, e)
}

// checkEntry opens everything in one record.
func (s *session) checkEntry(o *envelope.Opener, e *entry) error {
	r, err := s.parse(e.ID)
	if err != nil {
		return err
	}
	m, err := o.Check(r)
	if err == nil {
		err = s.checkBlobs(o, r, m)
	}
	return classify(err)
}

// CheckGrants opens what the grants of the unlocked vault say of themselves, and the
// policy; policy says whether there is one. Errors as of Check.
func (v *Vault) CheckGrants() (n int, policy bool, err error) {
	s, err := v.current()
	if err == nil {
		err = s.checkGrants()
	}
	if err != nil {
		return 0, false, fmt.Errorf("checking the grants: %w", err)
	}
	return len(s.grants), len(s.policy) > 0, nil
}

func (s *session) checkGrants() error {
	if err := s.checkWraps(); err != nil {
		return err
	}
	grants, err := s.allGrants()
	if err != nil {
		return err
	}
	for _, g := range grants {
		if _, err := s.keys.GrantMeta(g); err != nil {
			return classify(fmt.Errorf("grant %s: %w", store.ID(g.ID), err))
		}
	}
	_, err = s.openPolicy()
	return err
}

// checkWraps parses the grants and looks whether the records that they open are there.
func (s *snapshot) checkWraps() error {
	grants, err := s.allGrants()
	if err != nil {
		return err
	}
	for _, g := range grants {
		for _, id := range g.Records() {
			if s.raw[store.ID(id)] == nil {
				return fmt.Errorf("%w: grant %s opens a record that is not there", ErrDamaged, store.ID(g.ID))
			}
		}
	}
	return nil
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
		if err := s.parseAll(); err != nil {
			return err
		}
		return s.checkWraps()
	}
	s, err := v.refresh(ctx)
	if err != nil {
		return err
	}
	if err := s.checkGrants(); err != nil {
		return err
	}
	defer v.cfg.Arena.ReleaseMemory()
	ids := make([]store.ID, 0, len(s.raw))
	for id := range s.raw {
		ids = append(ids, id)
	}
	return withOpeners(s.keys, len(ids), func(o *envelope.Opener, i int) error {
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
