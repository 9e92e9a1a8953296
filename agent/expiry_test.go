package agent

import (
	"crypto/elliptic"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// A milestone is passed from its very second on, until the next one is.
func TestMilestones(t *testing.T) {
	for _, c := range []struct {
		left   time.Duration
		days   int32
		passed bool
	}{
		{400 * day, 0, false}, {60*day + time.Second, 0, false}, {60 * day, 60, true}, {30*day + 1, 60, true}, {30 * day, 30, true},
		{14*day + 1, 30, true}, {14 * day, 14, true}, {7 * day, 7, true}, {2 * day, 7, true}, {day, 1, true}, {time.Second, 1, true},
		{0, 0, true}, {-1000 * day, 0, true},
	} {
		if days, passed := milestone(c.left); days != c.days || passed != c.passed {
			t.Errorf("%s: got %d, %v, want %d, %v", c.left, days, passed, c.days, c.passed)
		}
	}
}

// The less is left, the smaller the milestone; what is spoken of once is spoken of until
// the end.
func TestMilestonesOnlyShrink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := time.Duration(rapid.Int64Range(int64(-100*day), int64(100*day)).Draw(t, "left"))
		b := a - time.Duration(rapid.Int64Range(0, int64(200*day)).Draw(t, "later"))
		before, spoken := milestone(a)
		after, still := milestone(b)
		if spoken && (!still || after > before) {
			t.Fatalf("%s: %d days; %s: %d days, %v", a, before, b, after, still)
		}
	})
}

// agingWorld is an agent whose clock is set by hand, with a certificate that ends in 61
// days.
func agingWorld(t *testing.T) (f *fixture, ahead *shifted) {
	ahead = &shifted{}
	f = start(t, ahead.clock)
	f.unlock()
	f.addTBA("lasting")
	w := &tokenWorld{fixture: f}
	key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(61*day))
	w.addM2M("m2m", key, cert, "", "")
	return f, ahead
}

// expiries returns what the log says of ends.
func (f *fixture) expiries() []string {
	var out []string
	for _, e := range f.entries() {
		if e.Event == audit.EventExpiry {
			out = append(out, e.Profile+" "+e.Kind+" "+e.Detail)
		}
	}
	return out
}

// lookAtAges has the agent look at all ends, from the beginning to the end.
func (f *fixture) lookAtAges() {
	f.t.Helper()
	for range 3 { // the first may wait in the channel, and a look may be under way
		select {
		case f.agent.aging <- struct{}{}:
		case <-time.After(10 * time.Second):
			f.t.Fatal("nobody looks at ends")
		}
	}
}

// Each milestone is on record once, whatever is locked, unlocked, restarted or asked in
// between; status has the next one to end first.
func TestExpiryIsToldOnce(t *testing.T) {
	f, ahead := agingWorld(t)
	ends := f.agent.session.profiles["m2m"].Expires
	var want []string
	for _, step := range []struct {
		after  time.Duration
		within int32
		news   bool
	}{{0, 0, false}, {2 * day, 60, true}, {3 * day, 60, false}, {32 * day, 30, true}, {60 * day, 1, true}, {62 * day, 0, true}, {63 * day, 0, false}} {
		ahead.Store(int64(step.after))
		if step.news {
			want = append(want, "m2m m2m "+expiryDetail(&pb.Expiry{WithinDays: step.within, ExpiresAt: ends}))
		}
		f.lookAtAges()
		if got := f.expiries(); !slices.Equal(got, want) {
			t.Fatalf("after %s: got %q, want %q", step.after, got, want)
		}
		r, err := f.signer.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := r.GetExpiring()
		if step.after == 0 {
			if len(got) != 0 {
				t.Errorf("far from the end: status has %v", got)
			}
			continue
		}
		if len(got) != 1 || got[0].GetProfile() != "m2m" || got[0].GetWithinDays() != step.within || got[0].GetExpiresAt() != ends || got[0].GetAuth() != "m2m" || got[0].GetAccount() != "1234567_SB1" {
			t.Errorf("after %s: status has %v", step.after, got)
		}
	}

	// Another agent on the same log knows what was said.
	f.restart()
	f.unlock()
	f.lookAtAges()
	if got := f.expiries(); !slices.Equal(got, want) {
		t.Errorf("after a restart: got %q, want %q", got, want)
	}
}

// While locked, nothing is known of ends, and nothing said.
func TestExpiryOfALockedVault(t *testing.T) {
	f, ahead := agingWorld(t)
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(59 * day))
	f.lookAtAges()
	if r, err := f.signer.Status(t.Context()); err != nil || len(r.GetExpiring()) != 0 || len(f.expiries()) != 0 {
		t.Errorf("got %v, %v, %q", r.GetExpiring(), err, f.expiries())
	}
	f.unlock() // which is reason to look
	eventually(t, 10*time.Second, func() string {
		if got := f.expiries(); len(got) != 1 {
			return fmt.Sprintf("%q on record", got)
		}
		return ""
	})
}

// Those that end first come first; of a thousand, none is left out.
func TestExpiringInOrder(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := &session{profiles: make(map[string]*live)}
	rapid.Check(t, func(t *rapid.T) {
		clear(s.profiles)
		near := 0
		for _, d := range rapid.SliceOfN(rapid.Int64Range(-100, 100), 0, 40).Draw(t, "days") {
			name := string(rune('a'+len(s.profiles)%26)) + string(rune('a'+len(s.profiles)/26))
			p := &live{profile: &profile{Name: name, Auth: authM2M, Account: "1", bound: bound{Expires: now.Add(time.Duration(d) * day).Unix()}}}
			s.profiles[name] = p
			if d <= 60 {
				near++
			}
		}
		got := s.expiring(now)
		if len(got) != near || !slices.IsSortedFunc(got, func(a, b *pb.Expiry) int { return int(a.GetExpiresAt() - b.GetExpiresAt()) }) {
			t.Fatalf("%d of %d, %v", len(got), near, got)
		}
	})
}

// A certificate that the agent rotates by itself is no cause for worry before that is a day
// late.
func TestRotatedByItselfIsNotSpokenOf(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		life, age, rotateAfter time.Duration
		spoken                 bool
	}{
		{60 * day, 10 * day, 0, true}, {60 * day, 10 * day, 40 * day, false},
		{60 * day, 29 * day, 40 * day, false}, {60 * day, 30*day + time.Hour, 40 * day, false}, // due, and not late
		{60 * day, 32 * day, 40 * day, true}, {60 * day, 61 * day, 40 * day, true},
	} {
		since := now.Add(-c.age)
		_, cert := keyPair(t, elliptic.P256(), since, since.Add(c.life))
		l := &live{profile: &profile{}}
		l.Auth, l.Certificate, l.Expires, l.Scopes = authM2M, cert, since.Add(c.life).Unix(), []string{signer.ScopeRESTWebServices}
		l.RotateAfter = int64(c.rotateAfter / time.Second)
		if got := l.expiry(now) != nil; got != c.spoken {
			t.Errorf("of %s, at %s, rotated after %s: spoken of %t", c.life, c.age, c.rotateAfter, got)
		}
	}
}

// TestProfileTellsWhenItsConsentEnds guards that the profile itself has the end that its
// list has: that of a confidential client's consent is a week after the login.
func TestProfileTellsWhenItsConsentEnds(t *testing.T) {
	login := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		confidential bool
		want         int64
	}{{true, login.AddDate(0, 0, 7).Unix()}, {false, 0}} {
		p := &profile{Name: "me", Account: "1234567", Auth: authCode}
		p.Authorized, p.Confidential = login.Unix(), test.confidential
		if got := p.message().GetExpiresAt(); got != test.want {
			t.Errorf("confidential=%v: ends at %d, want %d", test.confidential, got, test.want)
		}
	}
}
