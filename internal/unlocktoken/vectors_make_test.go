package unlocktoken

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// counting is a random source that everybody can repeat.
type counting struct{ n uint64 }

// Read gives the hashes of 1, 2, 3 and so on.
func (c *counting) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		c.n++
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, c.n))
		n += copy(p[n:], sum[:])
	}
	return len(p), nil
}

// frozen makes the tokens of vectors.json.
type frozen struct {
	t      *testing.T
	rand   counting
	issuer ed25519.PrivateKey
	out    vectors
}

func (f *frozen) bytes(n int) []byte {
	b := make([]byte, n)
	_, _ = f.rand.Read(b)
	return b
}

func (f *frozen) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func newVectors(t *testing.T) vectors {
	f := &frozen{t: t}
	f.issuer = ed25519.NewKeyFromSeed(f.bytes(32))
	f.out.Issuer, f.out.MachineKey = hex.EncodeToString(f.issuer[32:]), hex.EncodeToString(f.bytes(32))
	f.good()
	f.bad()
	f.spelled()
	f.edges()
	f.beyond()
	f.paths()
	f.twice()
	for i, v := range f.out.Tokens {
		got := v.look(t, f.issuer[32:], unhex(t, f.out.MachineKey))
		if got.Wrong != v.Wrong {
			t.Errorf("%s: it is wrong in %q", v.Name, got.Wrong)
		}
		f.out.Tokens[i] = got
	}
	return f.out
}

// authority is an authority with these caveats beside credentials and an end.
func (f *frozen) authority(mode string, c Caveats) Authority {
	c.Credentials, c.NotAfter = []ID{acme, other}, 1_800_000_000
	return Authority{Label: labelAuthority, Vault: ID(f.bytes(16)), Grant: ID(f.bytes(16)), Mode: mode, IssuedAt: 1_790_000_000, Caveats: c}
}

// token returns a token of one block with that payload.
func (f *frozen) token(payload []byte, shares ...ID) *Token {
	seed := [32]byte(f.bytes(32))
	next := ed25519.NewKeyFromSeed(seed[:])
	b, err := newBlock(nil, payload, ed25519.PublicKey(next[32:]), func(m []byte) ([]byte, error) { return ed25519.Sign(f.issuer, m), nil })
	f.must(err)
	token := &Token{Issuer: IssuerHash(ed25519.PublicKey(f.issuer[32:])), Chain: Chain{b}, seed: seed}
	for _, id := range shares {
		token.Shares = append(token.Shares, Share{id, [32]byte(f.bytes(32))})
	}
	return token
}

// add freezes a token, shown once.
func (f *frozen) add(name, wrong string, token *Token, requests ...vectorRequest) {
	f.addText(name, wrong, token, string(token.Text()), requests...)
}

func (f *frozen) addText(name, wrong string, token *Token, text string, requests ...vectorRequest) {
	v := vector{Name: name, Text: text, Wrong: wrong, Requests: requests}
	hexed := func(n int) string { return hex.EncodeToString(f.bytes(n)) }
	v.Presentation = presentation{VaultID: hexed(16), Instance: hexed(16), ID: hexed(26), PublicKey: hexed(32)}
	v.Presentation.Proof = hex.EncodeToString(token.Prove(v.Presentation.challenge(f.t)))
	f.out.Tokens = append(f.out.Tokens, v)
}

func (f *frozen) narrow(token *Token, c Caveats, keep ...ID) *Token {
	f.t.Helper()
	out, err := token.Narrow(c, keep, &f.rand)
	f.must(err)
	return out
}

func (f *frozen) good() {
	uid, otherUID := uint32(1000), uint32(1001)
	ask := func(change ...func(*vectorRequest)) vectorRequest {
		r := vectorRequest{Time: 1_795_000_000, Credential: hex.EncodeToString(acme[:]), Kind: "sign", Host: "a.example", Method: "GET", Path: "/a/b"}
		for _, c := range change {
			c(&r)
		}
		return r
	}
	f.add("plain", "", f.token(encode(f.authority(Attached, Caveats{})), acme, other),
		ask(), ask(func(r *vectorRequest) { r.Kind = "passport" }), ask(func(r *vectorRequest) { r.Time = 1_800_000_001 }),
		ask(func(r *vectorRequest) { r.Credential = strings.Repeat("07", 16) }))
	f.add("detached", "", f.token(encode(f.authority(Detached, Caveats{})), acme), ask())
	f.add("without shares", "", f.token(encode(f.authority(Attached, Caveats{}))), ask())
	f.add("every caveat", "", f.token(encode(f.authority(Attached, Caveats{
		Kinds: []string{"sign", "send"}, Hosts: []string{"a.example", "b.example"}, Methods: []string{"GET", "POST"}, Paths: []string{"/a/*", "/c/**"},
		Scripts: []string{"123/1"}, Operations: []string{"get"}, NotBefore: 1_791_000_000, Uses: 1000, Rate: &Rate{Count: 10, Seconds: 60},
		Networks: []string{"192.0.2.0/24", "2001:db8::/32"}, Peer: &Peer{UIDs: []uint32{1000}, Executables: []string{"/usr/bin/python3"}},
		Identities: []Identity{{Issuer: "https://i", Claims: []Claim{{Name: "repository_id", Values: []string{"1", "2"}}, {Name: "ref", Values: []string{"refs/heads/main"}}}}},
	})), acme),
		ask(), ask(func(r *vectorRequest) {
			r.Script, r.Operation, r.Address, r.Issuer, r.UID, r.Executable = "123/1", "get", "192.0.2.9", "https://i", &uid, "/usr/bin/python3"
			r.Claims = map[string]string{"repository_id": "2", "ref": "refs/heads/main", "more": "x"}
		}))
	each := f.narrow(f.token(encode(f.authority(Attached, Caveats{Hosts: []string{"a.example"}})), acme, other), Caveats{Methods: []string{"GET"}, Credentials: []ID{acme}}, acme)
	each = f.narrow(each, Caveats{Paths: []string{"/a/b*/c", "/x/**", "/exact"}, NotAfter: 1_796_000_000}, acme)
	path := func(p string) vectorRequest { return ask(func(r *vectorRequest) { r.Path = p }) }
	f.add("narrowed twice", "", each, path("/a/b/c"), path("/a/b1/c"), path("/a/c/c"), path("/a/b/c/d"), path("/x"), path("/x/"), path("/x/y"), path("/x/y/z"),
		path("/x/../exact"), path("/exact"), path("/exac%74"), path("/EXACT"), path("/x/%2F"), path("/x/%20y"), path("/x;a/y"), path(""),
		ask(func(r *vectorRequest) { r.Path, r.Method = "/exact", "POST" }), ask(func(r *vectorRequest) { r.Path, r.Time = "/exact", 1_797_000_000 }),
		ask(func(r *vectorRequest) { r.Path, r.Credential = "/exact", hex.EncodeToString(other[:]) }))
	f.add("for a process", "", f.narrow(f.token(encode(f.authority(Attached, Caveats{})), acme), Caveats{Peer: &Peer{UIDs: []uint32{1000}}}, acme),
		ask(), ask(func(r *vectorRequest) { r.UID = &uid }), ask(func(r *vectorRequest) { r.UID = &otherUID }))
	long := f.token(encode(f.authority(Attached, Caveats{})), acme)
	for range MaxBlocks - 1 {
		long = f.narrow(long, Caveats{}, acme)
	}
	f.add("as long as may be", "", long, ask())
}

func (f *frozen) bad() {
	good := f.token(encode(f.authority(Attached, Caveats{})), acme)
	text := string(good.Text())
	f.addText("cut", "format", good, text[:len(text)-1])
	f.addText("another checksum", "format", good, text[:len(text)-1]+"!")
	f.addText("another prefix", "format", good, "nst2_"+text[5:])
	f.addText("no token", "format", good, "")

	f.add("of another issuer", "issuer", &Token{Issuer: [32]byte{1}, Shares: good.Shares, Chain: good.Chain, seed: good.seed})
	forged := slices.Clone(good.Chain)
	forged[0].Signature = slices.Clone(forged[0].Signature)
	forged[0].Signature[0] ^= 1
	f.add("a signature changed", "signature", &Token{Issuer: good.Issuer, Shares: good.Shares, Chain: forged, seed: good.seed})
	narrow := f.narrow(good, Caveats{Methods: []string{"GET"}}, acme)
	swapped := Chain{good.Chain[0], {Payload: encode(narrowing{Label: labelNarrowing}), Next: narrow.Chain[1].Next, Signature: narrow.Chain[1].Signature}}
	f.add("a caveat taken out", "signature", &Token{Issuer: good.Issuer, Chain: swapped, seed: narrow.seed})

	f.add("an unknown caveat", "unknown", f.token(f.rawAuthority(map[int]any{1: []ID{acme}, 9: 1_800_000_000, 99: 1})))
	f.add("without an end", "caveats", f.token(f.rawAuthority(map[int]any{1: []ID{acme}})))
	f.add("without credentials", "caveats", f.token(f.rawAuthority(map[int]any{9: 1_800_000_000})))
	f.add("an unknown kind", "caveats", f.token(f.rawAuthority(map[int]any{1: []ID{acme}, 2: []string{"everything"}, 9: 1_800_000_000})))
	f.add("a pattern that is none", "caveats", f.token(f.rawAuthority(map[int]any{1: []ID{acme}, 5: []string{"/a/../b"}, 9: 1_800_000_000})))
	f.add("a host in upper case", "caveats", f.token(f.rawAuthority(map[int]any{1: []ID{acme}, 3: []string{"A.example"}, 9: 1_800_000_000})))
	f.add("bits behind a prefix", "caveats", f.token(f.rawAuthority(map[int]any{1: []ID{acme}, 9: 1_800_000_000, 12: []string{"192.0.2.1/24"}})))
	f.add("a number in a longer head", "format", f.token(append([]byte{0x86}, f.longHead()...)))
}

// spelled is a token for paths with characters that may be escaped, or not.
func (f *frozen) spelled() {
	var requests []vectorRequest
	for _, path := range []string{"/s/!x", "/s/%21x", "/s/%3Ay", "/s/%3ay", "/s/:y", "/s/%211", "/s/%21", "/s/%C3%A1", "/t/%21"} {
		requests = append(requests, vectorRequest{Time: 1_795_000_000, Credential: hex.EncodeToString(acme[:]), Kind: "sign", Path: path})
	}
	f.add("paths as written", "", f.token(encode(f.authority(Attached, Caveats{Paths: []string{"/s/!x", "/s/%3Ay", "/s/*1", "/t/*"}})), acme), requests...)
}

// rawAuthority encodes an authority with caveats that this package would not make.
func (f *frozen) rawAuthority(caveats map[int]any) []byte {
	return encode([]any{labelAuthority, ID(f.bytes(16)), ID(f.bytes(16)), Attached, 1_790_000_000, caveats})
}

// longHead is what follows the head of an authority, with its time in eight bytes.
func (f *frozen) longHead() []byte {
	var b []byte
	for _, v := range []any{labelAuthority, ID{9}, ID{8}, Attached} {
		b = append(b, encode(v)...)
	}
	b = binary.BigEndian.AppendUint64(append(b, 0x1b), 1_790_000_000)
	return append(b, encode(map[int]any{1: []ID{acme}, 9: 1_800_000_000})...)
}
