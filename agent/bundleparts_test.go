package agent

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/grantkey"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/secrettest"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	"github.com/nsagent/nsagent/vault/bundle"
)

// bundleParts are what a bundle and its token are made of, to be put together otherwise.
type bundleParts struct {
	*fixture
	text   []byte
	token  *unlocktoken.Token
	issuer [32]byte
}

// partsOf returns the parts of a bundle of acme and other.
func partsOf(t *testing.T) bundleParts {
	f := owner(t)
	text, token := f.mintBundle(unlocktoken.Caveats{}, nil, "acme", "other")
	issuer, err := f.agent.session.vault.GrantKey()
	if err != nil {
		t.Fatal(err)
	}
	return bundleParts{f, text, token, issuer}
}

// id returns that of a profile's record.
func (p bundleParts) id(name string) unlocktoken.ID {
	id, _ := p.agent.session.vault.RecordID(name)
	return unlocktoken.ID(id)
}

// sealed returns a bundle of these profiles, signed by the vault, for the token. change
// comes before that.
func (p bundleParts) sealed(change func(*bundle.Head, []bundle.Source), profiles ...string) []byte {
	p.t.Helper()
	check := func(err error) {
		p.t.Helper()
		if err != nil {
			p.t.Fatal(err)
		}
	}
	v, g := p.agent.session.vault, mustRead(p.t, p.token)
	public, err := p.agent.codec.enc.Marshal(bundleNotice{})
	check(err)
	head := bundle.Head{Vault: g.Vault, Grant: g.Authority.Grant, Issuer: p.issuer, Authority: g.AuthorityHash, Public: public}
	var sources []bundle.Source
	for _, name := range profiles {
		s := bundle.Source{Credential: p.id(name), Name: name, Kind: authTBA}
		s.Meta, err = p.agent.codec.encodeBundled(p.agent.session.profiles[name].forBundle(), nil)
		check(err)
		s.SignOnly, err = v.OpenSignOnly(name)
		check(err)
		i := slices.IndexFunc(p.token.Shares, func(s unlocktoken.Share) bool { return s.Credential == p.id(name) })
		key := p.token.Shares[i].Key
		share, err := p.agent.arena.Take(key[:])
		check(err)
		s.Key, err = grantkey.Derive(p.agent.arena, nil, g, unlocktoken.IssuerHash(p.issuer[:]), s.Credential, share)
		check(err)
		share.Destroy()
		defer s.Key.Destroy()
		defer s.SignOnly.Destroy()
		sources = append(sources, s)
	}
	if change != nil {
		change(&head, sources)
	}
	text, err := bundle.Seal(p.agent.arena, rand.Reader, head, 1, sources, v.SignGrant)
	check(err)
	return text
}

// narrowed returns the token with more caveats, and the shares of keep; nil: all.
func (p bundleParts) narrowed(c unlocktoken.Caveats, keep []unlocktoken.ID) *unlocktoken.Token {
	p.t.Helper()
	token, err := p.token.Narrow(c, keep, rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

// What is open of a bundle is what the token has a share for, no block of it leaves out,
// and the bundle holds. It is no error if that is not all.
func TestBundleOpensWhatAllOfThemHave(t *testing.T) {
	p := partsOf(t)
	acme := []unlocktoken.ID{p.id("acme")}
	for name, c := range map[string]struct {
		text  []byte
		token *unlocktoken.Token
		open  int
	}{
		"all":                        {p.text, p.token, 2},
		"all, put together here":     {p.sealed(nil, "acme", "other"), p.token, 2},
		"without a share":            {p.text, p.narrowed(unlocktoken.Caveats{}, acme), 1},
		"with a share, and left out": {p.text, p.narrowed(unlocktoken.Caveats{Credentials: acme}, nil), 1},
		"not in the bundle":          {p.sealed(nil, "acme"), p.token, 1},
		"a token with ends of lines": {p.text, nil, 2},
	} {
		r := newRunner(t)
		token := p.token.Text()
		if c.token != nil {
			token = c.token.Text()
		} else {
			token = append(token, "\r\n\n"...)
		}
		if err := r.serve(c.text, token); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n := len(r.agent.bundled.own.profiles); n != c.open {
			t.Errorf("%s: %d profiles are open, want %d", name, n, c.open)
		}
		if err := r.try("acme", "GET", "/x"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A bundle that its owner signed, and a token that its owner made, are looked at no less
// than what anybody made.
func TestBundlePartsAreRefused(t *testing.T) {
	p := partsOf(t)
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	chain, key := appendBlock(t, p.token.Chain, stranger, p.narrowed(unlocktoken.Caveats{}, nil).Chain[1].Payload)
	forged, err := unlocktoken.New(p.token.Issuer, p.token.Shares, chain, [32]byte(key.Seed()))
	if err != nil {
		t.Fatal(err)
	}
	shares := slices.Clone(p.token.Shares)
	shares[0].Key[0] ^= 1
	changed, err := unlocktoken.New(p.token.Issuer, shares, p.token.Chain, [32]byte(seedOf(t, p.token)))
	if err != nil {
		t.Fatal(err)
	}
	nonsense := mustMarshal(t, p, bundledMeta{Profile: []byte("?")})
	odd, err := p.agent.codec.enc.Marshal(bundleNotice{Issuers: []bundleIssuer{{URL: "http://issuer.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text  []byte
		token *unlocktoken.Token
		want  error
		says  string
	}{
		"a block by a stranger": {p.text, forged, ErrGrant, "was changed"},
		"a changed share":       {p.text, changed, ErrGrant, "a key share of it was changed"},
		"what it says to all": {p.sealed(func(h *bundle.Head, _ []bundle.Source) { h.Public = []byte("?") }, "acme"), p.token, ErrGrant,
			"the bundle was not opened"},
		"what it says to all, in another form": {p.sealed(func(h *bundle.Head, _ []bundle.Source) {
			h.Public = append([]byte{0xb8, h.Public[0] & 0x1f}, h.Public[1:]...)
		}, "acme"), p.token, ErrGrant, "the bundle was not opened"},
		"an issuer that is none":    {p.sealed(func(h *bundle.Head, _ []bundle.Source) { h.Public = odd }, "acme"), p.token, ErrGrant, "the bundle was not opened"},
		"the head of another grant": {p.sealed(func(h *bundle.Head, _ []bundle.Source) { h.Grant[0]++ }, "acme"), p.token, ErrGrant, "another grant"},
		"a profile of nonsense": {p.sealed(func(_ *bundle.Head, s []bundle.Source) { s[0].Meta = nonsense }, "acme"), p.token, nil,
			"decoding"},
		"one good profile, one of nonsense": {p.sealed(func(_ *bundle.Head, s []bundle.Source) { s[1].Meta = nonsense }, "acme", "other"), p.token, nil,
			"decoding"},
	} {
		read := false
		err := newRunner(t).serve(c.text, c.token.Text(), func(c *Config) {
			c.Bundle.IDToken = func(*secret.Arena) (secret.Bytes, error) { read = true; return secret.Bytes{}, nil }
		})
		if err == nil || !errors.Is(err, c.want) && c.want != nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %v and %q", name, err, c.want, c.says)
		}
		if read {
			t.Errorf("%s: the ID token of the job was asked for", name)
		}
	}
}

// Nothing is read or written in a directory that others can write to.
func TestBundleInADirectoryOfOthers(t *testing.T) {
	p := partsOf(t)
	r := newRunner(t)
	dir := filepath.Join(r.paths.StateDir, "bundles", unlocktoken.GrantName(mustRead(t, p.token).Authority.Grant))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := r.serve(p.text, p.token.Text()); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want the directory refused", err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 0 {
		t.Errorf("it has %v (%v)", all, err)
	}
}

// A token that cannot be read is said to be that, in the words of whoever reads it.
func TestBundleWithoutItsToken(t *testing.T) {
	p := partsOf(t)
	gone := errors.New("the token is gone")
	err := newRunner(t).serve(p.text, nil, func(c *Config) {
		c.Bundle.Token = func(*secret.Arena) (secret.Bytes, error) { return secret.Bytes{}, gone }
	})
	if !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
}

// Without room in locked memory the bundle is not opened, in part either, and that is what
// is said.
func TestBundleWithoutRoom(t *testing.T) {
	p := partsOf(t)
	for blocks := 0; ; blocks++ {
		err := newRunner(t).serve(p.text, nil, func(c *Config) {
			c.Bundle.Token = func(a *secret.Arena) (secret.Bytes, error) {
				token, err := a.Take(p.token.Text())
				secrettest.LeaveRoom(a, blocks)
				return token, err
			}
		})
		if err == nil && blocks > 5 { // two shares, one of them again, its key, and that as a root
			return
		}
		if !errors.Is(err, secret.ErrFull) {
			t.Fatalf("room for %d blocks: got %v, want ErrFull", blocks, err)
		}
	}
}

// What is wrong with a token or a bundle is said in words that tell the cases apart, and
// nothing of what they hold.
func TestWordsForTokensAndBundles(t *testing.T) {
	for says, err := range map[string]error{
		"a part is missing":                     badToken(unlocktoken.ErrFormat),
		"not made by this vault":                badToken(unlocktoken.ErrSignature),
		"a grant without an end":                badToken(fmt.Errorf("%w: a grant without an end", unlocktoken.ErrCaveats)),
		"this version of nsagent does not know": badToken(unlocktoken.ErrUnknownCaveat),
		"not a bundle as nsagent wrote it":      badBundle(bundle.ErrFormat),
		"by a newer nsagent":                    badBundle(bundle.ErrNewer),
		"of another vault":                      badBundle(bundle.ErrIssuer),
		"was changed since it was written":      badBundle(bundle.ErrSignature),
	} {
		if !errors.Is(err, ErrGrant) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
}
