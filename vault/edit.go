package vault

import (
	"context"
	"fmt"
	"slices"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
)

// Edit is what changes in a record. Its zero value changes nothing.
type Edit struct {
	Name string // the new name; "" keeps it
	Meta []byte // the new Meta, bound to every secret of the record; nil keeps it

	// SignOnly and Raw are the next version of the secret; the zero Bytes keeps what
	// there is. The current version becomes the previous one, which is kept, sealed;
	// older ones go. Raw must be given if and only if SignOnly is and the record has
	// a raw part. Both are borrowed.
	SignOnly, Raw secret.Bytes
	Long          Value // takes the place of Raw

	// UsePrevious makes the previous secret the next version, so that the two
	// change places.
	UsePrevious bool

	// DropPrevious leaves nothing but the current version.
	DropPrevious bool
}

// Edit changes one record in one commit. build is called with the newest state of
// the record, again if another process commits first, and says what to change. The
// record as it then is comes back, durable. Errors: build's, ErrNotFound if there is
// no such record or no previous version to use, ErrExists if the new name is taken,
// and as of Add.
func (v *Vault) Edit(ctx context.Context, name string, build func(Record) (Edit, error)) (Record, error) {
	all, err := v.EditAll(ctx, []string{name}, build)
	if err != nil {
		return Record{}, err
	}
	return all[0], nil
}

// EditAll is Edit for several records, in one commit: all or none.
func (v *Vault) EditAll(ctx context.Context, names []string, build func(Record) (Edit, error)) ([]Record, error) {
	var edited []Record
	err := v.commit(ctx, func(s *session) (*edit, error) {
		out := &edit{}
		for _, name := range names {
			p, err := s.edit(name, build, v.unixNow())
			if err != nil {
				return nil, err
			}
			out.put = append(out.put, p)
		}
		edited = edited[:0]
		for _, p := range out.put {
			edited = append(edited, newEntry(p.record, p.meta, envelope.Leaf{}).Record)
		}
		return out, nil
	})
	if err != nil {
		return nil, fmt.Errorf("editing a record: %w", err)
	}
	return edited, nil
}

// edit returns another state of one record.
func (s *session) edit(name string, build func(Record) (Edit, error), now uint64) (sealed, error) {
	e := s.index.byName[name]
	if e == nil {
		return sealed{}, fmt.Errorf("%w: record %q", ErrNotFound, name)
	}
	change, err := build(e.Record)
	if err != nil {
		return sealed{}, err
	}
	r, err := s.parse(e.ID)
	if err != nil {
		return sealed{}, err
	}
	o, err := s.keys.NewOpener()
	if err != nil {
		return sealed{}, err
	}
	defer o.Close()
	m, err := o.Metadata(r)
	if err != nil {
		return sealed{}, err
	}
	if change.Meta != nil {
		m.Meta = slices.Clone(change.Meta)
	}
	if change.Name != "" && change.Name != m.Name {
		switch {
		case !printable(change.Name, envelope.MaxName):
			return sealed{}, fmt.Errorf("%w: its name", ErrRecord)
		case s.index.byName[change.Name] != nil:
			return sealed{}, fmt.Errorf("%w: %q", ErrExists, change.Name)
		}
		m.Name = change.Name
	}
	if change.DropPrevious {
		m.Versions = m.Versions[:1]
	}
	if r, err = s.reseal(o, r, m, change, now); err != nil {
		return sealed{}, refused(err)
	}
	return sealed{r, m, change.Long}, nil
}

// reseal seals what change leaves of r, as m describes it.
func (s *session) reseal(o *envelope.Opener, r *envelope.Record, m *envelope.Metadata, change Edit, now uint64) (*envelope.Record, error) {
	fresh := envelope.Secret{SignOnly: change.SignOnly, Raw: change.Raw, Blob: change.Long.blob}
	if change.UsePrevious {
		if len(m.Versions) < 2 {
			return nil, fmt.Errorf("%w: record %q has no previous version", ErrNotFound, m.Name)
		}
		var err error
		if fresh, err = o.Secret(r, m.Versions[1].Number); err != nil {
			return nil, err
		}
		defer fresh.SignOnly.Destroy()
		defer fresh.Raw.Destroy()
		defer fresh.Blob.DEK.Destroy()
	}
	if fresh.SignOnly.IsZero() {
		return s.keys.Describe(r, m)
	}
	return s.keys.Rotate(r, m, now, fresh)
}

// Rotate gives a record its next version; see Edit.
func (v *Vault) Rotate(ctx context.Context, name string, signOnly, raw secret.Bytes) error {
	_, err := v.Edit(ctx, name, func(Record) (Edit, error) { return Edit{SignOnly: signOnly, Raw: raw}, nil })
	return err
}

// Describe replaces the Meta of a record. Its secrets stay as they are, bound to the
// new Meta and no more to the old.
func (v *Vault) Describe(ctx context.Context, name string, meta []byte) error {
	_, err := v.Edit(ctx, name, func(Record) (Edit, error) { return Edit{Meta: append([]byte{}, meta...)}, nil })
	return err
}

// Supersede commits the present state once more, so that ".prev" beside the vault
// holds nothing that was erased with the commit before.
func (v *Vault) Supersede(ctx context.Context) error {
	if err := v.commit(ctx, func(*session) (*edit, error) { return &edit{}, nil }); err != nil {
		return fmt.Errorf("superseding the previous generation: %w", err)
	}
	return nil
}
