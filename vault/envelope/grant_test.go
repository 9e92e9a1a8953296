package envelope

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
)

// wrapKey returns a wrap key that follows from a label.
func wrapKey(t testing.TB, a *secret.Arena, label string) secret.Bytes {
	t.Helper()
	key := make([]byte, keySize)
	copy(key, label)
	return take(t, a, key)
}

// grantOf returns a grant that opens these records, each by the wrap key of its place.
func grantOf(t testing.TB, k *Keys, id ID, records ...*Record) *Grant {
	t.Helper()
	g, err := k.SealGrant(id, []byte("what the grant says"))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		if err := k.AddWrap(g, r, wrapKey(t, k.arena, string(rune('0'+i)))); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// rootOf returns a root of the vault of k, as its header says it.
func rootOf(t testing.TB, k *Keys) *Root {
	t.Helper()
	public, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return NewRoot(k.vault, public, 0)
}

// byWrap returns the Opener of g by the wrap key of a place.
func byWrap(t testing.TB, g *Grant, k *Keys, root *Root, label string) *Opener {
	t.Helper()
	o, err := g.NewOpener(k.arena, root, wrapKey(t, k.arena, label))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

func TestGrantRoundTrip(t *testing.T) {
	k := newKeys(t)
	a, ma := sealed(t, k, "a")
	b, _ := sealed(t, k, "b")
	g := grantOf(t, k, ID{9}, a, b)
	again, err := DecodeGrant(g.Encode())
	if err != nil {
		t.Fatal(err)
	}
	meta, err := k.GrantMeta(again)
	if err != nil || string(meta) != "what the grant says" {
		t.Errorf("meta %q, %v", meta, err)
	}
	want := []ID{a.ID, b.ID}
	slices.SortFunc(want, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	if !slices.Equal(again.Records(), want) {
		t.Errorf("records %x, want %x", again.Records(), want)
	}
	o := byWrap(t, again, k, rootOf(t, k), "0")
	m, err := o.Metadata(a)
	if err != nil || m.Name != ma.Name || string(m.Meta) != string(ma.Meta) {
		t.Fatalf("metadata %+v, %v", m, err)
	}
	content, err := o.Content(a, PartSignOnly, 1)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, content, []byte("sign-only of a"))
	if _, err := o.Metadata(b); !errors.Is(err, ErrOpen) {
		t.Errorf("the other record by the wrap key of the first: %v", err)
	}
}

// TestGrantOpensNoRawPart: what a grant wraps is the CK of the sign-only part, and that
// opens nothing of the raw one, however it is tried.
func TestGrantOpensNoRawPart(t *testing.T) {
	k := newKeys(t)
	r, _ := sealed(t, k, "a")
	g := grantOf(t, k, ID{9}, r)
	o := byWrap(t, g, k, rootOf(t, k), "0")
	if _, err := o.Content(r, PartRaw, 1); !errors.Is(err, ErrOpen) {
		t.Errorf("the raw part: %v", err)
	}
	if _, err := o.Check(r); !errors.Is(err, ErrOpen) {
		t.Errorf("all of it: %v", err)
	}
	if err := o.unwrap(o.ck, r, PartRaw); !errors.Is(err, ErrOpen) {
		t.Errorf("its key: %v", err)
	}
	// The CK itself, against everything that is sealed in the raw part.
	if err := o.unwrap(o.ck, r, PartSignOnly); err != nil {
		t.Fatal(err)
	}
	raw := r.part(PartRaw)
	for name, open := range map[string]func(Part) error{
		"its CK": func(p Part) error { return openInto(o.dek, o.ck, ckContext(k.vault, r.ID, p), raw.CK) },
		"its DEK": func(p Part) error {
			return openInto(o.dek, o.ck, dekContext(k.vault, r.ID, 1, p, sha(r.Metadata)), raw.Versions[0].DEK)
		},
		"its content": func(p Part) error {
			return o.openPadded(o.ck, contentContext(k.vault, r.ID, 1, p), raw.Versions[0].Content, func([]byte) error { return nil })
		},
	} {
		for _, p := range []Part{PartRaw, PartSignOnly} {
			if err := open(p); !errors.Is(err, ErrOpen) {
				t.Errorf("%s as %s: %v", name, p, err)
			}
		}
	}
	// The raw part presented as the sign-only one.
	forged := clone(t, r)
	forged.Parts = []RecordPart{{Name: PartSignOnly, CK: raw.CK, Versions: raw.Versions}}
	if _, err := o.Content(forged, PartSignOnly, 1); !errors.Is(err, ErrOpen) {
		t.Errorf("the raw part as the sign-only one: %v", err)
	}
}

// TestGrantBindings: a wrap opens in its grant, for its record, in its vault, where the
// manifests are signed by the vault's own key; and nowhere else.
func TestGrantBindings(t *testing.T) {
	k := newKeys(t)
	a, _ := sealed(t, k, "a")
	b, _ := sealed(t, k, "b")
	g := grantOf(t, k, ID{9}, a, b)
	root := rootOf(t, k)
	if _, err := byWrap(t, g, k, root, "0").Metadata(a); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Grant, *Root){
		"another grant":        func(g *Grant, _ *Root) { g.ID[0] ^= 1 },
		"another vault":        func(_ *Grant, r *Root) { r.Vault[0] ^= 1 },
		"another manifest key": func(_ *Grant, r *Root) { r.PublicKey[0] ^= 1 },
		"another record": func(g *Grant, _ *Root) {
			g.Wraps[0].CK, g.Wraps[1].CK = g.Wraps[1].CK, g.Wraps[0].CK
		},
		"no wrap": func(g *Grant, _ *Root) {
			g.Wraps = slices.DeleteFunc(g.Wraps, func(w Wrap) bool { return w.Record == a.ID })
		},
	} {
		h, err := DecodeGrant(g.Encode())
		if err != nil {
			t.Fatal(err)
		}
		r := *root
		edit(h, &r)
		for _, key := range []string{"0", "1"} {
			if m, err := byWrap(t, h, k, &r, key).Metadata(a); !errors.Is(err, ErrOpen) || m != nil {
				t.Errorf("%s, wrap key %s: %v", name, key, err)
			}
		}
	}
	other := *g
	other.Issuer[0] ^= 1
	if _, err := k.GrantMeta(&other); !errors.Is(err, ErrOpen) {
		t.Errorf("meta of a grant of another issuer: %v", err)
	}
	other = *g
	other.ID[0] ^= 1
	if _, err := k.GrantMeta(&other); !errors.Is(err, ErrOpen) {
		t.Errorf("meta of another grant: %v", err)
	}
}

// TestRekey: nothing that opened a record before opens what it becomes, and the secrets,
// versions and names are the same.
func TestRekey(t *testing.T) {
	k := newKeys(t)
	o := opener(t, k)
	r, m := sealed(t, k, "a")
	r, err := k.Rotate(r, m, 2, Secret{SignOnly: take(t, k.arena, []byte("second")), Raw: take(t, k.arena, []byte("second raw"))})
	if err != nil {
		t.Fatal(err)
	}
	g := grantOf(t, k, ID{9}, r)
	next, nm, err := k.Rekey(r)
	if err != nil {
		t.Fatal(err)
	}
	if next.ID != r.ID || nm.Name != "a" || !slices.Equal(nm.Versions, m.Versions) {
		t.Errorf("rekeyed to %x %+v", next.ID, nm)
	}
	if _, err := o.Check(next); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[uint64][2]string{1: {"sign-only of a", "raw of a"}, 2: {"second", "second raw"}} {
		for i, p := range []Part{PartSignOnly, PartRaw} {
			c, err := o.Content(next, p, n)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, c, []byte(want[i]))
		}
	}
	by := byWrap(t, g, k, rootOf(t, k), "0")
	if _, err := by.Metadata(r); err != nil {
		t.Errorf("the copy from before: %v", err)
	}
	if _, err := by.Metadata(next); !errors.Is(err, ErrOpen) {
		t.Errorf("by the old CK: %v", err)
	}
	// By the old DEK.
	if err := by.openDEK(r, PartSignOnly, r.Parts[0].version(2)); err != nil {
		t.Fatal(err)
	}
	err = by.openPadded(by.dek, contentContext(k.vault, r.ID, 2, PartSignOnly), next.Parts[0].version(2).Content, func([]byte) error { return nil })
	if !errors.Is(err, ErrOpen) {
		t.Errorf("by the old DEK: %v", err)
	}
}

func TestSealGrantRefuses(t *testing.T) {
	k := newKeys(t)
	r, _ := sealed(t, k, "a")
	if _, err := k.SealGrant(ID{9}, make([]byte, MaxGrantMeta+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large meta: %v", err)
	}
	largest, err := k.SealGrant(ID{9}, make([]byte, MaxGrantMeta))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeGrant(largest.Encode()); err != nil {
		t.Errorf("the largest meta: %v", err)
	}
	g := grantOf(t, k, ID{9}, r)
	if err := k.AddWrap(g, r, wrapKey(t, k.arena, "1")); !errors.Is(err, ErrInput) {
		t.Errorf("a record twice: %v", err)
	}
	other, _ := sealed(t, k, "b")
	if err := k.AddWrap(g, other, take(t, k.arena, []byte("short"))); !errors.Is(err, ErrInput) {
		t.Errorf("a short key: %v", err)
	}
	changed := clone(t, other)
	changed.Parts[0].CK[20] ^= 1
	if err := k.AddWrap(g, changed, wrapKey(t, k.arena, "1")); !errors.Is(err, ErrOpen) {
		t.Errorf("a record that does not open: %v", err)
	}
	full := grantOf(t, k, ID{9})
	for i := range MaxWraps {
		full.Wraps = append(full.Wraps, Wrap{ID{byte(i)}, make([]byte, sealedKeySize)})
	}
	if err := k.AddWrap(full, other, wrapKey(t, k.arena, "1")); !errors.Is(err, ErrInput) {
		t.Errorf("one too many: %v", err)
	}
	if _, err := DecodeGrant(full.Encode()); err != nil {
		t.Errorf("as many as there may be: %v", err)
	}
}

// tooLong has the shape of sealed text that is longer than max.
func tooLong(max int) []byte { return make([]byte, paddedLen(paddedLen(max))+Overhead) }

// TestDecodeGrantRefuses: what no nsagent writes, and what a later one does.
func TestDecodeGrantRefuses(t *testing.T) {
	k := newKeys(t)
	a, _ := sealed(t, k, "a")
	b, _ := sealed(t, k, "b")
	g := grantOf(t, k, ID{9}, a, b)
	wire := func(edit func(*wireGrant)) []byte {
		w := wireGrant{Type: TypeGrant, Format: grantFormat, ID: g.ID, Issuer: g.Issuer, Meta: g.Meta}
		for _, wrap := range g.Wraps {
			w.Wraps = append(append(w.Wraps, wrap.Record[:]...), wrap.CK...)
		}
		edit(&w)
		return w.encode()
	}
	if _, err := DecodeGrant(wire(func(*wireGrant) {})); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"a record":         {a.Encode(), ErrFormat},
		"too much meta":    {wire(func(w *wireGrant) { w.Meta = tooLong(MaxGrantMeta) }), ErrFormat},
		"a later type":     {wire(func(w *wireGrant) { w.Type = TypePolicy + 1 }), ErrNewer},
		"a later format":   {wire(func(w *wireGrant) { w.Format++ }), ErrNewer},
		"format 0":         {wire(func(w *wireGrant) { w.Format = 0 }), ErrFormat},
		"another form":     {[]byte{0x82, 0x04, 0x02}, ErrNewer},
		"wraps reversed":   {wire(func(w *wireGrant) { w.Wraps = append(w.Wraps[wrapSize:], w.Wraps[:wrapSize]...) }), ErrFormat},
		"a wrap twice":     {wire(func(w *wireGrant) { w.Wraps = append(w.Wraps[:wrapSize:wrapSize], w.Wraps[:wrapSize]...) }), ErrFormat},
		"a wrap cut":       {wire(func(w *wireGrant) { w.Wraps = w.Wraps[1:] }), ErrFormat},
		"a byte after it":  {append(g.Encode(), 0), ErrFormat},
		"meta of no shape": {wire(func(w *wireGrant) { w.Meta = w.Meta[1:] }), ErrFormat},
		"65 wraps":         {wire(func(w *wireGrant) { w.Wraps = manyWraps(MaxWraps + 1) }), ErrFormat},
	} {
		if g, err := DecodeGrant(c.b); !errors.Is(err, c.want) || g != nil {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func manyWraps(n int) (b []byte) {
	for i := range n {
		b = append(append(b, byte(i)), make([]byte, wrapSize-1)...)
	}
	return b
}

// TestGrantKey: the key that signs grants is not the one that signs manifests, and is
// that of the vault.
func TestGrantKey(t *testing.T) {
	k := newKeys(t)
	public, err := k.GrantKey()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	signature, err := k.SignGrant([]byte("a grant"))
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(public[:], []byte("a grant"), signature[:]) {
		t.Error("the signature does not verify")
	}
	if public == manifest || ed25519.Verify(manifest[:], []byte("a grant"), signature[:]) {
		t.Error("one key signs grants and manifests")
	}
}
