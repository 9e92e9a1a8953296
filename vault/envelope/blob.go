package envelope

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/nsagent/nsagent/internal/secret"
)

// A blob holds one secret that is too long for a record, as segments that are sealed
// one by one, so that neither sealing nor opening needs more locked memory than one
// of them. Its plaintext is the length in eight bytes, the secret, and zeros up to a
// padded length.
const (
	// SegmentSize is the plaintext of a segment, except the last.
	SegmentSize = 16 << 10
	// MaxBlob is the most bytes of a secret: 1,000,000 characters of UTF-8.
	MaxBlob = 4_000_000

	hashSize    = sha256.Size
	blobLength  = 8
	sealedChunk = SegmentSize + Overhead
)

// MaxSealedBlob returns the most bytes of a sealed blob.
func MaxSealedBlob() int { return sealedLen(paddedLen(blobLength + MaxBlob)) }

// BlobHash is the SHA-256 of a sealed blob, and its name.
type BlobHash [hashSize]byte

// Blob is what a record needs to keep of a blob.
type Blob struct {
	DEK  secret.Bytes // seals this blob and nothing else
	Hash BlobHash
}

// sealedLen returns the length of a blob whose padded plaintext has n bytes.
func sealedLen(n int) int { return n + (n+SegmentSize-1)/SegmentSize*Overhead }

// BlobSealer seals a blob piece by piece. It is not safe for concurrent use.
type BlobSealer struct {
	keys     *Keys
	dek, buf secret.Bytes
	n        int // bytes of buf that are taken
	missing  int // bytes of the secret that are still to come
	segments uint64
	padded   int // bytes of plaintext that are still to be sealed
	sealed   []byte
}

// NewBlob begins a blob for a secret of n bytes. The caller ends it with Finish or
// Close. Errors: ErrInput, ErrTooLarge, those of the arena.
func (k *Keys) NewBlob(n int) (*BlobSealer, error) {
	switch {
	case n < 1:
		return nil, fmt.Errorf("%w: empty secret", ErrInput)
	case n > MaxBlob:
		return nil, fmt.Errorf("%w: secret of %d bytes, at most %d", ErrTooLarge, n, MaxBlob)
	}
	padded := paddedLen(blobLength + n)
	b := &BlobSealer{keys: k, missing: n, padded: padded, segments: uint64((padded + SegmentSize - 1) / SegmentSize)} // #nosec G115 -- not negative
	b.sealed = make([]byte, 0, sealedLen(padded))
	var err error
	if b.buf, err = k.arena.Alloc(SegmentSize); err == nil {
		b.dek, err = newKey(k.arena, k.rand)
	}
	if err == nil {
		b.n = blobLength
		err = b.buf.Use(func(p []byte) error {
			binary.BigEndian.PutUint64(p, uint64(n)) // #nosec G115 -- not negative
			return nil
		})
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Write adds a piece of the secret, which lies in locked memory. More than was
// announced is ErrInput.
func (b *BlobSealer) Write(p []byte) error {
	if len(p) > b.missing {
		return fmt.Errorf("%w: a secret longer than announced", ErrInput)
	}
	b.missing -= len(p)
	for len(p) > 0 {
		if err := b.buf.Use(func(q []byte) error {
			n := secret.Copy(q[b.n:], p)
			b.n, p = b.n+n, p[n:]
			return nil
		}); err != nil {
			return err
		}
		if b.n == SegmentSize {
			if err := b.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush seals the segment in buf, padded with zeros.
func (b *BlobSealer) flush() error {
	n := min(SegmentSize, b.padded)
	b.padded -= n
	index := uint64(len(b.sealed) / sealedChunk) // #nosec G115 -- not negative
	return b.buf.Use(func(p []byte) error {
		clear(p[b.n:])
		b.n = 0
		return b.dek.Use(func(key []byte) error {
			s, err := seal(b.keys.rand, key, blobContext(b.keys.vault, index, b.segments), p[:n])
			b.sealed = append(b.sealed, s...)
			return err
		})
	})
}

// Finish returns the sealed blob and what a record keeps of it, which the caller
// owns. A secret shorter than announced is ErrInput.
func (b *BlobSealer) Finish() (Blob, []byte, error) {
	defer b.Close()
	if b.missing > 0 {
		return Blob{}, nil, fmt.Errorf("%w: a secret shorter than announced", ErrInput)
	}
	for b.padded > 0 {
		if err := b.flush(); err != nil {
			return Blob{}, nil, err
		}
	}
	dek, err := b.keys.arena.Clone(b.dek)
	return Blob{DEK: dek, Hash: sha256.Sum256(b.sealed)}, b.sealed, err
}

// Close wipes what is not finished.
func (b *BlobSealer) Close() {
	b.dek.Destroy()
	b.buf.Destroy()
}

// OpenBlob opens a sealed blob segment by segment. It calls begin with the length of
// the secret, and then piece with one part after the other, under the rules of
// secret.Bytes.Use. The error is theirs, ErrOpen, or the arena's.
func (k *Keys) OpenBlob(b Blob, sealed []byte, begin func(length int) error, piece func(p []byte) error) error {
	if len(sealed) == 0 || len(sealed) > MaxSealedBlob() || sha256.Sum256(sealed) != b.Hash {
		return ErrOpen
	}
	buf, err := k.arena.Alloc(SegmentSize)
	if err != nil {
		return err
	}
	defer buf.Destroy()
	segments := uint64((len(sealed) + sealedChunk - 1) / sealedChunk) // #nosec G115 -- not negative
	padded := len(sealed) - int(segments)*Overhead                    // #nosec G115 -- at most 300
	left := 0
	for index := range segments {
		chunk := sealed[:min(sealedChunk, len(sealed))]
		sealed = sealed[len(chunk):]
		if len(chunk) <= Overhead {
			return ErrOpen
		}
		err := buf.Use(func(p []byte) error {
			p = p[:len(chunk)-Overhead]
			if err := b.DEK.Use(func(key []byte) error { return open(p, key, blobContext(k.vault, index, segments), chunk) }); err != nil {
				return err
			}
			if index == 0 {
				if left = announced(p, padded); left == 0 {
					return ErrOpen
				}
				if err := begin(left); err != nil {
					return err
				}
				p = p[blobLength:]
			}
			n := min(left, len(p))
			left -= n
			if slices.ContainsFunc(p[n:], func(c byte) bool { return c != 0 }) {
				return ErrOpen
			}
			return piece(p[:n])
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// announced returns the length of the secret that a blob begins with, 0 if its
// plaintext does not have the length that goes with it.
func announced(first []byte, padded int) int {
	if len(first) < blobLength {
		return 0
	}
	n := binary.BigEndian.Uint64(first)
	if n > MaxBlob || paddedLen(blobLength+int(n)) != padded { // #nosec G115 -- checked first
		return 0
	}
	return int(n) // #nosec G115 -- checked
}
