package envelope

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
)

// Each decoder either refuses or gives a value that encodes to the same bytes.

func fuzzDecoder[T any](f *testing.F, decode func([]byte) (T, error), encode func(T) []byte, isNil func(T) bool) {
	f.Add([]byte{})
	f.Add([]byte{0x85})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err != nil {
			if !isNil(v) {
				t.Fatal("an error and a value")
			}
			return
		}
		if got := encode(v); !bytes.Equal(got, b) {
			t.Fatalf("decoded %x, encoded %x", b, got)
		}
	})
}

func FuzzDecodeRoot(f *testing.F) {
	for _, r := range chain(f, newKeys(f), 3) {
		f.Add(r.Encode())
	}
	fuzzDecoder(f, DecodeRoot, (*Root).Encode, func(r *Root) bool { return r == nil })
}

func FuzzDecodeRecord(f *testing.F) {
	k := newKeys(f)
	r, _ := sealed(f, k, "a")
	f.Add(r.Encode())
	f.Add([]byte{0x83, 0x04, 0x01, 0x00})
	b, _, _ := sealBlob(f, k, 100)
	if r, err := k.SealRecord(&Metadata{Name: "b", Kind: "secret"}, Secret{SignOnly: take(f, k.arena, []byte("tag")), Blob: b}); err == nil {
		f.Add(r.Encode())
	}
	fuzzDecoder(f, DecodeRecord, (*Record).Encode, func(r *Record) bool { return r == nil })
}

func FuzzDecodeGrant(f *testing.F) {
	k := newKeys(f)
	f.Add(grantOf(f, k, ID{9}).Encode())
	a, _ := sealed(f, k, "a")
	b, _ := sealed(f, k, "b")
	f.Add(grantOf(f, k, ID{9}, a, b).Encode())
	f.Add(a.Encode())
	fuzzDecoder(f, DecodeGrant, (*Grant).Encode, func(g *Grant) bool { return g == nil })
}

func FuzzDecodePolicy(f *testing.F) {
	k := newKeys(f)
	for _, m := range []*secret.HMACKey{nil, machineKey(f, k.arena, "machine")} {
		p, err := k.SealPolicy([]byte("version = 1"), m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Encode())
	}
	fuzzDecoder(f, DecodePolicy, (*Policy).Encode, func(p *Policy) bool { return p == nil })
}

func FuzzDecodeManifest(f *testing.F) {
	f.Add(Manifest{Vault: testVault, Generation: 5}.Encode())
	fuzzDecoder(f, DecodeManifest, Manifest.Encode, func(m Manifest) bool { return m == Manifest{} })
}

func FuzzDecodeSlot(f *testing.F) {
	k := newKeys(f)
	for _, kind := range allKinds {
		s, err := k.SealSlot(kind, KDFLow, testShares(f, k.arena, kind))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s.Encode())
	}
	fuzzDecoder(f, DecodeSlot, (*Slot).Encode, func(s *Slot) bool { return s == nil })
}

func FuzzDecodeMetadata(f *testing.F) {
	_, m := sealed(f, newKeys(f), "a")
	f.Add(m.encode())
	fuzzDecoder(f, decodeMetadata, (*Metadata).encode, func(m *Metadata) bool { return m == nil })
}

// FuzzOpenBlob guards I-01 for blobs: whatever is in the file, what is opened is what
// was sealed.
func FuzzOpenBlob(f *testing.F) {
	k := newKeys(f)
	b, sealed, plain := sealBlob(f, k, 300)
	f.Add(sealed)
	f.Add(sealed[:len(sealed)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := openBlob(k, Blob{DEK: b.DEK, Hash: sha256.Sum256(data)}, data)
		if err == nil && !bytes.Equal(got, plain) {
			t.Fatalf("opened %x", got)
		}
	})
}
