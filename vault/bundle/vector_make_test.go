package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// vectorIssuer is the issuer of ID tokens that the frozen bundles bring.
const vectorIssuer = "https://ci.example"

// frozen makes the bundles of bundles.json, from a source that everybody can repeat.
type frozen struct {
	*world
	source *rand.ChaCha8
	out    []vector
}

func newFrozen(t *testing.T) *frozen {
	t.Helper()
	f := &frozen{world: newWorld(t), source: rand.NewChaCha8(sha256.Sum256([]byte("nsagent: bundles that are frozen")))}
	f.private = ed25519.NewKeyFromSeed(f.bytes(32))
	f.issuer = ed25519.PublicKey(f.private[32:])
	return f
}

func (f *frozen) bytes(n int) []byte {
	b := make([]byte, n)
	_, _ = f.source.Read(b)
	return b
}

// mint gives f the token of another grant.
func (f *frozen) mint(t *testing.T, mode string, days int64) {
	t.Helper()
	seed := [32]byte(f.bytes(32))
	a := unlocktoken.Authority{
		Vault: unlocktoken.ID{9}, Grant: unlocktoken.ID(f.bytes(16)), Mode: mode, IssuedAt: 1_790_000_000,
		Caveats: unlocktoken.Caveats{Credentials: []unlocktoken.ID{acme, other}, NotAfter: 1_790_000_000 + days*86400},
	}
	chain, err := unlocktoken.NewChain(a, ed25519.PublicKey(ed25519.NewKeyFromSeed(seed[:])[32:]), f.sign)
	if err != nil {
		t.Fatal(err)
	}
	shares := []unlocktoken.Share{{Credential: acme, Key: [32]byte(f.bytes(32))}, {Credential: other, Key: [32]byte(f.bytes(32))}}
	if f.token, err = unlocktoken.New(unlocktoken.IssuerHash(f.issuer), shares, chain, seed); err != nil {
		t.Fatal(err)
	}
	if f.grant, err = chain.Read(); err != nil {
		t.Fatal(err)
	}
}

// sealed returns the bundle of that grant, with two throw-away profiles in it, as section
// 15 of docs/vault-format.md has them.
func (f *frozen) sealed(t *testing.T) []byte {
	t.Helper()
	of := func(v any) []byte {
		b, err := encMode.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	source := func(i int, name, account, access string) Source {
		share, made := f.token.Shares[i], 1_789_000_000
		meta := of(map[int]any{1: name, 2: account, 3: "tba", 4: access, 9: hex.EncodeToString(f.bytes(32)), 10: hex.EncodeToString(f.bytes(32)), 16: made})
		return Source{Credential: share.Credential, Name: name, Kind: "tba", Meta: meta, SignOnly: f.take(t, string(f.bytes(64))), Key: f.key(t, share.Credential, share.Key)}
	}
	h := f.head()
	h.Public = of(map[int]any{1: []any{map[int]any{1: vectorIssuer, 3: "-----BEGIN CERTIFICATE-----\n"}}})
	sources := []Source{source(0, "acme", "1234567", "write"), source(1, "other", "1234567_SB1", "read")}
	text, err := Seal(f.arena, f.source, h, 1_790_000_000, sources, f.sign)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// resigned returns a bundle that the issuer signed after a change.
func (f *frozen) resigned(t *testing.T, text []byte, change func(*body)) []byte {
	t.Helper()
	all, err := unarmour(text)
	if err != nil {
		t.Fatal(err)
	}
	var b body
	if err := decode(all[:len(all)-ed25519.SignatureSize], &b); err != nil {
		t.Fatal(err)
	}
	change(&b)
	e := encode(b)
	return armour(append(e, ed25519.Sign(f.private, append([]byte(label), e...))...))
}

// add freezes what text is for who has token.
func (f *frozen) add(t *testing.T, name, wrong string, token *unlocktoken.Token, text []byte) {
	t.Helper()
	v := vector{Name: name, Token: string(token.Text()), Bundle: string(text)}.look(t)
	if v.Wrong != wrong {
		t.Errorf("%s: it is wrong in %q", name, v.Wrong)
	}
	f.out = append(f.out, v)
}

func newVectors(t *testing.T) []vector {
	t.Helper()
	f, stranger := newFrozen(t), newFrozen(t)
	f.mint(t, unlocktoken.Detached, 90)
	token, text := f.token, f.sealed(t)
	f.add(t, "two profiles", "", token, text)
	narrow, err := token.Narrow(unlocktoken.Caveats{Credentials: []unlocktoken.ID{other}}, []unlocktoken.ID{other}, f.source)
	if err != nil {
		t.Fatal(err)
	}
	f.add(t, "a token narrowed to one of them", "", narrow, text)
	f.add(t, "the credentials out of order", "format", token, f.resigned(t, text, func(b *body) { b.Entries[0], b.Entries[1] = b.Entries[1], b.Entries[0] }))
	f.add(t, "other line ends", "", token, append(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")), "\r\n"...))
	f.add(t, "no line end behind it", "", token, bytes.TrimSuffix(text, []byte("\n")))
	f.add(t, "a blank line in it", "format", token, bytes.Replace(text, []byte("\n"), []byte("\n\n"), 1))
	f.add(t, "a name changed", "signature", token, changed(t, text, vectorIssuer, strings.ToUpper(vectorIssuer)))

	stranger.private = ed25519.NewKeyFromSeed(stranger.bytes(32))
	stranger.issuer = ed25519.PublicKey(stranger.private[32:])
	stranger.mint(t, unlocktoken.Detached, 90)
	f.add(t, "a token of another vault", "issuer", stranger.token, text)
	f.mint(t, unlocktoken.Detached, 90)
	f.add(t, "a token of another grant", "grant", f.token, text)
	f.mint(t, unlocktoken.Attached, 90)
	f.add(t, "a grant for the agent that issued it", "grant", f.token, f.sealed(t))
	f.mint(t, unlocktoken.Detached, 91)
	f.add(t, "a grant of 91 days", "grant", f.token, f.sealed(t))
	return f.out
}

// changed returns a bundle in whose body a text is another one.
func changed(t *testing.T, text []byte, from, to string) []byte {
	t.Helper()
	all, err := unarmour(text)
	if err != nil {
		t.Fatal(err)
	}
	return armour(bytes.Replace(all, []byte(from), []byte(to), 1))
}
