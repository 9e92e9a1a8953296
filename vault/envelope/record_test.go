package envelope

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRecordRoundTrip(t *testing.T) {
	k := newKeys(t)
	o := opener(t, k)
	rapid.Check(t, func(rt *rapid.T) {
		signOnly := rapid.SliceOfN(rapid.Byte(), 1, 3000).Draw(rt, "sign-only")
		raw := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(rt, "raw")
		m := &Metadata{
			Name: rapid.StringN(1, -1, MaxName).Draw(rt, "name"), Kind: "tba",
			Created: rapid.Uint64().Draw(rt, "created"), Meta: rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(rt, "meta"),
		}
		s := Secret{SignOnly: take(t, k.arena, signOnly)}
		defer s.SignOnly.Destroy()
		if len(raw) > 0 {
			s.Raw = take(t, k.arena, raw)
			defer s.Raw.Destroy()
		}
		r, err := k.SealRecord(m, s)
		if err != nil {
			rt.Fatal(err)
		}
		again, err := DecodeRecord(r.Encode())
		if err != nil {
			rt.Fatal(err)
		}
		got, err := o.Check(again)
		if err != nil {
			rt.Fatal(err)
		}
		if got.Name != m.Name || got.Kind != m.Kind || got.Created != m.Created || !bytes.Equal(got.Meta, m.Meta) || got.Current() != 1 {
			rt.Fatalf("metadata %+v, want %+v", got, m)
		}
		for p, want := range map[Part][]byte{PartSignOnly: signOnly, PartRaw: raw} {
			c, err := o.Content(again, p, 1)
			if len(want) == 0 {
				if !errors.Is(err, ErrOpen) {
					rt.Fatalf("opened a part that is not there: %v", err)
				}
				continue
			}
			if err != nil {
				rt.Fatal(err)
			}
			equal(t, c, want)
			c.Destroy()
		}
		if t.Failed() {
			rt.Fatal("content differs")
		}
	})
}

func TestRotateAndDescribe(t *testing.T) {
	k := newKeys(t)
	o := opener(t, k)
	r, m := sealed(t, k, "acme")
	for n := uint64(2); n <= 3; n++ {
		next, err := k.Rotate(r, m, 1_700_000_000+n, Secret{
			SignOnly: take(t, k.arena, []byte{byte(n), 's'}), Raw: take(t, k.arena, []byte{byte(n), 'r'}),
		})
		if err != nil {
			t.Fatal(err)
		}
		r = next
	}
	kept := r.Parts[0].Versions[0].Content
	m.Name, m.Meta = "acme-2", []byte("other limits")
	r, err := k.Describe(r, m)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, r.Parts[0].Versions[0].Content) {
		t.Error("describing a record sealed its content anew")
	}
	got, err := o.Check(r)
	if err != nil {
		t.Fatal(err)
	}
	want := []Version{{Number: 3, Created: 1_700_000_003}, {Number: 2, Created: 1_700_000_002}}
	if got.Name != "acme-2" || string(got.Meta) != "other limits" || !slices.Equal(got.Versions, want) {
		t.Errorf("got %+v, want versions %v", got, want)
	}
	for _, n := range []uint64{2, 3} {
		for p, c := range map[Part]byte{PartSignOnly: 's', PartRaw: 'r'} {
			b, err := o.Content(r, p, n)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, b, []byte{byte(n), c})
		}
	}
	if _, err := o.Content(r, PartRaw, 1); !errors.Is(err, ErrOpen) {
		t.Errorf("version 1 after two rotations: %v", err)
	}
	if _, err := k.Rotate(r, got, 0, Secret{SignOnly: take(t, k.arena, []byte("x"))}); !errors.Is(err, ErrInput) {
		t.Errorf("rotating one part of two: %v", err)
	}
}

// TestRecordBindings is V-01 at the level of keys: whoever could sign a manifest
// still could not put a sealed field anywhere but where it was sealed. The edits
// are of the decoded structure, so nothing but cryptography stands against them.
func TestRecordBindings(t *testing.T) {
	k := newKeys(t)
	o := opener(t, k)
	a, ma := sealed(t, k, "a")
	b, mb := sealed(t, k, "b")
	b, err := k.Rotate(b, mb, 2, Secret{SignOnly: take(t, k.arena, []byte("b2")), Raw: take(t, k.arena, []byte("b2 raw"))})
	if err != nil {
		t.Fatal(err)
	}
	older := clone(t, a)
	a, err = k.Rotate(a, ma, 2, Secret{SignOnly: take(t, k.arena, []byte("a2")), Raw: take(t, k.arena, []byte("a2 raw"))})
	if err != nil {
		t.Fatal(err)
	}
	relimited := *ma
	relimited.Meta = []byte("wider limits")
	wider, err := k.Describe(a, &relimited)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Check(a); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		edit func(r *Record)
	}{
		{"id of another record", func(r *Record) { r.ID = b.ID }},
		{"metadata of another record", func(r *Record) { r.Metadata = b.Metadata }},
		{"metadata of an earlier state", func(r *Record) { r.Metadata = older.Metadata }},
		{"metadata of a later state", func(r *Record) { r.Metadata = wider.Metadata }},
		{"wrap of a later state", func(r *Record) { r.Parts[0].Versions[0].DEK = wider.Parts[0].Versions[0].DEK }},
		{"sign-only part of another record", func(r *Record) { r.Parts[0] = b.Parts[0] }},
		{"raw part of another record", func(r *Record) { r.Parts[1] = b.Parts[1] }},
		{"raw part stripped", func(r *Record) { r.Parts = r.Parts[:1] }},
		{"parts swapped", func(r *Record) {
			swap(&r.Parts[0].CK, &r.Parts[1].CK)
			swap(&r.Parts[0].Versions, &r.Parts[1].Versions)
		}},
		{"CKs swapped", func(r *Record) { swap(&r.Parts[0].CK, &r.Parts[1].CK) }},
		{"versions of the parts swapped", func(r *Record) { swap(&r.Parts[0].Versions, &r.Parts[1].Versions) }},
		{"contents of the parts swapped", func(r *Record) { swap(&r.Parts[0].Versions[0].Content, &r.Parts[1].Versions[0].Content) }},
		{"DEKs of the versions swapped", func(r *Record) { swap(&r.Parts[0].Versions[0].DEK, &r.Parts[0].Versions[1].DEK) }},
		{"contents of the versions swapped", func(r *Record) { swap(&r.Parts[0].Versions[0].Content, &r.Parts[0].Versions[1].Content) }},
		{"versions swapped whole", func(r *Record) {
			for i := range r.Parts {
				v := r.Parts[i].Versions
				swap(&v[0].DEK, &v[1].DEK)
				swap(&v[0].Content, &v[1].Content)
			}
		}},
		{"newest version stripped", func(r *Record) {
			for i := range r.Parts {
				r.Parts[i].Versions = r.Parts[i].Versions[1:]
			}
		}},
		{"oldest version stripped", func(r *Record) {
			for i := range r.Parts {
				r.Parts[i].Versions = r.Parts[i].Versions[:1]
			}
		}},
		{"old version presented as the newest", func(r *Record) {
			for i := range r.Parts {
				r.Parts[i].Versions[0] = older.Parts[i].Versions[0]
				r.Parts[i].Versions[0].Number = 2
				r.Parts[i].Versions[1] = older.Parts[i].Versions[0]
			}
		}},
		{"older version once more", func(r *Record) {
			for i := range r.Parts {
				v := r.Parts[i].Versions
				r.Parts[i].Versions = []SealedVersion{{Number: 3, DEK: v[0].DEK, Content: v[0].Content}, v[0], v[1]}
			}
		}},
		{"versions renumbered", func(r *Record) {
			for i := range r.Parts {
				r.Parts[i].Versions[0].Number++
			}
		}},
	} {
		r := clone(t, a)
		c.edit(r)
		if r, err := DecodeRecord(r.Encode()); err != nil {
			t.Errorf("%s: does not even decode, so it shows nothing: %v", c.name, err)
		} else if _, err := o.Check(r); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: got %v, want ErrOpen", c.name, err)
		}
	}
	// What the record holds is compared as soon as the metadata are open.
	for name, edit := range map[string]func(r *Record){
		"raw part stripped": func(r *Record) { r.Parts = r.Parts[:1] },
		"newest stripped":   func(r *Record) { r.Parts = versions(r.Parts, func(v []SealedVersion) []SealedVersion { return v[1:] }) },
		"oldest stripped":   func(r *Record) { r.Parts = versions(r.Parts, func(v []SealedVersion) []SealedVersion { return v[:1] }) },
		"newest with its number": func(r *Record) {
			r.Parts = versions(r.Parts, func(v []SealedVersion) []SealedVersion { v[0].Number = 9; return v })
		},
	} {
		r := clone(t, a)
		edit(r)
		if m, err := o.Metadata(r); !errors.Is(err, ErrOpen) || m != nil {
			t.Errorf("%s: metadata opened, %v", name, err)
		}
	}
	otherVault := NewKeys(k.arena, k.rand, ID{1}, k.vrk)
	if _, err := opener(t, otherVault).Metadata(a); !errors.Is(err, ErrOpen) {
		t.Errorf("under another vault id: %v", err)
	}
}

func TestSealRecordRefuses(t *testing.T) {
	k := newKeys(t)
	good := func() *Metadata { return &Metadata{Name: "a", Kind: "tba"} }
	some := take(t, k.arena, []byte("s"))
	large := take(t, k.arena, make([]byte, MaxContent+1))
	for _, c := range []struct {
		name string
		m    func(*Metadata)
		s    Secret
		want error
	}{
		{"no secret", func(*Metadata) {}, Secret{}, ErrInput},
		{"raw alone", func(*Metadata) {}, Secret{Raw: some}, ErrInput},
		{"large secret", func(*Metadata) {}, Secret{SignOnly: large}, ErrTooLarge},
		{"no name", func(m *Metadata) { m.Name = "" }, Secret{SignOnly: some}, ErrInput},
		{"long name", func(m *Metadata) { m.Name = strings.Repeat("a", MaxName+1) }, Secret{SignOnly: some}, ErrInput},
		{"name not UTF-8", func(m *Metadata) { m.Name = "\xff" }, Secret{SignOnly: some}, ErrInput},
		{"no kind", func(m *Metadata) { m.Kind = "" }, Secret{SignOnly: some}, ErrInput},
		{"large metadata", func(m *Metadata) { m.Meta = make([]byte, MaxMeta+1) }, Secret{SignOnly: some}, ErrTooLarge},
	} {
		m := good()
		c.m(m)
		if r, err := k.SealRecord(m, c.s); !errors.Is(err, c.want) || r != nil {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

// TestSmallSecretsLookAlike is what padding is for: midstates, a pair of secrets
// and an EC key give records of one length.
func TestSmallSecretsLookAlike(t *testing.T) {
	k := newKeys(t)
	lengths := map[int]bool{}
	for _, n := range []int{1, 64, 129, 138, 255} {
		m := &Metadata{Name: strings.Repeat("n", n%60+1), Kind: "tba", Meta: make([]byte, n/2)}
		r, err := k.SealRecord(m, Secret{SignOnly: take(t, k.arena, make([]byte, n)), Raw: take(t, k.arena, make([]byte, 256-n))})
		if err != nil {
			t.Fatal(err)
		}
		lengths[len(r.Encode())] = true
	}
	if len(lengths) != 1 {
		t.Errorf("records of %d different lengths", len(lengths))
	}
}

func TestDecodeRecordTellsNewer(t *testing.T) {
	var typ encoder
	typ.array(3).uint(uint64(TypePolicy) + 1).uint(1).text("an object of some later version")
	var format encoder
	format.array(2).uint(uint64(TypeRecord)).uint(blobFormat + 1)
	for name, b := range map[string][]byte{"type": typ.b, "format": format.b} {
		if _, err := DecodeRecord(b); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: got %v, want ErrNewer", name, err)
		}
	}
	if _, err := DecodeRecord([]byte{0x82, 0x01, 0x01}); !errors.Is(err, ErrFormat) {
		t.Errorf("type that no record has: got %v, want ErrFormat", err)
	}
}

func clone(t testing.TB, r *Record) *Record {
	t.Helper()
	c, err := DecodeRecord(r.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// versions returns the parts with the versions of each changed.
func versions(parts []RecordPart, f func([]SealedVersion) []SealedVersion) []RecordPart {
	for i := range parts {
		parts[i].Versions = f(parts[i].Versions)
	}
	return parts
}

func swap[T any](a, b *T) { *a, *b = *b, *a }
