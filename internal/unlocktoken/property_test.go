//go:build !race

// These tests compute much, in one goroutine: one run without the race detector is enough.

package unlocktoken

import (
	"crypto/rand"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/nsagent/nsagent/internal/needs"
)

// seldom draws whether a caveat is there: of too many, no request meets all.
func seldom(t *rapid.T, label string) bool { return rapid.IntRange(0, 6).Draw(t, label+"?") == 3 }

// some draws a list of the words, or mostly nothing.
func some[T comparable](t *rapid.T, label string, words ...T) []T {
	if !seldom(t, label) {
		return nil
	}
	return rapid.SliceOfNDistinct(rapid.SampledFrom(words), 1, len(words), rapid.ID[T]).Draw(t, label)
}

// anyCaveats draws caveats of every kind, from few words, so that requests meet them.
func anyCaveats(t *rapid.T) Caveats {
	c := Caveats{
		Credentials: some(t, "credentials", acme, other, ID{3}), Kinds: some(t, "kinds", kinds...),
		Hosts: some(t, "hosts", "a.example", "b.example"), Methods: some(t, "methods", "GET", "POST", "PUT"),
		Paths:   some(t, "paths", "/a/b", "/a/*", "/a/**", "/**", "/a/b*/c"),
		Scripts: some(t, "scripts", "1/1", "2/1"), Operations: some(t, "operations", "get", "search"),
		Networks: some(t, "networks", "192.0.2.0/24", "192.0.2.7/32", "2001:db8::/32"),
		Uses:     uint64(rapid.IntRange(0, 3).Draw(t, "uses")), // #nosec G115 -- not negative
	}
	if begin := rapid.Int64Range(0, 3).Draw(t, "not before"); begin > 0 && seldom(t, "begin") {
		c.NotBefore = now - 60 + 60*begin
	}
	if end := rapid.Int64Range(0, 3).Draw(t, "not after"); end > 0 && rapid.Bool().Draw(t, "end?") {
		c.NotAfter = max(now-60+60*end, c.NotBefore)
	}
	if seldom(t, "rate") {
		c.Rate = &Rate{Count: 1, Seconds: 60}
	}
	if seldom(t, "peer") {
		c.Peer = &Peer{UIDs: some(t, "uids", uint32(1000), 1001), Executables: some(t, "executables", "/usr/bin/a", "/usr/bin/b")}
		if len(c.Peer.UIDs)+len(c.Peer.Executables) == 0 {
			c.Peer.UIDs = []uint32{1000}
		}
	}
	if seldom(t, "identities") {
		c.Identities = []Identity{{Issuer: "https://i", Claims: []Claim{{Name: "repository_id", Values: some(t, "repositories", "1", "2")}}}}
		if c.Identities[0].Claims[0].Values == nil {
			c.Identities[0].Claims[0].Values = []string{"1"}
		}
	}
	return c
}

// anyRequest draws what caveats of anyCaveats speak of.
func anyRequest(t *rapid.T) Request {
	pick := func(label string, words ...string) string { return rapid.SampledFrom(words).Draw(t, label) }
	r := Request{
		Time:       now + rapid.Int64Range(-60, 200).Draw(t, "time"),
		Credential: rapid.SampledFrom([]ID{acme, other, {3}}).Draw(t, "credential"),
		Kind:       pick("kind", "sign", "sign", "sign", "send", "passport", "token"), Host: pick("host", "a.example", "b.example"),
		Method: pick("method", "GET", "POST", "PUT"), Path: pick("path", "/a/b", "/a/c", "/a/b/c", "/x", "/a/../b"),
		Script: pick("script", "", "1/1", "2/1"), Operation: pick("operation", "", "get", "search"),
		HasPeer: rapid.Bool().Draw(t, "has peer"), UID: rapid.SampledFrom([]uint32{1000, 1001}).Draw(t, "uid"), Executable: pick("executable", "", "/usr/bin/a", "/usr/bin/b"),
	}
	if rapid.Bool().Draw(t, "address?") {
		r.Address = netip.MustParseAddr(pick("address", "192.0.2.7", "192.0.2.8", "198.51.100.1", "2001:db8::1"))
	}
	if rapid.Bool().Draw(t, "identity?") {
		r.Issuer, r.Claims = pick("issuer", "https://i", "https://j"), map[string]string{"repository_id": pick("repository", "1", "2")}
	}
	return r
}

// Requirement T-04: whatever is added to a chain, it never allows what it refused before,
// covers no credential more, lives no longer, and loses no limit that has to be counted.
//
// It narrows some 200 times and asks 40 times after each, all as an agent reads the token.
// NSAGENT_LONG asks for 1,000,000 narrowings, and 4 requests after each. It
// verifies the signatures of every hundredth chain, and reads the others as their holder
// does, who looks at none: both read the same blocks by the same code.
func TestNarrowingNeverWidens(t *testing.T) {
	wanted, requests, every := 1, 40, 1
	if needs.Long() {
		wanted, requests, every = 1_000_000, 4, 100
	}
	tb, chains, narrowed, allowed, compared := t, 0, 0, 0, 0
	for narrowed < wanted {
		rapid.Check(t, func(t *rapid.T) { // for 100 chains, by default
			first := anyCaveats(t)
			w := newWorld(tb, Caveats{NotAfter: first.NotAfter, Methods: first.Methods, Kinds: first.Kinds, Uses: first.Uses})
			read := func(token *Token) (*Grant, error) { return w.present(tb, token) }
			if chains++; chains%every != 0 {
				read = func(token *Token) (*Grant, error) { return token.Chain.Read() }
			}
			before, err := read(w.token)
			if err != nil {
				t.Fatal(err)
			}
			token := w.token
			for range rapid.IntRange(1, 3).Draw(t, "times") {
				if token, err = token.Narrow(anyCaveats(t), some(t, "keep", acme, other), rand.Reader); err != nil {
					t.Fatal(err)
				}
				narrowed++
				after, err := read(token)
				if err != nil {
					t.Fatal(err)
				}
				for range requests {
					r := anyRequest(t)
					was, is := before.Clear(r), after.Clear(r)
					if was != nil && is == nil {
						t.Fatalf("refused before (%v), and allowed now: %+v", was, r)
					}
					if is == nil {
						allowed++
					}
					compared++
				}
				noWider(t, before, after)
				before = after
			}
		})
	}
	if allowed == 0 {
		t.Error("no request was ever allowed: the comparison shows nothing")
	}
	t.Logf("%d narrowings, %d comparisons, %d allowed", narrowed, compared, allowed)
}

// noWider compares what a grant says of itself.
func noWider(t *rapid.T, before, after *Grant) {
	for _, id := range []ID{acme, other, {3}} {
		if after.Covers(id) && !before.Covers(id) {
			t.Fatalf("it covers %v now", id)
		}
	}
	if after.NotAfter() > before.NotAfter() || after.NotBefore() < before.NotBefore() {
		t.Fatalf("it lives from %d to %d, and lived from %d to %d", after.NotBefore(), after.NotAfter(), before.NotBefore(), before.NotAfter())
	}
	counters := make(map[[32]byte]bool)
	for _, c := range after.Counters() {
		counters[c.Subject] = true
	}
	for _, c := range before.Counters() {
		if !counters[c.Subject] {
			t.Fatalf("it counts %v no more", c)
		}
	}
}

// Requirement T-14: no chain is made, and none is taken, that has no end or no credentials.
func TestNothingEternalOrUnscoped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyCaveats(t)
		a := Authority{Vault: ID{9}, Grant: ID{8}, Mode: Attached, IssuedAt: now - 3600, Caveats: c}
		_, err := NewChain(a, make([]byte, 32), func([]byte) ([]byte, error) { return make([]byte, 64), nil })
		if scoped := c.NotAfter != 0 && c.Credentials != nil; scoped != (err == nil) {
			t.Fatalf("end %d, credentials %v: got %v", c.NotAfter, c.Credentials, err)
		}
		a.Label = labelAuthority
		b := Block{Payload: encode(a), Next: make([]byte, 32), Signature: make([]byte, 64)}
		if _, rerr := (Chain{b}).Read(); (rerr == nil) != (err == nil) {
			t.Fatalf("made: %v, read: %v", err, rerr)
		}
	})
}

// Narrowing is refused for no token that would have a request left.
func TestConflictLeavesEveryUse(t *testing.T) {
	left := 0
	rapid.Check(t, func(t *rapid.T) {
		first, more := anyCaveats(t), anyCaveats(t)
		if first.NotAfter == 0 {
			first.NotAfter = now + 3600
		}
		g, all := grantOf(t, first), grantOf(t, first, more)
		why := g.Conflict(more)
		for range 40 {
			r := anyRequest(t)
			if r.Script != "" {
				r.Path = restletPath
			}
			if all.Clear(r) != nil {
				continue
			}
			if left++; why != "" {
				t.Fatalf("%s, and this is allowed: %+v", why, r)
			}
		}
	})
	if left == 0 {
		t.Error("no request was ever allowed: the comparison shows nothing")
	}
}
