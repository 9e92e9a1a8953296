package agent

import (
	"crypto/elliptic"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

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

// TestTestProfileKnowsWhenNetSuiteEndsACertificate guards that profile test, as status and
// doctor, takes a certificate that runs for ten years to end after two.
func TestTestProfileKnowsWhenNetSuiteEndsACertificate(t *testing.T) {
	f := start(t)
	f.unlock()
	now := time.Now()
	from := now.AddDate(-2, 0, 5)
	key, cert := keyPair(t, elliptic.P256(), from, now.AddDate(8, 0, 0))
	p := &pb.Profile{Name: "long", Account: "1234567", Auth: "m2m", ClientId: sample(1), Certificate: cert, Scopes: []string{"restlets"}}
	if _, err := f.admin.AddProfile(t.Context(), p, map[string]client.Sealer{"private_key": f.sealer(key)}); err != nil {
		t.Fatal(err)
	}
	end := from.AddDate(2, 0, 0).UTC()
	ends := end.Format(time.DateOnly)
	for _, test := range []struct {
		at          time.Time
		state, text string
	}{
		{end.AddDate(-1, 0, 0), checkOK, "it is good until " + ends},
		{now, checkNote, "it ends on " + ends},
		{end.AddDate(0, 0, 1), checkProblem, "NetSuite ended it on " + ends},
	} {
		at := &profileTest{agent: f.agent, session: f.agent.session, live: f.agent.session.profiles["long"], now: test.at}
		at.certificate()
		if got := at.checks[0]; got.GetState() != test.state || !strings.HasPrefix(got.GetDetail(), test.text) {
			t.Errorf("at %s: got %s %q, want %s %q", test.at, got.GetState(), got.GetDetail(), test.state, test.text)
		}
	}
}
