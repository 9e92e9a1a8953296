package envelope

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// sealBlob seals a sample of n bytes in pieces of different lengths.
func sealBlob(t testing.TB, k *Keys, n int) (b Blob, sealed, plain []byte) {
	t.Helper()
	plain = make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n))) // #nosec G404 -- a sample
	for i := range plain {
		plain[i] = byte(r.Uint32())
	}
	w, err := k.NewBlob(n)
	if err != nil {
		t.Fatal(err)
	}
	for rest := plain; len(rest) > 0; {
		m := min(len(rest), 1+r.IntN(30_000))
		if err := w.Write(rest[:m]); err != nil {
			t.Fatal(err)
		}
		rest = rest[m:]
	}
	if b, sealed, err = w.Finish(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.DEK.Destroy)
	return b, sealed, plain
}

func openBlob(k *Keys, b Blob, sealed []byte) ([]byte, error) {
	var got []byte
	length := -1
	err := k.OpenBlob(b, sealed, func(n int) error { length = n; return nil }, func(p []byte) error { got = append(got, p...); return nil })
	if err == nil && len(got) != length {
		return nil, errors.New("another length than was announced")
	}
	return got, err
}

// TestBlobRoundTrip seals secrets around the ends of segments, and the longest.
func TestBlobRoundTrip(t *testing.T) {
	k := newKeys(t)
	for _, n := range []int{1, 255, SegmentSize - blobLength - 1, SegmentSize - blobLength, SegmentSize, SegmentSize + 1, 3*SegmentSize - blobLength, 100_000, 1_000_000, MaxBlob} {
		used := k.arena.Info().Used
		b, sealed, plain := sealBlob(t, k, n)
		if grown := k.arena.Info().Used - used; grown > 64 {
			t.Errorf("%d bytes: %d bytes of locked memory are left", n, grown)
		}
		if len(sealed) > MaxSealedBlob() || sha256.Sum256(sealed) != b.Hash {
			t.Errorf("%d bytes: sealed into %d, hash %x", n, len(sealed), b.Hash)
		}
		if got, err := openBlob(k, b, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: opened %d, %v", n, len(got), err)
		}
		if n > 100_000 && bytes.Contains(sealed, plain[n/2:n/2+16]) {
			t.Errorf("%d bytes: the blob holds the secret", n)
		}
	}
	if _, sealed, _ := sealBlob(t, k, 999_999); true {
		if _, other, _ := sealBlob(t, k, 1_000_000); len(other) != len(sealed) {
			t.Errorf("neighbouring lengths show: %d and %d", len(sealed), len(other))
		}
	}
	for _, n := range []int{-1, 0} {
		if _, err := k.NewBlob(n); !errors.Is(err, ErrInput) {
			t.Errorf("%d bytes: got %v", n, err)
		}
	}
	if _, err := k.NewBlob(MaxBlob + 1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too many: got %v", err)
	}
	w, err := k.NewBlob(10)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(make([]byte, 11)); !errors.Is(err, ErrInput) {
		t.Errorf("more than announced: got %v", err)
	}
	if _, _, err := w.Finish(); !errors.Is(err, ErrInput) {
		t.Errorf("less than announced: got %v", err)
	}
}

// TestBlobBindings guards V-01 for blobs: what is changed, cut, lengthened, put into
// another order or in another's place does not open, also where somebody gives it
// the right hash.
func TestBlobBindings(t *testing.T) {
	k := newKeys(t)
	b, sealed, _ := sealBlob(t, k, 100_000)
	other, otherSealed, _ := sealBlob(t, k, 100_000)
	chunks := slices.Collect(slices.Chunk(sealed, sealedChunk))
	otherChunks := slices.Collect(slices.Chunk(otherSealed, sealedChunk))
	swapped := slices.Clone(chunks)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	mixed := slices.Clone(chunks)
	mixed[3] = otherChunks[3]
	for name, forged := range map[string][]byte{
		"nothing":                     {},
		"the first segment alone":     chunks[0],
		"without the last segment":    bytes.Join(chunks[:len(chunks)-1], nil),
		"without the first segment":   bytes.Join(chunks[1:], nil),
		"a segment twice":             bytes.Join(append(slices.Clone(chunks), chunks[0]), nil),
		"segments in another order":   bytes.Join(swapped, nil),
		"a segment of another blob":   bytes.Join(mixed, nil),
		"another blob":                otherSealed,
		"one byte less":               sealed[:len(sealed)-1],
		"one byte more":               append(bytes.Clone(sealed), 0),
		"a head of a segment more":    append(bytes.Clone(sealed), chunks[0][:Overhead]...),
		"far too long":                make([]byte, MaxSealedBlob()+1),
		"a flipped bit at the end":    flipped(sealed, len(sealed)*8-1),
		"a flipped bit of the suite":  flipped(sealed, 0),
		"a flipped bit in the middle": flipped(sealed, len(sealed)*4),
	} {
		if got, err := openBlob(k, b, forged); !errors.Is(err, ErrOpen) || len(got) > 0 {
			t.Errorf("%s, by its name: %d bytes, %v", name, len(got), err)
		}
		if _, err := openBlob(k, Blob{DEK: b.DEK, Hash: sha256.Sum256(forged)}, forged); !errors.Is(err, ErrOpen) {
			t.Errorf("%s, with its hash: %v", name, err)
		}
	}
	if _, err := openBlob(k, Blob{DEK: other.DEK, Hash: b.Hash}, sealed); !errors.Is(err, ErrOpen) {
		t.Errorf("the key of another blob: %v", err)
	}
	elsewhere := NewKeys(k.arena, k.rand, ID{9}, k.vrk)
	if _, err := openBlob(elsewhere, b, sealed); !errors.Is(err, ErrOpen) {
		t.Errorf("another vault: %v", err)
	}
}

func flipped(b []byte, bit int) []byte {
	c := bytes.Clone(b)
	c[bit/8] ^= 1 << (bit % 8)
	return c
}

// TestBlobRecord shows a record that names a blob: its own format, its blob in the
// raw part and nowhere else, and the same bindings as any other.
func TestBlobRecord(t *testing.T) {
	k := newKeys(t)
	o := opener(t, k)
	b, sealedBlob, plain := sealBlob(t, k, 70_000)
	m := &Metadata{Name: "a", Kind: "secret", Created: 1}
	r, err := k.SealRecord(m, Secret{SignOnly: take(t, k.arena, []byte("tag")), Blob: b})
	if err != nil {
		t.Fatal(err)
	}
	r = clone(t, r)
	if got := r.Blobs(); len(got) != 1 || got[0] != b.Hash || r.format() != blobFormat {
		t.Errorf("blobs %x, format %d", got, r.format())
	}
	got, err := o.Blob(r, 1)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := openBlob(k, got, sealedBlob); err != nil || !bytes.Equal(p, plain) {
		t.Errorf("opened %d bytes, %v", len(p), err)
	}
	if _, err := o.Content(r, PartRaw, 1); !errors.Is(err, ErrOpen) {
		t.Errorf("the content of a blob: %v", err)
	}
	if _, err := o.Check(r); err != nil {
		t.Error(err)
	}
	// A short secret follows, and the blob is the previous one; then they change places.
	r, err = k.Rotate(r, m, 2, Secret{SignOnly: take(t, k.arena, []byte("tag")), Raw: take(t, k.arena, []byte("short"))})
	if err != nil {
		t.Fatal(err)
	}
	r = clone(t, r)
	s, err := o.Secret(r, 1)
	if err != nil || s.Blob.Hash != b.Hash {
		t.Fatal(s.Blob.Hash, err)
	}
	if r, err = k.Rotate(r, m, 3, s); err != nil {
		t.Fatal(err)
	}
	r = clone(t, r)
	if b1, err := o.Blob(r, 3); err != nil || b1.Hash != b.Hash {
		t.Errorf("back again: %x, %v", b1.Hash, err)
	}
	// Without the blob the format is the plain one again.
	m.Versions = m.Versions[1:]
	if r, err = k.Describe(r, m); err != nil || r.format() != recordFormat {
		t.Errorf("without the blob: format %d, %v", r.format(), err)
	}
	// The hash stands in no sign-only part, and in no record of the plain format.
	r, _ = sealed(t, k, "plain")
	r.Parts[0].Versions[0].Content = b.Hash[:]
	if _, err := DecodeRecord(r.Encode()); !errors.Is(err, ErrFormat) {
		t.Errorf("a blob in the sign-only part: %v", err)
	}
	w := wireRecord{Type: TypeRecord, Format: recordFormat, ID: r.ID, Metadata: r.Metadata, Parts: clonedParts(t, k, b)}
	if _, err := DecodeRecord(w.encode()); !errors.Is(err, ErrFormat) {
		t.Errorf("a blob in a record of the plain format: %v", err)
	}
	plainRecord, _ := sealed(t, k, "plain")
	w = wireRecord{Type: TypeRecord, Format: blobFormat, ID: plainRecord.ID, Metadata: plainRecord.Metadata, Parts: plainRecord.Parts}
	if _, err := DecodeRecord(w.encode()); !errors.Is(err, ErrFormat) {
		t.Errorf("a record of the format with blobs and without one: %v", err)
	}
}

// clonedParts returns the parts of a record that names b.
func clonedParts(t *testing.T, k *Keys, b Blob) []RecordPart {
	t.Helper()
	r, err := k.SealRecord(&Metadata{Name: "b", Kind: "secret"}, Secret{SignOnly: take(t, k.arena, []byte("tag")), Blob: b})
	if err != nil {
		t.Fatal(err)
	}
	return r.Parts
}
