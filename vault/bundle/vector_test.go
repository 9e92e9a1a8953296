package bundle

import (
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	"github.com/nsagent/nsagent/internal/vectortest"
)

const vectorFile = "testdata/bundles.json"

// vector is a frozen bundle of throw-away secrets, with a token. Bytes are hexadecimal.
type vector struct {
	Name   string `json:"name"`
	Token  string `json:"token"`
	Bundle string `json:"bundle"`
	// Wrong is the class of what is wrong: format, issuer, signature or grant.
	Wrong string `json:"wrong,omitempty"`
	// Opens is what the shares open, by credential.
	Opens map[string]vectorEntry `json:"opens,omitempty"`
}

type vectorEntry struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Meta     string `json:"meta"`
	SignOnly string `json:"sign_only"`
}

// look returns what this package makes of a frozen bundle. What is the agent's to demand
// of a grant is demanded here.
func (v vector) look(t *testing.T) vector {
	t.Helper()
	w := newWorld(t) // for its arena
	out := vector{Name: v.Name, Token: v.Token, Bundle: v.Bundle}
	token, err := unlocktoken.Parse([]byte(v.Token))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Parse([]byte(v.Bundle), token.Issuer)
	for class, sentinel := range map[string]error{"format": ErrFormat, "issuer": ErrIssuer, "signature": ErrSignature} {
		if errors.Is(err, sentinel) {
			out.Wrong = class
			return out
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	g, err := token.Chain.Verify(b.Issuer[:], []byte("c"), token.Prove([]byte("c")))
	if err != nil {
		t.Fatal(err)
	}
	if b.Vault != g.Vault || b.Grant != g.Authority.Grant || b.Authority != g.AuthorityHash || g.Mode != unlocktoken.Detached || g.NotAfter()-g.IssuedAt > 90*86400 {
		out.Wrong = "grant"
		return out
	}
	w.grant, w.issuer, out.Opens = g, b.Issuer[:], make(map[string]vectorEntry)
	for _, share := range token.Shares {
		for _, credential := range []unlocktoken.ID{acme, other} {
			for _, named := range []unlocktoken.ID{share.Credential, credential} { // whose key is derived
				o, err := b.Open(w.arena, credential, w.key(t, named, share.Key))
				switch {
				case errors.Is(err, ErrOpen):
				case err != nil:
					t.Fatal(err)
				case share.Credential != credential:
					t.Errorf("%s: the share of %x opens %x", v.Name, share.Credential, credential)
				default:
					out.Opens[hex.EncodeToString(credential[:])] = vectorEntry{o.Name, o.Kind, hex.EncodeToString(o.Meta), hexOf(t, o)}
				}
			}
		}
	}
	return out
}

func hexOf(t *testing.T, o *Opened) (text string) {
	t.Helper()
	if err := o.SignOnly.Use(func(p []byte) error { text = hex.EncodeToString(p); return nil }); err != nil {
		t.Fatal(err)
	}
	return text
}

// Bundles of every release are read for ever: these are frozen.
func TestVectors(t *testing.T) {
	vectortest.Renew(t, vectorFile, func() []vector { return newVectors(t) })
	for _, want := range vectortest.Read[[]vector](t, vectorFile) {
		if got := want.look(t); !reflect.DeepEqual(got, want) && (len(got.Opens)+len(want.Opens) > 0 || got.Wrong != want.Wrong) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", want.Name, got, want)
		}
	}
}

// A reader in another language, written from docs/unlock-tokens.md and docs/vault-format.md
// alone, makes the same of the frozen bundles. Of all pairs of share and entry, each share
// opens its own entry and no other, whichever credential the key is derived for.
func TestSecondImplementation(t *testing.T) {
	all := vectortest.Answer[[]struct {
		vector
		Pairs   [][3]string `json:"pairs"` // share, whose key, entry
		Issuers []string    `json:"issuers"`
	}](t, vectorFile, vectortest.Script{Path: "testdata/opener.py", Modules: []string{"cbor2", "nacl", "argon2"}})
	for i, want := range vectortest.Read[[]vector](t, vectorFile) {
		got := all[i]
		if got.Wrong != want.Wrong || len(got.Opens)+len(want.Opens) > 0 && !reflect.DeepEqual(got.Opens, want.Opens) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", want.Name, got, want)
		}
		for _, p := range got.Pairs {
			if p[0] != p[1] || p[0] != p[2] {
				t.Errorf("%s: the share of %s opens %s by the key of %s", want.Name, p[0], p[2], p[1])
			}
		}
		if len(got.Pairs) != len(want.Opens) || want.Wrong == "" && !slices.Equal(got.Issuers, []string{vectorIssuer}) {
			t.Errorf("%s: got pairs %v, issuers %v", want.Name, got.Pairs, got.Issuers)
		}
	}
}
