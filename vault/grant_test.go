package vault

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

var testGrant = [16]byte{0x67, 1}

// wrapKey returns the wrap key of a record in the grants of these tests.
func (f *fixture) wrapKey(name string) secret.Bytes {
	f.t.Helper()
	return f.bytesOf((name + strings.Repeat(".", 32))[:32])
}

// grant adds a grant of these records.
func (f *fixture) grant(id [16]byte, names ...string) {
	f.t.Helper()
	n := NewGrant{ID: id, Meta: []byte("of " + strings.Join(names, " "))}
	for _, name := range names {
		n.Wraps = append(n.Wraps, NewWrap{Record: name, Key: f.wrapKey(name)})
	}
	if err := f.AddGrant(context.Background(), n); err != nil {
		f.t.Fatal(err)
	}
}

// ids returns the ids of records by name.
func (f *fixture) ids() map[string]store.ID {
	f.t.Helper()
	all, err := f.Records()
	if err != nil {
		f.t.Fatal(err)
	}
	ids := map[string]store.ID{}
	for _, r := range all {
		ids[r.Name] = r.ID
	}
	return ids
}

// granted opens a grant by the wrap keys of some records, each given under the name that
// it had when the grant was made, and returns what came out, by name.
func (f *fixture) granted(id [16]byte, keys map[store.ID]string) (map[string]string, error) {
	f.t.Helper()
	all, err := f.OpenGranted(context.Background(), id, func(record [16]byte) (secret.Bytes, error) {
		if name, ok := keys[record]; ok {
			return f.wrapKey(name), nil
		}
		return secret.Bytes{}, nil
	})
	got := map[string]string{}
	for _, o := range all {
		got[o.Name] = f.text(o.SignOnly)
		if o.Kind != "tba" || [16]byte(o.ID) == [16]byte{} {
			f.t.Errorf("opened %+v", o.Record)
		}
		o.SignOnly.Destroy()
	}
	return got, err
}

// namesByID turns ids around.
func namesByID(ids map[string]store.ID) map[store.ID]string {
	names := map[store.ID]string{}
	for name, id := range ids {
		names[id] = name
	}
	return names
}

func wantOpened(t *testing.T, what string, got map[string]string, err error, want map[string]string) {
	t.Helper()
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%s: got %q, %v, want %q", what, got, err, want)
	}
}

// TestOpenGranted guards what a token is for: the wrap keys open the sign-only parts of
// their records while the vault is locked, and nothing else.
func TestOpenGranted(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	for _, name := range []string{"a", "b", "c"} {
		f.add(name)
	}
	keys := namesByID(f.ids())
	f.grant(testGrant, "a", "b")
	want := map[string]string{"a": "sign-only of a", "b": "sign-only of b"}
	locked := f.another()
	for name, g := range map[string]*fixture{"unlocked": f, "locked": locked} {
		got, err := g.granted(testGrant, keys)
		wantOpened(t, name, got, err, want)
	}
	if !locked.Locked() {
		t.Error("opening a grant unlocked the vault")
	}
	wantError(t, "the raw part", second(locked.OpenRaw("a")), ErrLocked)
	wantError(t, "the sign-only part, by name", second(locked.OpenSignOnly("a")), ErrLocked)

	a, b := f.ids()["a"], f.ids()["b"]
	got, err := locked.granted(testGrant, map[store.ID]string{b: "b"})
	wantOpened(t, "a token with one share", got, err, map[string]string{"b": "sign-only of b"})
	got, err = locked.granted(testGrant, nil)
	wantOpened(t, "a token without shares", got, err, map[string]string{})
	_, err = locked.granted(testGrant, map[store.ID]string{a: "b"})
	wantError(t, "a share of another record", err, ErrGrant)
	_, err = locked.granted([16]byte{9}, keys)
	wantError(t, "a grant that there is not", err, ErrNotFound)
	stop := errors.New("stop")
	calls := 0
	_, err = locked.OpenGranted(ctx, testGrant, func([16]byte) (secret.Bytes, error) {
		if calls++; calls == 2 {
			return secret.Bytes{}, stop
		}
		return f.wrapKey(keys[slices.MinFunc([]store.ID{a, b}, func(x, y store.ID) int { return bytes.Compare(x[:], y[:]) })]), nil
	})
	wantError(t, "an error of the callback", err, stop)
	f.integrity()
}

// TestGrantFollowsItsRecords guards that a record works under its grant whatever its
// secret and its name become, and no longer than it is there.
func TestGrantFollowsItsRecords(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	for _, name := range []string{"a", "b", "c", "d+next"} {
		f.add(name)
	}
	ids := f.ids()
	keys := namesByID(ids)
	f.grant(testGrant, "a", "b", "c")
	f.grant([16]byte{2}, "a", "b")
	if err := f.Rotate(ctx, "a", f.bytesOf("second a"), f.bytesOf("second raw a")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Edit(ctx, "b", func(Record) (Edit, error) { return Edit{Name: "renamed", Meta: []byte("other")}, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := f.editEach(map[string]Edit{"c": {Take: "d+next"}, "d+next": {Remove: true}}, "c", "d+next"); err != nil {
		t.Fatal(err)
	}
	locked := f.another()
	want := map[string]string{"a": "second a", "renamed": "sign-only of b", "c": "sign-only of d+next"}
	got, err := locked.granted(testGrant, keys)
	wantOpened(t, "rotated, renamed, taken over", got, err, want)

	if err := f.Remove(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	delete(want, "a")
	got, err = locked.granted(testGrant, keys)
	wantOpened(t, "one removed", got, err, want)
	got, err = locked.granted([16]byte{2}, keys)
	wantOpened(t, "one removed, of the other grant", got, err, map[string]string{"renamed": "sign-only of b"})

	// Another record of the name is another credential.
	f.add("a")
	got, err = locked.granted(testGrant, keys)
	wantOpened(t, "added anew", got, err, want)
	f.integrity()

	if err := f.Rekey(ctx, []string{"renamed", "renamed"}); err != nil {
		t.Fatal(err)
	}
	delete(want, "renamed")
	got, err = locked.granted(testGrant, keys)
	wantOpened(t, "rekeyed", got, err, want)
	for _, g := range must(f.Grants()) {
		if slices.Contains(g.Records, [16]byte(ids["b"])) {
			t.Errorf("grant %x still names the record that has new keys", g.ID)
		}
	}
	if s, r, err := f.content("renamed"); err != nil || s != "sign-only of b" || r != "raw of b" {
		t.Errorf("rekeyed, it opens to %q, %q, %v", s, r, err)
	}
	wantError(t, "rekeying what is not there", f.Rekey(ctx, []string{"c", "nobody"}), ErrNotFound)
	got, err = locked.granted(testGrant, keys)
	wantOpened(t, "rekeyed in vain", got, err, want)
	f.integrity()
	f.unlocked().integrity()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestGrants: what a locked vault tells of grants, and an unlocked one.
func TestGrants(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.add("a")
	f.add("b")
	f.grant([16]byte{2}, "b", "a")
	f.grant([16]byte{1})
	issuer := must(f.GrantKey())
	locked := f.another()
	for name, g := range map[string]*fixture{"unlocked": f, "locked": locked} {
		all, err := g.Grants()
		if err != nil || len(all) != 2 || all[0].ID != [16]byte{1} || all[1].ID != [16]byte{2} || all[0].Issuer != issuer || len(all[0].Records) != 0 {
			t.Fatalf("%s: %+v, %v", name, all, err)
		}
		meta := map[bool]string{true: "", false: "of b a"}[g.Locked()]
		if string(all[1].Meta) != meta || len(all[1].Records) != 2 || bytes.Compare(all[1].Records[0][:], all[1].Records[1][:]) >= 0 {
			t.Errorf("%s: %+v", name, all[1])
		}
	}
	signature, err := f.SignGrant([]byte("message"))
	if err != nil || !ed25519.Verify(issuer[:], []byte("message"), signature) {
		t.Errorf("signature %x, %v", signature, err)
	}
	for name, err := range map[string]error{
		"the key":  second(locked.GrantKey()),
		"signing":  second(locked.SignGrant(nil)),
		"adding":   locked.AddGrant(ctx, NewGrant{ID: [16]byte{3}}),
		"removing": locked.RemoveGrant(ctx, [16]byte{1}),
		"new keys": locked.Rekey(ctx, []string{"a"}),
	} {
		wantError(t, name+" while locked", err, ErrLocked)
	}
	before := f.Generation()
	good := NewWrap{Record: "a", Key: f.wrapKey("a")}
	for name, c := range map[string]struct {
		grant NewGrant
		want  error
	}{
		"an id that is taken":            {NewGrant{ID: [16]byte{1}}, ErrExists},
		"the id of a record":             {NewGrant{ID: f.ids()["a"]}, ErrExists},
		"a record that is none":          {NewGrant{ID: [16]byte{3}, Wraps: []NewWrap{good, {Record: "nobody", Key: f.wrapKey("x")}}}, ErrNotFound},
		"a record twice":                 {NewGrant{ID: [16]byte{3}, Wraps: []NewWrap{good, good}}, ErrGrant},
		"a wrap key of the wrong length": {NewGrant{ID: [16]byte{3}, Wraps: []NewWrap{{Record: "a", Key: f.bytesOf("short")}}}, ErrGrant},
		"too much to say":                {NewGrant{ID: [16]byte{3}, Meta: make([]byte, envelope.MaxGrantMeta+1)}, ErrGrant},
	} {
		wantError(t, name, f.AddGrant(ctx, c.grant), c.want)
	}
	wantError(t, "removing what is not there", f.RemoveGrant(ctx, [16]byte{3}), ErrNotFound)
	wantError(t, "removing a record as a grant", f.RemoveGrant(ctx, f.ids()["a"]), ErrNotFound)
	if f.Generation() != before {
		t.Error("what was refused was committed")
	}
	if err := f.RemoveGrant(ctx, [16]byte{2}); err != nil {
		t.Fatal(err)
	}
	_, err = locked.granted([16]byte{2}, nil)
	wantError(t, "a grant that was removed", err, ErrNotFound)
	if err := f.AddGrant(ctx, NewGrant{ID: [16]byte{4}, Over: [][16]byte{{1}, {2}, f.ids()["a"]}}); err != nil {
		t.Fatal(err)
	}
	if all := must(locked.Grants()); len(all) != 1 || all[0].ID != [16]byte{4} || len(f.names()) != 2 {
		t.Errorf("grants %+v after one took the place of others, records %q", all, f.names())
	}
	if all := must(locked.Grants()); len(all) != 1 {
		t.Errorf("%d grants after one was removed", len(all))
	}
	f.integrity()
}

// TestPolicyOfTheVault: one at most, opened by the vault, or by the machine key alone.
func TestPolicyOfTheVault(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.add("a")
	machine, _, err := f.MachineKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Destroy()
	other, err := f.cfg.Arena.NewHMACKey(f.bytesOf("the key of another machine"))
	if err != nil {
		t.Fatal(err)
	}
	locked := f.another()
	check := func(what, want string) {
		t.Helper()
		for name, read := range map[string]func() ([]byte, bool, error){
			"unlocked":                       f.Policy,
			"unlocked, by the machine key":   func() ([]byte, bool, error) { return f.PolicyBy(ctx, machine) },
			"locked, by the machine key":     func() ([]byte, bool, error) { return locked.PolicyBy(ctx, machine) },
			"unlocked, by another processes": f.unlocked().Policy,
		} {
			if text, ok, err := read(); err != nil || string(text) != want || ok != (want != "") {
				t.Errorf("%s, %s: %q, %v, %v, want %q", what, name, text, ok, err, want)
			}
		}
		f.integrity()
	}
	check("none yet", "")
	for _, text := range []string{"version = 1", "version = 1 # another", "", "the last"} {
		if err := f.SetPolicy(ctx, []byte(text), machine, nil); err != nil {
			t.Fatal(err)
		}
		check("set", text)
	}
	wantError(t, "of another machine", third(locked.PolicyBy(ctx, other)), ErrPolicy)
	wantError(t, "by name while locked", third(locked.Policy()), ErrLocked)
	wantError(t, "setting it while locked", locked.SetPolicy(ctx, []byte("x"), machine, nil), ErrLocked)
	wantError(t, "too long", f.SetPolicy(ctx, make([]byte, envelope.MaxPolicy+1), machine, nil), ErrPolicy)
	refuses := errors.New("not in its place")
	wantError(t, "over one that is not to be replaced", f.SetPolicy(ctx, []byte("x"), machine, func(old []byte, err error) error {
		if string(old) != "the last" || err != nil {
			t.Errorf("it is said to replace %q, %v", old, err)
		}
		return refuses
	}), refuses)
	check("as it was", "the last")
	if err := f.SetPolicy(ctx, []byte("without a machine"), nil, nil); err != nil {
		t.Fatal(err)
	}
	wantError(t, "kept without a machine key", third(locked.PolicyBy(ctx, machine)), ErrPolicy)
	if text, ok, err := f.Policy(); string(text) != "without a machine" || !ok || err != nil {
		t.Errorf("kept without a machine key: %q, %v, %v", text, ok, err)
	}
}

func third[A, B any](_ A, _ B, err error) error { return err }

// TestEndGrants: what a grant opened it opens no more, it stays with what its owner says of
// it, and others open what they did.
func TestEndGrants(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.add("a")
	other := [16]byte{0x67, 2}
	f.grant(testGrant, "a")
	f.grant(other, "a")
	keys := namesByID(f.ids())
	if err := f.EndGrants(ctx, []EndedGrant{{testGrant, []byte("ended")}, {[16]byte{9}, nil}}); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*fixture{f, f.another()} {
		got, err := v.granted(testGrant, keys)
		wantOpened(t, "the one that ended", got, err, map[string]string{})
		if got, err := v.granted(other, keys); err != nil || len(got) != 1 {
			t.Errorf("another grant: %v, %v", got, err)
		}
		for _, list := range []func() ([]Grant, error){v.Grants, func() ([]Grant, error) { return v.GrantsUnpinned(ctx) }} {
			if all, err := list(); err != nil || len(all) != 2 || len(all[0].Records) != 0 || len(all[1].Records) != 1 {
				t.Errorf("the grants are %v, %v", all, err)
			}
		}
	}
	if all, err := f.Grants(); err != nil || string(all[0].Meta) != "ended" {
		t.Errorf("what is said of it: %v, %v", all, err)
	}
	wantError(t, "too much to say", f.EndGrants(ctx, []EndedGrant{{testGrant, make([]byte, envelope.MaxGrantMeta+1)}}), ErrGrant)
	f.integrity()
}
