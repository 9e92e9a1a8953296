package agent

import (
	"crypto/elliptic"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// edit edits a profile and must succeed.
func (f *fixture) edit(name string, e client.ProfileEdit) *pb.Profile {
	f.t.Helper()
	p, err := f.admin.EditProfile(f.t.Context(), name, e)
	if err != nil {
		f.t.Fatalf("EditProfile(%s): %v", name, err)
	}
	return p
}

// signsLike reports whether a profile makes the same Connect signature as another
// one at some moment: with all public parts the same, the keys are too.
func (f *fixture) signsLike(name, other string) bool {
	f.t.Helper()
	var a, b [32]byte
	f.agent.mu.RLock()
	defer f.agent.mu.RUnlock()
	s := f.agent.session
	if err := errors.Join(s.profiles[name].mac.HMACSHA256(&a, []byte("x")), s.profiles[other].mac.HMACSHA256(&b, []byte("x"))); err != nil {
		f.t.Fatal(err)
	}
	return a == b
}

// tbaWith stores a profile with other secrets than addTBA, to compare with.
func (f *fixture) tbaWith(name string, cs, ts byte) {
	f.t.Helper()
	if _, err := f.admin.AddProfile(f.t.Context(), tba(name), map[string]client.Sealer{"consumer_secret": f.sealer(sample(cs)), "token_secret": f.sealer(sample(ts))}); err != nil {
		f.t.Fatal(err)
	}
}

func states(p *pb.Profile) string {
	var all []string
	for _, v := range p.GetVersions() {
		all = append(all, v.GetState())
	}
	return strings.Join(all, " ")
}

// TestEditSecret shows the life of a secret in an agent: the new one signs at once,
// the one before is kept for an hour, can be gone back to, and is erased.
func TestEditSecret(t *testing.T) {
	f := start(t, func(c *Config) { c.IdleLock, c.HardLock = 100*time.Hour, 100*time.Hour })
	f.unlock()
	f.addTBA("acme")
	f.tbaWith("old", 2, 4)
	f.tbaWith("new", 2, 9)
	used := f.agent.arena.Info().Used
	defer func() {
		if got := f.agent.arena.Info().Used; got > used {
			t.Errorf("edits left %d bytes of locked memory taken", got-used)
		}
	}()
	p := f.edit("acme", client.ProfileEdit{
		Fields: []string{"token_id"}, Profile: &pb.Profile{TokenId: sample(8)},
		Secrets: map[string]client.Sealer{"token_secret": f.sealer(sample(9))},
	})
	if v := p.GetVersions(); states(p) != "current previous" || v[0].GetNumber() != 2 || v[1].GetUntil()-v[0].GetSince() != 3600 {
		t.Errorf("versions: %v", p.GetVersions())
	}
	if p.GetTokenId() != sample(8) || p.GetConsumerKey() != sample(1) || !f.signsLike("acme", "new") {
		t.Error("the agent does not sign with the new token")
	}
	if !strings.Contains(f.sign("acme").GetAuthorization(), sample(8)) {
		t.Error("the header does not name the new token ID")
	}

	p = f.edit("acme", client.ProfileEdit{UsePrevious: true, Overlap: 2 * time.Hour})
	if v := p.GetVersions(); p.GetTokenId() != sample(3) || !f.signsLike("acme", "old") || v[1].GetUntil()-v[0].GetSince() != 7200 {
		t.Errorf("going back: token ID %s, versions %v", p.GetTokenId(), v)
	}

	// Locking and unlocking changes nothing of it.
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.unlock()
	if got, err := f.admin.ShowProfile(t.Context(), "acme"); err != nil || states(got) != "current previous" || !f.signsLike("acme", "old") {
		t.Errorf("after unlocking: %v, %v", got.GetVersions(), err)
	}

	// Two hours, of which the machine slept one, are over.
	f.clock.Add(int64(2*time.Hour - time.Minute))
	if err := f.agent.eraseDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := f.admin.ShowProfile(t.Context(), "acme"); err != nil || states(got) != "current previous" {
		t.Errorf("a minute before the end: %v, %v", got.GetVersions(), err)
	}
	before := len(f.entries())
	f.clock.Add(int64(time.Minute + time.Second))
	if err := f.agent.eraseDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := f.admin.ShowProfile(t.Context(), "acme")
	if err != nil || states(got) != "current" || !f.signsLike("acme", "old") {
		t.Errorf("after the end: %v, %v", got.GetVersions(), err)
	}
	if e := f.entries()[before]; e.Event != audit.EventSecretErase || e.Profile != "acme" {
		t.Errorf("the log says %+v", e)
	}
	if _, err := f.admin.EditProfile(t.Context(), "acme", client.ProfileEdit{UsePrevious: true}); errorCode(err) != string(pb.CodeNotFound) {
		t.Errorf("going back to what is gone: %v", err)
	}
	f.sign("acme")
}

// TestEraseAtUnlock shows that an agent that was away erases what became due
// meanwhile as soon as it is unlocked.
func TestEraseAtUnlock(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.edit("acme", client.ProfileEdit{Secrets: map[string]client.Sealer{"token_secret": f.sealer(sample(9))}})
	if err := f.admin.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.waitEnd()
	v, err := vault.Open(t.Context(), vault.Config{Store: store.NewFile(f.paths.Vault), Arena: f.arena})
	if err == nil {
		err = v.Unlock(t.Context(), f.secret(testPassphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Edit(t.Context(), "acme", func(r vault.Record) (vault.Edit, error) {
		p, err := f.agent.codec.decode(r.Meta)
		if err != nil {
			return vault.Edit{}, err
		}
		p.Previous.Until = time.Now().Unix() - 1
		meta, err := f.agent.codec.encode(p)
		return vault.Edit{Meta: meta}, err
	}); err != nil {
		t.Fatal(err)
	}
	v.Lock()
	f.run()
	f.unlock()
	deadline := time.Now().Add(30 * time.Second)
	for {
		p, err := f.admin.ShowProfile(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		if states(p) == "current" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the previous version is still there: %v", p.GetVersions())
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.sign("acme")
}

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

// TestRename shows that a profile goes on under another name, with its last use and
// its previous version.
func TestRename(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	f.edit("acme", client.ProfileEdit{Secrets: map[string]client.Sealer{"token_secret": f.sealer(sample(9))}})
	f.sign("acme")
	for to, want := range map[string]pb.Code{"other": pb.CodeExists, "acme": pb.CodeExists, "A": pb.CodeRequest, "../x": pb.CodeRequest, "": pb.CodeRequest} {
		if _, err := f.admin.RenameProfile(t.Context(), "acme", to); errorCode(err) != string(want) {
			t.Errorf("to %q: got %v, want %s", to, err, want)
		}
	}
	if p, err := f.admin.RenameProfile(t.Context(), "acme", "new"); err != nil || p.GetName() != "new" {
		t.Fatal(p, err)
	}
	if _, err := f.signer.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL}); !errors.Is(err, client.ErrNoProfile) {
		t.Errorf("the old name: %v", err)
	}
	check := func() {
		t.Helper()
		p, err := f.admin.ShowProfile(t.Context(), "new")
		if err != nil || p.GetLastUsed() == 0 || states(p) != "current previous" {
			t.Errorf("got %v, %v", p, err)
		}
	}
	check()
	f.restart()
	f.unlock()
	deadline := time.Now().Add(30 * time.Second)
	for p, _ := f.admin.ShowProfile(t.Context(), "new"); p.GetLastUsed() == 0 && time.Now().Before(deadline); p, _ = f.admin.ShowProfile(t.Context(), "new") {
		time.Sleep(10 * time.Millisecond) // the log is read in the background
	}
	check()
	f.sign("new")
}

// TestEditWhileSigning guards that nobody who signs notices an edit: each signature
// is made with the old or the new secret, and none fails.
func TestEditWhileSigning(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	done := make(chan struct{})
	var wg sync.WaitGroup
	signed := make([]int, 4)
	for i := range signed {
		wg.Go(func() {
			c := f.dial()
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := c.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL}); err != nil {
					t.Error(err)
					return
				}
				signed[i]++
			}
		})
	}
	for n := byte(10); n < 30; n++ {
		f.edit("acme", client.ProfileEdit{Secrets: map[string]client.Sealer{"token_secret": f.sealer(sample(n))}, Profile: &pb.Profile{TokenId: sample(n + 100)}, Fields: []string{"token_id"}})
		f.edit("acme", client.ProfileEdit{UsePrevious: true})
	}
	close(done)
	wg.Wait()
	if slices.Contains(signed, 0) {
		t.Errorf("signed %v times meanwhile", signed)
	}
}

// TestTestProfile shows what profile test looks at, and that it finds what is wrong.
func TestTestProfile(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	now := time.Now()
	for name, until := range map[string]time.Time{"m2m": now.Add(365 * 24 * time.Hour), "soon": now.Add(48 * time.Hour)} {
		key, cert := keyPair(t, elliptic.P256(), now.Add(-time.Hour), until)
		p := &pb.Profile{Name: name, Account: "1234567", Auth: "m2m", ClientId: sample(1), Certificate: cert, Scopes: []string{"restlets"}, Endpoint: "https://127.0.0.1:8443", Ca: caPEM(t)}
		if _, err := f.admin.AddProfile(t.Context(), p, map[string]client.Sealer{"private_key": f.sealer(key)}); err != nil {
			t.Fatal(err)
		}
	}
	found := func(name string) string {
		t.Helper()
		r, err := f.admin.TestProfile(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, c := range r.GetChecks() {
			all = append(all, c.GetName()+"="+c.GetState())
			if c.GetState() == "problem" && c.GetRemedy() == "" {
				t.Errorf("nothing to do about %s", c)
			}
		}
		return strings.Join(all, " ")
	}
	want := func(name, want string) {
		t.Helper()
		if got := found(name); got != want {
			t.Errorf("%s: got %s\nwant %s", name, got, want)
		}
	}
	want("acme", "record=ok account=ok key=ok endpoint=ok netsuite=skipped")
	want("m2m", "record=ok account=ok key=ok certificate=ok kid=ok endpoint=ok ca_file=ok netsuite=skipped")
	want("soon", "record=ok account=ok key=ok certificate=note kid=ok endpoint=ok ca_file=ok netsuite=skipped")
	f.edit("acme", client.ProfileEdit{Secrets: map[string]client.Sealer{"token_secret": f.sealer(sample(9))}})
	want("acme", "record=ok account=ok key=ok endpoint=ok previous=note netsuite=skipped")

	// What should never be: the agent works with another key than the vault holds, a
	// certificate is over, the ID is that of another certificate.
	f.tbaWith("other", 7, 8)
	f.agent.mu.Lock()
	profiles := f.agent.session.profiles
	mine, other := profiles["acme"], profiles["other"]
	mine.mac, other.mac = other.mac, mine.mac
	soon := *profiles["soon"].profile
	soon.CertificateID = "another"
	profiles["soon"].profile = &soon
	f.agent.mu.Unlock()
	want("acme", "record=problem account=ok key=problem endpoint=ok previous=note netsuite=skipped")
	want("soon", "record=ok account=ok key=ok certificate=note kid=problem endpoint=ok ca_file=ok netsuite=skipped")
	_, session := f.agent, f.agent.session
	late := &profileTest{agent: f.agent, session: session, live: profiles["m2m"], now: now.Add(1000 * 24 * time.Hour)}
	late.certificate()
	if late.problems() != 1 {
		t.Errorf("a certificate that is over: %v", late.checks)
	}
}
