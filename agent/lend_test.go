package agent

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// mustBundle makes a grant of an hour with a bundle for profiles.
func (w *certWorld) mustBundle(profiles ...string) (text []byte, token *unlocktoken.Token, g *pb.Grant) {
	w.t.Helper()
	r, token, err := w.bundle(profiles...)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.GetBundle(), token, r.GetGrant()
}

func (w *certWorld) bundle(profiles ...string) (*pb.NewGrantResponse, *unlocktoken.Token, error) {
	w.t.Helper()
	s := w.spec(profiles...)
	s.Detached = true
	r, err := w.admin.NewGrant(w.t.Context(), w.passphrase(testPassphrase), s.NewGrant)
	if err != nil {
		return nil, nil, err
	}
	return r, s.token(w.t, r), nil
}

// until waits for NetSuite's certificates to be in these states.
func (w *certWorld) until(what, want string) {
	w.t.Helper()
	got := ""
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got = w.atNetSuite(); got == want {
			return
		}
	}
	w.t.Errorf("%s: NetSuite has %q, want %q", what, got, want)
}

// tended lets the agent see to certificates until nothing is left to revoke, and NetSuite's
// are in one of these states. What the agent could not do at once it tries again minutes later.
func (w *certWorld) tended(what string, want ...string) {
	w.t.Helper()
	got, left := "", 0
	for range 8 {
		w.clock.Add(int64(shortestRest + time.Minute))
		w.agent.tendAll(asItself(w.t.Context()))
		for range 100 { // the agent itself is at it, too
			if got, left = w.atNetSuite(), len(w.profile().GetRetired()); left == 0 && slices.Contains(want, got) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	w.t.Errorf("%s: NetSuite has %q, want one of %q; %d are left to revoke", what, got, want, left)
}

// access gets an access token on a runner.
func (r *runner) access() error {
	_, err := r.signer.AccessToken(r.t.Context(), client.AccessTokenRequest{Profile: "m2m"})
	return err
}

// kid returns the certificate that a runner's assertions are made with.
func (r *runner) kid() string {
	r.t.Helper()
	a, err := r.signer.Assertion(r.t.Context(), client.AssertionRequest{Profile: "m2m"})
	if err != nil {
		r.t.Fatal(err)
	}
	head, _, _ := strings.Cut(a.GetAssertion(), ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		r.t.Fatal(err)
	}
	var h struct {
		KID string `json:"kid"`
	}
	if err := json.Unmarshal(b, &h); err != nil {
		r.t.Fatal(err)
	}
	return h.KID
}

// state returns what NetSuite says of one certificate.
func (w *certWorld) state(id string) *pb.Certificate {
	w.t.Helper()
	l, err := w.admin.Certificates(w.t.Context(), "m2m")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range l.GetCertificates() {
		if c.GetCertificateId() == id {
			return c
		}
	}
	w.t.Fatalf("NetSuite has no certificate %s", id)
	return nil
}

// TestBundleHasItsOwnCertificate: what a bundle holds of an M2M profile is a key of its own,
// whose certificate NetSuite ends with the grant.
func TestBundleHasItsOwnCertificate(t *testing.T) {
	w := startCert(t)
	w.addTBA("acme")
	text, token, g := w.mustBundle("acme", "m2m")
	id := g.GetProfiles()[1].GetCertificateId()
	if g.GetProfiles()[0].GetCertificateId() != "" || len(id) != 43 || id == w.profile().GetCertificateId() {
		t.Fatalf("the grant has the certificates %v", g.GetProfiles())
	}
	if got, want := w.atNetSuite(), "bundle active, current active"; got != want {
		t.Errorf("NetSuite has %q, want %q", got, want)
	}
	retired := w.profile().GetRetired()
	if len(retired) != 1 || retired[0].GetGrant() != g.GetId() || retired[0].GetAfter() != g.GetNotAfter() {
		t.Errorf("the profile says %v", retired)
	}

	r := newRunner(t)
	r.mustServe(text, token.Text())
	if err := r.access(); err != nil {
		t.Errorf("an access token on the runner: %v", err)
	}
	if got := r.kid(); got != id {
		t.Errorf("the runner signs with certificate %s, want %s", got, id)
	}
	cert, err := signer.ParseCertificate([]byte(r.agent.bundled.own.profiles["m2m"].Certificate))
	if err != nil {
		t.Fatal(err)
	}
	if cert.NotAfter.Unix() != g.GetNotAfter() || cert.Subject.CommonName != g.GetId() {
		t.Errorf("the certificate is for %s until %s, want %s until %d", cert.Subject.CommonName, cert.NotAfter, g.GetId(), g.GetNotAfter())
	}
	if err := r.try("acme", "GET", "/x"); err != nil {
		t.Errorf("the other profile: %v", err)
	}

	// Other certificates come and go meanwhile.
	if _, err := w.rotate(client.Rotation{}); err != nil {
		t.Fatal(err)
	}
	w.until("after a rotation", "bundle active, current active, previous active")

	if _, err := w.admin.RevokeGrant(t.Context(), g.GetId(), false); err != nil {
		t.Fatal(err)
	}
	w.until("after the grant was revoked", "current active, previous active, revoked")
	r.end()
	r.mustServe(text, token.Text())
	if err := r.access(); !errors.Is(err, client.ErrNetSuite) {
		t.Errorf("an access token after the grant was revoked: got %v, want ErrNetSuite", err)
	}
	w.works("the profile itself")
}

// TestBundleRevokedWhileLocked: a locked agent can ask nothing of NetSuite, and does so as
// soon as it is unlocked, after a restart too.
func TestBundleRevokedWhileLocked(t *testing.T) {
	w := startCert(t)
	_, _, g := w.mustBundle("m2m")
	_, _, other := w.mustBundle("m2m")
	if err := w.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.admin.RevokeGrant(t.Context(), g.GetId(), false); err != nil {
		t.Fatal(err)
	}
	w.restarted()
	w.unlock()
	w.until("unlocked again", "bundle active, current active, revoked")
	if w.state(other.GetProfiles()[0].GetCertificateId()).GetRevoked() {
		t.Error("the wrong one was revoked")
	}
}

// TestBundleEnds: at the end of the grant its certificate is revoked, whatever time zone
// NetSuite counts its days in.
func TestBundleEnds(t *testing.T) {
	w := startCert(t)
	w.mustBundle("m2m")
	w.dueNow()
	w.tended("at its end", "current active, revoked")
}

// TestBundleGetsNoCertificate: whatever goes wrong on the way, nothing is granted, and what
// NetSuite has got is revoked.
func TestBundleGetsNoCertificate(t *testing.T) {
	for name, c := range map[string]struct {
		fault nstest.Fault
		want  error
		says  string
	}{
		"no list":                 {nstest.Fault{Kind: "status", Status: 500, Path: certificatesPath + "*", Method: "GET"}, client.ErrNetSuite, "HTTP 500"},
		"an empty list":           {nstest.Fault{Kind: "status", Status: 200, Body: "[]", Path: certificatesPath + "*", Method: "GET"}, client.ErrNetSuite, "for which entity and role: the present certificate is not in NetSuite's list"},
		"listed in part":          {nstest.Fault{Kind: "status", Status: 200, Body: `[{"certificate_id":"%s","entity":{"id":"5"},"role":null}]`, Path: certificatesPath + "*", Method: "GET"}, client.ErrNetSuite, "for which entity and role"},
		"refused":                 {nstest.Fault{Kind: "status", Status: 403, Path: certificatesPath + "*", Method: "POST"}, client.ErrNetSuite, "lacks a permission"},
		"no connection":           {nstest.Fault{Kind: "drop", Path: certificatesPath + "*", Method: "POST"}, client.ErrNetwork, ""},
		"answer cut":              {nstest.Fault{Kind: "cut", After: 1, Path: certificatesPath + "*", Method: "POST"}, nil, ""},
		"new certificate refused": {nstest.Fault{Kind: "status", Status: 500, Path: "/services/rest/auth/oauth2/v1/token", Skip: 1, Times: certificateTries * 2}, client.ErrNetSuite, "HTTP 500"},
	} {
		t.Run(name, func(t *testing.T) {
			w := startCert(t)
			c.fault.Body = strings.Replace(c.fault.Body, "%s", w.profile().GetCertificateId(), 1)
			w.inject(c.fault)
			_, _, err := w.bundle("m2m")
			if strings.Contains(c.says, "entity and role") && strings.Contains(w.events(), "new ok") {
				t.Errorf("the log has %s", w.events())
			}
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v with %q", err, c.want, c.says)
			}
			w.netsuite.ClearFaults()
			w.clock.Add(int64(longestPause))
			all, lerr := w.admin.Grants(t.Context())
			if lerr != nil || len(all) != 0 != (err == nil) {
				t.Errorf("%d grants, %v", len(all), lerr)
			}
			if err == nil {
				w.until("granted", "bundle active, current active")
				return
			}
			w.tended("nothing granted", "current active", "current active, revoked")
			w.works("the profile itself")
		})
	}
}

// While NetSuite is asked the vault may be locked and profiles removed, and what was planned
// before is no more.
func TestBundleOfWhatHasChanged(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *certWorld) error
		want   error
	}{
		"a profile": {func(w *certWorld) error { return w.admin.RemoveProfile(t.Context(), "acme") }, client.ErrNoProfile},
		"the lock":  {func(w *certWorld) error { return w.admin.Lock(t.Context()) }, client.ErrLocked},
	} {
		t.Run(name, func(t *testing.T) {
			w := startCert(t)
			w.addTBA("acme")
			var uploaded, changed atomic.Bool
			front := httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
				if uploaded.Load() && !changed.Swap(true) { // the new certificate is tried
					if err := c.change(w); err != nil {
						t.Error(err)
					}
				}
				if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, certificatesPath) {
					uploaded.Store(true)
				}
				w.netsuite.ServeHTTP(out, r)
			}))
			t.Cleanup(front.Close)
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
			w.addM2M("front", w.key, w.cert, front.URL, string(ca))
			if _, _, err := w.bundle("front", "acme"); !errors.Is(err, c.want) || !changed.Load() {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if name == "the lock" {
				w.unlock()
			}
			if all, err := w.admin.Grants(t.Context()); err != nil || len(all) != 0 {
				t.Errorf("%d grants, %v", len(all), err)
			}
		})
	}
}

// TestBundlesTakePlaces: NetSuite has five places for certificates. Bundles keep theirs: a
// rotation never takes one away, and a sixth is refused with a way out.
func TestBundlesTakePlaces(t *testing.T) {
	w := startCert(t)
	for i := range maxActiveCertificates - 1 {
		if _, _, err := w.bundle("m2m"); err != nil {
			t.Fatalf("bundle %d: %v", i+1, err)
		}
	}
	full := fmt.Sprintf("%scurrent active", strings.Repeat("bundle active, ", maxActiveCertificates-1))
	if got := w.atNetSuite(); got != full {
		t.Fatalf("NetSuite has %q, want %q", got, full)
	}
	if _, _, err := w.bundle("m2m"); !errors.Is(err, client.ErrNetSuite) || !strings.Contains(err.Error(), "no place") && !strings.Contains(err.Error(), "5 active") {
		t.Errorf("a bundle more: got %v", err)
	}
	if _, err := w.rotate(client.Rotation{}); !errors.Is(err, client.ErrNetSuite) {
		t.Errorf("a rotation: got %v", err)
	}
	if got := w.atNetSuite(); got != full {
		t.Errorf("NetSuite has %q, want %q", got, full)
	}
}

// TestBundleTakesNoProfilesOwnKey: a profile that becomes one of a certificate while its
// bundle is made (nsagent migrate) does not get its own private key into it.
func TestBundleTakesNoProfilesOwnKey(t *testing.T) {
	w := startCert(t)
	w.addTBA("acme")
	s := w.agent.session
	n, err := w.agent.planGrant(&pb.NewGrantRequest{Profiles: []string{"acme"}, TtlSeconds: 3600, Next: make([]byte, ed25519.PublicKeySize), Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.agent.chooseProfiles(s, n, []string{"acme"}); err != nil || n.lends() {
		t.Fatalf("%v, lends %v", err, n.lends())
	}
	n.profiles[0] = s.profiles["m2m"]
	if _, err := w.agent.bundleOf(s, n, nil, [32]byte{}, mustShares(t, w.agent.arena)); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
}

// mustShares returns the share of one profile.
func mustShares(t *testing.T, a *secret.Arena) secret.Bytes {
	t.Helper()
	b, err := a.Random(32)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Destroy)
	return b
}
