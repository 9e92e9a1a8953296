package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/oidc/oidctest"
)

// TestBundleForOneJob: what is in users.md 5.2 of ID tokens, with the product: a bundle serves
// the job that the grant is for, once for each ID token, from a file or a descriptor, and
// says to others what is not right.
func TestBundleForOneJob(t *testing.T) {
	issuer := oidctest.New(t)
	o := newJobOwner(t)
	o.mustTrust(issuer, o.file("jwks_file", "keys.json", string(issuer.JWKS(t))))
	r, audience := o.mustGrant(githubJob(issuer))
	fresh := func(change func(oidctest.Claims) oidctest.Claims) string {
		claims := issuer.GitHub(audience, time.Now())
		if change != nil {
			claims = change(claims)
		}
		return string(issuer.Sign(t, claims))
	}
	with := func(name string, value any) func(oidctest.Claims) oidctest.Claims {
		return func(c oidctest.Claims) oidctest.Claims { return c.With(name, value) }
	}
	file := []string{"NSAGENT_OIDC_TOKEN_FILE=" + filepath.Join(r.home, "id")}

	good := fresh(nil)
	r.write("id", good)
	if out, code := r.exec(file, signs...); code != 0 || !strings.Contains(out, "OAuth realm=") || !strings.Contains(out, "id none") {
		t.Errorf("the job: exit %d\n%s", code, out)
	}
	r.write("id", fresh(nil))
	fd := append([]string{"-c", `exec 7<"$HOME/id"; NSAGENT_OIDC_TOKEN_FD=7 exec "$NSAGENT" exec --no-input --bundle "$HOME/ci.bundle" -- "$@"`, "sh"}, signs...)
	if out, code := r.run(nil, "sh", fd...); code != 0 || !strings.Contains(out, "OAuth realm=") {
		t.Errorf("from a descriptor: exit %d\n%s", code, out)
	}

	for name, c := range map[string]struct{ id, says, code string }{
		"the same token again": {good, "was used before", "NSA-GRANT"},
		"another branch":       {fresh(with("ref", "refs/pull/41/merge")), "refs/pull/41/merge", "NSA-GRANT-SCOPE"},
		"a pull request":       {fresh(with("event_name", "pull_request")), "pull_request", "NSA-GRANT-SCOPE"},
		"another repository":   {fresh(with("repository_id", "75")), "75", "NSA-GRANT-SCOPE"},
		"another vault":        {fresh(with("aud", "nsagent:00")), "", "NSA-GRANT"},
		"over":                 {fresh(func(c oidctest.Claims) oidctest.Claims { return c.With("exp", time.Now().Add(-time.Hour).Unix()) }), "", "NSA-GRANT"},
		"no token at all":      {"", "", "NSA-GRANT"},
	} {
		r.write("id", c.id)
		out, code := r.exec(file, "sh", "-c", "echo it ran")
		if code != 125 || strings.Contains(out, "it ran") || !strings.Contains(out, "["+c.code+"]") || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit %d, want 125, %s and %q\n%s", name, code, c.code, c.says, out)
		}
		if c.id != "" && strings.Contains(out, c.id) {
			t.Errorf("%s: the ID token is in what is said", name)
		}
	}
	if out, code := r.exec(nil, "true"); code != 125 || !strings.Contains(out, "none was given") {
		t.Errorf("without: exit %d\n%s", code, out)
	}
}

// TestIssuerWithACAOfItsOwn: the keys of a self-hosted service are fetched over TLS that a
// CA of the policy vouches for, also by the runner, to whom the bundle brings that CA. The
// bytes count that the file had when the policy was adopted, and another CA is a change.
func TestIssuerWithACAOfItsOwn(t *testing.T) {
	issuer := oidctest.New(t)
	o := newJobOwner(t)
	if _, said, code := o.trust(issuer, o.file("ca_file", "ca.pem", issuer.CA+"-----BEGIN PRIVATE KEY-----\n")); code != 2 || !strings.Contains(said, "of the CA: only certificates in PEM may stand there") {
		t.Errorf("a file with more than certificates: exit %d\n%s", code, said)
	}
	said := o.mustTrust(issuer, o.file("ca_file", "ca.pem", issuer.CA))
	if want := fmt.Sprintf("+ jobs of %s, known by keys that are fetched, where a CA with SHA-256 %x counts too  (may allow more)\n", issuer.URL, sha256.Sum256([]byte(issuer.CA))); !strings.Contains(said, want) {
		t.Errorf("said of the CA:\n%s\nwant %s", said, want)
	}
	if said := o.mustTrust(issuer, o.file("ca_file", "ca.pem", issuer.CA)); !strings.Contains(said, "nothing changes") {
		t.Errorf("the same again:\n%s", said)
	}
	if shown := string(o.must("", "policy", "show")); !strings.Contains(shown, issuer.CA) {
		t.Errorf("the policy in force:\n%s", shown)
	}
	good, audience := o.mustGrant(githubJob(issuer))
	o.write("ca.pem", "this is no part of the policy any more\n")
	if out, code := good.job(issuer.Sign(t, issuer.GitHub(audience, time.Now()))); code != 0 || !strings.Contains(out, "OAuth realm=") {
		t.Errorf("the job: exit %d\n%s", code, out)
	}
	if issuer.Fetched() == 0 {
		t.Error("the keys were not fetched")
	}
	said = o.mustTrust(issuer, o.file("ca_file", "ca.pem", otherCA(t)))
	if !strings.Contains(said, "~ jobs of "+issuer.URL+" are known by keys that are fetched, where a CA with SHA-256 ") || !strings.Contains(said, "(may allow more)") {
		t.Errorf("said of another CA:\n%s", said)
	}
	for name, ca := range map[string]string{"another CA": o.file("ca_file", "ca.pem", otherCA(t)), "none": ""} {
		o.trust(issuer, ca)
		r, audience := o.mustGrant(githubJob(issuer))
		if out, code := r.job(issuer.Sign(t, issuer.GitHub(audience, time.Now()))); code != 125 || !strings.Contains(out, "[NSA-NETWORK]") {
			t.Errorf("%s: exit %d\n%s", name, code, out)
		}
	}
}

// otherCA returns a certificate of somebody else.
func otherCA(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
