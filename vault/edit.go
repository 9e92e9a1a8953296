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

	// Take names another record, of the same parts, whose current secret becomes the next
	// version, in place of SignOnly and Raw. Mostly that record goes in the same commit.
	Take string

	// DropPrevious leaves nothing but the current version.
	DropPrevious bool

	// Replace keeps none of the versions before the next one, which SignOnly is.
	Replace bool

	// Remove removes the record. Nothing else may be set beside it.
	Remove bool
}

// removes reports whether e removes the record; with something beside it, it is an error.
func (e Edit) removes() (bool, error) {
	if !e.Remove {
		return false, nil
	}
	other := e.Name != "" || e.Meta != nil || !e.SignOnly.IsZero() || !e.Raw.IsZero() || !e.Long.IsZero() || e.UsePrevious || e.Take != "" || e.DropPrevious || e.Replace
	if other {
		return false, fmt.Errorf("%w: to be removed and changed at once", ErrRecord)
	}
	return true, nil
}

// givesUpName reports whether another record may have the name of this one.
func (e Edit) givesUpName() bool { return e.Remove || e.Name != "" }

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

// EditAll is Edit for several records, in one commit: all or none. Those that were not
// removed come back, in the order of names. A name is free for one of them where its
// holder gives it up in the same commit.
func (v *Vault) EditAll(ctx context.Context, names []string, build func(Record) (Edit, error)) ([]Record, error) {
	var edited []Record
	err := v.commit(ctx, func(s *session) (*edit, error) {
		out, err := s.editAll(names, build, v.unixNow())
		if err != nil {
			return nil, err
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

// editAll returns what becomes of the records of these names.
func (s *session) editAll(names []string, build func(Record) (Edit, error), now uint64) (*edit, error) {
	out := &edit{}
	changes := make(map[string]Edit, len(names))
	for _, name := range names {
		e := s.index.byName[name]
		if e == nil {
			return nil, fmt.Errorf("%w: record %q", ErrNotFound, name)
		}
		if _, twice := changes[name]; twice {
			return nil, fmt.Errorf("%w: %q is edited twice", ErrRecord, name)
		}
		change, err := build(e.Record)
		if err != nil {
			return nil, err
		}
		changes[name] = change
	}
	given := make(map[string]bool) // names that records get in this commit
	for _, name := range names {
		change := changes[name]
		remove, err := change.removes()
		if err != nil {
			return nil, err
		}
		if remove {
			out.remove = append(out.remove, s.index.byName[name].ID)
			continue
		}
		if to := change.Name; to != "" {
			switch {
			case !printable(to, envelope.MaxName):
				return nil, fmt.Errorf("%w: its name", ErrRecord)
			case given[to] || s.index.byName[to] != nil && !changes[to].givesUpName():
				return nil, fmt.Errorf("%w: %q", ErrExists, to)
			}
			given[to] = true
		}
		p, err := s.edit(s.index.byName[name], change, now)
		if err != nil {
			return nil, err
		}
		out.put = append(out.put, p)
	}
	return out, nil
}

// edit returns another state of one record, whose new name is known to be free.
func (s *session) edit(e *entry, change Edit, now uint64) (sealed, error) {
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
	if change.Name != "" {
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
	var err error
	switch {
	case change.UsePrevious && len(m.Versions) < 2:
		return nil, fmt.Errorf("%w: record %q has no previous version", ErrNotFound, m.Name)
	case change.UsePrevious:
		fresh, err = o.Secret(r, m.Versions[1].Number)
	case change.Take != "":
		fresh, err = s.secretOf(o, change.Take)
	}
	if err != nil {
		return nil, err
	}
	if change.UsePrevious || change.Take != "" {
		defer fresh.Destroy()
	}
	if fresh.SignOnly.IsZero() {
		return s.keys.Describe(r, m)
	}
	next, err := s.keys.Rotate(r, m, now, fresh)
	if err != nil || !change.Replace {
		return next, err
	}
	m.Versions = m.Versions[:1]
	return s.keys.Describe(next, m)
}

// secretOf opens the current secret of a record.
func (s *session) secretOf(o *envelope.Opener, name string) (envelope.Secret, error) {
	e := s.index.byName[name]
	if e == nil {
		return envelope.Secret{}, fmt.Errorf("%w: record %q", ErrNotFound, name)
	}
	r, err := s.parse(e.ID)
	if err != nil {
		return envelope.Secret{}, err
	}
	return o.Secret(r, e.Version)
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
