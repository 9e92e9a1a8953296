package agent

import (
	"crypto/elliptic"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const sandboxURL = "https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer/1"

// TestLife walks one credential from its way in to its way out.
func TestLife(t *testing.T) {
	f := start(t)
	ctx := t.Context()

	if _, err := f.signer.Sign(ctx, client.Request{URL: sandboxURL}); !errors.Is(err, client.ErrLocked) {
		t.Errorf("Sign while locked: got %v, want ErrLocked", err)
	}
	f.unlock()
	if _, err := f.signer.Sign(ctx, client.Request{URL: sandboxURL}); !errors.Is(err, client.ErrNoProfile) {
		t.Errorf("Sign without profiles: got %v, want ErrNoProfile", err)
	}
	f.addTBA("acme")
	r, err := f.signer.Sign(ctx, client.Request{URL: sandboxURL})
	if err != nil {
		t.Fatalf("Sign: %v", err)
	}
	if !strings.HasPrefix(r.GetAuthorization(), `OAuth realm="1234567_SB1"`) || r.GetUrl() != sandboxURL || r.GetProfile() != "acme" {
		t.Errorf("Sign: got %v", r)
	}
	if err := f.admin.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := f.signer.Sign(ctx, client.Request{URL: sandboxURL}); !errors.Is(err, client.ErrLocked) {
		t.Errorf("Sign after lock: got %v, want ErrLocked", err)
	}
	f.unlock()
	if _, err := f.signer.Sign(ctx, client.Request{Profile: "acme", URL: sandboxURL}); err != nil {
		t.Errorf("Sign after unlocking again: %v", err)
	}
	list, err := f.signer.Profiles(ctx)
	if err != nil || len(list.GetProfiles()) != 1 || list.GetProfiles()[0].GetLastUsed() == 0 {
		t.Errorf("Profiles: got %v, %v", list, err)
	}
	if err := f.admin.RemoveProfile(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.signer.Sign(ctx, client.Request{Profile: "acme", URL: sandboxURL}); !errors.Is(err, client.ErrNoProfile) {
		t.Errorf("Sign after remove: got %v, want ErrNoProfile", err)
	}
	if err := f.admin.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestEveryUseIsRecorded guards P7 and A-09: each use and each refusal is one
// entry with its reason, and the chain holds.
func TestEveryUseIsRecorded(t *testing.T) {
	f := start(t)
	ctx := t.Context()
	f.unlock()
	f.addTBA("prod", func(p *pb.Profile) { p.Account = "1234567" })
	base := "https://1234567.suitetalk.api.netsuite.com"
	_, _ = f.signer.Sign(ctx, client.Request{URL: base + "/services/rest/record/v1/customer?q=secretish"})
	_, _ = f.signer.Sign(ctx, client.Request{Method: http.MethodPost, URL: base + "/services/rest/record/v1/customer"})
	_, _ = f.signer.Sign(ctx, client.Request{URL: "https://evil.example/"})
	_, _ = f.signer.Sign(ctx, client.Request{URL: "https://user@1234567.suitetalk.api.netsuite.com/"})
	_, _ = f.signer.Sign(ctx, client.Request{Profile: "nope", URL: base + "/"})
	_, _ = f.signer.Passport(ctx, "", "")
	_, _ = f.signer.ConnectPassword(ctx, "")
	_, _ = f.signer.Assertion(ctx, client.AssertionRequest{})
	if err := f.admin.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	_, _ = f.signer.Sign(ctx, client.Request{URL: base + "/"})

	want := []string{
		"agent.start ok ", "vault.unlock ok ", "profile.add ok ", "sign ok ", "sign denied NSA-READONLY", "sign denied NSA-HOST", "sign denied NSA-URL",
		"sign denied NSA-NOPROFILE", "passport denied NSA-READONLY", "connect-password denied NSA-READONLY", "assertion denied NSA-REQUEST",
		"vault.lock ok ", "sign denied NSA-LOCKED",
	}
	r, err := audit.OpenReader(f.paths.AuditDir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var got []string
	for e, err := range audit.Query(r, audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Event+" "+e.Outcome+" "+e.Reason)
		if strings.Contains(e.Path, "?") {
			t.Errorf("entry %d: the query is in the log: %q", e.Seq, e.Path)
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("entries: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if res, err := audit.CheckDir(f.paths.AuditDir, audit.Trust{}); err != nil || !res.OK {
		t.Errorf("CheckDir: got %+v, %v", res, err)
	}
}

// TestTimeLimits guards G-10 and K-01: idle and hard limits count by the boot
// clock, and a session that is over signs nothing from the very next call on.
func TestTimeLimits(t *testing.T) {
	f := start(t, func(c *Config) { c.IdleLock, c.HardLock = time.Hour, 3*time.Hour })
	ctx := t.Context()
	f.unlock()
	f.addTBA("acme")
	sign := func() error { _, err := f.signer.Sign(ctx, client.Request{URL: sandboxURL}); return err }
	forward := func(d time.Duration) { f.clock.Add(int64(d)) }

	forward(59 * time.Minute)
	if err := sign(); err != nil {
		t.Errorf("within the idle limit: %v", err)
	}
	forward(61 * time.Minute)
	if err := sign(); !errors.Is(err, client.ErrLocked) {
		t.Errorf("past the idle limit: got %v, want ErrLocked", err)
	}
	f.waitLocked()

	f.unlock()
	for range 3 {
		forward(50 * time.Minute)
		if err := sign(); err != nil {
			t.Errorf("used often, within the hard limit: %v", err)
		}
	}
	forward(31 * time.Minute)
	if err := sign(); !errors.Is(err, client.ErrLocked) {
		t.Errorf("past the hard limit: got %v, want ErrLocked", err)
	}
	f.waitLocked()
}

// waitLocked waits until the keys themselves are gone.
func (f *fixture) waitLocked() {
	f.t.Helper()
	for deadline := time.Now().Add(inTime); ; time.Sleep(time.Millisecond) {
		f.agent.mu.RLock()
		gone := f.agent.session == nil
		f.agent.mu.RUnlock()
		if gone {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatal("the session is over, but its keys are still there")
		}
	}
}

// TestBackoff guards the pause after wrong passphrases, which outlives the agent.
func TestBackoff(t *testing.T) {
	f := start(t, func(c *Config) { c.Clock = func() time.Time { return time.Unix(1_700_000_000, 0) } })
	ctx := t.Context()
	for i := range freeTries {
		if _, err := f.admin.Unlock(ctx, f.sealer("wrong"), 0); !errors.Is(err, client.ErrPassphrase) {
			t.Fatalf("try %d: got %v, want ErrPassphrase", i, err)
		}
	}
	_, err := f.admin.Unlock(ctx, f.sealer(testPassphrase), 0)
	if e := (*client.Error)(nil); !errors.As(err, &e) || e.Code != pb.CodeBackoff {
		t.Errorf("after %d wrong ones: got %v, want %s", freeTries, err, pb.CodeBackoff)
	}
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		failures uint64
		ago      time.Duration
		want     time.Duration
	}{
		{0, 0, 0}, {2, 0, 0}, {3, 0, time.Second}, {4, 0, 2 * time.Second}, {4, time.Second, time.Second}, {5, -time.Hour, 4 * time.Second},
		{100, 0, longestWait}, {1 << 63, 0, longestWait},
	} {
		if got := backoff(c.failures, uint64(now.Add(-c.ago).UnixMilli()), now); got != c.want { // #nosec G115 -- a time of now
			t.Errorf("backoff(%d, %s ago): got %s, want %s", c.failures, c.ago, got, c.want)
		}
	}
}

// TestAssertion adds an M2M profile and checks what it may and may not do.
func TestAssertion(t *testing.T) {
	f := start(t)
	ctx := t.Context()
	f.unlock()
	now := time.Now()
	key, cert := keyPair(t, elliptic.P256(), now.Add(-time.Hour), now.Add(time.Hour))
	p := &pb.Profile{Name: "m2m", Account: "1234567_SB1", Auth: "m2m", ClientId: sample(1), Certificate: cert, Scopes: []string{"restlets", "rest_webservices"}}
	got, err := f.admin.AddProfile(ctx, p, map[string]client.Sealer{"private_key": f.sealer(key)})
	if err != nil {
		t.Fatalf("AddProfile: %v", err)
	}
	if got.GetAlg() != "ES256" || len(got.GetCertificateId()) != 43 || got.GetExpiresAt() == 0 {
		t.Errorf("AddProfile: got %v", got)
	}
	a, err := f.signer.Assertion(ctx, client.AssertionRequest{Scopes: []string{"restlets"}})
	if err != nil || strings.Count(a.GetAssertion(), ".") != 2 {
		t.Fatalf("Assertion: got %v, %v", a, err)
	}
	if want := "https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/auth/oauth2/v1/token"; a.GetTokenEndpoint() != want {
		t.Errorf("token endpoint: got %s, want %s", a.GetTokenEndpoint(), want)
	}
	for _, q := range []client.AssertionRequest{{Scopes: []string{"suite_analytics"}}, {Audience: "https://evil.example/token"}} {
		if _, err := f.signer.Assertion(ctx, q); !errors.Is(err, client.ErrDenied) && !errors.Is(err, client.ErrHost) {
			t.Errorf("Assertion(%+v): got %v, want a denial", q, err)
		}
	}
	if _, err := f.signer.Sign(ctx, client.Request{URL: sandboxURL}); !errors.Is(err, client.ErrRequest) {
		t.Errorf("Sign with an M2M profile: got %v, want ErrRequest", err)
	}
}
