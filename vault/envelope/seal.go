package envelope

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/nsagent/nsagent/internal/secret"
)

// Secret is what a version of a record holds. Both are the caller's to destroy.
type Secret struct {
	SignOnly secret.Bytes // required
	Raw      secret.Bytes // the zero Bytes: the record has no such part
	Blob     Blob         // takes the place of Raw
}

// hasRaw reports whether there is anything for the raw part.
func (s Secret) hasRaw() bool { return !s.Raw.IsZero() || !s.Blob.DEK.IsZero() }

// Destroy wipes all of it.
func (s Secret) Destroy() {
	s.SignOnly.Destroy()
	s.Raw.Destroy()
	s.Blob.DEK.Destroy()
}

func (s Secret) of(p Part) secret.Bytes {
	if p == PartRaw {
		return s.Raw
	}
	return s.SignOnly
}

// SealRecord seals a new record at version 1. Of m, Parts and Versions are set
// here. Errors: ErrInput, ErrTooLarge, those of the arena and of rand.
func (k *Keys) SealRecord(m *Metadata, s Secret) (*Record, error) {
	r := &Record{}
	if _, err := io.ReadFull(k.rand, r.ID[:]); err != nil {
		return nil, fmt.Errorf("drawing a record id: %w", err)
	}
	m.Parts = []Part{PartSignOnly}
	if s.hasRaw() {
		m.Parts = append(m.Parts, PartRaw)
	}
	m.Versions = []Version{{Number: 1, Created: m.Created}}
	return k.assemble(r, m, map[uint64]Secret{1: s})
}

// Rotate seals s, which has the parts of r, as the next version of r. The version
// before stays; older ones go. m is what r holds as metadata; its Versions are
// changed here, and anything else that was changed in it is sealed as well.
func (k *Keys) Rotate(r *Record, m *Metadata, created uint64, s Secret) (*Record, error) {
	if s.hasRaw() != (r.part(PartRaw) != nil) {
		return nil, fmt.Errorf("%w: rotation with other parts than the record", ErrInput)
	}
	m.Versions = []Version{{Number: m.Current() + 1, Created: created}, m.Versions[0]}
	return k.assemble(r, m, map[uint64]Secret{m.Current(): s})
}

// Describe seals other metadata for the secrets that r has: name, kind and meta
// may differ. Contents stay as they are; their keys are wrapped anew.
func (k *Keys) Describe(r *Record, m *Metadata) (*Record, error) {
	return k.assemble(r, m, nil)
}

// Rekey seals all that r has under other keys: its id and what it says stay. Whoever had
// a key of r can open nothing of what comes out.
func (k *Keys) Rekey(r *Record) (*Record, *Metadata, error) {
	o, err := k.NewOpener()
	if err != nil {
		return nil, nil, err
	}
	defer o.Close()
	m, err := o.Metadata(r)
	if err != nil {
		return nil, nil, err
	}
	all := make(map[uint64]Secret, len(m.Versions))
	for _, v := range m.Versions {
		s, err := o.Secret(r, v.Number)
		if err != nil {
			return nil, nil, err
		}
		defer s.Destroy()
		all[v.Number] = s
	}
	next, err := k.assemble(&Record{ID: r.ID}, m, all)
	return next, m, err
}

// assemble returns the record that m describes. What old has of it is kept, its
// DEKs wrapped for the new metadata; the rest is sealed from fresh, by version.
func (k *Keys) assemble(old *Record, m *Metadata, fresh map[uint64]Secret) (*Record, error) {
	if err := checkInput(m); err != nil {
		return nil, err
	}
	r := &Record{ID: old.ID}
	oldHash := sha256.Sum256(old.Metadata)
	var newHash [32]byte
	for _, name := range m.Parts {
		part := RecordPart{Name: name}
		ck, sealedCK, err := k.partKey(old, name)
		if err != nil {
			return nil, err
		}
		defer ck.Destroy()
		part.CK = sealedCK
		if name == PartSignOnly {
			if r.Metadata, err = k.sealPadded(ck, metadataContext(k.vault, r.ID), m.encode()); err != nil {
				return nil, err
			}
			newHash = sha256.Sum256(r.Metadata)
		}
		for _, v := range m.Versions {
			sealed, err := k.sealVersion(old, name, v.Number, ck, oldHash, newHash, fresh[v.Number])
			if err != nil {
				return nil, err
			}
			part.Versions = append(part.Versions, sealed)
		}
		r.Parts = append(r.Parts, part)
	}
	if err := r.check(); err != nil {
		return nil, err // m was not made for old
	}
	return r, nil
}

// partKey returns the CK of a part, in the arena and sealed: that of old, or a new one.
func (k *Keys) partKey(old *Record, name Part) (ck secret.Bytes, sealed []byte, err error) {
	aad := ckContext(k.vault, old.ID, name)
	if p := old.part(name); p != nil {
		ck, err = openKey(k.arena, k.vrk, aad, p.CK)
		return ck, p.CK, err
	}
	if ck, err = newKey(k.arena, k.rand); err != nil {
		return ck, nil, err
	}
	if sealed, err = sealKey(k.rand, k.vrk, aad, ck); err != nil {
		ck.Destroy()
	}
	return ck, sealed, err
}

// sealVersion returns one version of a part for metadata of hash newHash.
func (k *Keys) sealVersion(old *Record, name Part, number uint64, ck secret.Bytes, oldHash, newHash [32]byte, fresh Secret) (v SealedVersion, err error) {
	v.Number = number
	var dek secret.Bytes
	if p := old.part(name); p != nil && p.version(number) != nil {
		was := p.version(number)
		v.Content = was.Content
		dek, err = openKey(k.arena, ck, dekContext(k.vault, old.ID, number, name, oldHash), was.DEK)
	} else if name == PartRaw && !fresh.Blob.DEK.IsZero() {
		v.Content = fresh.Blob.Hash[:]
		dek, err = k.arena.Clone(fresh.Blob.DEK)
	} else {
		dek, v.Content, err = k.sealContent(old.ID, name, number, fresh.of(name))
	}
	if err != nil {
		return v, err
	}
	defer dek.Destroy()
	v.DEK, err = sealKey(k.rand, ck, dekContext(k.vault, old.ID, number, name, newHash), dek)
	return v, err
}

// sealContent seals content under a new DEK.
func (k *Keys) sealContent(id ID, name Part, number uint64, content secret.Bytes) (dek secret.Bytes, sealed []byte, err error) {
	switch n := content.Len(); {
	case n == 0:
		return dek, nil, fmt.Errorf("%w: empty %s secret", ErrInput, name)
	case n > MaxContent:
		return dek, nil, fmt.Errorf("%w: %s secret of %d bytes, at most %d", ErrTooLarge, name, n, MaxContent)
	}
	if dek, err = newKey(k.arena, k.rand); err != nil {
		return dek, nil, err
	}
	err = content.Use(func(p []byte) error {
		sealed, err = k.sealPadded(dek, contentContext(k.vault, id, number, name), p)
		return err
	})
	if err != nil {
		dek.Destroy()
	}
	return dek, sealed, err
}

// sealPadded seals content, padded in the arena.
func (k *Keys) sealPadded(key secret.Bytes, aad, content []byte) (sealed []byte, err error) {
	padded, err := k.arena.Alloc(paddedLen(len(content)))
	if err != nil {
		return nil, err
	}
	defer padded.Destroy()
	err = padded.Use(func(p []byte) error {
		pad(p, secret.Copy(p, content))
		return key.Use(func(key []byte) error {
			sealed, err = seal(k.rand, key, aad, p)
			return err
		})
	})
	return sealed, err
}

// checkInput returns an error for metadata that a record cannot hold.
func checkInput(m *Metadata) error {
	if len(m.Meta) > MaxMeta {
		return fmt.Errorf("%w: metadata of %d bytes, at most %d", ErrTooLarge, len(m.Meta), MaxMeta)
	}
	if fault := m.fault(); fault != "" {
		return fmt.Errorf("%w: metadata with %s", ErrInput, fault)
	}
	return nil
}
