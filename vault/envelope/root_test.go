package envelope

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"
)

// TestTreeHash compares with the recursive definition of RFC 6962 section 2.1.
func TestTreeHash(t *testing.T) {
	var reference func(l [][32]byte) [32]byte
	reference = func(l [][32]byte) [32]byte {
		if len(l) == 1 {
			return l[0]
		}
		k := 1
		for 2*k < len(l) {
			k *= 2
		}
		left, right := reference(l[:k]), reference(l[k:])
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
	var leaves []Leaf
	for n := range 70 {
		leaves = append(leaves, ObjectLeaf(ID{byte(n)}, []byte{byte(n), 1}))
		var hashes [][32]byte
		for _, l := range leaves {
			hashes = append(hashes, l.hash)
		}
		if got, want := treeHash(reversed(leaves)), reference(hashes); got != want {
			t.Fatalf("%d leaves: got %x, want %x", n+1, got, want)
		}
	}
	if want := sha256.Sum256([]byte("\x00\x03" + string(make([]byte, 16)) + "content")); newLeaf(objectType, ID{}, []byte("content")).hash != want {
		t.Error("hash of a leaf differs from its definition")
	}
}

func reversed(l []Leaf) []Leaf {
	r := make([]Leaf, 0, len(l))
	for i := range l {
		r = append(r, l[len(l)-1-i])
	}
	return r
}

// chain returns roots of generation 1 to n, each with a record of its own.
func chain(t testing.TB, k *Keys, n int) []*Root {
	t.Helper()
	public, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	slot, err := k.SealSlot(KindKeyring, KDF{}, Shares{Keyring: take(t, k.arena, make([]byte, ShareSize))})
	if err != nil {
		t.Fatal(err)
	}
	r := NewRoot(testVault, public, 1_700_000_000)
	var roots []*Root
	for i := range n {
		if r, err = r.Next(k, []*Slot{slot}, []Leaf{ObjectLeaf(ID{byte(i), byte(i >> 8)}, []byte{1})}); err != nil {
			t.Fatal(err)
		}
		roots = append(roots, r)
	}
	return roots
}

func TestCoversRefuses(t *testing.T) {
	k := newKeys(t)
	roots := chain(t, k, 3)
	r := roots[2]
	mine := ObjectLeaf(ID{2}, []byte{1})
	for _, c := range []struct {
		name       string
		generation uint64
		records    []Leaf
	}{
		{"other generation", 4, []Leaf{mine}},
		{"no record", 3, nil},
		{"another id", 3, []Leaf{ObjectLeaf(ID{3}, []byte{1})}},
		{"other content", 3, []Leaf{ObjectLeaf(ID{2}, []byte{2})}},
		{"one more", 3, []Leaf{mine, ObjectLeaf(ID{3}, []byte{1})}},
		{"twice", 3, []Leaf{mine, mine}},
	} {
		if err := r.Covers(c.generation, c.records); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: got %v, want ErrManifest", c.name, err)
		}
	}
}

func TestDecodeRootRefuses(t *testing.T) {
	k := newKeys(t)
	roots := chain(t, k, 4)
	r := roots[3]
	edit := func(f func(w *wireRoot)) []byte {
		w := wireRoot{Header: r.header(), Manifest: r.manifest.Encode(), Signature: r.signature}
		for _, s := range r.Slots {
			w.Slots = append(w.Slots, *s.wire())
		}
		for _, l := range r.history.links {
			w.History.Links = append(w.History.Links, l[:]...)
		}
		f(&w)
		return w.encode()
	}
	resign := func(w *wireRoot, m Manifest) {
		w.Manifest = m.Encode()
		w.Signature, _ = k.sign(labelManifestKey, w.Manifest)
	}
	for _, c := range []struct {
		name string
		edit func(w *wireRoot)
		want error
	}{
		{"nothing", func(*wireRoot) {}, nil},
		{"magic", func(w *wireRoot) { w.Header.Magic = "nsagent vaulT" }, ErrFormat},
		{"version", func(w *wireRoot) { w.Header.Version = 2 }, ErrNewer},
		{"suite", func(w *wireRoot) { w.Header.Suite = 2 }, ErrNewer},
		{"version 0", func(w *wireRoot) { w.Header.Version = 0 }, ErrFormat},
		{"no slot", func(w *wireRoot) { w.Slots = nil }, ErrFormat},
		{"a slot twice", func(w *wireRoot) { w.Slots = append(w.Slots, w.Slots[0]) }, ErrFormat},
		{"slot of another kind", func(w *wireRoot) { w.Slots[0].Kind = "age" }, ErrNewer},
		{"slot with another KDF", func(w *wireRoot) { w.Slots[0].KDF.Algorithm = "scrypt" }, ErrNewer},
		{"slot with a salt", func(w *wireRoot) { w.Slots[0].Salt = []byte{1} }, ErrFormat},
		{"slot with a cost", func(w *wireRoot) { w.Slots[0].KDF.Time = 3 }, ErrFormat},
		{"slot without VRK", func(w *wireRoot) { w.Slots[0].VRK = nil }, ErrFormat},
		{"cheap slot", func(w *wireRoot) {
			w.Slots[0].Kind, w.Slots[0].Salt = "passphrase", make([]byte, saltSize)
			w.Slots[0].KDF = wireKDF{Algorithm: argonName, Version: argonVersion, MemoryKiB: 1024, Time: 1, Threads: 1}
		}, ErrKDF},
		{"other signature", func(w *wireRoot) { w.Signature[5] ^= 1 }, ErrSignature},
		{"other public key", func(w *wireRoot) { w.Header.PublicKey[5] ^= 1 }, ErrSignature},
		{"manifest of the generation before", func(w *wireRoot) { w.Manifest = roots[2].manifest.Encode() }, ErrFormat},
		{"history cut", func(w *wireRoot) { w.History.Links = w.History.Links[32:] }, ErrFormat},
		{"history cut, base put right", func(w *wireRoot) {
			w.History.Base, w.History.Links = roots[0].Hash(), w.History.Links[32:]
		}, ErrFormat},
		{"history changed", func(w *wireRoot) { w.History.Links[40] ^= 1 }, ErrManifest},
		{"base changed", func(w *wireRoot) { w.History.Base[0] ^= 1 }, ErrManifest},
		{"history of odd length", func(w *wireRoot) { w.History.Links = w.History.Links[:95] }, ErrFormat},
		{"signed for another vault", func(w *wireRoot) {
			m := r.manifest
			m.Vault[0] ^= 1
			resign(w, m)
		}, ErrManifest},
		{"signed with other label", func(w *wireRoot) {
			m := wireManifest{Label: "nsagent/v1 checkpoint", Vault: r.Vault, Generation: 4}
			w.Manifest = m.encode()
			w.Signature, _ = k.sign(labelManifestKey, w.Manifest)
		}, ErrFormat},
		{"signed for another past", func(w *wireRoot) {
			m := r.manifest
			m.Previous = roots[1].Hash()
			resign(w, m)
		}, ErrManifest},
	} {
		if _, err := DecodeRoot(edit(c.edit)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	var later encoder
	later.array(2).array(3).text(magic).uint(7).text("whatever comes").text("later")
	if _, err := DecodeRoot(later.b); !errors.Is(err, ErrNewer) {
		t.Errorf("a root of a later shape: got %v, want ErrNewer", err)
	}
}

// TestStrictEncoding: other encodings of the same values are refused.
func TestStrictEncoding(t *testing.T) {
	m := Manifest{Vault: testVault, Generation: 5}
	good := m.Encode()
	if got, err := DecodeManifest(good); err != nil || got != m {
		t.Fatal(got, err)
	}
	at := len(good) - 2*34 - 1 // the generation, one byte
	splice := func(i, n int, with ...byte) []byte {
		return append(append(bytes.Clone(good[:i]), with...), good[i+n:]...)
	}
	for name, b := range map[string][]byte{
		"longer integer":      splice(at, 1, 0x18, 5),
		"float":               splice(at, 1, 0xf9, 0x45, 0x00),
		"tagged":              splice(at, 1, 0xc1, 5),
		"bignum":              splice(at, 1, 0xc2, 0x41, 5),
		"null":                splice(at, 1, 0xf6),
		"indefinite array":    append(splice(0, 1, 0x9f), 0xff),
		"one item more":       append(splice(0, 1, 0x86), 0),
		"trailing byte":       append(bytes.Clone(good), 0),
		"short byte string":   good[:len(good)-1],
		"short tree":          splice(at+1, 34, append([]byte{0x58, 31}, make([]byte, 31)...)...),
		"tree of numbers":     splice(at+1, 34, append([]byte{0x98, 32}, make([]byte, 32)...)...),
		"indefinite bytes":    splice(at+1, 34, append(append([]byte{0x5f, 0x58, 32}, make([]byte, 32)...), 0xff)...),
		"map":                 {0xa0},
		"nothing":             {},
		"length beyond input": {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		if _, err := DecodeManifest(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", name, err)
		}
	}
}
