//go:build !race

// The same steps run with the race detector in other tests; here many times.

package agent

import (
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/internal/needs"
)

// TestRotationCutAnywhere cuts each answer of a rotation after each byte. Whatever comes of
// it, the vault is whole, callers get tokens, and in the end NetSuite has one certificate of
// ours that is active: the one in use.
func TestRotationCutAnywhere(t *testing.T) {
	const token, certificates = "/services/rest/auth/oauth2/v1/token", certificatesPath + "*"
	step := 61
	if needs.Long() {
		step = 1
	}
	for name, test := range map[string]struct {
		fault  nstest.Fault
		length int // of the answer, and a little more
	}{
		"the token of the present one": {nstest.Fault{Path: token}, 620},
		"the list":                     {nstest.Fault{Path: certificates, Method: "GET"}, 900},
		"the upload":                   {nstest.Fault{Path: certificates, Method: "POST"}, 1200},
		"the token of the new one":     {nstest.Fault{Path: token, Skip: 1}, 620},
		"the revocation":               {nstest.Fault{Path: certificates, Method: "POST", Skip: 1}, 21},
	} {
		t.Run(name, func(t *testing.T) {
			w := startCert(t)
			switched, failed := 0, 0
			for after := 0; after < test.length; after += min(step, 1+test.length/8) {
				if n := switched + failed; n > 0 && n%400 == 0 {
					w = startCert(t) // NetSuite's list has grown long
				}
				f := test.fault
				f.Kind, f.After = "cut", after
				if w.cutRotation(after, f, name == "the revocation") {
					switched++
				} else {
					failed++
				}
			}
			t.Logf("%d switched, %d undone", switched, failed)
			r, err := w.admin.CheckVault(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := found(t, r.GetChecks()); strings.Contains(got, "problem") {
				t.Errorf("the vault: %s", got)
			}
			w.restarted()
			w.unlock()
			w.works("after a restart")
		})
	}
}

// cutRotation rotates while a fault befalls NetSuite, and reports whether the profile has
// another certificate then.
func (w *certWorld) cutRotation(after int, f nstest.Fault, atRevocation bool) bool {
	w.t.Helper()
	w.dropTokens()
	w.inject(f)
	before := w.profile().GetCertificateId()
	_, err := w.rotate(client.Rotation{})
	p := w.profile()
	switched := p.GetCertificateId() != before
	if (err == nil) != switched {
		w.t.Fatalf("after %d bytes: %v, and the profile is %v", after, err, p)
	}
	if atRevocation {
		w.dueNow()
		_ = w.agent.revokeRetired(asItself(w.t.Context()), "m2m", nil)
	}
	w.netsuite.ClearFaults()
	if p.GetNextCertificate() != nil {
		w.t.Fatalf("after %d bytes: a next certificate is left: %v", after, p)
	}
	w.works("afterwards")
	w.dueNow()
	w.settle()
	got := w.atNetSuite()
	for _, state := range strings.Split(got, ", ") {
		if state != "current active" && state != "revoked" {
			w.t.Fatalf("after %d bytes: NetSuite has %s", after, got)
		}
	}
	return switched
}
