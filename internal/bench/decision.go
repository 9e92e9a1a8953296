package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

const customers = "/services/rest/record/v1/customer"

// difference is what rules of a policy differ in, and the path that is asked for; # is the
// number of the rule, from 1 on.
type difference struct{ name, rule, path string }

var differences = []difference{
	{"their paths", "what = \"GET /services/rest/record/v1/type#/**\"", "/services/rest/record/v1/type#/1"},
	{"their profiles", "profiles = \"p#\"\nwhat = \"GET /services/rest/**\"", customers},
	{"their programs", "who.exe = \"/bin/#\"\nwhat = \"GET /services/rest/**\"", customers},
	{"their RESTlets", "what = \"restlet #/1\"", policy.RESTletPath},
	{"claims of a job", "who.oidc = { issuer = \"i\", r = \"#\" }\nwhat = \"*\"", customers},
}

// decisionRows measures one decision, by the last rule, with few rules and with many.
func decisionRows(_ context.Context, w *world) ([]row, error) {
	var rows []row
	for _, d := range differences {
		for _, n := range []int{100, 10_000} {
			most := 5 * time.Microsecond
			if n > 100 {
				most = 50 * time.Microsecond
			}
			p, a, err := d.decision(n)
			if err != nil {
				return nil, err
			}
			r, err := w.repeat(fmt.Sprintf("decision, %d rules that differ in %s", n, d.name), most, func() error {
				if got := p.Decide(a); got.Index != n-1 {
					return fmt.Errorf("rule %d decided, and not %d", got.Index, n-1)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// decision returns a policy of n rules, and what the last of them decides.
func (d difference) decision(n int) (*policy.Policy, policy.Attempt, error) {
	var text strings.Builder
	text.WriteString("version = 1\n")
	for i := range n {
		text.WriteString(numbered("[[rule]]\nname = \"r#\"\neffect = \"allow\"\n"+d.rule+"\n", i+1))
	}
	p, err := policy.Parse(text.String())
	return p, policy.Attempt{
		Profile: numbered("p#", n), Environment: "sandbox", Access: policy.Write, Kind: policy.KindSign, Method: "GET",
		Path: numbered(d.path, n), Script: numbered("#/1", n), Evidence: policy.Evidence{Known: policy.FactExe, Exe: numbered("/bin/#", n)},
		Issuer: "i", Claims: map[string]string{"r": numbered("#", n)},
	}, err
}

func numbered(text string, n int) string { return strings.ReplaceAll(text, "#", fmt.Sprint(n)) }

// unlockTokenRows measures what an unlock token of four blocks costs a connection, and
// each request after the first.
func unlockTokenRows(_ context.Context, w *world) ([]row, error) {
	issuer, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	next, holder, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	id, now := unlocktoken.ID{1}, time.Now().Unix()
	a := unlocktoken.Authority{
		Vault: unlocktoken.ID{2}, Grant: unlocktoken.ID{3}, Mode: unlocktoken.Attached, IssuedAt: now,
		Caveats: unlocktoken.Caveats{Credentials: []unlocktoken.ID{id}, NotAfter: now + 3600, Hosts: []string{"1234567-sb1.suitetalk.api.netsuite.com"}, Uses: 100},
	}
	chain, err := unlocktoken.NewChain(a, next, func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil })
	if err != nil {
		return nil, err
	}
	token, err := unlocktoken.New(unlocktoken.IssuerHash(issuer), nil, chain, [32]byte(holder.Seed()))
	for _, c := range []unlocktoken.Caveats{{Methods: []string{"GET", "POST"}}, {Paths: []string{customers + "/**"}, Rate: &unlocktoken.Rate{Count: 5, Seconds: 60}}, {NotAfter: now + 600}} {
		if err == nil {
			token, err = token.Narrow(c, nil, rand.Reader)
		}
	}
	if err != nil {
		return nil, err
	}
	challenge := []byte("a challenge")
	encoded, proof := token.Chain.Encode(), token.Prove(challenge)
	request := unlocktoken.Request{Time: now, Credential: id, Kind: "sign", Host: a.Caveats.Hosts[0], Method: "GET", Path: customers + "/12345"}
	var grant *unlocktoken.Grant
	first, err := w.repeat("an unlock token of 4 blocks verified, and its first use cleared", 400*time.Microsecond, func() error {
		c, err := unlocktoken.DecodeChain(encoded)
		if err != nil {
			return err
		}
		if grant, err = c.Verify(issuer, challenge, proof); err != nil {
			return err
		}
		return grant.Clear(request)
	})
	if err != nil {
		return nil, err
	}
	further, err := w.repeat("each further use of it cleared", 5*time.Microsecond, func() error { return grant.Clear(request) })
	return []row{first, further}, err
}

// repeat measures one thing in rounds, of which the median counts.
func (w *world) repeat(what string, most time.Duration, do func() error) (row, error) {
	var micros []float64
	var allocs int64
	var failed error
	for range w.rounds {
		r := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if failed = do(); failed != nil {
					return
				}
			}
		})
		if failed != nil {
			return row{}, fmt.Errorf("%s: %w", what, failed)
		}
		micros, allocs = append(micros, float64(r.NsPerOp())/1000), r.AllocsPerOp()
	}
	limit := float64(most) / float64(time.Microsecond)
	return row{what, fmt.Sprintf("≤ %.0f µs", limit), fmt.Sprintf("%.2f µs, %d allocations", median(micros), allocs), spread(micros), median(micros) <= limit}, nil
}
