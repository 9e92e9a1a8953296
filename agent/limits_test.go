package agent

import (
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// attempt is something to try with a profile, and the code that it ends with; empty
// means that it is done.
type attempt struct {
	name string
	try  func(*fixture) error
	want pb.Code
}

func trySign(profile, method, url string, want pb.Code) attempt {
	return attempt{fmt.Sprintf("%s: %s %s", profile, method, url), func(f *fixture) error {
		_, err := f.signer.Sign(f.t.Context(), client.Request{Profile: profile, Method: method, URL: url})
		return err
	}, want}
}

func tryPassport(profile string, want pb.Code) attempt {
	return attempt{profile + ": passport", func(f *fixture) error { _, err := f.signer.Passport(f.t.Context(), profile, ""); return err }, want}
}

func tryConnect(profile string, want pb.Code) attempt {
	return attempt{profile + ": connect-password", func(f *fixture) error { _, err := f.signer.ConnectPassword(f.t.Context(), profile); return err }, want}
}

func tryAssertion(profile, aud string, want pb.Code, scopes ...string) attempt {
	return attempt{fmt.Sprintf("%s: assertion %s %v", profile, aud, scopes), func(f *fixture) error {
		_, err := f.signer.Assertion(f.t.Context(), client.AssertionRequest{Profile: profile, Scopes: scopes, Audience: aud})
		return err
	}, want}
}

// TestLimitsHoldOnEveryPath guards G-09 and G-03: whatever way a credential came to
// be loaded, after it was added, after lock and unlock, after another unlock on top,
// after a restart and after kill of the session by time, the same attempts end the
// same way.
func TestLimitsHoldOnEveryPath(t *testing.T) {
	f := start(t)
	f.unlock()
	now := time.Now()
	key, cert := keyPair(t, elliptic.P256(), now.Add(-time.Hour), now.Add(time.Hour))
	add := func(p *pb.Profile, s map[string]client.Sealer) {
		t.Helper()
		if _, err := f.admin.AddProfile(t.Context(), p, s); err != nil {
			t.Fatalf("AddProfile(%s): %v", p.GetName(), err)
		}
	}
	m2m := func(name, account, access string) *pb.Profile {
		return &pb.Profile{Name: name, Account: account, Auth: "m2m", Access: access, ClientId: sample(1), Certificate: cert, Scopes: []string{"restlets"}}
	}
	f.addTBA("sb")
	f.addTBA("sb-read", func(p *pb.Profile) { p.Access = "read" })
	f.addTBA("prod", func(p *pb.Profile) { p.Account = "1234567" })
	f.addTBA("prod-write", func(p *pb.Profile) { p.Account, p.Access = "1234567", "write" })
	f.addTBA("mock", func(p *pb.Profile) { p.Endpoint = "http://127.0.0.1:8443" })
	add(m2m("m2m", "1234567_SB1", "write"), map[string]client.Sealer{"private_key": f.sealer(key)})
	add(m2m("m2m-read", "1234567_SB1", "read"), map[string]client.Sealer{"private_key": f.sealer(key)})

	const (
		sb, prod = "https://1234567-sb1.suitetalk.api.netsuite.com", "https://1234567.suitetalk.api.netsuite.com"
		record   = "/services/rest/record/v1/customer"
		suiteql  = "/services/rest/query/v1/suiteql"
		restlet  = "https://1234567-sb1.restlets.api.netsuite.com/app/site/hosting/restlet.nl?script=1&deploy=1"
		token    = "/services/rest/auth/oauth2/v1/token"
	)
	attempts := []attempt{
		trySign("sb", "POST", sb+record, ""), trySign("sb", "DELETE", sb+record+"/1", ""), trySign("sb", "POST", restlet, ""),
		tryPassport("sb", ""), tryConnect("sb", ""), tryAssertion("sb", "", pb.CodeRequest),
		trySign("sb-read", "GET", sb+record, ""), trySign("sb-read", "HEAD", sb+record, ""), trySign("sb-read", "POST", sb+suiteql, ""),
		trySign("sb-read", "POST", sb+record, pb.CodeReadOnly), trySign("sb-read", "PATCH", sb+record, pb.CodeReadOnly),
		trySign("sb-read", "POST", sb+"/services/rest/query/v1/../record/v1/customer", pb.CodeURL),
		trySign("sb-read", "POST", sb+suiteql+"/../../record/v1/customer", pb.CodeURL),
		trySign("sb-read", "POST", sb+suiteql+"%2f..%2f", pb.CodeReadOnly), trySign("sb-read", "POST", sb+suiteql+"/", pb.CodeReadOnly),
		trySign("sb-read", "POST", sb+"//services/rest/query/v1/suiteql", pb.CodeReadOnly),
		tryPassport("sb-read", pb.CodeReadOnly), tryConnect("sb-read", pb.CodeReadOnly),
		trySign("prod", "GET", prod+record, ""), trySign("prod", "PUT", prod+record, pb.CodeReadOnly), tryPassport("prod", pb.CodeReadOnly),
		trySign("prod-write", "PUT", prod+record, ""), tryPassport("prod-write", ""),
		tryAssertion("m2m", "", ""), tryAssertion("m2m", sb+token, "", "restlets"),
		tryAssertion("m2m", "", pb.CodeDenied, "rest_webservices"), tryAssertion("m2m", "", pb.CodeDenied, "restlets", "suite_analytics"),
		tryAssertion("m2m", prod+token, pb.CodeHost), tryAssertion("m2m", "https://evil.example"+token, pb.CodeHost),
		tryAssertion("m2m-read", "", pb.CodeReadOnly), trySign("m2m", "GET", sb+record, pb.CodeRequest), tryPassport("m2m", pb.CodeRequest),
		trySign("mock", "GET", "http://127.0.0.1:8443"+record, ""), trySign("mock", "GET", "http://127.0.0.1:8444"+record, pb.CodeURL),
		trySign("mock", "GET", "https://127.0.0.1:8443"+record, pb.CodeURL), trySign("mock", "GET", "http://localhost:8443"+record, pb.CodeHost),
		trySign("mock", "GET", "https://evil.example"+record, pb.CodeHost),
	}
	// Sandbox and production apart, and nobody else's hosts.
	for _, host := range []string{
		"1234567.suitetalk.api.netsuite.com", "1234567-sb2.suitetalk.api.netsuite.com", "1234567-sb11.suitetalk.api.netsuite.com",
		"7654321-sb1.suitetalk.api.netsuite.com", "1234567-rp.suitetalk.api.netsuite.com", "suitetalk.api.netsuite.com", "netsuite.com",
		"system.netsuite.com", "x1234567-sb1.suitetalk.api.netsuite.com", "1234567-sb1.suitetalk.api.netsuite.com.evil.example",
		"1234567-sb1.suitetalk.api.netsuite.co", "1234567-sb1.suitetalk.api.netsuite.evil.com", "1234567-sb1.evil.netsuite.com",
		"evil.example", "1234567-sb1-suitetalk.api.netsuite.com", "a.1234567-sb1.suitetalk.api.netsuite.com",
	} {
		attempts = append(attempts, trySign("sb", "GET", "https://"+host+"/", pb.CodeHost))
	}
	for _, host := range []string{"1234567-sb1.suitetalk.api.netsuite.com", "1234567-sb2.suitetalk.api.netsuite.com"} {
		attempts = append(attempts, trySign("prod", "GET", "https://"+host+"/", pb.CodeHost))
	}
	for _, url := range []string{
		"https://1234567-sb1.suitetalk.api.netsuite.com.:443/", "https://1234567-sb1.suitetalk.api.netsuite.com:444/", "http://1234567-sb1.suitetalk.api.netsuite.com/",
		"https://1234567-sb1.suitetalk.api.netsuite.com@evil.example/", "https://evil.example#@1234567-sb1.suitetalk.api.netsuite.com/",
		"https://evil.example\\@1234567-sb1.suitetalk.api.netsuite.com/", "https://127.0.0.1/", "https:1234567-sb1.suitetalk.api.netsuite.com", "//1234567-sb1.suitetalk.api.netsuite.com/",
	} {
		attempts = append(attempts, attempt{"sb: " + url, func(f *fixture) error {
			_, err := f.signer.Sign(f.t.Context(), client.Request{Profile: "sb", URL: url})
			if code := pb.Code(errorCode(err)); code == pb.CodeHost {
				return &client.Error{Code: pb.CodeURL} // either will do
			}
			return err
		}, pb.CodeURL})
	}
	for _, way := range []struct {
		name string
		load func()
	}{
		{"added", func() {}},
		{"locked and unlocked", func() {
			if err := f.admin.Lock(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.unlock()
		}},
		{"unlocked on top", f.unlock},
		{"locked by time and unlocked", func() {
			f.clock.Add(int64(13 * time.Hour))
			_, _ = f.signer.Profiles(t.Context())
			f.waitLocked()
			f.unlock()
		}},
		{"restarted", func() { f.restart(); f.unlock() }},
		{"another profile added and removed", func() {
			f.addTBA("passer-by")
			if err := f.admin.RemoveProfile(t.Context(), "passer-by"); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		way.load()
		for _, a := range attempts {
			want := string(a.want)
			if want == "" {
				want = "ok"
			}
			if got := errorCode(a.try(f)); got != want {
				t.Errorf("%s; %s: got %s, want %s", way.name, a.name, got, want)
			}
		}
	}
}

// TestCertificateExpires guards G-09: a certificate that ends while the agent runs
// ends its profile, which the list says too.
func TestCertificateExpires(t *testing.T) {
	var ahead shifted
	f := start(t, ahead.clock)
	f.unlock()
	key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	p := &pb.Profile{Name: "m2m", Account: "1234567_SB1", Auth: "m2m", ClientId: sample(1), Certificate: cert, Scopes: []string{"restlets"}}
	if _, err := f.admin.AddProfile(t.Context(), p, map[string]client.Sealer{"private_key": f.sealer(key)}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.signer.Assertion(t.Context(), client.AssertionRequest{}); err != nil {
		t.Errorf("before its end: %v", err)
	}
	ahead.Store(int64(time.Hour + time.Second))
	if _, err := f.signer.Assertion(t.Context(), client.AssertionRequest{}); errorCode(err) != string(pb.CodeExpired) {
		t.Errorf("after its end: got %v, want %s", err, pb.CodeExpired)
	}
	l, err := f.signer.Profiles(t.Context())
	if err != nil || l.GetProfiles()[0].GetState() != "expired" {
		t.Errorf("Profiles: got %v, %v, want expired", l, err)
	}
	f.restart()
	f.unlock()
	if _, err := f.signer.Assertion(t.Context(), client.AssertionRequest{}); errorCode(err) != string(pb.CodeExpired) {
		t.Errorf("after a restart: got %v, want %s", err, pb.CodeExpired)
	}
}

// TestClaimsAreTheAgents guards G-05: the caller chooses among the profile's scopes
// and its own hosts; all else in an assertion is the agent's.
func TestClaimsAreTheAgents(t *testing.T) {
	f := start(t)
	f.unlock()
	key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	p := &pb.Profile{Name: "m2m", Account: "1234567_SB1", Auth: "m2m", ClientId: sample(1), Certificate: cert, Scopes: []string{"restlets", "rest_webservices"}}
	if _, err := f.admin.AddProfile(t.Context(), p, map[string]client.Sealer{"private_key": f.sealer(key)}); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, q := range []client.AssertionRequest{
		{}, {Scopes: []string{"restlets"}}, {Audience: "https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/auth/oauth2/v1/token"},
	} {
		before := time.Now().Unix()
		a, err := f.signer.Assertion(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(a.GetAssertion(), ".")
		var head struct{ Alg, Kid, Typ string }
		var claims struct {
			Iss   string   `json:"iss"`
			Scope []string `json:"scope"`
			Aud   string   `json:"aud"`
			Iat   int64    `json:"iat"`
			Exp   int64    `json:"exp"`
			Jti   string   `json:"jti"`
			Sub   *string  `json:"sub"`
		}
		for i, into := range []any{&head, &claims} {
			b, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err == nil {
				err = json.Unmarshal(b, into)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		want := q.Scopes
		if want == nil {
			want = p.GetScopes()
		}
		if head.Alg != "ES256" || head.Kid != certificateID(t, cert) {
			t.Errorf("head: got %+v", head)
		}
		if claims.Iss != sample(1) || !slices.Equal(claims.Scope, want) || claims.Aud != "https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/auth/oauth2/v1/token" {
			t.Errorf("claims: got %+v", claims)
		}
		if claims.Iat > before || claims.Iat < before-60 || claims.Exp-claims.Iat > 3599 || claims.Exp <= before || claims.Exp != a.GetExpiresAt() {
			t.Errorf("times: iat %d, exp %d at %d", claims.Iat, claims.Exp, before)
		}
		if seen[claims.Jti] || len(claims.Jti) < 16 || claims.Sub != nil {
			t.Errorf("jti %q again or too short, or a subject", claims.Jti)
		}
		seen[claims.Jti] = true
	}
}
