package agent

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// certWorld is an agent with an M2M profile "m2m" whose role may manage certificates, and
// a NetSuite that knows it.
type certWorld struct {
	*tokenWorld
	netsuite  *nstest.Server
	endpoint  *nstest.Endpoint
	key, cert string // of the profile "m2m"
}

const certificatesPath = "/services/rest/auth/oauth2/v1/clients/"

// startCert starts one. change may adjust NetSuite.
func startCert(t *testing.T, change ...func(*nstest.Config)) *certWorld {
	t.Helper()
	w := &certWorld{tokenWorld: &tokenWorld{}}
	w.netsuite, w.endpoint, w.key, w.cert = certNetSuite(t, change...)
	w.fixture = start(t, func(c *Config) { c.Gateway = w.gateways.start })
	w.agent.probePause = 0
	w.unlock()
	w.addM2M("m2m", w.key, w.cert, w.endpoint.URL, string(w.endpoint.CAPEM))
	return w
}

// certNetSuite returns a NetSuite that knows one certificate, with its key.
func certNetSuite(t *testing.T, change ...func(*nstest.Config)) (n *nstest.Server, ep *nstest.Endpoint, key, cert string) {
	t.Helper()
	key, cert = keyPair(t, elliptic.P256(), time.Now().Add(-10*day), time.Now().Add(300*day))
	cfg := nstest.DemoConfig()
	cfg.Accounts[0].Certificates = []nstest.Certificate{{ClientID: sample(9), PEM: cert, Entity: "5", Role: "3", Manage: true}}
	for _, c := range change {
		c(&cfg)
	}
	n = nstest.New(cfg)
	ep, err := n.ListenTLS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ep.Close() })
	return n, ep, key, cert
}

// restarted ends the agent and runs another one.
func (w *certWorld) restarted() {
	w.t.Helper()
	w.restart()
	w.agent.probePause = 0
}

// inject lets requests to come go wrong.
func (w *certWorld) inject(f nstest.Fault) {
	w.t.Helper()
	if err := w.netsuite.Inject(f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *certWorld) rotate(r client.Rotation) (*pb.RotateCertificateResponse, error) {
	return w.admin.RotateCertificate(w.t.Context(), "m2m", r)
}

// profile returns the public part of the profile.
func (w *certWorld) profile() *pb.Profile {
	w.t.Helper()
	p, err := w.admin.ShowProfile(w.t.Context(), "m2m")
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// atNetSuite returns the states of NetSuite's certificates, in the order of their IDs'
// roles: "current active", "previous revoked" and so on, sorted.
func (w *certWorld) atNetSuite() string {
	w.t.Helper()
	l, err := w.admin.Certificates(w.t.Context(), "m2m")
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, c := range l.GetCertificates() {
		state := "active"
		if c.GetRevoked() {
			state = "revoked"
		}
		all = append(all, strings.TrimSpace(c.GetState()+" "+state))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// works checks that callers get access tokens that NetSuite takes: the certificate that the
// profile has is one that NetSuite has.
func (w *certWorld) works(what string) {
	w.t.Helper()
	w.clock.Add(int64(longestPause)) // no failure before it is given as the answer again
	w.dropTokens()
	if r, err := w.token(); err != nil || r.GetAccessToken() == "" {
		w.t.Errorf("%s: no access token: %v", what, err)
	}
	if _, err := w.admin.Certificates(w.t.Context(), "m2m"); err != nil {
		w.t.Errorf("%s: NetSuite does not take the access token: %v", what, err)
	}
}

// dropTokens makes the agent forget the access tokens that it has.
func (w *certWorld) dropTokens() {
	w.t.Helper()
	w.agent.mu.Lock()
	defer w.agent.mu.Unlock()
	p := w.agent.session.profiles["m2m"]
	next, err := p.with(p.profile)
	if err != nil {
		w.t.Fatal(err)
	}
	next.skew.known.Store(p.skew.known.Load())
	w.agent.session.profiles["m2m"] = next
	p.supersede()
}

// settle lets the agent revoke what is due.
func (w *certWorld) settle() {
	w.t.Helper()
	if err := w.agent.revokeRetired(asItself(w.t.Context()), "m2m", nil); err != nil {
		w.t.Error(err)
	}
}

// events returns what the log has of certificates, with the outcomes.
func (w *certWorld) events() string {
	w.t.Helper()
	var all []string
	for _, e := range w.entries() {
		if strings.HasPrefix(e.Event, "cert.") {
			all = append(all, strings.TrimPrefix(e.Event, "cert.")+" "+e.Outcome)
		}
	}
	return strings.Join(all, ", ")
}

// TestNewCertificate shows how a profile begins: the key is made in the agent, and the
// certificate is one that NetSuite takes.
func TestNewCertificate(t *testing.T) {
	w := startCert(t)
	for key, alg := range map[string]string{"": "ES256", "ec256": "ES256", "ec384": "ES384", "ec521": "ES512", "rsa3072": "PS256"} {
		name := "new-" + key
		r, err := w.admin.NewCertificate(t.Context(), &pb.Profile{
			Name: name, Account: "1234567-sb1", ClientId: sample(9), Scopes: []string{"restlets"}, Endpoint: w.endpoint.URL, Ca: string(w.endpoint.CAPEM), Note: "made here",
		}, client.NewCertificate{Key: key})
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		cert, err := signer.ParseCertificate([]byte(r.GetCertificate().GetCertificate()))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		id := signer.CertificateID(cert.Raw)
		p := r.GetProfile()
		if p.GetAlg() != alg || p.GetCertificateId() != id || r.GetCertificate().GetCertificateId() != id || p.GetAccount() != "1234567_SB1" || p.GetAuth() != "m2m" || p.GetNote() != "made here" || r.GetCertificate().GetState() != "current" {
			t.Errorf("%s: got %v", key, r)
		}
		if left := time.Until(cert.NotAfter); cert.Subject.CommonName != name || left < 729*day || left > 731*day || p.GetExpiresAt() != cert.NotAfter.Unix() {
			t.Errorf("%s: a certificate for %s until %s", key, cert.Subject, cert.NotAfter)
		}
		// NetSuite takes it, once somebody has uploaded it.
		if _, err := w.signer.AccessToken(t.Context(), client.AccessTokenRequest{Profile: name}); !errors.Is(err, client.ErrNetSuite) {
			t.Errorf("%s: before the upload: %v", key, err)
		}
		if key != "" && key != "ec256" { // there are five places
			got, err := w.agent.uploadCertificate(asItself(t.Context()), "m2m", certificateUpload{pem: r.GetCertificate().GetCertificate(), id: id, standing: standing{"5", "3"}})
			if err != nil || got != id {
				t.Fatalf("%s: %s, %v", key, got, err)
			}
			w.clock.Add(int64(longestPause))
			if _, err := w.signer.AccessToken(t.Context(), client.AccessTokenRequest{Profile: name}); err != nil {
				t.Errorf("%s: after the upload: %v", key, err)
			}
		}
	}
}

// TestNewCertificateRefuses guards that what cannot be is told, and leaves nothing behind.
func TestNewCertificateRefuses(t *testing.T) {
	w := startCert(t)
	w.addTBA("tba")
	used := w.agent.arena.Info().Used
	fresh := func(change func(*pb.Profile)) *pb.Profile {
		p := &pb.Profile{Name: "new", Account: "1234567_SB1", ClientId: sample(9), Scopes: []string{"restlets"}}
		change(p)
		return p
	}
	none := func(*pb.Profile) {}
	for name, test := range map[string]struct {
		profile *pb.Profile
		wish    client.NewCertificate
		want    pb.Code
		says    string
	}{
		"RSA 2048":           {fresh(none), client.NewCertificate{Key: "rsa2048"}, pb.CodeRequest, "ec256"},
		"Ed25519":            {fresh(none), client.NewCertificate{Key: "ed25519"}, pb.CodeRequest, "ec256"},
		"three years":        {fresh(none), client.NewCertificate{Days: 1000}, pb.CodeRequest, "two years"},
		"two years":          {fresh(none), client.NewCertificate{Days: 730}, pb.CodeRequest, "729"},
		"less than nothing":  {fresh(none), client.NewCertificate{Days: -1}, pb.CodeRequest, "729"},
		"a long name":        {fresh(none), client.NewCertificate{Name: strings.Repeat("x", 65)}, pb.CodeRequest, "65 characters"},
		"a line end":         {fresh(none), client.NewCertificate{Name: "a\nb"}, pb.CodeRequest, "cannot be shown"},
		"no client ID":       {fresh(func(p *pb.Profile) { p.ClientId = "" }), client.NewCertificate{}, pb.CodeCredential, "client_id"},
		"no scopes":          {fresh(func(p *pb.Profile) { p.Scopes = nil }), client.NewCertificate{}, pb.CodeCredential, "scopes"},
		"scope mcp":          {fresh(func(p *pb.Profile) { p.Scopes = []string{"mcp"} }), client.NewCertificate{}, pb.CodeCredential, "mcp"},
		"a certificate too":  {fresh(func(p *pb.Profile) { p.Certificate = "x" }), client.NewCertificate{}, pb.CodeCredential, "no other"},
		"alg RS256":          {fresh(func(p *pb.Profile) { p.Alg = "RS256" }), client.NewCertificate{}, pb.CodeCredential, "no other"},
		"a TBA key too":      {fresh(func(p *pb.Profile) { p.ConsumerKey = "x" }), client.NewCertificate{}, pb.CodeCredential, "consumer_key"},
		"a name that is one": {fresh(func(p *pb.Profile) { p.Name = "m2m" }), client.NewCertificate{}, pb.CodeExists, "exists"},
		"a name that is bad": {fresh(func(p *pb.Profile) { p.Name = "m2m+next" }), client.NewCertificate{}, pb.CodeRequest, "profile name"},
		"an unknown profile": {&pb.Profile{Name: "none"}, client.NewCertificate{}, pb.CodeNoProfile, "none"},
		"a TBA profile":      {&pb.Profile{Name: "tba"}, client.NewCertificate{}, pb.CodeRequest, "kind tba"},
	} {
		_, err := w.admin.NewCertificate(t.Context(), test.profile, test.wish)
		if errorCode(err) != string(test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %s with %q", name, err, test.want, test.says)
		}
	}
	w.unusable("m2m", "tba")
	if got := w.agent.arena.Info().Used; got != used {
		t.Errorf("%d bytes of locked memory more", got-used)
	}
}

// TestRotate shows a rotation: callers notice nothing, the one before stays for the overlap,
// and is revoked then.
func TestRotate(t *testing.T) {
	w := startCert(t)
	before := w.profile()
	if got := w.atNetSuite(); got != "current active" {
		t.Fatalf("NetSuite has: %s", got)
	}
	r, err := w.rotate(client.Rotation{Overlap: 2 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	p := w.profile()
	if p.GetCertificateId() == before.GetCertificateId() || r.GetCertificate().GetCertificateId() != p.GetCertificateId() || r.GetPreviousCertificateId() != before.GetCertificateId() || p.GetNextCertificate() != nil {
		t.Errorf("got %v, and the profile is %v", r, p)
	}
	if states(p) != "current previous" || p.GetVersions()[0].GetNumber() != 2 || len(p.GetRetired()) != 1 || p.GetRetired()[0].GetCertificateId() != before.GetCertificateId() {
		t.Errorf("the profile is %v", p)
	}
	if left := time.Until(time.Unix(r.GetRevokedAfter(), 0)); left < 119*time.Minute || left > 120*time.Minute {
		t.Errorf("the one before is revoked in %s", left)
	}
	block, _ := pem.Decode([]byte(p.GetCertificate()))
	if cert, err := x509.ParseCertificate(block.Bytes); err != nil || cert.Subject.CommonName != "test" {
		t.Errorf("the certificate is for %v, %v", cert.Subject, err)
	}
	w.works("after the switch")
	w.restarted()
	w.unlock()
	w.works("after a restart")
	w.settle()
	if got := w.atNetSuite(); got != "current active, previous active" {
		t.Errorf("within the overlap NetSuite has: %s", got)
	}
	// The overlap is over.
	w.dueNow()
	w.agent.tendAll(asItself(t.Context()))
	if got := w.atNetSuite(); got != "active, current active" && got != "current active, revoked" {
		t.Errorf("after the overlap NetSuite has: %s", got)
	}
	if p := w.profile(); len(p.GetRetired()) != 0 {
		t.Errorf("still to be revoked: %v", p.GetRetired())
	}
	w.works("after the revocation")
	want := "list ok, list ok, new ok, upload ok, probe ok, rotate ok, list ok, list ok, list ok, list ok, revoke ok, revoke ok, list ok, list ok"
	if got := w.events(); got != want {
		t.Errorf("the log has: %s\nwant: %s", got, want)
	}
}

// pemOf returns a new EC key as PEM.
func pemOf(t *testing.T) string {
	t.Helper()
	key, _ := keyPair(t, elliptic.P256(), time.Now(), time.Now().Add(time.Hour))
	return key
}

// TestLongCertificate guards that a certificate which runs for longer than two years ends
// when NetSuite ends it.
func TestLongCertificate(t *testing.T) {
	w := startCert(t)
	for name, test := range map[string]struct {
		from time.Time
		want pb.Code
	}{"still": {time.Now().AddDate(-1, 0, 0), "ok"}, "over": {time.Now().AddDate(-2, 0, -1), pb.CodeCredential}} {
		key, cert := keyPair(t, elliptic.P256(), test.from, test.from.AddDate(10, 0, 0))
		p, err := w.admin.AddProfile(t.Context(), &pb.Profile{
			Name: name, Account: "1234567_SB1", Auth: "m2m", ClientId: sample(9), Certificate: cert, Scopes: []string{"restlets"},
		}, map[string]client.Sealer{"private_key": w.sealer(key)})
		if errorCode(err) != string(test.want) || err != nil && !strings.Contains(err.Error(), "two years after its start") {
			t.Errorf("%s: got %v", name, err)
		}
		if err == nil && p.GetExpiresAt() != test.from.AddDate(2, 0, 0).Unix() {
			t.Errorf("%s: ends %s", name, time.Unix(p.GetExpiresAt(), 0))
		}
	}
}
