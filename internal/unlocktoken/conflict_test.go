package unlocktoken

import (
	"strings"
	"testing"
	"time"
)

// grantOf is a grant of blocks with these caveats, unsigned.
func grantOf(t interface{ Fatal(...any) }, blocks ...Caveats) *Grant {
	g := &Grant{Authority: Authority{Caveats: blocks[0]}}
	for _, c := range blocks {
		l, err := c.ready()
		if err != nil {
			t.Fatal(err)
		}
		g.limits = append(g.limits, l)
	}
	return g
}

// What a token is narrowed to has to leave something of each sort that it was limited to.
func TestConflict(t *testing.T) {
	job := func(claims ...Claim) []Identity { return []Identity{{Issuer: "https://i", Claims: claims}} }
	local := func(t int64) string { return time.Unix(t, 0).Format("2006-01-02 15:04:05 MST") }
	claim := func(name string, values ...string) Claim { return Claim{Name: name, Values: values} }
	for name, c := range map[string]struct {
		has, more Caveats
		says      string // "" where something is left
	}{
		"nothing limited":          {Caveats{}, Caveats{Methods: []string{"GET"}, Paths: []string{"/a"}}, ""},
		"a method of them":         {Caveats{Methods: []string{"GET", "PUT"}}, Caveats{Methods: []string{"POST", "PUT"}}, ""},
		"another method":           {Caveats{Methods: []string{"GET"}}, Caveats{Methods: []string{"POST"}}, "of the methods the token allows GET, and not POST"},
		"a path within":            {Caveats{Paths: []string{"/a/**"}}, Caveats{Paths: []string{"/foo", "/a/b"}}, ""},
		"the root":                 {Caveats{Paths: []string{"/**"}}, Caveats{Paths: []string{"/"}}, ""},
		"a path outside":           {Caveats{Paths: []string{"/a/**", "/b"}}, Caveats{Paths: []string{"/foo"}}, "of the paths the token allows /a/**, /b, and not /foo"},
		"another host":             {Caveats{Hosts: []string{"a.example"}}, Caveats{Hosts: []string{"b.example"}}, "of the hosts the token allows a.example, and not b.example"},
		"another script":           {Caveats{Scripts: []string{"1/1"}}, Caveats{Scripts: []string{"1/2"}}, "of the scripts"},
		"another operation":        {Caveats{Operations: []string{"get"}}, Caveats{Operations: []string{"add"}}, "of the operations"},
		"another kind":             {Caveats{Kinds: []string{"sign", "send"}}, Caveats{Kinds: []string{"token"}}, "of the kinds the token allows sign, send, and not token"},
		"another program":          {Caveats{Peer: &Peer{Executables: []string{"/a"}}}, Caveats{Peer: &Peer{Executables: []string{"/b"}}}, "of the programs"},
		"another user":             {Caveats{Peer: &Peer{UIDs: []uint32{7}}}, Caveats{Peer: &Peer{UIDs: []uint32{8, 9}}}, "of the users the token allows 7, and not 8, 9"},
		"a user and a program":     {Caveats{Peer: &Peer{UIDs: []uint32{7}}}, Caveats{Peer: &Peer{Executables: []string{"/b"}}}, ""},
		"a network within":         {Caveats{Networks: []string{"192.0.2.0/24"}}, Caveats{Networks: []string{"192.0.2.8/32"}}, ""},
		"another network":          {Caveats{Networks: []string{"192.0.2.0/24"}}, Caveats{Networks: []string{"198.51.100.0/24"}}, "of the networks"},
		"a branch of it":           {Caveats{Identities: job(claim("id", "1"))}, Caveats{Identities: job(claim("id", "2", "1"), claim("ref", "x"))}, ""},
		"another job":              {Caveats{Identities: job(claim("id", "1"))}, Caveats{Identities: job(claim("id", "2"))}, "the token is for other jobs"},
		"a job of another service": {Caveats{Identities: job(claim("id", "1"))}, Caveats{Identities: []Identity{{Issuer: "https://j", Claims: []Claim{claim("other", "1")}}}}, "the token is for other jobs"},
		"a kind that goes nowhere": {Caveats{Methods: []string{"GET"}}, Caveats{Kinds: []string{"token", "passport"}}, "of the kinds token, passport is left"},
		"a target for no request":  {Caveats{Kinds: []string{"passport"}}, Caveats{Paths: []string{"/a"}}, "sign and send alone are allowed"},
		"signing somewhere":        {Caveats{Methods: []string{"GET"}}, Caveats{Kinds: []string{"token", "sign"}}, ""},
		"a RESTlet":                {Caveats{Paths: []string{"/app/**"}}, Caveats{Scripts: []string{"1/1"}}, ""},
		"a path to a RESTlet":      {Caveats{Scripts: []string{"1/1"}}, Caveats{Paths: []string{"/app/**"}}, ""},
		"a RESTlet elsewhere":      {Caveats{Paths: []string{"/services/**"}}, Caveats{Scripts: []string{"1/1"}}, "a RESTlet is called at /app/site/hosting/restlet.nl, which fits none of the paths"},
		"a path for a RESTlet":     {Caveats{Scripts: []string{"1/1"}}, Caveats{Paths: []string{"/services/**"}}, "a RESTlet is called at"},
		"from the end on":          {Caveats{NotAfter: now}, Caveats{NotBefore: now}, ""},
		"behind the end":           {Caveats{NotAfter: now}, Caveats{NotBefore: now + 1}, "it would begin at " + local(now+1) + " and end at " + local(now)},
		"before the beginning":     {Caveats{NotBefore: now, NotAfter: now + 9}, Caveats{NotAfter: now - 1}, "it would begin at"},
	} {
		if c.has.NotAfter == 0 {
			c.has.NotAfter = now + 3600
		}
		got := grantOf(t, c.has).Conflict(c.more)
		if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: got %q, want %q", name, got, c.says)
		}
	}
	if got := grantOf(t, Caveats{NotAfter: now, Methods: []string{"GET", "PUT"}}, Caveats{Methods: []string{"PUT", "POST"}}).Conflict(Caveats{Methods: []string{"GET", "POST"}}); got != "of the methods the token allows PUT, and not GET, POST" {
		t.Errorf("all blocks together: got %q", got)
	}
	none := grantOf(t, Caveats{NotAfter: now, Hosts: []string{"a.example"}}, Caveats{Hosts: []string{"b.example"}})
	for _, more := range []Caveats{{Hosts: []string{"a.example"}}, {Methods: []string{"GET"}}} {
		if got := none.Conflict(more); got != "the token can do nothing already, as its limits have no hosts in common" {
			t.Errorf("of a token that can do nothing: got %q", got)
		}
	}
}
