package agent

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
	"github.com/nsagent/nsagent/vault"
)

// States of a check.
const (
	checkOK      = "ok"
	checkNote    = "note"    // worth knowing
	checkProblem = "problem" // does not work, or will not
	checkSkipped = "skipped"
)

// soon is how long before the end of a certificate or secret a check speaks of it.
const soon = 60 * day

// checks collects what was looked at.
type checks []*pb.Check

func (c *checks) add(name, state, detail, remedy string) {
	*c = append(*c, &pb.Check{Name: name, State: state, Detail: detail, Remedy: remedy})
}

// problems counts them.
func (c checks) problems() int {
	n := 0
	for _, m := range c {
		if m.GetState() == checkProblem {
			n++
		}
	}
	return n
}

// TestProfile checks a profile, and then asks NetSuite.
func (s adminService) TestProfile(ctx context.Context, q *pb.TestProfileRequest) (*pb.TestProfileResponse, error) {
	out, err := s.testProfile(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventProfileTest, q.GetName(), err))
	}
	return out, nil
}

func (a *Agent) testProfile(ctx context.Context, q *pb.TestProfileRequest) (*pb.TestProfileResponse, error) {
	if err := checkRESTlet(q.GetRestlet()); err != nil {
		return nil, err
	}
	online := !q.GetOffline() && a.network.there()
	t, err := a.checkProfile(ctx, q.GetName(), online)
	if err != nil {
		return nil, err
	}
	out := &pb.TestProfileResponse{Checks: t.checks, Account: t.live.Account, Environment: t.live.identity.Account.Environment()}
	if online && t.live.Stale == 0 {
		// Nobody waits for NetSuite to change the vault.
		tried := &probes{agent: a, caller: callerOf(ctx), name: t.live.Name, restlet: q.GetRestlet()}
		tried.run(withoutWaiting(ctx), t.live)
		out.Surfaces = tried.found
	}
	return out, nil
}

// checkProfile checks a profile as far as that goes without asking NetSuite.
func (a *Agent) checkProfile(ctx context.Context, name string, online bool) (*profileTest, error) {
	s, l, end, err := a.beginChangeOf(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	e := audit.Event{Event: audit.EventProfileTest, Outcome: audit.OutcomeOK, Profile: l.Name, Account: l.Account, Kind: l.Auth}
	if err := a.recordDurably(callerOf(ctx), e); err != nil {
		return nil, fmt.Errorf("recording the test of a profile: %w", err)
	}
	t := &profileTest{agent: a, session: s, live: l, now: a.clock()}
	t.run()
	if !online || l.Auth == authSecret {
		t.add("netsuite", checkSkipped, "NetSuite was not asked: whether it accepts the credential, its role and its permissions is open", "")
	}
	return t, nil
}

// profileTest looks at one profile.
type profileTest struct {
	agent   *Agent
	session *session
	live    *live
	now     time.Time
	opens   bool // the record in the vault, with every version of its secret
	checks
}

func (t *profileTest) run() {
	t.record()
	t.account()
	switch t.live.Auth {
	case authTBA:
		t.tbaKey()
	case authM2M:
		t.m2mKey()
		t.certificate()
	case authCode:
		t.codeGrant()
	case authSecret:
		t.apiSecret()
	}
	t.destination()
	t.previous()
	t.refresh()
}

// refresh tells of a credential from before a refresh of the sandbox.
func (t *profileTest) refresh() {
	if t.live.Stale != 0 {
		t.add("refresh", checkProblem, "it is from before the refresh of "+t.live.Account+", and nothing is signed with it", "see what to do:  nsagent profile refreshed "+t.live.Name)
	}
}

// record opens what the vault file holds now, and compares it with what the agent
// works with.
func (t *profileTest) record() {
	fault := func(err error) {
		r, remedy := refusalOf(err), "check the vault:  nsagent vault fsck"
		detail := "the record in the vault does not open: " + r.Message
		if errors.Is(err, vault.ErrBlob) {
			detail, remedy = detail+": "+r.Why, r.Next
		}
		t.add("record", checkProblem, detail, remedy)
	}
	if err := t.session.vault.CheckRecord(t.live.Name); err != nil {
		fault(err)
		return
	}
	b, err := t.session.vault.OpenSignOnly(t.live.Name)
	if err != nil {
		fault(err)
		return
	}
	stored, err := newLive(t.agent.arena, t.live.profile, b)
	if err != nil {
		fault(err)
		return
	}
	defer stored.destroy()
	same, err := t.live.sameKey(stored)
	switch {
	case err != nil:
		fault(err)
	case !same:
		t.add("record", checkProblem, "the vault holds another secret than the agent works with", "lock and unlock:  nsagent lock; nsagent unlock")
	default:
		t.opens = true
		t.add("record", checkOK, fmt.Sprintf("opens; version %d of the secret is current", t.live.versions[0].Number), "")
	}
}

// sameKey reports whether two live profiles sign alike.
func (l *live) sameKey(other *live) (bool, error) {
	switch {
	case l.Auth == authSecret || l.Auth == authCode:
		return true, nil // the agent works with nothing of it
	case l.key != nil:
		own, ok := l.key.Public().(interface{ Equal(crypto.PublicKey) bool })
		return ok && own.Equal(other.key.Public()), nil
	}
	var mine, theirs [sha256.Size]byte
	err := errors.Join(l.mac.HMACSHA256(&mine, []byte(testVector)), other.mac.HMACSHA256(&theirs, []byte(testVector)))
	return mine == theirs, err
}

func (t *profileTest) account() {
	a, err := signer.ParseAccount(t.live.Account)
	if err != nil {
		t.add("account", checkProblem, "the account ID has a form that NetSuite does not use", "give the right one, with the secret:  nsagent profile edit "+t.live.Name)
		return
	}
	t.add("account", checkOK, fmt.Sprintf("%s is a %s account, with hosts of the form %s.suitetalk.api.netsuite.com", a.ID(), a.Environment(), a.HostLabel()), "")
}

// testVector is signed to see that a key signs. NetSuite has no request like it.
const testVector = "nsagent profile test"

// tbaKey signs, and computes the same signature from the stored secrets with
// crypto/hmac, which has nothing to do with the midstates that the agent signs with.
func (t *profileTest) tbaKey() {
	same, err := t.recomputed()
	switch {
	case err != nil:
		t.add("key", checkProblem, "signing fails: "+refusalOf(err).Message, "enter the secrets again:  nsagent profile edit "+t.live.Name)
	case !same:
		t.add("key", checkProblem, "the signature is not that of the stored secrets", "enter the secrets again:  nsagent profile edit "+t.live.Name)
	default:
		t.add("key", checkOK, "signs, and the same HMAC-SHA256 follows from the stored secrets by another way", "")
	}
}

func (t *profileTest) recomputed() (bool, error) {
	var signature [sha256.Size]byte
	if err := t.live.mac.HMACSHA256(&signature, []byte(testVector)); err != nil {
		return false, err
	}
	raw, err := t.session.vault.OpenRaw(t.live.Name)
	if err != nil {
		return false, err
	}
	defer raw.Destroy()
	got := &secrets{fields: make(map[string]secret.Bytes)}
	defer got.destroy()
	if err := got.fillTBA(t.agent.arena, raw); err != nil {
		return false, err
	}
	key, err := signingKey(t.agent.arena, got.fields["consumer_secret"], got.fields["token_secret"])
	if err != nil {
		return false, err
	}
	defer key.Destroy()
	same := false
	err = key.Use(func(p []byte) error {
		secret.Do(func() {
			m := hmac.New(sha256.New, p)
			_, _ = m.Write([]byte(testVector))
			same = hmac.Equal(m.Sum(nil), signature[:])
		})
		return nil
	})
	return same, err
}

// m2mKey signs, and verifies with the standard library under the public key of the
// certificate, or where there is none under the key's own.
func (t *profileTest) m2mKey() {
	public, whose := t.live.key.Public(), "its own public key; there is no certificate to verify it with"
	if cert, err := signer.ParseCertificate([]byte(t.live.Certificate)); err == nil && t.live.Certificate != "" {
		public, whose = cert.PublicKey, "the public key of the certificate"
	}
	digest := sha256.Sum256([]byte(testVector))
	ok := false
	signature, err := []byte(nil), error(nil)
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if signature, err = t.live.key.Sign(rand.Reader, digest[:], crypto.SHA256); err == nil {
			ok = ecdsa.VerifyASN1(k, digest[:], signature)
		}
	case *rsa.PublicKey:
		opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
		if signature, err = t.live.key.Sign(rand.Reader, digest[:], opts); err == nil {
			ok = rsa.VerifyPSS(k, crypto.SHA256, digest[:], signature, opts) == nil
		}
	}
	switch {
	case err != nil:
		t.add("key", checkProblem, "signing fails: "+refusalOf(err).Message, "enter the key again:  nsagent profile edit "+t.live.Name)
	case !ok:
		t.add("key", checkProblem, "what it signs does not verify under "+whose, "enter key and certificate again:  nsagent profile edit "+t.live.Name)
	default:
		t.add("key", checkOK, "signs with "+t.live.Alg+", and that verifies under "+whose, "")
	}
}

// certificate looks at the dates of the certificate and at the ID that NetSuite
// knows it by.
func (t *profileTest) certificate() {
	l := t.live
	if l.Certificate == "" {
		t.add("certificate", checkNote, "only its ID is stored, so its dates and its key are not known", "store it too:  nsagent profile edit "+l.Name)
		return
	}
	cert, err := signer.ParseCertificate([]byte(l.Certificate))
	if err != nil {
		t.add("certificate", checkProblem, "the certificate cannot be read", "store it again:  nsagent profile edit "+l.Name)
		return
	}
	err = signer.CheckCertificate(cert, l.key.Public(), t.now)
	const renew = "make a new one, and store it with its key:  nsagent profile edit "
	end := l.certificateEnd(cert)
	switch left := end.Sub(t.now); {
	case errors.Is(err, signer.ErrCertificateKey):
		t.add("certificate", checkProblem, "it belongs to another key", "store the one of this key:  nsagent profile edit "+l.Name)
	case err != nil:
		t.add("certificate", checkProblem, certificateFault(cert, t.now), renew+l.Name)
	case left < 0:
		t.add("certificate", checkProblem, endedEarly(end), renew+l.Name)
	case left < soon:
		t.add("certificate", checkNote, "it ends on "+end.Format(time.DateOnly)+", in "+days(left), "make a new one in time")
	default:
		t.add("certificate", checkOK, "it is good until "+end.Format(time.DateOnly), "")
	}
	t.certificateID(cert)
}

func (t *profileTest) certificateID(cert *x509.Certificate) {
	if id := signer.CertificateID(cert.Raw); id != t.live.CertificateID {
		t.add("kid", checkProblem, "assertions name "+t.live.CertificateID+", the certificate is "+id, "store the certificate again:  nsagent profile edit "+t.live.Name)
		return
	}
	t.add("kid", checkOK, "assertions name the certificate that is stored", "")
}

// apiSecret looks at what is known of an API secret without its value.
func (t *profileTest) apiSecret() {
	l := t.live
	kept := "it is kept for " + strings.Join(l.Hosts, ", ") + ", and no call gives it out"
	if t.opens {
		t.add("value", checkOK, "opens; "+kept, "")
	} else {
		t.add("value", checkSkipped, kept+"; whether it opens is open, since its record does not", "")
	}
	switch left := time.Unix(l.Expires, 0).Sub(t.now); {
	case l.Expires == 0:
		t.add("expiry", checkNote, "when it ends is not known", `say it:  {"expires":"2027-03-01"} to  nsagent profile edit `+l.Name+" --from -")
	case left <= 0:
		t.add("expiry", checkProblem, "it ended on "+time.Unix(l.Expires, 0).UTC().Format(time.DateOnly), "enter the new one:  nsagent profile edit "+l.Name)
	case left < soon:
		t.add("expiry", checkNote, "it ends on "+time.Unix(l.Expires, 0).UTC().Format(time.DateOnly)+", in "+days(left), "get a new one in time")
	default:
		t.add("expiry", checkOK, "it is good until "+time.Unix(l.Expires, 0).UTC().Format(time.DateOnly), "")
	}
}

// destination looks at where the secret may go.
func (t *profileTest) destination() {
	l := t.live
	if l.Endpoint == "" && l.Auth == authSecret {
		return
	}
	if l.Endpoint == "" {
		t.add("endpoint", checkOK, "none: NetSuite's own hosts, verified against the system's roots", "")
		return
	}
	again := "give the right one, with the secret:  nsagent profile edit " + l.Name
	if origin, err := endpointOrigin(l.Endpoint); err != nil || origin != l.Endpoint {
		t.add("endpoint", checkProblem, "it is not an origin that can be used", again)
		return
	}
	t.add("endpoint", checkOK, l.Endpoint+" takes the place of NetSuite", "")
	if l.CA == "" {
		return
	}
	ca, err := signer.ParseCertificate([]byte(l.CA))
	switch {
	case err != nil:
		t.add("ca_file", checkProblem, "the CA cannot be read", again)
	case t.now.After(ca.NotAfter) || t.now.Before(ca.NotBefore):
		t.add("ca_file", checkProblem, certificateFault(ca, t.now), again)
	default:
		t.add("ca_file", checkOK, "the CA is good until "+ca.NotAfter.UTC().Format(time.DateOnly), "")
	}
}

func (t *profileTest) previous() {
	if p := t.live.Previous; p != nil {
		t.add("previous", checkNote, fmt.Sprintf("version %d is kept until %s; nothing uses it", t.live.versions[1].Number, time.Unix(p.Until, 0).UTC().Format(time.RFC3339)),
			"go back to it:  nsagent profile edit "+t.live.Name+" --use-previous")
	}
}

func days(d time.Duration) string {
	switch n := int(d / day); n {
	case 0:
		return "less than a day"
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}
