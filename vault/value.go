package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// Limits of the raw part of a record, in bytes.
const (
	MaxRaw   = envelope.MaxContent // given as Raw
	MaxValue = envelope.MaxBlob    // given as Long
)

// Value is a secret too long for the record itself: sealed already, to be stored in a
// blob with the record that it is given for. Copies are the same value.
type Value struct {
	blob   envelope.Blob
	sealed []byte
}

// IsZero reports whether v is the zero Value, which holds nothing.
func (v Value) IsZero() bool { return v.sealed == nil }

// Destroy wipes the key that opens v. What was stored stays.
func (v Value) Destroy() { v.blob.DEK.Destroy() }

func (v Value) addTo(c *store.Change) {
	if v.IsZero() {
		return
	}
	if c.Blobs == nil {
		c.Blobs = make(map[store.BlobHash][]byte)
	}
	c.Blobs[store.BlobHash(v.blob.Hash)] = v.sealed
}

// ValueWriter seals a long secret while it comes in, piece by piece: it takes 16 KiB
// of locked memory, however long the secret is. It is not safe for concurrent use.
type ValueWriter struct{ s *envelope.BlobSealer }

// NewValue begins a value of n bytes. The caller ends it with Finish or Close.
// Errors: ErrLocked, ErrRecord, those of the arena.
func (v *Vault) NewValue(n int) (*ValueWriter, error) {
	v.mu.RLock()
	keys := v.keys
	v.mu.RUnlock()
	if keys == nil {
		return nil, ErrLocked
	}
	s, err := keys.NewBlob(n)
	if err != nil {
		return nil, fmt.Errorf("sealing a long secret: %w", refused(err))
	}
	return &ValueWriter{s}, nil
}

// Write adds a piece, which lies in locked memory. Errors: ErrRecord for more than was
// announced, those of the arena.
func (w *ValueWriter) Write(p []byte) error { return refused(w.s.Write(p)) }

// Finish returns the value, which the caller destroys. Errors as of Write.
func (w *ValueWriter) Finish() (Value, error) {
	blob, sealed, err := w.s.Finish()
	if err != nil {
		return Value{}, refused(err)
	}
	return Value{blob, sealed}, nil
}

// Close wipes what is not finished.
func (w *ValueWriter) Close() { w.s.Close() }

// blobOf reads a sealed blob. One that is not there, or not what its name says, is
// damage.
func (s *session) blobOf(h envelope.BlobHash) ([]byte, error) {
	b, err := s.vault.cfg.Store.Blob(context.Background(), store.BlobHash(h))
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w: blob %s is not there", ErrDamaged, ErrBlob, store.BlobHash(h))
	}
	return b, classify(err)
}

// CurrentBlobs returns the blobs of the versions that are in use, by the name of their
// record; nil for a locked vault, and for most others.
func (v *Vault) CurrentBlobs() map[string][]store.BlobHash {
	v.mu.RLock()
	ix := v.index
	v.mu.RUnlock()
	if ix == nil {
		return nil
	}
	var all map[string][]store.BlobHash
	for name, e := range ix.byName {
		for _, h := range e.current {
			if all == nil {
				all = make(map[string][]store.BlobHash)
			}
			all[name] = append(all[name], store.BlobHash(h))
		}
	}
	return all
}

// openBlob opens a blob as a whole.
func (s *session) openBlob(b envelope.Blob) (secret.Bytes, error) {
	sealed, err := s.blobOf(b.Hash)
	if err != nil {
		return secret.Bytes{}, err
	}
	var whole secret.Bytes
	n := 0
	err = s.keys.OpenBlob(b, sealed,
		func(length int) (err error) {
			whole, err = s.vault.cfg.Arena.Alloc(length)
			return err
		},
		func(p []byte) error {
			return whole.Use(func(q []byte) error {
				n += secret.Copy(q[n:], p)
				return nil
			})
		})
	if err != nil {
		whole.Destroy()
		return secret.Bytes{}, classify(err)
	}
	return whole, nil
}

// checkBlobs opens the blobs of a record and keeps nothing of them.
func (s *session) checkBlobs(o *envelope.Opener, r *envelope.Record, m *envelope.Metadata) error {
	for _, v := range m.Versions {
		b, err := o.Blob(r, v.Number)
		if err != nil || b.DEK.IsZero() {
			if err != nil {
				return err
			}
			continue
		}
		sealed, err := s.blobOf(b.Hash)
		if err == nil {
			err = s.keys.OpenBlob(b, sealed, func(int) error { return nil }, func([]byte) error { return nil })
		}
		b.DEK.Destroy()
		if err != nil {
			return err
		}
	}
	return nil
}
