package vault

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/vault/store"
)

// value seals a long secret that follows from a word, in pieces of 5,000 bytes.
func (f *fixture) value(word string, n int) Value {
	f.t.Helper()
	w, err := f.NewValue(n)
	if err != nil {
		f.t.Fatal(err)
	}
	for p := range slices.Chunk(longText(word, n), 5000) {
		if err := w.Write(p); err != nil {
			f.t.Fatal(err)
		}
	}
	v, err := w.Finish()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(v.Destroy)
	return v
}

func longText(word string, n int) []byte { return []byte(strings.Repeat(word, n/len(word)+1)[:n]) }

// long returns the raw part of a record.
func (f *fixture) long(name string) ([]byte, error) {
	b, err := f.OpenRaw(name)
	if err != nil {
		return nil, err
	}
	defer b.Destroy()
	var got []byte
	err = b.Use(func(p []byte) error { got = bytes.Clone(p); return nil })
	return got, err
}

// TestLongSecret shows a secret of a million characters from the record on: added,
// replaced, gone back to, replaced by a short one, removed; in this process and in
// another one.
func TestLongSecret(t *testing.T) {
	ctx := context.Background()
	file := store.NewFile(filepath.Join(t.TempDir(), "vault.nsv"))
	f := newVault(t, file)
	f.add("plain")
	if _, err := f.Add(ctx, NewRecord{Name: "a", Kind: "secret", SignOnly: f.bytesOf("tag"), Long: f.value("first ", 500_000)}); err != nil {
		t.Fatal(err)
	}
	want := func(word string, n int) {
		t.Helper()
		for _, g := range []*fixture{f, f.unlocked()} {
			if got, err := g.long("a"); err != nil || !bytes.Equal(got, longText(word, n)) {
				t.Errorf("%d bytes %.10q, %v; want %d of %q", len(got), got, err, n, word)
			}
			g.integrity()
		}
	}
	edit := func(e Edit) {
		t.Helper()
		if _, err := f.Edit(ctx, "a", func(Record) (Edit, error) { return e, nil }); err != nil {
			t.Fatal(err)
		}
	}
	want("first ", 500_000)
	edit(Edit{SignOnly: f.bytesOf("tag"), Long: f.value("second ", 300_001)})
	want("second ", 300_001)
	edit(Edit{UsePrevious: true})
	want("first ", 500_000)
	edit(Edit{Meta: []byte("m"), Name: "b"})
	if _, err := f.Edit(ctx, "b", func(Record) (Edit, error) { return Edit{Name: "a"}, nil }); err != nil {
		t.Fatal(err)
	}
	want("first ", 500_000)
	edit(Edit{SignOnly: f.bytesOf("tag"), Raw: f.bytesOf("short")})
	want("short", 5)
	edit(Edit{UsePrevious: true})
	want("first ", 500_000)
	edit(Edit{DropPrevious: true})
	want("first ", 500_000)
	if b, err := os.ReadFile(file.Path()); err != nil || bytes.Contains(b, []byte("first first")) {
		t.Error("the secret stands in the vault in clear, or", err)
	}
	if err := f.Remove(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	f.integrity()
	_, err := f.NewValue(MaxValue + 1)
	wantError(t, "a value that is too long", err, ErrRecord)
	f.Lock()
	_, err = f.NewValue(10)
	wantError(t, "a value while locked", err, ErrLocked)
}

// TestBlobDamage guards V-02 for blobs: one that is missing, cut, changed or another's
// is told, the rest of the vault opens, and nothing wrong is opened.
func TestBlobDamage(t *testing.T) {
	ctx := context.Background()
	s := &memStore{}
	f := newVault(t, s)
	f.add("plain")
	for _, name := range []string{"a", "b"} {
		if _, err := f.Add(ctx, NewRecord{Name: name, Kind: "secret", SignOnly: f.bytesOf("tag"), Long: f.value(name+" ", 100_000)}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := f.current()
	if err != nil {
		t.Fatal(err)
	}
	hash := func(name string) store.BlobHash { return store.BlobHash(c.index.byName[name].blobs[0]) }
	a, b := hash("a"), hash("b")
	good := bytes.Clone(s.blobs[a])
	check := func(what string) {
		t.Helper()
		got, err := f.long("a")
		wantError(t, what, err, ErrDamaged)
		if len(got) > 0 {
			t.Errorf("%s: opened %d bytes", what, len(got))
		}
		wantError(t, what+", checked", f.Check(ctx), ErrDamaged)
		if _, err := f.long("b"); err != nil {
			t.Errorf("%s: another record: %v", what, err)
		}
		if s, _, err := f.content("plain"); s == "" || err != nil {
			t.Errorf("%s: a plain record: %v", what, err)
		}
	}
	delete(s.blobs, a)
	check("missing")
	_, err = f.long("a")
	wantError(t, "missing, as itself", err, ErrBlob)
	s.blobs[a] = s.blobs[b]
	check("another's")
	s.blobs[a] = good[:len(good)-1]
	check("cut by a byte")
	s.blobs[a] = append(bytes.Clone(good), 0)
	check("a byte more")
	s.blobs[a] = nil
	check("empty")
	step := len(good) / 40
	for at := 0; at < len(good); at += step {
		s.blobs[a] = bytes.Clone(good)
		s.blobs[a][at] ^= 1
		if got, err := f.long("a"); err == nil {
			t.Errorf("byte %d changed: opened %d bytes", at, len(got))
		}
	}
	s.blobs[a] = good
	f.integrity()
}

// TestLongSecretTakesLittleMemory guards that locked memory does not grow with the
// length of a secret that is stored.
func TestLongSecretTakesLittleMemory(t *testing.T) {
	f := newVault(t, nil)
	used := f.cfg.Arena.Info().Used
	w, err := f.NewValue(MaxValue)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	piece := make([]byte, 4000)
	for range MaxValue / len(piece) {
		if err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
		if now := f.cfg.Arena.Info().Used; now-used > 17<<10 {
			t.Fatalf("%d bytes of locked memory", now-used)
		}
	}
	v, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	v.Destroy()
	if now := f.cfg.Arena.Info().Used; now != used {
		t.Errorf("%d bytes of locked memory are left", now-used)
	}
}
