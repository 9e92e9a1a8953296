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

// NewRecord is a record to be added. The secrets are borrowed.
type NewRecord struct {
	Name string // 1 to 255 printable ASCII characters without space; unique in the vault
	Kind string // 1 to 32 such characters
	Meta []byte // opaque, at most 32 KiB

	SignOnly secret.Bytes // required: what is opened at unlock, at most 64 KiB
	Raw      secret.Bytes // what is opened only to rotate, at most 64 KiB; the zero Bytes means none
	Long     Value        // takes the place of Raw
}

// Add adds a record, which is durable when Add returns, and returns its ID. Errors:
// ErrExists, ErrRecord, ErrLocked, ErrRollback, ErrDamaged, those of the arena and the store.
func (v *Vault) Add(ctx context.Context, r NewRecord) (store.ID, error) {
	ids, err := v.AddAll(ctx, []NewRecord{r})
	if err != nil {
		return store.ID{}, err
	}
	return ids[0], nil
}

// AddAll adds records in one commit, all or none, and returns their IDs. Errors as of Add.
func (v *Vault) AddAll(ctx context.Context, records []NewRecord) ([]store.ID, error) {
	for _, r := range records {
		if !printable(r.Name, envelope.MaxName) || !printable(r.Kind, envelope.MaxKind) {
			return nil, fmt.Errorf("adding a record: %w: its name or kind", ErrRecord)
		}
	}
	var all []sealed // kept across attempts: sealing does not depend on the other records
	err := v.commit(ctx, func(s *session) (*edit, error) {
		names := make(map[string]bool, len(records))
		for _, r := range records {
			if s.index.byName[r.Name] != nil || names[r.Name] {
				return nil, fmt.Errorf("%w: %q", ErrExists, r.Name)
			}
			names[r.Name] = true
		}
		for _, r := range records[len(all):] {
			m := &envelope.Metadata{Name: r.Name, Kind: r.Kind, Created: v.unixNow(), Meta: slices.Clone(r.Meta)}
			record, err := s.keys.SealRecord(m, envelope.Secret{SignOnly: r.SignOnly, Raw: r.Raw, Blob: r.Long.blob})
			if err != nil {
				return nil, refused(err)
			}
			all = append(all, sealed{record, m, r.Long})
		}
		return &edit{put: all}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("adding a record: %w", err)
	}
	ids := make([]store.ID, 0, len(all))
	for _, one := range all {
		ids = append(ids, store.ID(one.record.ID))
	}
	return ids, nil
}

// Remove removes a record. Copies of the vault made before still hold it. Errors:
// ErrNotFound, ErrLocked, ErrRollback, ErrDamaged, those of the store.
func (v *Vault) Remove(ctx context.Context, name string) error {
	err := v.commit(ctx, func(s *session) (*edit, error) {
		e := s.index.byName[name]
		if e == nil {
			return nil, fmt.Errorf("%w: record %q", ErrNotFound, name)
		}
		return &edit{remove: []store.ID{e.ID}}, nil
	})
	if err != nil {
		return fmt.Errorf("removing a record: %w", err)
	}
	return nil
}

// refused puts ErrRecord in front of what sealing refused.
func refused(err error) error {
	if errors.Is(err, envelope.ErrInput) || errors.Is(err, envelope.ErrTooLarge) {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return err
}

// printable reports whether s is 1 to limit printable ASCII characters without space.
func printable(s string, limit int) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= limit
}
