package agent

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	"github.com/nsagent/nsagent/vault"
)

// inSession puts another session in the place of the agent's.
func (f *fixture) inSession(s *session) {
	f.agent.mu.Lock()
	defer f.agent.mu.Unlock()
	f.agent.session = s
}

// A profile is used in the session that it was decided on in, as it was then, or not at
// all: what has changed in between is decided anew.
func TestUseOfWhatHasChanged(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	o := f.openOwn(t, token)
	dropped := f.openOwn(t, token)
	defer dropped.own.destroy()
	acme := o.own.profiles["acme"]
	if err := f.agent.keepOwn(o.own, f.agent.locks); err != nil {
		t.Fatal(err)
	}
	f.unlock()
	now := f.agent.session
	replaced := &live{profile: acme.profile, replaced: true}
	for _, c := range []struct {
		what   string
		during *session
		s      *session
		p      *live
		want   error
	}{
		{"what a token opened", now, o.own, acme, nil},
		{"what a token had opened", now, dropped.own, acme, vault.ErrLocked},
		{"the session", now, now, acme, nil},
		{"a profile that was replaced", now, now, replaced, errReplaced},
		{"another session", now, &session{}, replaced, errReplaced},
		{"a session that is over", nil, now, acme, vault.ErrLocked},
		{"a session that is over, and a profile that was replaced", nil, now, replaced, vault.ErrLocked},
	} {
		f.inSession(c.during)
		used := false
		if err := f.agent.useProfile(c.s, c.p, func(*live) error { used = true; return nil }); !errors.Is(err, c.want) || used != (c.want == nil) {
			t.Errorf("%s: got %v, used %v", c.what, err, used)
		}
	}
	f.inSession(now)
	f.agent.dropOwn(o.g)
}

// What was allowed and could not be done is recorded once, and not tried again.
func TestUseThatFails(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	broken := errors.New("broken")
	tries := 0
	u := use{caller: &caller{peer: livePeer(t, f), has: ofOwner()}, kind: policy.KindPassport}
	err := f.agent.withProfile(t.Context(), u, func(*live) error { tries++; return broken })
	if !errors.Is(err, broken) || tries != 1 {
		t.Errorf("got %v after %d tries", err, tries)
	}
	if err := f.agent.withProfile(t.Context(), u, func(*live) error { return errors.Join(broken, f.agent.audit.Close()) }); !errors.Is(err, broken) || !strings.Contains(err.Error(), "recording a failure") {
		t.Errorf("without a log: got %v", err)
	}
	if got := f.events("passport"); !slices.Equal(got, []string{"passport ok", "passport failed NSA-INTERNAL", "passport ok"}) {
		t.Errorf("the log says %q", got)
	}
}
