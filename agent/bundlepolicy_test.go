package agent

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault/bundle"
)

const recordPath = "/services/rest/record/v1/customer/1"

// bundledRules deny, ask, and count.
const bundledRules = `version = 1
[[rule]]
name = "no deletes"
effect = "deny"
what = "DELETE /**"
[[rule]]
name = "passports"
effect = "ask"
what = "passport"
[[rule]]
name = "twice"
effect = "allow"
what = "*"
max_uses = 2
`

// What the policy forbids is forbidden where a bundle is served, too: by the policy that was
// in force when the bundle was made. It is sealed with the profiles.
func TestBundleHoldsToThePolicy(t *testing.T) {
	f := owner(t)
	f.adopt(bundledRules)
	text, token := f.mintBundle(unlocktoken.Caveats{}, nil, "acme", "other")
	f.adopt("")
	free, freeToken := f.mintBundle(unlocktoken.Caveats{}, nil, "acme")

	r := newRunner(t)
	r.mustServe(text, token.Text())
	if err := r.try("acme", "DELETE", recordPath); !errors.Is(err, client.ErrDenied) || !strings.Contains(err.Error(), "no deletes") {
		t.Errorf("a deletion: got %v, want one denied by its rule", err)
	}
	if _, err := r.signer.Passport(t.Context(), "acme", ""); !errors.Is(err, client.ErrAsk) || !strings.Contains(err.Error(), "where a bundle is served") {
		t.Errorf("what has to be approved: got %v, want ErrAsk at once", err)
	}
	for i, profile := range []string{"acme", "other"} {
		if err := r.try(profile, "GET", recordPath); err != nil {
			t.Errorf("use %d: %v", i+1, err)
		}
	}
	r.end()
	r.mustServe(text, token.Text())
	if err := r.try("acme", "GET", recordPath); !errors.Is(err, client.ErrDenied) {
		t.Errorf("a third use, by another agent: got %v, want ErrDenied", err)
	}
	var rules []string
	for _, e := range readLog(t, r.agent.cfg.Paths.AuditDir) {
		if e.Event == "sign" && e.Outcome == audit.OutcomeOK {
			rules = append(rules, e.Rule)
		}
	}
	if strings.Join(rules, ",") != "twice,twice" {
		t.Errorf("the log names the rules %q", rules)
	}

	other := newRunner(t)
	other.mustServe(free, freeToken.Text())
	if err := other.try("acme", "DELETE", recordPath); err != nil {
		t.Errorf("of a vault without a policy: %v", err)
	}

	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	raw, err := base64.StdEncoding.DecodeString(strings.Join(lines[1:len(lines)-1], ""))
	if err != nil {
		t.Fatal(err)
	}
	if packed := packedPolicy(t, bundledRules); bytes.Contains(raw, packed[:16]) || bytes.Contains(raw, []byte("deletes")) {
		t.Error("the file shows the policy to whoever reads it")
	}
}

// A policy that is not known whole, or that no bundle has room for, makes no bundle: it would
// allow what the policy forbids. Nor is one served whose policy cannot be read.
func TestBundleWithoutItsPolicy(t *testing.T) {
	f := owner(t)
	p := f.agent.session.profiles["acme"].forBundle()
	large := make([]byte, bundle.MaxMeta)
	_, _ = rand.Read(large)
	if _, err := f.agent.codec.encodeBundled(p, large); refusedWith(err) != pb.CodePolicy || !strings.Contains(err.Error(), "compressed") {
		t.Errorf("a policy that is too large: got %v", err)
	}
	whole, err := f.agent.codec.encodeBundled(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.agent.codec.encodeBundled(p, large[:bundle.MaxMeta-len(whole)-4]); err != nil {
		t.Errorf("one that fits exactly: %v", err)
	}

	parts := partsOf(t)
	for name, meta := range map[string][]byte{
		"a policy that is none": mustMarshal(t, parts, bundledMeta{Profile: mustEncode(t, parts), Policy: []byte("?")}),
		"without a length":      append([]byte{0xbf}, append(bytes.Clone(whole[1:]), 0xff)...),
		"not canonical":         append([]byte{0xb8, whole[0] & 0x1f}, whole[1:]...),
		"bytes behind":          append(bytes.Clone(whole), 0),
	} {
		text := parts.sealed(func(_ *bundle.Head, s []bundle.Source) { s[0].Meta = meta }, "acme")
		if err := newRunner(t).serve(text, parts.token.Text()); !errors.Is(err, bundle.ErrFormat) || !errors.Is(err, ErrGrant) {
			t.Errorf("%s: got %v, want ErrFormat", name, err)
		}
	}

	if err := f.agent.session.vault.SetPolicy(t.Context(), []byte("?"), nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.agent.session.policyForBundle(); refusedWith(err) != pb.CodePolicy || !strings.Contains(err.Error(), "cannot be used") {
		t.Errorf("a policy that cannot be read: got %v", err)
	}
}

func mustEncode(t *testing.T, p bundleParts) []byte {
	t.Helper()
	b, err := p.agent.codec.encode(p.agent.session.profiles["acme"].forBundle())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustMarshal(t *testing.T, p bundleParts, m bundledMeta) []byte {
	t.Helper()
	b, err := p.agent.codec.enc.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzBundledMeta: what a bundle says of a profile is read in its one form alone, an error
// comes with nothing, and rules that come can decide.
func FuzzBundledMeta(f *testing.F) {
	c, err := newProfileCodec()
	if err != nil {
		f.Fatal(err)
	}
	for _, policy := range [][]byte{nil, packedPolicy(f, bundledRules), []byte("?")} {
		b, err := c.encodeBundled(&profile{Name: "acme"}, policy)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		meta, r, err := c.decodeBundled(b)
		if err != nil {
			if meta != nil || r != nil || !errors.Is(err, bundle.ErrFormat) {
				t.Errorf("an error and %x, %+v: %v", meta, r, err)
			}
			return
		}
		if r.fault != nil {
			t.Errorf("rules that cannot decide: %v", r.fault)
		}
		if r.policy == nil {
			if again, err := c.enc.Marshal(bundledMeta{Profile: meta}); err != nil || !bytes.Equal(again, b) {
				t.Errorf("%x written again is %x, %v", b, again, err)
			}
		}
	})
}
