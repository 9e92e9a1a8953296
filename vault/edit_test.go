package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nsagent/nsagent/internal/atomicfile"
	"github.com/nsagent/nsagent/vault/store"
)

// previous returns the previous sign-only content of a record as a string, "" if
// none is kept.
func (f *fixture) previous(name string) string {
	f.t.Helper()
	b, err := f.OpenPrevious(name)
	if errors.Is(err, ErrNotFound) {
		return ""
	}
	if err != nil {
		f.t.Fatal(err)
	}
	defer b.Destroy()
	var s string
	_ = b.Use(func(p []byte) error { s = string(p); return nil })
	return s
}

// TestVersions guards the life of a secret: current and previous, two and no more;
// they change places; the previous one goes and is gone from ".prev" too.
func TestVersions(t *testing.T) {
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "vault.nsv")
	f := newVault(t, store.NewFile(file))
	f.add("a")
	f.add("b")
	edit := func(e Edit) Record {
		t.Helper()
		r, err := f.Edit(ctx, "a", func(Record) (Edit, error) { return e, nil })
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	want := func(numbers, current, previous string) {
		t.Helper()
		for _, g := range []*fixture{f, f.unlocked()} {
			l, err := g.Records()
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, v := range l[0].Versions {
				got += fmt.Sprint(v.Number)
			}
			now, _, err := g.content("a")
			if got != numbers || now != current || g.previous("a") != previous || err != nil {
				t.Errorf("versions %s, current %q, previous %q, %v; want %s, %q, %q", got, now, g.previous("a"), err, numbers, current, previous)
			}
			if g.previous("b") != "" {
				t.Error("a record that was never edited has a previous version")
			}
			g.integrity()
		}
	}
	want("1", "sign-only of a", "")
	if r := edit(Edit{SignOnly: f.bytesOf("s2"), Raw: f.bytesOf("r2"), Meta: []byte("m2")}); r.Version != 2 || r.Previous().Number != 1 || string(r.Meta) != "m2" {
		t.Errorf("the record that came back: %+v", r)
	}
	want("21", "s2", "sign-only of a")
	edit(Edit{UsePrevious: true})
	want("32", "sign-only of a", "s2")
	edit(Edit{Meta: []byte("m3")})
	want("32", "sign-only of a", "s2")
	edit(Edit{SignOnly: f.bytesOf("s4"), Raw: f.bytesOf("r4")})
	want("43", "s4", "sign-only of a")

	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edit(Edit{DropPrevious: true})
	want("4", "s4", "")
	if err := f.Supersede(ctx); err != nil {
		t.Fatal(err)
	}
	r, err := f.current()
	if err != nil {
		t.Fatal(err)
	}
	record := r.raw[r.index.byName["a"].ID]
	for _, path := range []string{file, file + atomicfile.PreviousSuffix} {
		b, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(b, record) || bytes.Equal(b, before) {
			t.Errorf("%s has another record than the one without a previous version, %v", path, err)
		}
	}
	_, err = f.Edit(ctx, "a", func(Record) (Edit, error) { return Edit{UsePrevious: true}, nil })
	wantError(t, "using what is gone", err, ErrNotFound)
	_, err = f.Edit(ctx, "a", func(Record) (Edit, error) { return Edit{SignOnly: f.bytesOf("s")}, nil })
	wantError(t, "one part of two", err, ErrRecord)
	_, err = f.Edit(ctx, "none", func(Record) (Edit, error) { return Edit{}, nil })
	wantError(t, "editing nothing", err, ErrNotFound)
	refusal := errors.New("no")
	_, err = f.Edit(ctx, "a", func(Record) (Edit, error) { return Edit{}, refusal })
	wantError(t, "a build that refuses", err, refusal)
	want("4", "s4", "")
}

func TestRename(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.add("a")
	f.add("b")
	rename := func(from, to string) error {
		_, err := f.Edit(ctx, from, func(Record) (Edit, error) { return Edit{Name: to}, nil })
		return err
	}
	wantError(t, "a name that is taken", rename("a", "b"), ErrExists)
	wantError(t, "a name with a blank", rename("a", "x y"), ErrRecord)
	if err := rename("a", "a"); err != nil {
		t.Error(err)
	}
	if err := rename("a", "c"); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*fixture{f, f.unlocked()} {
		if s, r, err := g.content("c"); s != "sign-only of a" || r != "raw of a" || err != nil {
			t.Errorf("opened %q and %q, %v", s, r, err)
		}
		_, err := g.OpenSignOnly("a")
		wantError(t, "the old name", err, ErrNotFound)
		g.integrity()
	}
}

// TestEditAll guards that several records change in one commit or not at all.
func TestEditAll(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.add("a")
	f.add("b")
	before := f.Generation()
	meta := func(r Record) (Edit, error) { return Edit{Meta: []byte("new " + r.Name)}, nil }
	_, err := f.EditAll(ctx, []string{"a", "none"}, meta)
	wantError(t, "one of two is not there", err, ErrNotFound)
	if got := f.Generation(); got != before {
		t.Errorf("generation %d after a refusal, was %d", got, before)
	}
	l, err := f.EditAll(ctx, []string{"b", "a"}, meta)
	if err != nil || len(l) != 2 || string(l[0].Meta) != "new b" || string(l[1].Meta) != "new a" || f.Generation() != before+1 {
		t.Errorf("got %+v, %v, generation %d", l, err, f.Generation())
	}
	f.integrity()
}

// TestReplace: the next version can take the place of all before it, and the raw part is
// opened of the very state that somebody approved of.
func TestReplace(t *testing.T) {
	f := newVault(t, store.NewFile(filepath.Join(t.TempDir(), "vault.nsv")))
	f.add("a")
	edit := func(e Edit) Record {
		t.Helper()
		r, err := f.Edit(context.Background(), "a", func(Record) (Edit, error) { return e, nil })
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	edit(Edit{SignOnly: f.bytesOf("s2"), Raw: f.bytesOf("r2")})
	if f.previous("a") == "" {
		t.Fatal("control: an edit keeps the previous version")
	}
	r := edit(Edit{SignOnly: f.bytesOf("s3"), Raw: f.bytesOf("r3"), Meta: []byte("m3"), Replace: true})
	if r.Version != 3 || len(r.Versions) != 1 || string(r.Meta) != "m3" {
		t.Errorf("the record that came back: %+v", r)
	}
	for _, g := range []*fixture{f, f.unlocked()} {
		if now, _, err := g.content("a"); now != "s3" || g.previous("a") != "" || err != nil {
			t.Errorf("current %q, previous %q, %v", now, g.previous("a"), err)
		}
		g.integrity()
		b, err := g.OpenRawIf("a", func(r Record) error {
			if r.Version != 3 || string(r.Meta) != "m3" {
				return fmt.Errorf("asked about %+v", r)
			}
			return nil
		})
		if err != nil || !b.Equal(f.bytesOf("r3")) {
			t.Errorf("what was approved of: got %v", err)
		}
		b.Destroy()
		refusal := errors.New("no")
		_, err = g.OpenRawIf("a", func(Record) error { return refusal })
		wantError(t, "what was not approved of", err, refusal)
		_, err = g.OpenRawIf("none", func(Record) error { return refusal })
		wantError(t, "what is not there", err, ErrNotFound)
	}
	edit(Edit{SignOnly: f.bytesOf("s4"), Raw: f.bytesOf("r4")})
	if f.previous("a") != "s3" {
		t.Error("the edit after it does not keep the previous version")
	}
}
