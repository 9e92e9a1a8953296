//go:build !race

// These tests fill locked memory and try again, in one goroutine: one run without the race
// detector is enough.

package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/secrettest"
	"github.com/nsagent/nsagent/vault/store"
)

// Wherever the room in locked memory ends, that is what is said, and nothing else comes of
// it: no grant in part, and no secret of one.
func TestGrantsWithoutRoom(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.add("a")
	f.add("b")
	if _, err := f.Edit(ctx, "b", func(Record) (Edit, error) { return Edit{Name: "b", Meta: make([]byte, 2000)}, nil }); err != nil { // more than an opener begins with
		t.Fatal(err)
	}
	f.grant(testGrant, "a", "b")
	machine, _, err := f.MachineKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.SetPolicy(ctx, []byte("a policy"), machine, nil); err != nil {
		t.Fatal(err)
	}
	ring := f.cfg.Keyring
	f.cfg.Keyring = nil // whose pin takes room of its own
	locked, keys := f.another(), namesByID(f.ids())
	f.cfg.Keyring = ring
	byKey := map[store.ID]secret.Bytes{}
	for id, name := range keys {
		byKey[id] = f.wrapKey(name)
	}
	wraps := []NewWrap{{Record: "a", Key: f.wrapKey("a")}, {Record: "b", Key: f.wrapKey("b")}}
	for _, c := range []struct {
		name string
		do   func() error
		look func() error // at what came of it
	}{
		{"listing", func() error {
			all, err := f.Grants()
			if err == nil && string(all[0].Meta) != "of a b" {
				err = fmt.Errorf("got %+v", all)
			}
			return err
		}, nil},
		{"opening", func() error {
			all, err := locked.OpenGranted(ctx, testGrant, func(id [16]byte) (secret.Bytes, error) {
				return f.cfg.Arena.Clone(byKey[id])
			})
			if err == nil && (len(all) != 2 || all[0].SignOnly.Len() == 0 || all[1].SignOnly.Len() == 0) || err != nil && all != nil {
				err = fmt.Errorf("got %+v, %w", all, err)
			}
			for _, o := range all {
				o.SignOnly.Destroy()
			}
			return err
		}, nil},
		{"the policy", func() error { return is(f.Policy())("a policy") }, nil},
		{"the policy, locked", func() error { return is(locked.PolicyBy(ctx, machine))("a policy") }, nil},
		{"adding", func() error { return f.AddGrant(ctx, NewGrant{ID: [16]byte{3}, Meta: []byte("new"), Wraps: wraps}) }, func() error {
			got, err := locked.granted([16]byte{3}, keys)
			if err == nil && len(got) != 2 {
				err = fmt.Errorf("got %v", got)
			}
			return err
		}},
		{"ending", func() error { return f.EndGrants(ctx, []EndedGrant{{ID: [16]byte{3}, Meta: []byte("ended")}}) }, func() error {
			all, err := f.Grants()
			if i := slices.IndexFunc(all, func(g Grant) bool { return g.ID == [16]byte{3} }); err == nil && (string(all[i].Meta) != "ended" || all[i].Records != nil) {
				err = fmt.Errorf("got %+v", all[i])
			}
			return err
		}},
		{"new keys", func() error { return f.Rekey(ctx, []string{"a"}) }, func() error {
			got, err := locked.granted(testGrant, keys)
			if err == nil && len(got) != 1 {
				err = fmt.Errorf("got %v", got)
			}
			return err
		}},
		{"a policy", func() error { return f.SetPolicy(ctx, []byte("another"), machine, nil) }, func() error { return is(locked.PolicyBy(ctx, machine))("another") }},
	} {
		before := f.Generation()
		for blocks := 0; ; blocks++ {
			empty := secrettest.LeaveRoom(f.cfg.Arena, blocks)
			err := c.do()
			empty()
			if err == nil && c.look != nil {
				err = c.look()
			}
			if err == nil && blocks > 0 {
				break
			}
			if !errors.Is(err, secret.ErrFull) || f.Generation() != before {
				t.Fatalf("%s: with room for %d blocks: got %v, and %d commits", c.name, blocks, err, f.Generation()-before)
			}
		}
	}
	f.integrity()
}

// is compares what Policy gives.
func is(text []byte, ok bool, err error) func(want string) error {
	return func(want string) error {
		if err == nil && (!ok || string(text) != want) || err != nil && (ok || text != nil) {
			return fmt.Errorf("got %q, %v, %w", text, ok, err)
		}
		return err
	}
}

// What is looked at without the pin may be old, but it is of this vault, and whole.
func TestGrantsUnpinned(t *testing.T) {
	ctx := context.Background()
	v, _ := newGrantVictim(t)
	locked := v.another()
	for name, g := range map[string]*Vault{"unlocked": v.Vault, "locked": locked.Vault} {
		all, err := g.GrantsUnpinned(ctx)
		if err != nil || len(all) != 1 || all[0].ID != testGrant || all[0].Meta != nil || len(all[0].Records) != 2 {
			t.Errorf("%s: got %+v, %v", name, all, err)
		}
	}
	other := newVictim(t)
	v.mem.snap = copySnapshot(other.mem.snap)
	wantError(t, "another vault", second(locked.GrantsUnpinned(ctx)), ErrDamaged)
	v.mem.snap = store.Snapshot{}
	wantError(t, "no vault", second(locked.GrantsUnpinned(ctx)), store.ErrNotFound)
	v.mem.snap = copySnapshot(v.good)
}
