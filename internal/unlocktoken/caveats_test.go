package unlocktoken

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// anyOfAll is a request of which everything is known.
func anyOfAll() Request {
	return Request{
		Time: now, Credential: acme, Kind: "sign", Host: "a.example", Method: "GET", Path: "/a/b", Script: "1/1", Operation: "get",
		Address: netip.MustParseAddr("192.0.2.7"), Issuer: "https://i", Claims: map[string]string{"x": "1", "y": "2"},
		HasPeer: true, UID: 1000, Executable: "/usr/bin/a",
	}
}

// Requirement T-05: each caveat refuses what it does not name and what is not known, under
// its own name, and lets everything else go.
func TestEachCaveat(t *testing.T) {
	type change = func(*Request)
	job := func(issuer string, claims ...Claim) Caveats {
		return Caveats{Identities: []Identity{{Issuer: issuer, Claims: claims}}}
	}
	for _, c := range []struct {
		name    string // of the caveat that refuses
		caveats Caveats
		good    []change
		bad     []change
	}{
		{"credentials", Caveats{}, []change{func(r *Request) { r.Credential = other }, func(r *Request) { r.Time = -1 }}, []change{func(r *Request) { r.Credential = ID{3} }, func(r *Request) { r.Credential = ID{} }}},
		{"not_before", Caveats{NotBefore: now}, []change{func(*Request) {}}, []change{func(r *Request) { r.Time = now - 1 }}},
		{"not_after", Caveats{NotAfter: now}, []change{func(*Request) {}}, []change{func(r *Request) { r.Time = now + 1 }}},
		{"kinds", Caveats{Kinds: []string{"sign", "token"}}, []change{func(r *Request) { r.Kind = "token" }}, []change{func(r *Request) { r.Kind = "send" }, func(r *Request) { r.Kind = "" }}},
		{"kinds", Caveats{Hosts: []string{"a.example"}}, []change{func(r *Request) { r.Kind = "send" }}, []change{func(r *Request) { r.Kind = "passport" }, func(r *Request) { r.Kind = "" }}},
		{"kinds", Caveats{Methods: []string{"GET"}}, nil, []change{func(r *Request) { r.Kind = "token" }}},
		{"kinds", Caveats{Paths: []string{"/**"}}, nil, []change{func(r *Request) { r.Kind = "token" }}},
		{"kinds", Caveats{Scripts: []string{"1/1"}}, nil, []change{func(r *Request) { r.Kind = "token" }}},
		{"kinds", Caveats{Operations: []string{"get"}}, nil, []change{func(r *Request) { r.Kind = "passport" }}},
		{"hosts", Caveats{Hosts: []string{"a.example", "b.example"}}, []change{func(r *Request) { r.Host = "b.example" }}, []change{func(r *Request) { r.Host = "c.example" }, func(r *Request) { r.Host = "" }, func(r *Request) { r.Host = "x.a.example" }}},
		{"methods", Caveats{Methods: []string{"GET", "PUT"}}, []change{func(r *Request) { r.Method = "PUT" }}, []change{func(r *Request) { r.Method = "POST" }, func(r *Request) { r.Method = "" }, func(r *Request) { r.Method = "get" }}},
		{"paths", Caveats{Paths: []string{"/a/*", "/c"}}, []change{func(r *Request) { r.Path = "/c" }}, []change{func(r *Request) { r.Path = "/b" }, func(r *Request) { r.Path = "" }, func(r *Request) { r.Path = "/a/../c" }}},
		{"scripts", Caveats{Scripts: []string{"1/1"}}, []change{func(*Request) {}}, []change{func(r *Request) { r.Script = "1/2" }, func(r *Request) { r.Script = "" }}},
		{"operations", Caveats{Operations: []string{"get"}}, []change{func(*Request) {}}, []change{func(r *Request) { r.Operation = "delete" }, func(r *Request) { r.Operation = "" }}},
		{"networks", Caveats{Networks: []string{"192.0.2.0/24", "2001:db8::/32"}}, []change{func(r *Request) { r.Address = netip.MustParseAddr("::ffff:192.0.2.9") }, func(r *Request) { r.Address = netip.MustParseAddr("2001:db8::1") }},
			[]change{func(r *Request) { r.Address = netip.MustParseAddr("192.0.3.1") }, func(r *Request) { r.Address = netip.Addr{} }}},
		{"identities", job("https://i", Claim{Name: "x", Values: []string{"0", "1"}}, Claim{Name: "y", Values: []string{"2"}}), []change{func(*Request) {}},
			[]change{func(r *Request) { r.Issuer = "https://j" }, func(r *Request) { r.Issuer = "" }, func(r *Request) { r.Claims = map[string]string{"x": "1"} }, func(r *Request) { r.Claims = map[string]string{"x": "2", "y": "2"} }, func(r *Request) { r.Claims = nil }}},
		{"peer", Caveats{Peer: &Peer{UIDs: []uint32{1000}}}, []change{func(r *Request) { r.Executable = "" }}, []change{func(r *Request) { r.UID = 1001 }, func(r *Request) { r.HasPeer = false }}},
		{"peer", Caveats{Peer: &Peer{Executables: []string{"/usr/bin/a"}}}, []change{func(r *Request) { r.UID = 7 }}, []change{func(r *Request) { r.Executable = "/usr/bin/b" }, func(r *Request) { r.Executable = "" }, func(r *Request) { r.HasPeer = false }}},
	} {
		w := newWorld(t, c.caveats)
		g, err := w.present(t, w.token)
		if err != nil {
			t.Fatalf("%+v: %v", c.caveats, err)
		}
		for i, change := range c.good {
			r := anyOfAll()
			if change(&r); g.Clear(r) != nil {
				t.Errorf("%s: request %d is refused: %v", c.name, i, g.Clear(r))
			}
		}
		for i, change := range c.bad {
			r := anyOfAll()
			change(&r)
			refused := (*Refused)(nil)
			if err := g.Clear(r); !errors.As(err, &refused) || refused.Caveat != c.name {
				t.Errorf("%s: request %d: got %v", c.name, i, err)
			}
		}
	}
	if err := new(Grant).Clear(anyOfAll()); !errors.Is(err, ErrRefused) || new(Grant).Covers(acme) {
		t.Errorf("a grant of no chain: got %v", err)
	}
	if got := listed([]string{"a", "b", "c", "d"}) + "; " + listed([]string{"a", "b", "c", "d", "e"}); got != "a, b, c, d; a, b, c, d and 1 more" {
		t.Errorf("lists for people: %s", got)
	}
}

// What has to be counted is told for each block that says it, and for no other.
func TestCountersAreTold(t *testing.T) {
	for want, c := range []Caveats{{}, {Uses: 3}, {Rate: &Rate{Count: 1, Seconds: 60}}} {
		w := newWorld(t, c)
		g, err := w.present(t, w.token)
		if err != nil {
			t.Fatal(err)
		}
		all := g.Counters()
		if len(all) != min(want, 1) || want > 0 && (all[0].Uses != c.Uses || (all[0].Rate == nil) != (c.Rate == nil)) {
			t.Errorf("%+v: got %+v", c, all)
		}
	}
}

// Caveats without sense are refused when they are made, and when a chain is read.
func TestCaveatsWithoutSense(t *testing.T) {
	claim := func(values ...string) []Claim { return []Claim{{Name: "x", Values: values}} }
	identity := func(issuer string, claims []Claim) Caveats {
		return Caveats{Identities: []Identity{{Issuer: issuer, Claims: claims}}}
	}
	var ids []ID
	var uids []uint32
	var texts []string
	var claims []Claim
	var identities []Identity
	for i := range MaxList + 1 {
		s := fmt.Sprint(i)
		ids, uids, texts = append(ids, ID{byte(i)}), append(uids, uint32(i)), append(texts, "h"+s) // #nosec G115 -- small
		claims = append(claims, Claim{Name: "c" + s, Values: []string{"1"}})
		identities = append(identities, Identity{Issuer: "https://i" + s, Claims: []Claim{{Name: "x", Values: []string{"1"}}}})
	}
	const year = 366 * 24 * 3600
	for _, good := range []Caveats{
		{}, {Credentials: ids[1:]}, {Hosts: texts[1:]}, {Hosts: []string{strings.Repeat("h", MaxString)}}, {Hosts: []string{" ~"}}, {Methods: []string{"AZ", strings.Repeat("A", 16)}},
		{Scripts: []string{"a/b"}}, {NotBefore: 5}, {NotBefore: 5, NotAfter: 5}, {Rate: &Rate{Count: 1, Seconds: year}}, {Peer: &Peer{UIDs: uids[1:]}}, {Peer: &Peer{Executables: []string{"/a"}}},
		{Identities: identities[1:]}, identity("https://i", claims[1:]), {Networks: []string{"2001:db8::/32"}}, {Kinds: kinds},
	} {
		if err := good.Check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, bad := range []Caveats{
		{Credentials: ids}, {Credentials: []ID{acme, acme}}, {Kinds: []string{"all"}}, {Hosts: texts}, {Hosts: []string{"a", "a"}}, {Hosts: []string{"A"}}, {Hosts: []string{""}},
		{Hosts: []string{strings.Repeat("h", MaxString+1)}}, {Hosts: []string{"a\x1f"}}, {Hosts: []string{"a\x7f"}}, {Methods: []string{"get"}}, {Methods: []string{"A@"}}, {Methods: []string{"A["}},
		{Methods: []string{strings.Repeat("A", 17)}}, {Methods: []string{""}}, {Paths: []string{"a"}}, {Scripts: []string{"1"}}, {Scripts: []string{"/1"}}, {Scripts: []string{"1/"}}, {Scripts: []string{"1/1/1"}},
		{Scripts: []string{"1 /1"}}, {Operations: []string{""}}, {NotBefore: -1}, {NotAfter: -1}, {NotBefore: 6, NotAfter: 5}, {Rate: &Rate{Count: 0, Seconds: 60}}, {Rate: &Rate{Count: 1, Seconds: 0}},
		{Rate: &Rate{Count: 1, Seconds: year + 1}}, {Networks: []string{"192.0.2.0"}}, {Networks: []string{"192.0.2.1/24"}}, {Networks: []string{"2001:DB8::/32"}}, {Networks: []string{"::ffff:192.0.2.0/120"}}, {Peer: &Peer{}}, {Peer: &Peer{UIDs: uids}},
		{Peer: &Peer{UIDs: []uint32{7, 7}}}, {Peer: &Peer{Executables: []string{""}}}, {Peer: &Peer{Executables: []string{"/a", "/a"}}}, {Peer: &Peer{Executables: []string{"/a\n"}}},
		{Peer: &Peer{Executables: []string{"python3"}}}, {Peer: &Peer{Executables: []string{"/a", "./a"}}}, {Peer: &Peer{Executables: []string{"/a/../b"}}}, {Peer: &Peer{Executables: []string{"/a/"}}}, {Peer: &Peer{Executables: []string{"//a"}}},
		{Identities: identities}, identity("", claim("1")), identity("https://i", nil), identity("https://i", claims),
		identity("https://i", claim()), identity("https://i", claim("")), identity("https://i", []Claim{{Name: "", Values: []string{"1"}}}), identity("https://i", []Claim{claims[0], claims[0]}),
	} {
		if err := bad.Check(); !errors.Is(err, ErrCaveats) {
			t.Errorf("%+v: got %v", bad, err)
		}
	}
}

// Who is outside of the networks is told where a request came from, as far as anybody knows.
func TestNetworksSayWhence(t *testing.T) {
	w := newWorld(t, Caveats{Networks: []string{"10.0.0.0/8"}})
	g, err := w.present(t, w.token)
	if err != nil {
		t.Fatal(err)
	}
	for says, from := range map[string]netip.Addr{"a Unix socket tells no address": {}, "this one comes from 192.0.2.1": netip.MustParseAddr("192.0.2.1")} {
		r := anyOfAll()
		r.Address = from
		refused := (*Refused)(nil)
		if err := g.Clear(r); !errors.As(err, &refused) || !strings.HasPrefix(refused.Why, "it allows requests from 10.0.0.0/8, and "+says) {
			t.Errorf("from %v: got %v", from, err)
		}
	}
}
