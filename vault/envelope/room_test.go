package envelope

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/secrettest"
)

// attempts returns what is done with grants and policies, on a grant and a policy of k. Each
// looks at what it gets with other keys, which have all that they need.
func attempts(t *testing.T, k *Keys) map[string]func(*Keys) (look func() error, err error) {
	t.Helper()
	machine := machineKey(t, k.arena, "machine")
	r, _ := sealed(t, k, "a")
	other, _ := sealed(t, k, "b")
	g, root := grantOf(t, k, ID{9}, r), rootOf(t, k)
	key := wrapKey(t, k.arena, "1")
	p, err := k.SealPolicy([]byte("version = 1"), machine)
	if err != nil {
		t.Fatal(err)
	}
	is := func(text []byte, want string) func() error {
		return func() error {
			if string(text) != want {
				return fmt.Errorf("got %q, want %q", text, want)
			}
			return nil
		}
	}
	return map[string]func(*Keys) (func() error, error){
		"SealGrant": func(by *Keys) (func() error, error) {
			g, err := by.SealGrant(ID{8}, []byte("meta"))
			return func() error {
				meta, err := k.GrantMeta(g)
				return errors.Join(err, is(meta, "meta")())
			}, err
		},
		"AddWrap": func(by *Keys) (func() error, error) {
			h := *g
			err := by.AddWrap(&h, other, key)
			if err != nil && len(h.Wraps) != 1 {
				t.Error("AddWrap: half of it was done")
			}
			return func() error {
				_, err := byWrap(t, &h, k, root, "1").Metadata(other)
				return err
			}, err
		},
		"GrantMeta": func(by *Keys) (func() error, error) {
			meta, err := by.GrantMeta(g)
			return is(meta, "what the grant says"), err
		},
		"SealPolicy": func(by *Keys) (func() error, error) {
			p, err := by.SealPolicy([]byte("version = 1"), machine)
			return func() error {
				one, err1 := k.OpenPolicy(p)
				two, err2 := p.OpenBy(k.arena, root, machine)
				return errors.Join(err1, err2, is(one, "version = 1")(), is(two, "version = 1")())
			}, err
		},
		"OpenPolicy": func(by *Keys) (func() error, error) {
			text, err := by.OpenPolicy(p)
			return is(text, "version = 1"), err
		},
		"OpenBy": func(by *Keys) (func() error, error) {
			text, err := p.OpenBy(by.arena, root, machine)
			return is(text, "version = 1"), err
		},
	}
}

// Wherever the room in locked memory ends, that is what is said, and nothing else comes of
// it.
func TestGrantsAndPoliciesWithoutRoom(t *testing.T) {
	k := newKeys(t)
	for name, do := range attempts(t, k) {
		for blocks := 0; ; blocks++ {
			empty := secrettest.LeaveRoom(k.arena, blocks)
			look, err := do(k)
			empty()
			if err == nil {
				err = look()
			}
			if err == nil && blocks > 0 {
				break
			}
			if !errors.Is(err, secret.ErrFull) {
				t.Errorf("%s: with room for %d blocks: got %v", name, blocks, err)
				break
			}
		}
	}
}

// brokenRand gives what is random, and one error after so many times.
type brokenRand struct{ left int }

var errRand = errors.New("no randomness")

func (r *brokenRand) Read(p []byte) (int, error) {
	if r.left--; r.left == -1 {
		return 0, errRand
	}
	return rand.Read(p)
}

// Without randomness nothing is sealed, whatever of it is missing.
func TestGrantsAndPoliciesWithoutRand(t *testing.T) {
	k := newKeys(t)
	for name, do := range attempts(t, k) {
		for reads := 0; ; reads++ {
			r := &brokenRand{reads}
			look, err := do(NewKeys(k.arena, r, k.vault, k.vrk))
			if err == nil {
				err = look()
			}
			if err == nil && r.left >= 0 {
				break
			}
			if !errors.Is(err, errRand) {
				t.Errorf("%s: after %d reads: got %v", name, reads, err)
				break
			}
		}
	}
}

// A machine key that is gone seals no policy, and opens none.
func TestPolicyByADestroyedKey(t *testing.T) {
	k := newKeys(t)
	machine := machineKey(t, k.arena, "machine")
	p, err := k.SealPolicy([]byte("version = 1"), machine)
	if err != nil {
		t.Fatal(err)
	}
	machine.Destroy()
	if _, err := k.SealPolicy([]byte("version = 1"), machine); !errors.Is(err, secret.ErrDestroyed) {
		t.Errorf("sealing: got %v", err)
	}
	if _, err := p.OpenBy(k.arena, rootOf(t, k), machine); !errors.Is(err, secret.ErrDestroyed) {
		t.Errorf("opening: got %v", err)
	}
}

// Text that is no text that was sealed is refused, also where its key is right.
func TestPolicyTextRefuses(t *testing.T) {
	k := newKeys(t)
	key, err := newKey(k.arena, k.rand)
	if err != nil {
		t.Fatal(err)
	}
	text, err := sealText(k.rand, key, []byte("aad"), []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	var unpadded []byte
	err = key.Use(func(k []byte) error {
		unpadded, err = seal(rand.Reader, k, []byte("aad"), make([]byte, smallest))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, sealed := range map[string][]byte{"nothing": nil, "short": text[:Overhead-1], "without a mark": unpadded} {
		if got, err := openText(key, []byte("aad"), sealed); !errors.Is(err, ErrOpen) || got != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	key.Destroy()
	if got, err := openText(key, []byte("aad"), text); !errors.Is(err, secret.ErrDestroyed) || got != nil {
		t.Errorf("by a key that is gone: got %q, %v", got, err)
	}
}
