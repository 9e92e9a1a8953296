package agent

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/totp"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// beside runs another agent on the vault of f, with sockets and a log of its own.
func (f *fixture) beside() *fixture {
	f.t.Helper()
	dir, err := os.MkdirTemp("", "nsa")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	env := map[string]string{"HOME": dir, "XDG_RUNTIME_DIR": dir}
	g := &fixture{t: f.t, change: f.change, arena: f.arena, apart: f.apart}
	if g.paths, err = socketpath.Find(socketpath.Options{Getenv: func(k string) string { return env[k] }}); err != nil {
		f.t.Fatal(err)
	}
	g.paths.Vault, g.paths.Ledger, g.paths.MachineKey = f.paths.Vault, f.paths.Ledger, f.paths.MachineKey
	g.run()
	g.unlock()
	return g
}

// Two agents on one vault take turns, and each goes on from what the other stored: the
// chain of refresh tokens holds, whoever asks.
func TestTwoAgentsRefresh(t *testing.T) {
	w := startCode(t)
	w.login(w.public("p"))
	w.login(w.confidential("q"))
	g := w.beside()
	for range 3 {
		w.aged()
		g.aged()
		w.accepted(t, w.mustToken("p"))
		w.accepted(t, g.mustToken("p"))
	}
	for range 2 {
		w.aged()
		g.aged()
		var group sync.WaitGroup
		for range 8 {
			for _, f := range []*fixture{w.fixture, g} {
				for _, name := range []string{"p", "q"} {
					group.Go(func() {
						if _, err := f.tokenOf(name); err != nil {
							t.Errorf("%s: %v", name, err)
						}
					})
				}
			}
		}
		group.Wait()
	}
	// An edit of one takes what the other has stored as it is.
	if _, err := w.admin.EditProfile(t.Context(), "p", client.ProfileEdit{Profile: &pb.Profile{Note: "n"}, Fields: []string{"note"}}); err != nil {
		t.Error(err)
	}
	p, err := w.admin.ShowProfile(t.Context(), "p")
	if err != nil || len(p.GetVersions()) != 1 || p.GetVersions()[0].GetNumber() != 11 {
		t.Errorf("after 10 refreshes: %v, %v", p.GetVersions(), err)
	}

	// What one learns of the consent, and who logs in at one, reaches the other.
	if !w.server.RefreshSandbox("1234567_SB1") {
		t.Fatal("there is no such account")
	}
	w.aged()
	g.aged()
	for _, f := range []*fixture{w.fixture, g} {
		if _, err := f.tokenOf("p"); !errors.Is(err, client.ErrConsent) {
			t.Errorf("got %v", err)
		}
	}
	w.login(client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "p"}})
	w.accepted(t, g.mustToken("p"))
	g.aged()
	w.accepted(t, g.mustToken("p"))

	// What one changes, the other decides on anew; what one removes is gone.
	if _, err := w.admin.EditProfile(t.Context(), "p", client.ProfileEdit{Profile: &pb.Profile{Access: "read"}, Fields: []string{"access"}}); err != nil {
		t.Fatal(err)
	}
	g.aged()
	if _, err := g.tokenOf("p"); !errors.Is(err, client.ErrReadOnly) {
		t.Errorf("after the other narrowed it: got %v", err)
	}
	if err := w.admin.RemoveProfile(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	g.aged()
	if _, err := g.tokenOf("q"); !errors.Is(err, client.ErrLimited) {
		t.Errorf("after the other removed it: got %v", err)
	}
}

// A refresh token that came and cannot be stored is kept in locked memory, and used for
// the next refresh: a full disk costs no consent.
func TestRefreshTokenNotStored(t *testing.T) {
	w := startCode(t)
	w.login(w.public("p"))
	w.aged()
	lock := w.paths.Vault + ".lock"
	broken := func(yes bool) {
		if err := os.RemoveAll(lock); err != nil {
			t.Error(err)
		}
		if yes { // nobody can open it as a file
			if err := os.Mkdir(lock, 0o700); err != nil {
				t.Error(err)
			}
		}
	}
	var once sync.Once
	w.onVerdict(func(v nstest.Verdict) { once.Do(func() { broken(true) }) })
	if _, err := w.tokenOf("p"); err == nil {
		t.Error("an access token was given out before the refresh token was stored")
	}
	before := w.exchanges("/token")
	w.clock.Add(int64(shortestPause))
	if _, err := w.tokenOf("p"); err == nil || w.exchanges("/token") != before {
		t.Errorf("a refresh was sent that could not be written down: %v", err)
	}
	broken(false)
	w.clock.Add(int64(longestPause))
	w.accepted(t, w.mustToken("p"))
	w.consent("p", "")
	w.restart()
	w.unlock()
	w.accepted(t, w.mustToken("p"))
}

// What one agent has narrowed, the other does not widen by a change of its own, by hand or
// by itself: it has the profile as it was.
func TestTwoAgentsLoseNoLimit(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("p")
	f.edit("p", client.ProfileEdit{Fields: []string{"token_id"}, Profile: &pb.Profile{TokenId: sample(8)}, Secrets: map[string]client.Sealer{"token_secret": f.sealer(sample(9))}})
	g := f.beside()
	if _, err := f.admin.EditProfile(t.Context(), "p", client.ProfileEdit{Profile: &pb.Profile{Access: "read"}, Fields: []string{"access"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.admin.EditProfile(t.Context(), "p", client.ProfileEdit{Profile: &pb.Profile{Note: "n"}, Fields: []string{"note"}}); !errors.Is(err, client.ErrLimited) {
		t.Errorf("an edit of the profile as it was: got %v", err)
	}
	g.agent.mu.Lock()
	for k := range g.agent.keep {
		g.agent.keep[k] = 0
	}
	g.agent.session.profiles["p"].Previous.Until = 0
	g.agent.mu.Unlock()
	if err := g.agent.eraseDue(t.Context()); err != nil {
		t.Errorf("erasing: %v", err)
	}
	for name, h := range map[string]*fixture{"the one": f, "the other": g} {
		if err := h.admin.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.unlock()
		if p, err := h.admin.ShowProfile(t.Context(), "p"); err != nil || p.GetAccess() != "read" || len(p.GetVersions()) != 2 {
			t.Errorf("%s has %v, %v", name, p, err)
		}
	}
	if _, err := g.admin.EditProfile(t.Context(), "p", client.ProfileEdit{Profile: &pb.Profile{Note: "n"}, Fields: []string{"note"}}); err != nil {
		t.Errorf("an edit of the profile as it is: %v", err)
	}
}

// What one agent changes is newer than what the other has read, which takes a proof all the
// same: its vault file is no older one.
func TestTwoAgentsProve(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("p")
	g := f.beside()
	f.addTBA("q")
	if _, _, err := g.newGrant(g.passphrase(testPassphrase), "p"); err != nil {
		t.Errorf("got %v", err)
	}
}

// A token for the profile that another agent put into the place of one uses that one, and not
// the credential of before, which another agent still has: a token is for its credentials, and
// not for names.
func TestTwoAgentsGrantOfAnotherCredential(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	g := f.beside()
	if err := g.admin.RemoveProfile(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	g.addTBA("acme")
	token, _ := g.mustGrant("acme")
	if _, err := g.show(token).Sign(t.Context(), request("acme")); err != nil {
		t.Errorf("control: %v", err)
	}
	if _, err := f.show(token).Sign(t.Context(), request("acme")); !errors.Is(err, client.ErrGrantScope) {
		t.Errorf("with the credential that was removed: got %v", err)
	}
	if _, _, err := f.newGrant(f.passphrase(testPassphrase), "acme"); !errors.Is(err, client.ErrLimited) {
		t.Errorf("a grant of it: got %v", err)
	}
}

// What another agent has narrowed goes into no grant as it was: a bundle would have it so to
// its end.
func TestTwoAgentsGrantOfAnOldState(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	g := f.beside()
	g.edit("acme", client.ProfileEdit{Profile: &pb.Profile{Access: "read"}, Fields: []string{"access"}})
	for name, detached := range map[string]bool{"a token": false, "a bundle": true} {
		s := f.spec("acme")
		s.Detached = detached
		if _, err := f.admin.NewGrant(t.Context(), client.Proof{}, s.NewGrant); !errors.Is(err, client.ErrLimited) || !strings.Contains(err.Error(), "changed by another process") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestTwoAgentsStepUp: what a proof takes is what the vault says, also where another agent was
// told: one that was unlocked before takes no less, and no code of an app that is gone.
func TestTwoAgentsStepUp(t *testing.T) {
	f, lost := startWithPhone(t)
	g := f.beside()
	first := f.enrol(lost)
	f.adopt(strings.Replace(all, "version = 1\n", "version = 1\nstep_up = {admin = true}\n", 1))
	if _, _, err := g.newGrant(g.passphrase(testPassphrase), "acme"); !errors.Is(err, client.ErrTOTP) {
		t.Errorf("a grant of the other agent without a code: got %v", err)
	}
	if _, err := g.admin.AdoptPolicy(t.Context(), g.passphrase(testPassphrase), nil, g.policySum()); !errors.Is(err, client.ErrTOTP) {
		t.Errorf("taking the policy away there: got %v", err)
	}
	if err := g.widen(g.both(lost.code(0))); err != nil {
		t.Errorf("with a code of the app that is new there: %v", err)
	}
	lost.wait(1)
	if _, err := f.admin.RemoveKeySlot(t.Context(), f.both(lost.code(0)), first.GetId()); err != nil {
		t.Fatal(err)
	}
	lost.wait(1)
	if err := g.widen(g.both(lost.code(0))); !errors.Is(err, client.ErrTOTP) || !strings.Contains(err.Error(), "no authenticator app is set up") {
		t.Errorf("a code of an app that is gone: got %v", err)
	}
	found := newPhone()
	found.key = "another of 20 bytes!"[:totp.KeySize]
	found.now.Store(lost.now.Load())
	f.enrol(found)
	lost.wait(1)
	if err := g.widen(g.both(lost.code(0))); !errors.Is(err, client.ErrTOTP) {
		t.Errorf("a code of the lost one: got %v", err)
	}
	if err := g.widen(g.both(found.code(0))); err != nil {
		t.Errorf("a code of the other: %v", err)
	}
}

// What another agent on the vault was told counts before a proof is asked for, too: which
// issuers a grant may name, that there is an app, and whether step_up.admin can be adopted.
func TestTwoAgentsBeforeAProof(t *testing.T) {
	f, p := startWithPhone(t)
	g := f.beside()
	f.adopt(all + "[[issuer]]\nurl = \"https://ci.example\"\n")
	s := g.spec("acme")
	s.Limits = &pb.GrantLimits{Identities: []*pb.GrantIdentity{{Issuer: "https://ci.example", Claims: []*pb.GrantClaim{{Name: "repository_id", Values: []string{"1"}}}}}}
	if _, err := g.admin.NewGrant(t.Context(), g.passphrase(testPassphrase), s.NewGrant); err != nil {
		t.Errorf("a grant for an issuer of the policy: %v", err)
	}
	app := f.enrol(p)
	if _, err := g.admin.AddTOTP(t.Context(), client.Proof{}, nil, nil); !errors.Is(err, client.ErrExists) {
		t.Errorf("another app: got %v", err)
	}
	seen := g.policySum()
	if _, err := f.admin.RemoveKeySlot(t.Context(), f.both(p.code(0)), app.GetId()); err != nil {
		t.Fatal(err)
	}
	stepUp := packedPolicy(t, "version = 1\nstep_up = {admin = true}\n")
	if _, err := g.admin.AdoptPolicy(t.Context(), client.Proof{}, stepUp, seen); !errors.Is(err, client.ErrPolicy) || !strings.Contains(err.Error(), "no authenticator app is set up") {
		t.Errorf("a policy that wants codes of an app that is gone: got %v", err)
	}
}

// Under the policy of another agent nobody waits any more for what the last one has asked.
func TestTwoAgentsApprove(t *testing.T) {
	f := startAsking(t)
	done := f.signs(answered(t), writing(1))
	r := f.waiting(1, 1)[0]
	f.beside().adopt("version = 1\n[[rule]]\nname = \"x\"\neffect = \"deny\"\nwhat = [\"*\"]\n")
	if err := f.admin.Approve(t.Context(), client.Proof{}, r.GetId(), "once"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := <-done; !errors.Is(err, client.ErrDenied) {
		t.Errorf("who waited: got %v", err)
	}
}

// A policy that another agent on the vault has adopted since the difference was looked at is
// not replaced, readable or not, and neither policy is forgotten; who looks again can.
func TestAdoptPolicyOverAnUnseenOne(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.adopt(all)
	other := f.beside()
	adopt := func(seen string) error {
		_, err := f.admin.AdoptPolicy(t.Context(), f.passphrase(testPassphrase), packedPolicy(t, all+"# mine\n"), seen)
		return err
	}
	for name, c := range map[string]struct {
		change func()
		denies bool
	}{
		"a stricter one": {func() { other.adopt(strings.Replace(all, "\"allow\"", "\"deny\"", 1)) }, true},
		"none":           {func() { other.adopt("") }, false},
		"one of a newer program": {func() {
			if err := other.agent.session.vault.SetPolicy(t.Context(), packedPolicy(t, "version = 2\n"), nil, nil); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		if err := adopt(f.policySum()); err != nil {
			t.Fatalf("%s: before: %v", name, err)
		}
		seen := f.policySum()
		c.change()
		there, _, err := other.agent.session.vault.Policy()
		if err != nil {
			t.Fatal(err)
		}
		if err := adopt(seen); !errors.Is(err, client.ErrPolicy) || !strings.Contains(err.Error(), "another one is in force") {
			t.Errorf("%s: got %v, want ErrPolicy", name, err)
		}
		if _, err := f.dial().Sign(t.Context(), request("acme")); errors.Is(err, client.ErrDenied) != c.denies || !c.denies && err != nil {
			t.Errorf("%s: signing by the policy that is in force: %v", name, err)
		}
		if now, _, err := f.admin.Policy(t.Context()); err != nil || !bytes.Equal(now, there) {
			t.Errorf("%s: there is %q afterwards, %v", name, now, err)
		}
	}
	if err := adopt(f.policySum()); err != nil {
		t.Errorf("looked at again: %v", err)
	}
	f.sign("acme")
}
