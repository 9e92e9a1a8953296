package envelope

import (
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
)

func sha(b []byte) [32]byte { return sha256.Sum256(b) }

// machineKey returns a machine key that follows from a label.
func machineKey(t testing.TB, a *secret.Arena, label string) *secret.HMACKey {
	t.Helper()
	k, err := a.NewHMACKey(take(t, a, []byte(label)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestPolicyRoundTrip(t *testing.T) {
	k := newKeys(t)
	machine := machineKey(t, k.arena, "machine")
	for _, text := range []string{"v", "version = 1\n", string(make([]byte, MaxPolicy))} {
		p, err := k.SealPolicy([]byte(text), machine)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodePolicy(p.Encode())
		if err != nil {
			t.Fatal(err)
		}
		for name, open := range map[string]func() ([]byte, error){
			"by the VRK":         func() ([]byte, error) { return k.OpenPolicy(again) },
			"by the machine key": func() ([]byte, error) { return again.OpenBy(k.arena, rootOf(t, k), machine) },
		} {
			if got, err := open(); err != nil || string(got) != text {
				t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(text))
			}
		}
	}
}

// TestPolicyBindings: the machine key opens it in its vault, where the manifests are
// signed by the vault's own key; another machine key does not.
func TestPolicyBindings(t *testing.T) {
	k := newKeys(t)
	machine := machineKey(t, k.arena, "machine")
	p, err := k.SealPolicy([]byte("version = 1"), machine)
	if err != nil {
		t.Fatal(err)
	}
	root := rootOf(t, k)
	for name, edit := range map[string]func(*Root){
		"another vault":        func(r *Root) { r.Vault[0] ^= 1 },
		"another manifest key": func(r *Root) { r.PublicKey[0] ^= 1 },
	} {
		r := *root
		edit(&r)
		if _, err := p.OpenBy(k.arena, &r, machine); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := p.OpenBy(k.arena, root, machineKey(t, k.arena, "another")); !errors.Is(err, ErrOpen) {
		t.Errorf("another machine: %v", err)
	}
	alone, err := k.SealPolicy([]byte("version = 1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone.OpenBy(k.arena, root, machine); !errors.Is(err, ErrOpen) {
		t.Errorf("without a machine key: %v", err)
	}
	if _, err := NewKeys(k.arena, k.rand, ID{1}, k.vrk).OpenPolicy(p); !errors.Is(err, ErrOpen) {
		t.Errorf("under another vault id: %v", err)
	}
}

// TestPolicyFlips is TestGrantFlips for the policy. The id alone is for the vault to
// compare.
func TestPolicyFlips(t *testing.T) {
	k := newKeys(t)
	machine := machineKey(t, k.arena, "machine")
	p, err := k.SealPolicy([]byte("version = 1"), machine)
	if err != nil {
		t.Fatal(err)
	}
	root := rootOf(t, k)
	encoded := p.Encode()
	for i := range encoded {
		for bit := range 8 {
			q, err := DecodePolicy(flip(encoded, i, bit))
			if err != nil || q.ID != k.vault {
				continue
			}
			_, keyErr := k.OpenPolicy(q)
			_, machineErr := q.OpenBy(k.arena, root, machine)
			if keyErr == nil && machineErr == nil {
				t.Fatalf("byte %d, bit %d: all of it opens", i, bit)
			}
		}
	}
}

func TestPolicyRefuses(t *testing.T) {
	k := newKeys(t)
	if _, err := k.SealPolicy(nil, nil); !errors.Is(err, ErrInput) {
		t.Errorf("no text: %v", err)
	}
	if _, err := k.SealPolicy(make([]byte, MaxPolicy+1), nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too long: %v", err)
	}
	p, err := k.SealPolicy([]byte("version = 1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	wire := func(edit func(*wirePolicy)) []byte {
		w := wirePolicy{Type: TypePolicy, Format: policyFormat, ID: p.ID, Key: p.Key, Text: p.Text}
		edit(&w)
		return w.encode()
	}
	if _, err := DecodePolicy(wire(func(*wirePolicy) {})); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(*wirePolicy)
		want error
	}{
		"a later type":           {func(w *wirePolicy) { w.Type++ }, ErrNewer},
		"a later format":         {func(w *wirePolicy) { w.Format++ }, ErrNewer},
		"a grant":                {func(w *wirePolicy) { w.Type = TypeGrant }, ErrFormat},
		"a key cut":              {func(w *wirePolicy) { w.Key = w.Key[1:] }, ErrFormat},
		"a key of the machine's": {func(w *wirePolicy) { w.MachineKey = make([]byte, 3) }, ErrFormat},
		"too much text":          {func(w *wirePolicy) { w.Text = tooLong(MaxPolicy) }, ErrFormat},
		"text of no shape":       {func(w *wirePolicy) { w.Text = w.Text[1:] }, ErrFormat},
	} {
		if p, err := DecodePolicy(wire(c.edit)); !errors.Is(err, c.want) || p != nil {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	for name, b := range map[string][]byte{"nothing": nil, "cut": p.Encode()[1:], "more of it": append(p.Encode(), 0), "not canonical": append([]byte{majorArray<<5 | 24, 6}, p.Encode()[1:]...)} {
		if p, err := DecodePolicy(b); !errors.Is(err, ErrFormat) || p != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
