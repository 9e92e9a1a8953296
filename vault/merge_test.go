package vault

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/vault/store"
)

// editEach edits the records that changes names, in one commit.
func (f *fixture) editEach(changes map[string]Edit, names ...string) ([]Record, error) {
	return f.EditAll(context.Background(), names, func(r Record) (Edit, error) { return changes[r.Name], nil })
}

// TestTakeAndRemove guards that the secret of one record becomes the next version of
// another in the commit that removes the first: nobody ever sees both, or neither.
func TestTakeAndRemove(t *testing.T) {
	f := newVault(t, store.NewFile(filepath.Join(t.TempDir(), "vault.nsv")))
	f.add("a")
	f.add("a+next")
	f.add("b")
	before := f.Generation()
	l, err := f.editEach(map[string]Edit{"a": {Take: "a+next", Meta: []byte("taken")}, "a+next": {Remove: true}}, "a", "a+next")
	if err != nil || len(l) != 1 || l[0].Name != "a" || l[0].Version != 2 || string(l[0].Meta) != "taken" || f.Generation() != before+1 {
		t.Fatalf("got %+v, %v, generation %d", l, err, f.Generation())
	}
	for _, g := range []*fixture{f, f.unlocked()} {
		if got := strings.Join(g.names(), " "); got != "a b" {
			t.Errorf("records %s", got)
		}
		s, r, err := g.content("a")
		if err != nil || s != "sign-only of a+next" || r != "raw of a+next" || g.previous("a") != "sign-only of a" {
			t.Errorf("a opens to %q, %q, before it %q, %v", s, r, g.previous("a"), err)
		}
		if s, _, err := g.content("b"); err != nil || s != "sign-only of b" {
			t.Errorf("b opens to %q, %v", s, err)
		}
		g.integrity()
	}
}

// TestTakeLongSecret guards that a secret in a blob goes over as well.
func TestTakeLongSecret(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, store.NewFile(filepath.Join(t.TempDir(), "vault.nsv")))
	for name, long := range map[string]Value{"a": f.value("first ", 70_000), "next": f.value("second ", 300_001)} {
		if _, err := f.Add(ctx, NewRecord{Name: name, Kind: "secret", SignOnly: f.bytesOf("tag"), Long: long}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.editEach(map[string]Edit{"a": {Take: "next"}, "next": {Remove: true}}, "a", "next"); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*fixture{f, f.unlocked()} {
		if got, err := g.long("a"); err != nil || !bytes.Equal(got, longText("second ", 300_001)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		g.integrity()
	}
}

// TestEditAllRefuses guards that what cannot be done leaves everything as it was.
func TestEditAllRefuses(t *testing.T) {
	f := newVault(t, nil)
	f.add("a")
	f.add("b")
	f.add("c")
	single := NewRecord{Name: "single", Kind: "m2m", SignOnly: f.bytesOf("one part")}
	if _, err := f.Add(context.Background(), single); err != nil {
		t.Fatal(err)
	}
	before := f.Generation()
	for name, test := range map[string]struct {
		changes map[string]Edit
		names   []string
		want    error
	}{
		"another name that is taken":          {map[string]Edit{"a": {Name: "c"}}, []string{"a"}, ErrExists},
		"two that want one name":              {map[string]Edit{"a": {Name: "x"}, "b": {Name: "x"}}, []string{"a", "b"}, ErrExists},
		"two that want a name that is free":   {map[string]Edit{"a": {Name: "c"}, "b": {Name: "c"}, "c": {Remove: true}}, []string{"a", "b", "c"}, ErrExists},
		"one record twice":                    {map[string]Edit{"a": {}}, []string{"a", "a"}, ErrRecord},
		"removed and changed":                 {map[string]Edit{"a": {Remove: true, Meta: []byte("m")}}, []string{"a"}, ErrRecord},
		"a secret of a record that is none":   {map[string]Edit{"a": {Take: "x"}}, []string{"a"}, ErrNotFound},
		"a secret of a record of other parts": {map[string]Edit{"a": {Take: "single"}}, []string{"a"}, ErrRecord},
		"the removal of what is not there":    {map[string]Edit{"a": {Take: "b"}, "x": {Remove: true}}, []string{"a", "x"}, ErrNotFound},
	} {
		_, err := f.editEach(test.changes, test.names...)
		wantError(t, name, err, test.want)
	}
	if f.Generation() != before {
		t.Errorf("generation %d, was %d", f.Generation(), before)
	}
	if s, _, err := f.content("a"); err != nil || s != "sign-only of a" {
		t.Errorf("a opens to %q, %v", s, err)
	}
	f.integrity()
}

// TestSwapNames guards that records can change places in one commit.
func TestSwapNames(t *testing.T) {
	f := newVault(t, nil)
	f.add("a")
	f.add("b")
	f.add("c")
	if _, err := f.editEach(map[string]Edit{"a": {Name: "b"}, "b": {Name: "a"}, "c": {Remove: true}}, "a", "b", "c"); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*fixture{f, f.unlocked()} {
		for name, want := range map[string]string{"a": "sign-only of b", "b": "sign-only of a"} {
			if s, _, err := g.content(name); s != want || err != nil {
				t.Errorf("%s opens to %q, %v", name, s, err)
			}
		}
		g.integrity()
	}
}
