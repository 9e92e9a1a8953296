package agent

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// signsWith reports whether a profile signs with a pair of secrets, by the TokenPassport
// that it makes and crypto/hmac.
func (f *fixture) signsWith(name, consumerSecret, tokenSecret string) bool {
	f.t.Helper()
	p, err := f.signer.Passport(f.t.Context(), name, "")
	if err != nil {
		f.t.Fatal(err)
	}
	m := hmac.New(sha256.New, []byte(consumerSecret+"&"+tokenSecret))
	fmt.Fprintf(m, "%s&%s&%s&%s&%d", p.GetAccount(), p.GetConsumerKey(), p.GetToken(), p.GetNonce(), p.GetTimestamp())
	return base64.StdEncoding.EncodeToString(m.Sum(nil)) == p.GetSignature()
}

// The new pair goes to every profile of the record in one change, each with the token that
// it has; and back, profile by profile.
func TestRotateIntegration(t *testing.T) {
	w := refreshWorld(t)
	ctx := t.Context()
	w.addTBA("c", func(p *pb.Profile) { p.TokenId = sample(5) })
	w.edit("c", client.ProfileEdit{Secrets: map[string]client.Sealer{"token_secret": w.sealer(sample(6))}})
	w.addTBA("elsewhere", func(p *pb.Profile) { p.Endpoint = "https://127.0.0.1:1" })
	list, err := w.admin.Integrations(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range list.GetIntegrations() {
		var names []string
		for _, u := range i.GetUses() {
			names = append(names, u.GetProfile()+":"+u.GetAuth())
		}
		got = append(got, i.GetAccount()+" "+i.GetEndpoint()+" "+strings.Join(names, ","))
	}
	want := []string{
		"1234567  prod:tba", "1234567_SB1  a:tba,b:tba,c:tba", "1234567_SB1 https://127.0.0.1:1 elsewhere:tba", "1234567_SB1  m2m:m2m", "1234567_SB2  other:tba",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("records: got %q, want %q", got, want)
	}

	begin := len(w.entries())
	done, err := w.admin.RotateIntegration(ctx, "b", sample(20), w.sealer(sample(21)), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(done) != 3 || done[0].GetName() != "a" || done[2].GetName() != "c" || done[1].GetConsumerKey() != sample(20) || len(done[1].GetVersions()) != 2 {
		t.Errorf("got %v", done)
	}
	for name, token := range map[string]string{"a": sample(4), "b": sample(4), "c": sample(6)} {
		if !w.signsWith(name, sample(21), token) {
			t.Errorf("%s does not sign with the new pair and its own token", name)
		}
	}
	for _, name := range []string{"other", "prod", "elsewhere"} {
		if !w.signsWith(name, sample(2), sample(4)) {
			t.Errorf("%s does not sign as before", name)
		}
	}
	var events []string
	for _, e := range w.entries()[begin:] {
		if e.Event == audit.EventIntegration {
			events = append(events, e.Profile+" "+e.Outcome+" "+e.Detail)
		}
	}
	if want := []string{"a ok profiles=3", "b ok profiles=3", "c ok profiles=3"}; !slices.Equal(events, want) {
		t.Errorf("entries: got %q, want %q", events, want)
	}
	w.restart()
	w.unlock()
	if !w.signsWith("c", sample(21), sample(6)) {
		t.Error("after a restart c does not sign with the new pair")
	}
	w.edit("c", client.ProfileEdit{UsePrevious: true})
	if !w.signsWith("c", sample(2), sample(6)) {
		t.Error("c does not go back")
	}
}

// A record that only certificates use has a new client ID, and no secret.
func TestRotateIntegrationOfM2M(t *testing.T) {
	w := refreshWorld(t)
	ctx := t.Context()
	if _, err := w.admin.RotateIntegration(ctx, "m2m", sample(20), w.sealer(sample(21)), 0); !errors.Is(err, client.ErrCredential) {
		t.Errorf("with a secret: got %v", err)
	}
	done, err := w.admin.RotateIntegration(ctx, "m2m", sample(20), nil, 0)
	if err != nil || len(done) != 1 || done[0].GetClientId() != sample(20) || len(done[0].GetVersions()) != 1 {
		t.Errorf("got %v, %v", done, err)
	}
	if err := w.use("m2m"); err != nil {
		t.Error(err)
	}
}

// What is wrong changes no profile.
func TestRotateIntegrationIsRefused(t *testing.T) {
	w := refreshWorld(t)
	ctx := t.Context()
	secret := w.sealer(sample(21))
	for name, c := range map[string]struct {
		profile, key string
		secret       client.Sealer
		overlap      int
		want         error
	}{
		"nobody":           {"nobody", sample(20), secret, 0, client.ErrNoProfile},
		"the same key":     {"a", sample(1), secret, 0, client.ErrCredential},
		"no key":           {"a", "", secret, 0, client.ErrCredential},
		"a key of blanks":  {"a", "a b", secret, 0, client.ErrCredential},
		"no secret":        {"a", sample(20), nil, 0, client.ErrCredential},
		"an empty secret":  {"a", sample(20), w.sealer(""), 0, client.ErrCredential},
		"a secret of two":  {"a", sample(20), w.sealer("x y"), 0, client.ErrCredential},
		"the token secret": {"a", sample(20), w.sealer(sample(4)), 0, client.ErrCredential},
		"a long secret":    {"a", sample(20), w.sealer(strings.Repeat("x", 600)), 0, client.ErrCredential},
		"a short overlap":  {"a", sample(20), secret, 5, client.ErrRequest},
	} {
		if _, err := w.admin.RotateIntegration(ctx, c.profile, c.key, c.secret, time.Duration(c.overlap)*time.Second); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	for _, name := range []string{"a", "b"} {
		if !w.signsWith(name, sample(2), sample(4)) {
			t.Errorf("%s signs with another pair", name)
		}
	}
}

// Whatever profiles there are, a new pair goes to those of the same account, key and
// destination, and each profile is of one record.
func TestIntegrationsNeverMix(t *testing.T) {
	a := &Agent{}
	rapid.Check(t, func(t *rapid.T) {
		s := &session{profiles: make(map[string]*live)}
		pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
		for i := range rapid.IntRange(1, 12).Draw(t, "profiles") {
			p := &profile{Name: fmt.Sprintf("p%d", i), Account: pick("account", "1", "1_SB1"), Auth: pick("auth", authTBA, authM2M, authSecret)}
			key := pick("key", "k", "l")
			switch p.Auth {
			case authTBA:
				p.ConsumerKey = key
			case authM2M:
				p.ClientID = key
			}
			p.Endpoint, p.CA = pick("endpoint", "", "https://a"), pick("ca", "", "x")
			s.profiles[p.Name] = &live{profile: p}
		}
		seen := make(map[string]int)
		for name, p := range s.profiles {
			i, ok := p.integration()
			if !ok {
				continue
			}
			users := a.uses(s, i)
			if !slices.Contains(users, p) {
				t.Fatalf("%s is not among the users of its own record", name)
			}
			for _, u := range users {
				same := u.Account == p.Account && u.Endpoint == p.Endpoint && u.CA == p.CA && u.ConsumerKey+u.ClientID == p.ConsumerKey+p.ClientID
				if !same || u.Auth == authSecret {
					t.Fatalf("%+v goes with %+v", u.profile, p.profile)
				}
				seen[u.Name]++
			}
		}
		for _, name := range slices.Sorted(maps.Keys(seen)) {
			i, _ := s.profiles[name].integration()
			if seen[name] != len(a.uses(s, i)) {
				t.Fatalf("%s is of more than one record", name)
			}
		}
	})
}

// An authcode profile gets the new client secret, and somebody has to log in again: what
// was allowed was for the client as it was.
func TestRotateIntegrationOfAuthcode(t *testing.T) {
	w := startCode(t)
	confidential, public := w.confidential("q"), w.public("p")
	w.login(confidential)
	w.login(public)
	for name, secret := range map[string]client.Sealer{"q": w.sealer(sample(41)), "p": nil} {
		w.mustToken(name)
		done, err := w.admin.RotateIntegration(t.Context(), name, sample(40), secret, 0)
		if err != nil || len(done) != 1 || done[0].GetClientId() != sample(40) || done[0].GetConsent() != consentChanged || len(done[0].GetVersions()) != 1 {
			t.Errorf("%s: got %v, %v", name, done, err)
		}
		if _, err := w.tokenOf(name); !errors.Is(err, client.ErrConsent) {
			t.Errorf("%s: got %v, want that consent is needed", name, err)
		}
		raw, err := w.agent.session.vault.OpenRaw(name)
		if err != nil {
			t.Fatal(err)
		}
		clientSecret, refreshToken, err := openCode(w.agent.arena, raw)
		if err != nil || !refreshToken.IsZero() || clientSecret.IsZero() != (secret == nil) {
			t.Errorf("%s: what is kept: secret %t, refresh token %t, %v", name, !clientSecret.IsZero(), !refreshToken.IsZero(), err)
		}
		if secret != nil && !clientSecret.Equal(w.agentSecret(sample(41))) {
			t.Error("the client secret is another")
		}
	}
	if _, err := w.admin.RotateIntegration(t.Context(), "q", sample(42), nil, 0); !errors.Is(err, client.ErrCredential) {
		t.Errorf("without the secret: got %v", err)
	}
}
