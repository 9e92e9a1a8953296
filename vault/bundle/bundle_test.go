package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	"github.com/nsagent/nsagent/vault/envelope"
)

// world is a bundle of two credentials, and the token that opens both.
type world struct {
	arena   *secret.Arena
	issuer  ed25519.PublicKey
	private ed25519.PrivateKey
	grant   *unlocktoken.Grant
	token   *unlocktoken.Token
	text    []byte
}

var acme, other = unlocktoken.ID{1}, unlocktoken.ID{2}

const (
	acmeSecret  = "midstates of acme, sixty-four bytes in the real bundle"
	otherSecret = "midstates of another profile, which is nobody's business"
)

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{}
	var err error
	if w.arena, err = secret.NewArena(secret.ArenaConfig{Size: 256 << 10}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.arena.Close() })
	if w.issuer, w.private, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	next, nextPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := unlocktoken.Authority{
		Vault: unlocktoken.ID{9}, Grant: unlocktoken.ID{8}, Mode: unlocktoken.Detached, IssuedAt: 1,
		Caveats: unlocktoken.Caveats{Credentials: []unlocktoken.ID{acme, other}, NotAfter: 2},
	}
	chain, err := unlocktoken.NewChain(a, next, w.sign)
	if err != nil {
		t.Fatal(err)
	}
	shares := []unlocktoken.Share{{Credential: acme, Key: [32]byte{3}}, {Credential: other, Key: [32]byte{4}}}
	if w.token, err = unlocktoken.New(unlocktoken.IssuerHash(w.issuer), shares, chain, [32]byte(nextPrivate.Seed())); err != nil {
		t.Fatal(err)
	}
	if w.grant, err = chain.Read(); err != nil {
		t.Fatal(err)
	}
	w.text = w.seal(t)
	return w
}

func (w *world) sign(m []byte) ([]byte, error) { return ed25519.Sign(w.private, m), nil }

func (w *world) head() Head {
	return Head{Vault: w.grant.Vault, Grant: w.grant.Authority.Grant, Issuer: [32]byte(w.issuer), Authority: w.grant.AuthorityHash, Public: []byte("for everybody")}
}

func (w *world) sources(t testing.TB) []Source {
	return []Source{
		{Credential: other, Name: "other", Kind: "tba", Meta: []byte("meta of other"), SignOnly: w.take(t, otherSecret), Key: w.key(t, other, w.token.Shares[1].Key)},
		{Credential: acme, Name: "acme", Kind: "tba", Meta: []byte("meta of acme"), SignOnly: w.take(t, acmeSecret), Key: w.key(t, acme, w.token.Shares[0].Key)},
	}
}

func (w *world) seal(t testing.TB) []byte {
	t.Helper()
	text, err := Seal(w.arena, rand.Reader, w.head(), 1, w.sources(t), w.sign)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (w *world) take(t testing.TB, s string) secret.Bytes {
	t.Helper()
	b, err := w.arena.Take([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// key derives a wrap key with the HKDF of the standard library.
func (w *world) key(t testing.TB, credential unlocktoken.ID, share [32]byte) secret.Bytes {
	t.Helper()
	id := w.grant.Authority.Grant
	k, err := hkdf.Key(sha256.New, share[:], id[:], string(w.grant.WrapInfo(credential, unlocktoken.IssuerHash(w.issuer))), 32)
	if err != nil {
		t.Fatal(err)
	}
	return w.take(t, string(k))
}

func (w *world) parse(t testing.TB) *Bundle {
	t.Helper()
	b, err := Parse(w.text, unlocktoken.IssuerHash(w.issuer))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBundleOpens(t *testing.T) {
	w := newWorld(t)
	b := w.parse(t)
	if !reflect.DeepEqual(b.Head, w.head()) || !b.Has(acme) || !b.Has(other) || b.Has([16]byte{7}) {
		t.Errorf("got %+v", b.Head)
	}
	for i, want := range map[int]Opened{0: {Name: "acme", Kind: "tba", Meta: []byte("meta of acme")}, 1: {Name: "other", Kind: "tba", Meta: []byte("meta of other")}} {
		share := w.token.Shares[i]
		o, err := b.Open(w.arena, share.Credential, w.key(t, share.Credential, share.Key))
		if err != nil {
			t.Fatal(err)
		}
		if o.Name != want.Name || o.Kind != want.Kind || !bytes.Equal(o.Meta, want.Meta) {
			t.Errorf("got %+v, want %+v", o, want)
		}
		if !o.SignOnly.Equal(w.take(t, []string{acmeSecret, otherSecret}[i])) {
			t.Errorf("%s: another secret", o.Name)
		}
	}
	if bytes.Equal(w.seal(t), w.text) {
		t.Error("sealed twice under the same keys")
	}
}

// Requirement T-08: the share of one credential opens no other, whatever the program does
// not check: keys are derived here for each place and tried on the sealed records
// themselves.
func TestShareOpensItsOwnAlone(t *testing.T) {
	w := newWorld(t)
	b := w.parse(t)
	narrow, err := w.token.Narrow(unlocktoken.Caveats{}, []unlocktoken.ID{acme}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	share := narrow.Shares[0].Key
	infos := map[string][]byte{"none": nil}
	for _, c := range []unlocktoken.ID{acme, other} {
		infos[string(c[:1])] = w.grant.WrapInfo(c, unlocktoken.IssuerHash(w.issuer))
	}
	id := w.grant.Authority.Grant
	opened := 0
	for name, info := range infos {
		for _, ikm := range [][]byte{share[:], append(share[:], make([]byte, 32)...)} {
			k, err := hkdf.Key(sha256.New, ikm, id[:], string(info), 32)
			if err != nil {
				t.Fatal(err)
			}
			for credential, r := range b.records {
				o, err := envelope.NewKeys(w.arena, nil, b.Vault, w.take(t, string(k))).NewOpener()
				if err != nil {
					t.Fatal(err)
				}
				_, err = o.Metadata(r)
				_, err2 := o.Content(r, envelope.PartSignOnly, 1)
				o.Close()
				if (err == nil) != (err2 == nil) {
					t.Errorf("metadata: %v, content: %v", err, err2)
				}
				if err == nil {
					opened++
					if credential != acme {
						t.Errorf("the share of acme opens %x by the info of %x", credential, name)
					}
				}
			}
		}
	}
	if opened != 1 {
		t.Errorf("control: %d opened, want acme's once", opened)
	}
}

// Another chain, vault, grant or mode gives another key.
func TestKeyIsBound(t *testing.T) {
	w := newWorld(t)
	b := w.parse(t)
	for name, change := range map[string]func(*unlocktoken.Grant){
		"authority": func(g *unlocktoken.Grant) { g.AuthorityHash[0] ^= 1 },
		"vault":     func(g *unlocktoken.Grant) { g.Vault[0] ^= 1 },
		"mode":      func(g *unlocktoken.Grant) { g.Mode = unlocktoken.Attached },
		"grant":     func(g *unlocktoken.Grant) { g.Authority.Grant[0] ^= 1 },
	} {
		was := *w.grant
		change(w.grant)
		key := w.key(t, acme, w.token.Shares[0].Key)
		*w.grant = was
		if o, err := b.Open(w.arena, acme, key); !errors.Is(err, ErrOpen) {
			t.Errorf("another %s: got %v, %v", name, o, err)
		}
	}
	if _, err := b.Open(w.arena, acme, w.key(t, acme, [32]byte{5})); !errors.Is(err, ErrOpen) {
		t.Errorf("another share: got %v", err)
	}
	if _, err := b.Open(w.arena, [16]byte{7}, w.key(t, acme, w.token.Shares[0].Key)); !errors.Is(err, ErrOpen) {
		t.Errorf("no such credential: got %v", err)
	}
}

func TestHostileBundles(t *testing.T) {
	w := newWorld(t)
	issuer := unlocktoken.IssuerHash(w.issuer)
	stranger, strangerKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	all, err := unarmour(w.text)
	if err != nil {
		t.Fatal(err)
	}
	var good body
	if err := decode(all[:len(all)-64], &good); err != nil {
		t.Fatal(err)
	}
	// signed returns a changed body with the issuer's own signature.
	signed := func(change func(*body)) []byte {
		b := good
		b.Entries = append([]entry(nil), good.Entries...)
		change(&b)
		e := encode(b)
		return armour(append(e, ed25519.Sign(w.private, append([]byte(label), e...))...))
	}
	if _, err := Parse(signed(func(*body) {}), issuer); err != nil {
		t.Fatalf("control: %v", err)
	}
	resigned := good
	resigned.Issuer = [32]byte(stranger)
	e := encode(resigned)
	ofStranger := armour(append(e, ed25519.Sign(strangerKey, append([]byte(label), e...))...))
	for name, c := range map[string]struct {
		text []byte
		want error
	}{
		"empty":                   {nil, ErrFormat},
		"blank":                   {[]byte(" \r\n"), ErrEmpty},
		"a pointer of Git LFS":    {[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"), ErrPointer},
		"CR alone":                {bytes.ReplaceAll(w.text, []byte("\n"), []byte("\r")), ErrFormat},
		"a blank line in it":      {bytes.Replace(w.text, []byte("\n"), []byte("\n\n"), 1), ErrFormat},
		"a space behind":          {append(bytes.Clone(w.text), ' '), ErrFormat},
		"a line before":           {append([]byte("# a bundle\n"), w.text...), ErrFormat},
		"a line behind":           {append(bytes.Clone(w.text), "# a bundle\n"...), ErrFormat},
		"twice":                   {append(bytes.Clone(w.text), w.text...), ErrFormat},
		"no line ends":            {[]byte(begin + strings.ReplaceAll(string(w.text[len(begin):len(w.text)-len(end)]), "\n", "") + "\n" + end), ErrFormat},
		"too long":                {append(bytes.Clone(w.text), make([]byte, MaxText)...), ErrFormat},
		"nothing inside":          {[]byte(begin + end), ErrFormat},
		"a signature alone":       {armour(make([]byte, 64)), ErrFormat},
		"deep":                    {armour(append(bytes.Repeat([]byte{0x81}, 4000), make([]byte, 65)...)), ErrFormat},
		"a length that lies":      {armour(append([]byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, make([]byte, 65)...)), ErrFormat},
		"of a stranger":           {ofStranger, ErrIssuer},
		"signed without the key":  {armour(append(bytes.Clone(all[:len(all)-64]), ed25519.Sign(strangerKey, append([]byte(label), all[:len(all)-64]...))...)), ErrSignature},
		"signed as another thing": {armour(append(bytes.Clone(all[:len(all)-64]), ed25519.Sign(w.private, all[:len(all)-64])...)), ErrSignature},
		"its end alone":           {w.text[len(begin):], ErrFormat},
		"its beginning alone":     {w.text[:len(w.text)-len(end)], ErrFormat},
		"no base64":               {[]byte(begin + "AAA!\n" + end), ErrFormat},
		"another form of it":      {armour(append(append([]byte{0x98, 8}, all[1:len(all)-64]...), ed25519.Sign(w.private, append([]byte(label+"\x98\x08"), all[1:len(all)-64]...))...)), ErrFormat},
		"earlier format":          {signed(func(b *body) { b.Format = 0 }), ErrFormat},
		"later, another magic":    {signed(func(b *body) { b.Magic, b.Format = "nsagent vault", 2 }), ErrFormat},
		"half of what text holds": {signed(func(b *body) { b.Entries[0].Record = make([]byte, MaxText/2) }), ErrFormat},
		"later format":            {signed(func(b *body) { b.Format = 2 }), ErrNewer},
		"another magic":           {signed(func(b *body) { b.Magic = "nsagent vault" }), ErrFormat},
		"too much to say":         {signed(func(b *body) { b.Public = make([]byte, MaxPublic+1) }), ErrFormat},
		"no credential":           {signed(func(b *body) { b.Entries = nil }), ErrFormat},
		"one twice":               {signed(func(b *body) { b.Entries[1] = b.Entries[0] }), ErrFormat},
		"out of order":            {signed(func(b *body) { b.Entries[0], b.Entries[1] = b.Entries[1], b.Entries[0] }), ErrFormat},
		"a record that is none":   {signed(func(b *body) { b.Entries[0].Record = []byte{0x80} }), ErrFormat},
	} {
		if b, err := Parse(c.text, issuer); !errors.Is(err, c.want) || b != nil {
			t.Errorf("%s: got %v, %v, want %v", name, b, err, c.want)
		}
	}
	swapped, err := Parse(signed(func(b *body) { b.Entries[0].Record, b.Entries[1].Record = b.Entries[1].Record, b.Entries[0].Record }), issuer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := swapped.Open(w.arena, acme, w.key(t, acme, w.token.Shares[0].Key)); !errors.Is(err, ErrOpen) {
		t.Errorf("records swapped by the issuer: got %v", err)
	}
}

// TestLineEnds: a bundle opens with the line ends that Git and editors give it. What is signed
// is what the lines encode.
func TestLineEnds(t *testing.T) {
	w := newWorld(t)
	crlf := bytes.ReplaceAll(w.text, []byte("\n"), []byte("\r\n"))
	for name, text := range map[string][]byte{
		"CR LF":              crlf,
		"a blank line":       append(bytes.Clone(w.text), '\n'),
		"blank lines":        append(bytes.Clone(crlf), "\r\n\r\n"...),
		"none at the end":    bytes.TrimSuffix(w.text, []byte("\n")),
		"CR LF but the last": bytes.TrimSuffix(crlf, []byte("\r\n")),
	} {
		before := bytes.Clone(text)
		b, err := Parse(text, unlocktoken.IssuerHash(w.issuer))
		if err != nil || !b.Has(acme) {
			t.Errorf("%s: got %v", name, err)
		}
		if !bytes.Equal(text, before) {
			t.Errorf("%s: the text of the caller was changed", name)
		}
	}
}

// What is wrong with a text that is no bundle is said of the text.
func TestWordsForTexts(t *testing.T) {
	w := newWorld(t)
	for says, text := range map[string][]byte{
		"begin or end":    w.text[len(begin):],
		"does not begin":  w.text[:len(w.text)-len(end)],
		"lines of base64": []byte(begin + "AAA!\n" + end),
		"too short":       armour(make([]byte, 64)),
		"at most":         append(bytes.Clone(w.text), make([]byte, MaxText)...),
	} {
		if _, err := Parse(text, unlocktoken.IssuerHash(w.issuer)); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
}

// What a file says of itself is told without a key, and of what is none nothing.
func TestGrantOf(t *testing.T) {
	w := newWorld(t)
	text := w.seal(t)
	if got, err := GrantOf(text); err != nil || got != w.head().Grant {
		t.Errorf("got %x, %v", got, err)
	}
	foreign := body{Magic: "another bundle", Format: format, Entries: []entry{{}}}
	for name, bad := range map[string][]byte{
		"no text":     nil,
		"too short":   armour(make([]byte, ed25519.SignatureSize)),
		"no body":     armour(make([]byte, ed25519.SignatureSize+1)),
		"other magic": armour(append(encode(foreign), make([]byte, ed25519.SignatureSize)...)),
	} {
		if _, err := GrantOf(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", name, err)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func([]Source) []Source{
		"nothing":     func([]Source) []Source { return nil },
		"one twice":   func(s []Source) []Source { return append(s, s[0]) },
		"a short key": func(s []Source) []Source { s[0].Key = w.take(t, "short"); return s },
		"too many": func(s []Source) []Source {
			for i := range byte(MaxEntries) {
				one := s[0]
				one.Credential = [16]byte{100, i}
				s = append(s, one)
			}
			return s
		},
	} {
		if text, err := Seal(w.arena, rand.Reader, w.head(), 1, change(w.sources(t)), w.sign); !errors.Is(err, ErrFormat) || text != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Seal(w.arena, rand.Reader, w.head(), 1, w.sources(t), func([]byte) ([]byte, error) { return nil, errors.New("no key") }); err == nil {
		t.Error("sealed without a signature")
	}
}

func FuzzParse(f *testing.F) {
	w := newWorld(f)
	issuer := unlocktoken.IssuerHash(w.issuer)
	all, err := unarmour(w.text)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(all)
	f.Add([]byte(base64.StdEncoding.EncodeToString(all)))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, text := range [][]byte{b, armour(b)} {
			got, err := Parse(text, issuer)
			if (got == nil) == (err == nil) {
				t.Fatalf("got %v and %v", got, err)
			}
			if err == nil && !bytes.Equal(withLineEnds(text), w.text) {
				t.Errorf("taken: %q", text)
			}
		}
		// What stands behind the signature, as if that held.
		var inside body
		if decode(b, &inside) == nil && inside.check(b) == nil {
			for _, e := range inside.Entries {
				if r, err := envelope.DecodeRecord(e.Record); err == nil && !bytes.Equal(r.Encode(), e.Record) {
					t.Errorf("record %x reads otherwise", e.Record)
				}
			}
		}
	})
}
