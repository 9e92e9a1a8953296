package agent

import (
	"crypto/elliptic"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestEditLimits guards A9 and design section 3: what widens takes a fresh proof,
// what would take a secret elsewhere takes the secret, and the rest takes nothing.
func TestEditLimits(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme", func(p *pb.Profile) { p.Access = "read" })
	key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	otherKey, otherCert := keyPair(t, elliptic.P384(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	m2m := &pb.Profile{Name: "m2m", Account: "1234567_SB1", Auth: "m2m", ClientId: sample(1), Certificate: cert, Scopes: []string{"restlets"}}
	if _, err := f.admin.AddProfile(t.Context(), m2m, map[string]client.Sealer{"private_key": f.sealer(key)}); err != nil {
		t.Fatal(err)
	}
	whole := f.tbaSecrets()
	half := map[string]client.Sealer{"token_secret": f.sealer(sample(4))}
	proof := client.Proof{Passphrase: f.sealer(testPassphrase)}
	set := func(fields string, p *pb.Profile) client.ProfileEdit {
		return client.ProfileEdit{Fields: strings.Fields(fields), Profile: p}
	}
	with := func(e client.ProfileEdit, s map[string]client.Sealer, p client.Proof) client.ProfileEdit {
		e.Secrets, e.Proof = maps.Clone(s), p
		return e
	}
	endpoint := &pb.Profile{Endpoint: "https://127.0.0.1:8443"}
	for _, c := range []struct {
		name, profile string
		edit          client.ProfileEdit
		want          pb.Code
	}{
		{"nothing", "acme", set("", nil), pb.CodeRequest},
		{"no such profile", "none", set("note", nil), pb.CodeNoProfile},
		{"a note", "acme", set("note owner", &pb.Profile{Note: "n", Owner: "o"}), pb.CodeOK},
		{"a note with a control character", "acme", set("note", &pb.Profile{Note: "\x1b[2J"}), pb.CodeCredential},
		{"read to write", "acme", set("access", &pb.Profile{Access: "write"}), pb.CodeProof},
		{"read to write with a new secret", "acme", with(set("access", &pb.Profile{Access: "write"}), whole, client.Proof{}), pb.CodeProof},
		{"a wrong passphrase", "acme", with(set("access", &pb.Profile{Access: "write"}), nil, client.Proof{Passphrase: f.sealer("wrong")}), pb.CodePassphrase},
		{"an empty passphrase", "acme", with(set("access", &pb.Profile{Access: "write"}), nil, client.Proof{Passphrase: f.sealer("")}), pb.CodePassphrase},
		{"somebody said yes, where there is a passphrase", "acme", with(set("access", &pb.Profile{Access: "write"}), nil, client.Proof{Confirmed: true}), pb.CodeProof},
		{"the passphrase", "acme", with(set("access", &pb.Profile{Access: "write"}), nil, proof), pb.CodeOK},
		{"write to read", "acme", set("access", &pb.Profile{Access: "read"}), pb.CodeOK},
		{"access of another kind", "acme", set("access", &pb.Profile{Access: "admin"}), pb.CodeCredential},
		{"another endpoint", "acme", set("endpoint", endpoint), pb.CodeCredential},
		{"another endpoint with the passphrase", "acme", with(set("endpoint", endpoint), nil, proof), pb.CodeCredential},
		{"another endpoint with half of the secret", "acme", with(set("endpoint", endpoint), half, proof), pb.CodeCredential},
		{"another endpoint with the secret", "acme", with(set("endpoint", endpoint), whole, client.Proof{}), pb.CodeOK},
		{"no endpoint, without the secret", "acme", set("endpoint", &pb.Profile{}), pb.CodeCredential},
		{"another CA", "acme", set("ca", &pb.Profile{Ca: caPEM(t)}), pb.CodeCredential},
		{"another account", "acme", set("account", &pb.Profile{Account: "7654321"}), pb.CodeCredential},
		{"another account with the secret", "acme", with(set("account", &pb.Profile{Account: "7654321_sb2"}), whole, client.Proof{}), pb.CodeOK},
		{"an account that is none", "acme", with(set("account", &pb.Profile{Account: "evil.example/"}), whole, client.Proof{}), pb.CodeAccount},
		{"another kind", "acme", set("auth", &pb.Profile{Auth: "m2m"}), pb.CodeCredential},
		{"another name", "acme", set("name", &pb.Profile{Name: "b"}), pb.CodeCredential},
		{"a field twice", "acme", set("note note", &pb.Profile{}), pb.CodeRequest},
		{"a field of another kind", "acme", set("client_id", &pb.Profile{ClientId: "x"}), pb.CodeCredential},
		{"a certificate for a TBA credential", "acme", set("certificate", &pb.Profile{Certificate: cert}), pb.CodeCredential},
		{"a secret of another kind", "acme", with(set("", nil), map[string]client.Sealer{"private_key": f.sealer(key)}, client.Proof{}), pb.CodeCredential},
		{"the same secret twice", "acme", with(set("", nil), map[string]client.Sealer{"token_secret": f.sealer(sample(2))}, client.Proof{}), pb.CodeCredential},
		{"an overlap without a secret", "acme", client.ProfileEdit{Fields: []string{"note"}, Overlap: time.Hour}, pb.CodeRequest},
		{"an overlap of a minute", "acme", client.ProfileEdit{Secrets: whole, Overlap: time.Minute}, pb.CodeRequest},
		{"an overlap of a year", "acme", client.ProfileEdit{Secrets: whole, Overlap: 8760 * time.Hour}, pb.CodeRequest},
		{"going back and changing", "acme", client.ProfileEdit{UsePrevious: true, Fields: []string{"note"}}, pb.CodeRequest},
		{"one more scope", "m2m", set("scopes", &pb.Profile{Scopes: []string{"restlets", "rest_webservices"}}), pb.CodeProof},
		{"one more scope with the passphrase", "m2m", with(set("scopes", &pb.Profile{Scopes: []string{"restlets", "rest_webservices"}}), nil, proof), pb.CodeOK},
		{"one scope less", "m2m", set("scopes", &pb.Profile{Scopes: []string{"rest_webservices"}}), pb.CodeOK},
		{"no scope", "m2m", set("scopes", &pb.Profile{}), pb.CodeCredential},
		{"the certificate of another key", "m2m", set("certificate", &pb.Profile{Certificate: otherCert}), pb.CodeCredential},
		{"another key without its certificate", "m2m", with(set("", nil), map[string]client.Sealer{"private_key": f.sealer(otherKey)}, client.Proof{}), pb.CodeCredential},
		{"another key with its certificate", "m2m", with(set("certificate", &pb.Profile{Certificate: otherCert}), map[string]client.Sealer{"private_key": f.sealer(otherKey)}, client.Proof{}), pb.CodeOK},
	} {
		before, _ := f.admin.ShowProfile(t.Context(), c.profile)
		_, err := f.admin.EditProfile(t.Context(), c.profile, c.edit)
		if got := errorCode(err); got != string(c.want) && !(err == nil && c.want == pb.CodeOK) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
		if after, _ := f.admin.ShowProfile(t.Context(), c.profile); err != nil && after.String() != before.String() {
			t.Errorf("%s: refused, and yet\n%v\nbecame\n%v", c.name, before, after)
		}
	}
	p, err := f.admin.ShowProfile(t.Context(), "m2m")
	if err != nil || p.GetAlg() != "ES384" || p.GetCertificate() != otherCert {
		t.Errorf("the other key: %v, %v", p, err)
	}
	if _, err := f.signer.Assertion(t.Context(), client.AssertionRequest{Profile: "m2m"}); err != nil {
		t.Error(err)
	}
	for _, e := range f.entries() {
		if e.Event == audit.EventProfileEdit && e.Profile == "acme" && strings.Contains(e.Detail, "access=write") && e.Outcome == audit.OutcomeOK && !strings.Contains(e.Detail, "proof=passphrase") {
			t.Errorf("widened without a word on the proof: %q", e.Detail)
		}
	}
	// All of it is in the vault.
	f.restart()
	f.unlock()
	if again, err := f.admin.ShowProfile(t.Context(), "m2m"); err != nil || again.GetAlg() != "ES384" || !slices.Equal(again.GetScopes(), []string{"rest_webservices"}) {
		t.Errorf("after a restart: %v, %v", again, err)
	}
}
