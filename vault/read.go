package vault

import (
	"context"
	"fmt"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// Records returns the records in the order of their names, as this process last read
// them. The error is ErrLocked.
func (v *Vault) Records() ([]Record, error) {
	v.mu.RLock()
	ix := v.index
	v.mu.RUnlock()
	if ix == nil {
		return nil, ErrLocked
	}
	l := make([]Record, 0, len(ix.byName))
	for _, e := range ix.sorted() {
		l = append(l, e.Record)
	}
	return l, nil
}

// Record returns the record of that name, and whether there is one, as this process last
// read it. A locked vault has none.
func (v *Vault) Record(name string) (Record, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.index == nil || v.index.byName[name] == nil {
		return Record{}, false
	}
	return v.index.byName[name].Record, true
}

// RecordID returns the ID of the record of that name, as Record does.
func (v *Vault) RecordID(name string) (store.ID, bool) {
	r, ok := v.Record(name)
	return r.ID, ok
}

// OpenSignOnly opens the sign-only part of the current version of a record. The
// caller owns the result. It reads the store; to open many, use Each. Errors:
// ErrNotFound, ErrLocked, ErrRollback, ErrDamaged, those of the arena and the store.
func (v *Vault) OpenSignOnly(name string) (secret.Bytes, error) {
	return v.open(name, envelope.PartSignOnly)
}

// OpenRaw opens the raw part of the current version of a record, which may have none:
// ErrNotFound. Otherwise as OpenSignOnly.
func (v *Vault) OpenRaw(name string) (secret.Bytes, error) {
	return v.open(name, envelope.PartRaw)
}

// OpenRawIf is OpenRaw for what check approves of: it is called with the newest state of
// the record, and what is opened is of that state.
func (v *Vault) OpenRawIf(name string, check func(Record) error) (secret.Bytes, error) {
	var refusal error
	b, err := v.openPart(name, envelope.PartRaw, func(r Record) uint64 {
		if refusal = check(r); refusal != nil {
			return 0
		}
		return r.Version
	})
	if refusal != nil {
		return secret.Bytes{}, refusal
	}
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("opening the raw part of record %q: %w", name, err)
	}
	return b, nil
}

// OpenPrevious opens the sign-only part of the version before the current one, which
// may be gone: ErrNotFound. Otherwise as OpenSignOnly.
func (v *Vault) OpenPrevious(name string) (secret.Bytes, error) {
	b, err := v.openPart(name, envelope.PartSignOnly, func(r Record) uint64 { return r.Previous().Number })
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("opening the previous version of record %q: %w", name, err)
	}
	return b, nil
}

func (v *Vault) open(name string, part envelope.Part) (secret.Bytes, error) {
	b, err := v.openPart(name, part, func(r Record) uint64 { return r.Version })
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("opening the %s part of record %q: %w", part, name, err)
	}
	return b, nil
}

// openPart opens the version of a part that number chooses; 0 means none.
func (v *Vault) openPart(name string, part envelope.Part, number func(Record) uint64) (secret.Bytes, error) {
	s, err := v.current()
	if err != nil {
		return secret.Bytes{}, err
	}
	e := s.index.byName[name]
	if e == nil || part == envelope.PartRaw && !e.HasRaw || number(e.Record) == 0 {
		return secret.Bytes{}, ErrNotFound
	}
	o, err := s.keys.NewOpener()
	if err != nil {
		return secret.Bytes{}, err
	}
	defer o.Close()
	defer v.cfg.Arena.ReleaseMemory()
	return s.open(o, e, part, number(e.Record))
}

// Refresh takes over what other processes have made of the vault since it was last read.
// Errors: ErrLocked, ErrDamaged, those of the store.
func (v *Vault) Refresh() error {
	if _, err := v.current(); err != nil {
		return fmt.Errorf("reading the vault anew: %w", err)
	}
	return nil
}

// current returns the newest state of the store.
func (v *Vault) current() (*session, error) {
	v.work.Lock()
	defer v.work.Unlock()
	return v.refresh(context.Background())
}

// open opens a version of a part of e.
func (s *session) open(o *envelope.Opener, e *entry, part envelope.Part, number uint64) (secret.Bytes, error) {
	r, err := s.parse(e.ID)
	if err != nil {
		return secret.Bytes{}, err
	}
	if part == envelope.PartRaw && len(e.blobs) > 0 {
		b, err := o.Blob(r, number)
		if err != nil {
			return secret.Bytes{}, classify(err)
		}
		if !b.DEK.IsZero() {
			defer b.DEK.Destroy()
			return s.openBlob(b)
		}
	}
	b, err := o.Content(r, part, number)
	if err != nil {
		return secret.Bytes{}, classify(err)
	}
	return b, nil
}

// Each opens the sign-only part of every record and calls f with it, from a few goroutines
// at once and in no order. f owns signOnly, and may call the vault. An error of f, or of
// opening, ends it; so does Lock. When Each returns, so have all calls of f.
func (v *Vault) Each(f func(r Record, signOnly secret.Bytes) error) error {
	s, err := v.current()
	if err != nil {
		return fmt.Errorf("opening the records: %w", err)
	}
	defer v.cfg.Arena.ReleaseMemory()
	all := values(s.index.byID)
	return withOpeners(s.keys, len(all), func(o *envelope.Opener, i int) error {
		b, err := s.open(o, all[i], envelope.PartSignOnly, all[i].Version)
		if err != nil {
			return fmt.Errorf("opening record %q: %w", all[i].Name, err)
		}
		return f(all[i].Record, b)
	})
}
