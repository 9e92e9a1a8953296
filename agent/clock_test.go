package agent

import (
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// shifted is a clock that is ahead of the machine's, by as many nanoseconds as it holds.
type shifted struct{ atomic.Int64 }

func (s *shifted) now() time.Time { return time.Now().Add(time.Duration(s.Load())) }

// clock has an agent go by it.
func (s *shifted) clock(c *Config) { c.Clock = s.now }

// unlockedAhead returns an unlocked agent with a profile "acme", and what sets its clock
// ahead.
func unlockedAhead(t *testing.T) (*fixture, *shifted) {
	t.Helper()
	ahead := &shifted{}
	f := start(t, ahead.clock)
	f.unlock()
	f.addTBA("acme")
	return f, ahead
}

// TestClockJumps guards K-02: the clock of the machine is set forward by years and back
// again. What goes to NetSuite and into the log has the time of the clock as it is then;
// nothing that the agent waits for or limits is longer or shorter for it; and the log
// holds with times that go back.
func TestClockJumps(t *testing.T) {
	var ahead shifted
	f := start(t, ahead.clock)
	ctx := t.Context()
	begin := time.Now()
	f.unlock()
	f.addTBA("acme")
	key, cert := keyPair(t, elliptic.P256(), begin.Add(-time.Hour), begin.Add(100*24*time.Hour))
	m2m := &pb.Profile{Name: "m2m", Account: "1234567_SB1", Auth: "m2m", ClientId: sample(1), Certificate: cert, Scopes: []string{"restlets"}}
	if _, err := f.admin.AddProfile(ctx, m2m, map[string]client.Sealer{"private_key": f.sealer(key)}); err != nil {
		t.Fatal(err)
	}
	// Its previous version is kept for an hour by the clock that nobody sets.
	f.edit("acme", client.ProfileEdit{Secrets: map[string]client.Sealer{"token_secret": f.sealer(sample(9))}})
	unlocked, err := f.signer.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}

	for _, jump := range []time.Duration{0, 10 * 365 * 24 * time.Hour, -5 * 365 * 24 * time.Hour, 90 * time.Second, 0} {
		ahead.Store(int64(jump))
		near := func(what string, got time.Time) {
			if d := got.Sub(ahead.now()); d > inTime || d < -inTime {
				t.Errorf("clock off by %s: %s is %s off", jump, what, d)
			}
		}
		near("the timestamp of a signature", time.Unix(f.sign("acme").GetTimestamp(), 0))
		near("the entry", f.entries()[len(f.entries())-1].Time)
		a, err := f.signer.Assertion(ctx, client.AssertionRequest{Profile: "m2m"})
		switch expired := jump > 100*24*time.Hour; {
		case expired && !errors.Is(err, client.ErrExpired):
			t.Errorf("clock off by %s: an assertion under an expired certificate: %v", jump, err)
		case !expired && err != nil:
			t.Errorf("clock off by %s: %v", jump, err)
		case !expired:
			iat, exp := claimsOf(t, a.GetAssertion())
			near("iat", time.Unix(iat, 0).Add(assertionSkew))
			near("exp", time.Unix(exp, 0).Add(-assertionLife))
		}
		s, err := f.signer.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if gone := unlocked.GetUnlock().GetHardLeft() - s.GetUnlock().GetHardLeft(); s.GetLocked() || gone < 0 || gone > 60 {
			t.Errorf("clock off by %s: locked %v, %d seconds of the session are gone", jump, s.GetLocked(), gone)
		}
		near("the time of the unlock", time.Unix(s.GetUnlock().GetSince(), 0).Add(time.Since(begin)))
		if err := f.agent.eraseDue(ctx); err != nil {
			t.Fatal(err)
		}
		if p, err := f.admin.ShowProfile(ctx, "acme"); err != nil || states(p) != "current previous" {
			t.Errorf("clock off by %s: versions %q, %v", jump, states(p), err)
		}
	}
	if r, err := audit.CheckDir(f.paths.AuditDir, audit.Trust{}); err != nil || !r.OK {
		t.Errorf("CheckDir: got %+v, %v", r, err)
	}
	f.restart() // and goes on with the chain
	if r, err := audit.CheckDir(f.paths.AuditDir, audit.Trust{}); err != nil || !r.OK {
		t.Errorf("CheckDir after a restart: got %+v, %v", r, err)
	}
}

// TestClockJumpsWhileWaiting guards the pause after wrong passphrases: a clock that is
// set back while it lasts, or that was years ahead when the last one came, does not lock
// the owner out for longer than the pause.
func TestClockJumpsWhileWaiting(t *testing.T) {
	var ahead shifted
	f := start(t, ahead.clock)
	try := func(passphrase string) error {
		_, err := f.admin.Unlock(t.Context(), f.sealer(passphrase), 0)
		return err
	}
	ahead.Store(int64(10 * 365 * 24 * time.Hour))
	for range freeTries {
		if err := try("wrong"); !errors.Is(err, client.ErrPassphrase) {
			t.Fatalf("got %v, want ErrPassphrase", err)
		}
	}
	ahead.Store(0) // it was put right
	begin := time.Now()
	if err := try(testPassphrase); errorCode(err) != string(pb.CodeBackoff) {
		t.Errorf("at once: got %v, want %s: a clock that is set back ends no pause", err, pb.CodeBackoff)
	}
	eventually(t, 10*time.Second, func() string {
		if err := try(testPassphrase); err != nil {
			return err.Error()
		}
		return ""
	})
	if took := time.Since(begin); took < time.Second/2 {
		t.Errorf("the pause was %s, want a second", took)
	}
}

// claimsOf returns when an assertion was issued and when it ends.
func claimsOf(t *testing.T, assertion string) (iat, exp int64) {
	t.Helper()
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		t.Fatalf("an assertion of %d parts", len(parts))
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Iat, Exp int64 }
	if err := json.Unmarshal(body, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Iat, claims.Exp
}
