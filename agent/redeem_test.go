package agent

import (
	"crypto/rand"
	"errors"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// request is a GET for a profile of the sandbox account.
func request(profile string) client.Request { return client.Request{Profile: profile, URL: sandboxURL} }

func TestTokenOnUnlockedAgent(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	token := f.mint(unlocktoken.Caveats{}, "acme")
	c := f.show(token)
	if _, err := c.Sign(t.Context(), request("acme")); err != nil {
		t.Errorf("its profile: %v", err)
	}
	if _, err := c.Sign(t.Context(), request("other")); !errors.Is(err, client.ErrGrantScope) {
		t.Errorf("another profile: got %v", err)
	}
	narrow, err := token.Narrow(unlocktoken.Caveats{Methods: []string{"POST"}}, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.show(narrow).Sign(t.Context(), request("acme")); !errors.Is(err, client.ErrGrantScope) {
		t.Errorf("narrowed: got %v", err)
	}
	f.sign("other") // the owner's own connections are as they were
}

// startLocked is a locked agent with two profiles, and a token for both.
func startLocked(t *testing.T) (*fixture, *unlocktoken.Token) {
	t.Helper()
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	token := f.mint(unlocktoken.Caveats{}, "acme", "other")
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f, token
}

func TestTokenOnLockedAgent(t *testing.T) {
	f, token := startLocked(t)
	before := f.agent.arena.Info().Used
	ids := token.Shares[0].Credential
	one, err := token.Narrow(unlocktoken.Caveats{}, []unlocktoken.ID{ids}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := f.show(token)
	for _, name := range []string{"acme", "other"} {
		if _, err := c.Sign(t.Context(), request(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, err := f.show(one).Profiles(t.Context())
	if err != nil || len(l.GetProfiles()) != 1 {
		t.Errorf("without a share its profile is not there: got %v, %v", l, err)
	}
	if _, err := f.signer.Sign(t.Context(), request("acme")); !errors.Is(err, client.ErrLocked) {
		t.Errorf("the owner: got %v, want ErrLocked", err)
	}
	s, err := c.Status(t.Context())
	if err != nil || !s.GetLocked() || s.GetProfiles() != 2 {
		t.Errorf("status: got %v, %v", s, err)
	}
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := f.agent.arena.Info().Used; n != before {
		t.Errorf("%d bytes of locked memory are in use after lock, %d were before", n, before)
	}
	if _, err := c.Sign(t.Context(), request("acme")); err != nil {
		t.Errorf("shown again after a lock: %v", err)
	}
}
