package unlocktoken

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"testing"
	"time"
)

// world is an issuer and a token of it.
type world struct {
	public ed25519.PublicKey
	token  *Token
}

var (
	acme, other = ID{1}, ID{2}
	now         = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC).Unix()
)

// newWorld mints a token for acme and other, with these caveats beside.
func newWorld(t testing.TB, c Caveats) world {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	next, nextPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if c.NotAfter == 0 {
		c.NotAfter = now + 3600
	}
	c.Credentials = []ID{acme, other}
	a := Authority{Vault: ID{9}, Grant: ID{8}, Mode: Attached, IssuedAt: now - 60, Caveats: c}
	chain, err := NewChain(a, next, func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil })
	if err != nil {
		t.Fatal(err)
	}
	token, err := New(IssuerHash(public), []Share{{other, [32]byte{4}}, {acme, [32]byte{3}}}, chain, [32]byte(nextPrivate.Seed()))
	if err != nil {
		t.Fatal(err)
	}
	return world{public, token}
}

// present parses the text of a token anew and verifies what it holds.
func (w world) present(t testing.TB, token *Token) (*Grant, error) {
	t.Helper()
	again, err := Parse(token.Text())
	if err != nil {
		t.Fatal(err)
	}
	challenge := []byte("challenge")
	chain, err := DecodeChain(again.Chain.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return chain.Verify(w.public, challenge, again.Prove(challenge))
}

func TestTokenOpensWhatItSays(t *testing.T) {
	w := newWorld(t, Caveats{Methods: []string{"POST"}, Paths: []string{"/services/rest/query/v1/suiteql"}})
	g, err := w.present(t, w.token)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Time: now, Credential: acme, Kind: "sign", Method: "POST", Path: "/services/rest/query/v1/suiteql"}
	if err := g.Clear(r); err != nil {
		t.Errorf("in scope: %v", err)
	}
	r.Method = "GET"
	if err := g.Clear(r); !errors.Is(err, ErrRefused) {
		t.Errorf("another method: got %v", err)
	}
}

// Narrowing needs no issuer, holds in addition, and drops shares.
func TestNarrowingOffline(t *testing.T) {
	w := newWorld(t, Caveats{})
	narrow, err := w.token.Narrow(Caveats{Methods: []string{"GET"}, Credentials: []ID{acme}}, []ID{acme}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if len(narrow.Shares) != 1 || narrow.Shares[0] != (Share{acme, [32]byte{3}}) {
		t.Errorf("got shares of %v, want acme's alone", narrow.Shares)
	}
	g, err := w.present(t, narrow)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Time: now, Credential: acme, Kind: "sign", Method: "GET", Path: "/x"}
	if err := g.Clear(r); err != nil {
		t.Errorf("in scope: %v", err)
	}
	for name, change := range map[string]func(*Request){
		"method": func(r *Request) { r.Method = "POST" }, "credential": func(r *Request) { r.Credential = other }, "kind": func(r *Request) { r.Kind = "token" },
	} {
		q := r
		change(&q)
		if err := g.Clear(q); !errors.Is(err, ErrRefused) {
			t.Errorf("another %s: got %v", name, err)
		}
	}
}

// Requirement T-02: who drops the last block cannot show that it holds the key of the
// one before.
func TestDroppedBlockIsNoticed(t *testing.T) {
	w := newWorld(t, Caveats{})
	narrow, err := w.token.Narrow(Caveats{Methods: []string{"GET"}}, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	challenge := []byte("c")
	if _, err := narrow.Chain[:1].Verify(w.public, challenge, narrow.Prove(challenge)); !errors.Is(err, ErrSignature) {
		t.Errorf("got %v, want ErrSignature", err)
	}
	if _, err := narrow.Chain.Verify(w.public, []byte("d"), narrow.Prove(challenge)); !errors.Is(err, ErrSignature) {
		t.Errorf("proof of another challenge: got %v, want ErrSignature", err)
	}
}

// Requirement T-03: a caveat of a later version refuses.
func TestUnknownCaveatRefuses(t *testing.T) {
	w := newWorld(t, Caveats{})
	seed := w.token.seed
	b, err := newBlock(w.token.Chain[0].Signature, encode([]any{labelNarrowing, map[int]any{99: true}}), w.token.Chain[0].Next, w.token.sign)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := New(w.token.Issuer, nil, append(w.token.Chain, b), seed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.present(t, forged); !errors.Is(err, ErrUnknownCaveat) {
		t.Errorf("got %v, want ErrUnknownCaveat", err)
	}
}

func TestTextRoundTrip(t *testing.T) {
	w := newWorld(t, Caveats{Uses: 7, Rate: &Rate{Count: 2, Seconds: 60}, Identities: []Identity{{Issuer: "https://i", Claims: []Claim{{Name: "repository_id", Values: []string{"1"}}}}}})
	text := w.token.Text()
	again, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Text(), text) {
		t.Error("another text")
	}
	for i := range text {
		changed := bytes.Clone(text)
		changed[i] ^= 1
		if _, err := Parse(changed); !errors.Is(err, ErrToken) {
			t.Fatalf("character %d changed: got %v", i, err)
		}
		if _, err := Parse(text[:i]); !errors.Is(err, ErrToken) {
			t.Fatalf("cut at %d: got %v", i, err)
		}
	}
	t.Logf("%d characters", len(text))
}

// Shares are read into one array, which Wipe overwrites: one that grows leaves copies behind.
func TestSharesAreReadOnce(t *testing.T) {
	w := newWorld(t, Caveats{})
	shares := []Share{{acme, [32]byte{1}}, {other, [32]byte{2}}, {ID{3}, [32]byte{3}}, {ID{4}, [32]byte{4}}, {ID{5}, [32]byte{5}}}
	token, err := New(w.token.Issuer, shares, w.token.Chain, w.token.seed)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(token.Text())
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Shares) != len(shares) || cap(again.Shares) != len(shares) {
		t.Errorf("%d shares in an array of %d, want %d", len(again.Shares), cap(again.Shares), len(shares))
	}
}

// TestRefusalSaysAllTargets: where a request is refused for where it goes, all that limits
// that is told, of all blocks, and not just what it missed first.
func TestRefusalSaysAllTargets(t *testing.T) {
	w := newWorld(t, Caveats{Methods: []string{"GET", "POST"}, Paths: []string{"/a/**"}, Hosts: []string{"h"}})
	narrow, err := w.token.Narrow(Caveats{Methods: []string{"GET"}, Scripts: []string{"1/2"}}, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	g, err := w.present(t, narrow)
	if err != nil {
		t.Fatal(err)
	}
	err = g.Clear(Request{Time: now, Credential: acme, Kind: "sign", Host: "h", Method: "POST", Path: "/a/b"})
	const want = "it allows GET, POST /a/** at h, and of that GET RESTlet 1/2"
	if r := (*Refused)(nil); !errors.As(err, &r) || r.Caveat != "methods" || r.Why != want {
		t.Errorf("got %v, want %q", err, want)
	}
}
