package unlocktoken

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// signedChain returns a chain of these payloads by an issuer of its own, and its proof of
// the challenge "c".
func signedChain(t *testing.T, next func(ed25519.PublicKey) ed25519.PublicKey, payloads ...[]byte) (c Chain, issuer ed25519.PublicKey, proof []byte) {
	t.Helper()
	issuer, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	previous := []byte(nil)
	for _, p := range payloads {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		b, err := newBlock(previous, p, next(public), func(m []byte) ([]byte, error) { return ed25519.Sign(key, m), nil })
		if err != nil {
			t.Fatal(err)
		}
		c, key, previous = append(c, b), private, b.Signature
	}
	return c, issuer, ed25519.Sign(key, encode(signedProof{Label: labelProof, Last: previous, Challenge: []byte("c")}))
}

func whole(k ed25519.PublicKey) ed25519.PublicKey { return k }

// What is signed by the right keys has still to be a grant, and what narrows it.
func TestSignedNonsense(t *testing.T) {
	authority := func(change func(*Authority)) []byte {
		a := Authority{Label: labelAuthority, Vault: ID{9}, Grant: ID{8}, Mode: Attached, IssuedAt: now, Caveats: Caveats{Credentials: []ID{acme}, NotAfter: now}}
		change(&a)
		return encode(a)
	}
	good := authority(func(*Authority) {})
	narrows := encode(narrowing{Label: labelNarrowing})
	for name, c := range map[string]struct {
		payloads [][]byte
		want     error
		says     string
	}{
		"whole":                     {[][]byte{good, narrows}, nil, ""},
		"no grant at first":         {[][]byte{narrows}, ErrFormat, ""},
		"a grant of another label":  {[][]byte{authority(func(a *Authority) { a.Label = labelNarrowing })}, ErrFormat, ""},
		"a grant in second place":   {[][]byte{good, good}, ErrFormat, ""},
		"a block of another label":  {[][]byte{good, encode(narrowing{Label: labelAuthority})}, ErrFormat, ""},
		"nothing":                   {[][]byte{good, {}}, ErrFormat, ""},
		"a caveat without sense":    {[][]byte{good, encode(narrowing{Label: labelNarrowing, Caveats: Caveats{Methods: []string{"get"}}})}, ErrCaveats, "methods"},
		"a grant without sense":     {[][]byte{authority(func(a *Authority) { a.Caveats.Methods = []string{"get"} })}, ErrCaveats, "methods"},
		"no end":                    {[][]byte{authority(func(a *Authority) { a.Caveats.NotAfter = 0 })}, ErrCaveats, "without an end"},
		"no credential":             {[][]byte{authority(func(a *Authority) { a.Caveats.Credentials = nil })}, ErrCaveats, "without a credential"},
		"no mode":                   {[][]byte{authority(func(a *Authority) { a.Mode = "" })}, ErrCaveats, "attached or detached"},
		"another mode":              {[][]byte{authority(func(a *Authority) { a.Mode = "Attached" })}, ErrCaveats, "attached or detached"},
		"issued never":              {[][]byte{authority(func(a *Authority) { a.IssuedAt = 0 })}, ErrCaveats, "before it was issued"},
		"issued after its end":      {[][]byte{authority(func(a *Authority) { a.IssuedAt = now + 1 })}, ErrCaveats, "before it was issued"},
		"more blocks than there be": {append([][]byte{good}, slices.Repeat([][]byte{narrows}, MaxBlocks)...), ErrFormat, ""},
		"no block":                  {nil, ErrFormat, ""},
	} {
		chain, issuer, proof := signedChain(t, whole, c.payloads...)
		g, err := chain.Verify(issuer, []byte("c"), proof)
		if !errors.Is(err, c.want) || (g == nil) != (c.want != nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if c.want != nil && len(c.payloads) <= MaxBlocks {
			if g, err := chain.Read(); !errors.Is(err, c.want) || !errors.Is(err, ErrToken) || g != nil {
				t.Errorf("%s, read without a look at signatures: got %v", name, err)
			}
		}
	}
	chain, issuer, proof := signedChain(t, whole, good)
	for _, key := range []ed25519.PublicKey{nil, issuer[:31], append(slices.Clone(issuer), 0)} {
		if _, err := chain.Verify(key, []byte("c"), proof); !errors.Is(err, ErrFormat) {
			t.Errorf("an issuer's key of %d bytes: got %v", len(key), err)
		}
	}
	chain, issuer, proof = signedChain(t, func(k ed25519.PublicKey) ed25519.PublicKey { return k[:31] }, good)
	if _, err := chain.Verify(issuer, []byte("c"), proof); !errors.Is(err, ErrSignature) {
		t.Errorf("a next key of 31 bytes: got %v", err)
	}
}

// Of a chain as bytes, there is one form, of one to MaxBlocks blocks, and of a size.
func TestChainsAsBytes(t *testing.T) {
	_, token := fourBlocks(t)
	good := token.Chain.Encode()
	with := func(change func(*Block)) []byte {
		c := slices.Clone(token.Chain)
		change(&c[1])
		return c.Encode()
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "no block": Chain{}.Encode(), "too many blocks": Chain(slices.Repeat(token.Chain, 3)).Encode(), "a byte behind": append(slices.Clone(good), 0),
		"another form of its length": append([]byte{0x98, good[0] & 0x1f}, good[1:]...), "a short key": with(func(b *Block) { b.Next = b.Next[:31] }),
		"a short signature": with(func(b *Block) { b.Signature = b.Signature[:63] }), "too large": with(func(b *Block) { b.Payload = make([]byte, MaxChain) }),
	} {
		if c, err := DecodeChain(b); !errors.Is(err, ErrFormat) || c != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if c, err := DecodeChain(good); err != nil || !bytes.Equal(c.Encode(), good) {
		t.Errorf("control: %v", err)
	}
}

// What a text encodes is looked at, with the checksum right.
func TestTextsOfNonsense(t *testing.T) {
	w := newWorld(t, Caveats{})
	whole := w.token.Text()
	inside, err := base64.RawURLEncoding.DecodeString(string(whole[len(Prefix) : len(whole)-checksumSize]))
	if err != nil {
		t.Fatal(err)
	}
	summed := func(text string) []byte {
		sum := checksum([]byte(text))
		return append([]byte(text), sum[:]...)
	}
	of := func(change func(b []byte) []byte) []byte {
		return summed(Prefix + base64.RawURLEncoding.EncodeToString(change(slices.Clone(inside))))
	}
	if _, err := Parse(of(func(b []byte) []byte { return b })); err != nil {
		t.Fatalf("control: %v", err)
	}
	for name, c := range map[string]struct {
		text []byte
		says string
	}{
		"another prefix":    {summed("nst2_" + string(whole[len(Prefix):len(whole)-checksumSize])), "does not start with"},
		"nothing inside":    {summed(Prefix), "too short"},
		"too long":          {summed(Prefix + strings.Repeat("A", MaxText)), "too long"},
		"no base64":         {summed(Prefix + "AA!A"), "does not belong there"},
		"a line end":        {summed(string(whole[:60]) + "\n" + string(whole[60:len(whole)-checksumSize])), "does not belong there"},
		"a carriage return": {summed(string(whole[:len(whole)-checksumSize]) + "\r"), "does not belong there"},
		"a short head":      {of(func(b []byte) []byte { return b[:headSize-1] }), "version"},
		"another version":   {of(func(b []byte) []byte { b[0]++; return b }), "version"},
		"shares cut":        {of(func(b []byte) []byte { return b[:headSize+shareSize] }), "shares are cut"},
		"too many shares":   {of(func(b []byte) []byte { b[headSize-1] = MaxShares + 1; return append(b, make([]byte, 4096)...) }), "shares are cut"},
		"no chain":          {of(func(b []byte) []byte { return b[:headSize+2*shareSize] }), "format"},
		"another seed":      {of(func(b []byte) []byte { b[33]++; return b }), "last block"},
		"shares exchanged":  {of(func(b []byte) []byte { b[headSize], b[headSize+shareSize] = 2, 1; return b }), "out of order"},
		"one share for two": {of(func(b []byte) []byte { b[headSize+shareSize] = 1; return b }), "out of order"},
	} {
		if got, err := Parse(c.text); !errors.Is(err, ErrToken) || !errors.Is(err, ErrFormat) || got != nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	many := make([]Share, MaxShares+1)
	for i := range many {
		many[i].Credential = ID{byte(i)}
	}
	for name, make := range map[string]func() (*Token, error){
		"no chain":        func() (*Token, error) { return New(w.token.Issuer, nil, nil, w.token.seed) },
		"another seed":    func() (*Token, error) { return New(w.token.Issuer, nil, w.token.Chain, [32]byte{1}) },
		"too many shares": func() (*Token, error) { return New(w.token.Issuer, many, w.token.Chain, w.token.seed) },
		"one twice": func() (*Token, error) {
			return New(w.token.Issuer, []Share{{acme, [32]byte{}}, {acme, [32]byte{1}}}, w.token.Chain, w.token.seed)
		},
	} {
		if got, err := make(); !errors.Is(err, ErrFormat) || got != nil {
			t.Errorf("made of %s: got %v", name, err)
		}
	}
}

// What cannot be signed, drawn or said makes no token; what is nil has none.
func TestNothingHalfMade(t *testing.T) {
	w := newWorld(t, Caveats{})
	if got, err := w.token.Narrow(Caveats{Methods: []string{"get"}}, nil, rand.Reader); !errors.Is(err, ErrCaveats) || got != nil {
		t.Errorf("a caveat without sense: got %v", err)
	}
	errRead := errors.New("no randomness")
	if got, err := w.token.Narrow(Caveats{}, nil, iotest.ErrReader(errRead)); !errors.Is(err, errRead) || got != nil {
		t.Errorf("without randomness: got %v", err)
	}
	all, err := w.token.Narrow(Caveats{}, nil, rand.Reader)
	if err != nil || len(all.Shares) != 2 {
		t.Errorf("without a word about shares: got %v", err)
	}
	narrow, err := w.token.Narrow(Caveats{Credentials: []ID{acme}}, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if g, err := w.present(t, narrow); err != nil || !g.Covers(acme) || g.Covers(other) {
		t.Errorf("narrowed to one credential: got %v", err)
	}
	a := Authority{Mode: Attached, IssuedAt: now, Caveats: Caveats{Credentials: []ID{acme}, NotAfter: now}}
	nonsense := a
	nonsense.Caveats.Methods = []string{"get"}
	if c, err := NewChain(nonsense, w.public, func(m []byte) ([]byte, error) { return make([]byte, 64), nil }); !errors.Is(err, ErrCaveats) || c != nil {
		t.Errorf("a grant without sense: got %v", err)
	}
	errSign := errors.New("the key is gone")
	if c, err := NewChain(a, w.public, func([]byte) ([]byte, error) { return nil, errSign }); !errors.Is(err, errSign) || c != nil {
		t.Errorf("without a signature: got %v", err)
	}
	var none *Token
	if none.Wipe(); none.Clone() != nil {
		t.Error("a copy of nothing")
	}
}
