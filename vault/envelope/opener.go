package envelope

import (
	"crypto/sha256"

	"github.com/nsagent/nsagent/internal/secret"
)

// Opener opens records one after the other with scratch keys and a scratch
// buffer in the arena, which it keeps between calls: opening 10,000 records then
// allocates locked memory for what the caller keeps and nothing else. It is not
// safe for concurrent use; each goroutine makes its own.
type Opener struct {
	arena *secret.Arena
	vault ID
	// unwrap opens the CK of a part of a record into dst.
	unwrap func(dst secret.Bytes, r *Record, name Part) error

	ck  secret.Bytes
	dek secret.Bytes
	buf secret.Bytes
}

// NewOpener returns an Opener of every record, which the caller closes.
func (k *Keys) NewOpener() (*Opener, error) {
	return newOpener(k.arena, k.vault, func(dst secret.Bytes, r *Record, name Part) error {
		part := r.part(name)
		if part == nil {
			return ErrOpen
		}
		return openInto(dst, k.vrk, ckContext(k.vault, r.ID, name), part.CK)
	})
}

func newOpener(a *secret.Arena, vault ID, unwrap func(secret.Bytes, *Record, Part) error) (*Opener, error) {
	o := &Opener{arena: a, vault: vault, unwrap: unwrap}
	var err error
	if o.ck, err = a.Alloc(keySize); err == nil {
		if o.dek, err = a.Alloc(keySize); err == nil {
			o.buf, err = a.Alloc(smallest)
		}
	}
	if err != nil {
		o.Close()
		return nil, err
	}
	return o, nil
}

// Close wipes what the Opener holds.
func (o *Opener) Close() {
	o.ck.Destroy()
	o.dek.Destroy()
	o.buf.Destroy()
}

// Metadata opens the metadata of r and compares it with the parts and versions
// that r has. The error is ErrOpen, or the arena's.
func (o *Opener) Metadata(r *Record) (*Metadata, error) {
	if err := o.unwrap(o.ck, r, PartSignOnly); err != nil {
		return nil, err
	}
	var m *Metadata
	err := o.openPadded(o.ck, metadataContext(o.vault, r.ID), r.Metadata, func(p []byte) error {
		var err error
		if m, err = decodeMetadata(p); err != nil || !m.describes(r) {
			m = nil
			return ErrOpen
		}
		return nil
	})
	return m, err
}

// Content opens one version of one part of r into the arena. The caller owns it.
// The error is ErrOpen, also where r has no such part or version, or the arena's.
func (o *Opener) Content(r *Record, name Part, number uint64) (secret.Bytes, error) {
	part := r.part(name)
	if part == nil {
		return secret.Bytes{}, ErrOpen
	}
	v := part.version(number)
	if v == nil || v.blob() {
		return secret.Bytes{}, ErrOpen
	}
	if err := o.openDEK(r, name, v); err != nil {
		return secret.Bytes{}, err
	}
	var content secret.Bytes
	err := o.openPadded(o.dek, contentContext(o.vault, r.ID, number, name), v.Content, func(p []byte) error {
		var err error
		if content, err = o.arena.Alloc(len(p)); err != nil {
			return err
		}
		return content.Use(func(q []byte) error {
			secret.Copy(q, p)
			return nil
		})
	})
	return content, err
}

// openDEK opens the DEK of a version into o.dek.
func (o *Opener) openDEK(r *Record, name Part, v *SealedVersion) error {
	if err := o.unwrap(o.ck, r, name); err != nil {
		return err
	}
	aad := dekContext(o.vault, r.ID, v.Number, name, sha256.Sum256(r.Metadata))
	return openInto(o.dek, o.ck, aad, v.DEK)
}

// Blob returns the blob that holds the raw part of a version, zero if none does. The
// caller owns it. The error is ErrOpen, or the arena's.
func (o *Opener) Blob(r *Record, number uint64) (Blob, error) {
	part := r.part(PartRaw)
	if part == nil {
		return Blob{}, nil
	}
	v := part.version(number)
	if v == nil || !v.blob() {
		return Blob{}, nil
	}
	if err := o.openDEK(r, PartRaw, v); err != nil {
		return Blob{}, err
	}
	dek, err := o.arena.Clone(o.dek)
	return Blob{DEK: dek, Hash: BlobHash(v.Content)}, err
}

// Secret opens one version of all parts of r; of a blob it gives the key, and does
// not read it. The caller owns all of it. Errors as of Content.
func (o *Opener) Secret(r *Record, number uint64) (s Secret, err error) {
	if s.SignOnly, err = o.Content(r, PartSignOnly, number); err != nil || r.part(PartRaw) == nil {
		return s, err
	}
	if s.Blob, err = o.Blob(r, number); err != nil || !s.Blob.DEK.IsZero() {
		if err != nil {
			s.SignOnly.Destroy()
			return Secret{}, err
		}
		return s, nil
	}
	if s.Raw, err = o.Content(r, PartRaw, number); err != nil {
		s.SignOnly.Destroy()
		return Secret{}, err
	}
	return s, nil
}

// Check opens everything in r and keeps nothing of it. Of a blob it opens the key.
func (o *Opener) Check(r *Record) (*Metadata, error) {
	m, err := o.Metadata(r)
	if err != nil {
		return nil, err
	}
	for _, name := range m.Parts {
		for _, v := range m.Versions {
			if name == PartRaw {
				b, err := o.Blob(r, v.Number)
				if err != nil {
					return nil, err
				}
				if !b.DEK.IsZero() {
					b.DEK.Destroy()
					continue
				}
			}
			content, err := o.Content(r, name, v.Number)
			if err != nil {
				return nil, err
			}
			content.Destroy()
		}
	}
	return m, nil
}

// openPadded opens sealed into the scratch buffer, calls f with the content, and
// wipes it.
func (o *Opener) openPadded(key secret.Bytes, aad, sealed []byte, f func(content []byte) error) error {
	n := len(sealed) - Overhead
	if n < 0 {
		return ErrOpen
	}
	if o.buf.Len() < n {
		larger, err := o.arena.Alloc(n)
		if err != nil {
			return err
		}
		o.buf.Destroy()
		o.buf = larger
	}
	return o.buf.Use(func(p []byte) error {
		p = p[:n]
		defer secret.Wipe(p)
		if err := key.Use(func(k []byte) error { return open(p, k, aad, sealed) }); err != nil {
			return err
		}
		length := unpad(p)
		if length < 0 {
			return ErrOpen
		}
		return f(p[:length])
	})
}

// openInto opens a sealed key into dst.
func openInto(dst, outer secret.Bytes, aad, sealed []byte) error {
	return outer.Use(func(k []byte) error {
		return dst.Use(func(p []byte) error { return open(p, k, aad, sealed) })
	})
}
