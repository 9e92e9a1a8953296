package agent

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/secrettest"
	"github.com/nsagent/nsagent/internal/totp"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// gone reports whether a secret was destroyed.
func gone(b secret.Bytes) bool {
	return errors.Is(b.Use(func([]byte) error { return nil }), secret.ErrDestroyed)
}

// A record that the agent has not made so is no app, and its secret is not kept.
func TestAuthenticatorOfAnOddRecord(t *testing.T) {
	f := start(t)
	for name, c := range map[string]struct {
		record vault.Record
		size   int
	}{
		"another name":   {vault.Record{Name: "acme"}, totp.KeySize},
		"a short secret": {vault.Record{Name: nameTOTP}, totp.KeySize - 1},
		"metadata":       {vault.Record{Name: nameTOTP, Meta: []byte("x")}, totp.KeySize},
	} {
		s, key := &session{}, f.secret(strings.Repeat("k", c.size))
		if err := s.takeAuthenticator(c.record, key); !errors.Is(err, vault.ErrDamaged) || s.authenticator != nil || !gone(key) {
			t.Errorf("%s: got %v, an app %v, its secret gone %v", name, err, s.authenticator != nil, gone(key))
		}
	}
}

// What was stored counts from then on where it is an app, and the session is the one that it
// was stored in.
func TestAuthenticatorThatIsNotPublished(t *testing.T) {
	f, p := startWithPhone(t)
	ctx, s := t.Context(), f.agent.session
	publish := func(what string, want error) {
		t.Helper()
		out, err := f.agent.publishTOTP(s)
		if !errors.Is(err, want) || out != nil || s.authenticator != nil {
			t.Errorf("%s: got %v, %v, want %v", what, out, err, want)
		}
	}
	if _, err := f.agent.publishTOTP(s); !errors.Is(err, vault.ErrNotFound) || !strings.Contains(err.Error(), "reading the authenticator app") {
		t.Errorf("none: got %v", err)
	}
	if err := s.vault.Add(ctx, vault.NewRecord{Name: nameTOTP, Kind: kindTOTP, SignOnly: f.agentSecret(p.key[1:])}); err != nil {
		t.Fatal(err)
	}
	publish("one with a short secret", vault.ErrDamaged)
	empty := secrettest.LeaveRoom(f.agent.arena, 0)
	publish("one that there is no room for", secret.ErrFull)
	empty()
	if err := s.vault.Remove(ctx, nameTOTP); err != nil {
		t.Fatal(err)
	}
	if err := s.vault.Add(ctx, vault.NewRecord{Name: nameTOTP, Kind: kindTOTP, SignOnly: f.agentSecret(p.key)}); err != nil {
		t.Fatal(err)
	}
	used := f.used()
	f.inSession(nil)
	publish("in a session that is over", vault.ErrLocked)
	f.inSession(s)
	f.awaitUsed(used)
	f.lock()
	publish("in a vault that is locked", vault.ErrLocked)
}

// A guess that cannot be counted is answered as that, and a code that cannot be used up is
// not taken: the ledger is read first, and written before anything is said.
func TestCodesThatCannotBeCounted(t *testing.T) {
	f, p := startWithPhone(t)
	f.enrol(p)
	f.stepUp()
	if err := f.widen(f.both(p.wrong())); !errors.Is(err, client.ErrTOTP) {
		t.Fatal(err)
	}
	app := f.agent.session.authenticator
	l, v := f.closedLedger()
	check := func(name, code, says string) {
		t.Helper()
		if err := f.agent.checkCode(l, v.ID(), app, f.secret(code)); err == nil || !strings.Contains(err.Error(), says) || refusedWith(err) == pb.CodeTOTP {
			t.Errorf("%s: got %v, want %q", name, err, says)
		}
	}
	check("a right one", p.code(0), "noting that a code was used")
	check("a wrong one", p.wrong(), "counting a wrong guess")
	p.wait(-1)
	check("one after the clock was set back", p.code(0), "correcting the time of the last wrong guess")
}

// A code is right only where it was compared: one that is checked while somebody locks the
// vault is answered as that, and anything else that goes wrong is no proof.
func TestCodeThatCannotBeChecked(t *testing.T) {
	f, p := startWithPhone(t)
	f.enrol(p)
	app := f.agent.session.authenticator
	l, v := f.openedLedger()
	defer func() { _ = l.Close() }()
	check := func(key secret.Bytes) error {
		return f.agent.checkCode(l, v.ID(), &authenticator{id: app.id, key: key}, f.secret(p.code(0)))
	}
	wiped := f.secret(p.key)
	wiped.Destroy()
	if err := check(wiped); !errors.Is(err, vault.ErrLocked) {
		t.Errorf("while the vault is locked: got %v", err)
	}
	if err := check(f.secret(p.key[1:])); !errors.Is(err, totp.ErrKey) {
		t.Errorf("by no secret of an app: got %v", err)
	}
	if err := check(f.secret(p.key)); err != nil {
		t.Errorf("by the right one: %v", err)
	}
}

// Where it cannot be noted that the first code was used, no app is set up, also by the
// recovery code, which needs no ledger to prove anything.
func TestAddTOTPWithoutALedger(t *testing.T) {
	f, p := startWithPhone(t)
	f.addSlot("recovery", testCode)
	f.unreadableLedger(t, func() {
		_, err := f.admin.AddTOTP(t.Context(), client.Proof{Recovery: f.sealer(testCode)}, f.sealer(p.key), f.sealer(p.code(0)))
		if errorCode(err) != string(pb.CodeUnsafe) {
			t.Errorf("got %v", err)
		}
	})
	f.enrol(p)
}

// Nothing is taken for the app that is none, and an app that could not be removed goes on
// to count.
func TestRemoveTOTPThatFails(t *testing.T) {
	f, p := startWithPhone(t)
	ctx := t.Context()
	remove := func(what, id string) {
		t.Helper()
		if _, err := f.admin.RemoveKeySlot(ctx, f.passphrase(testPassphrase), id); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	remove("none, without an app", "")
	app := f.enrol(p)
	remove("none, beside one", "")
	remove("another one", fmt.Sprintf("%032x", 1))
	s := f.agent.session
	plan := f.agent.removeTOTP(ctx, s)
	if err := s.vault.Remove(ctx, nameTOTP); err != nil {
		t.Fatal(err)
	}
	if err := plan.make(); !errors.Is(err, vault.ErrNotFound) || !s.authenticator.is(app.GetId()) || gone(s.authenticator.key) {
		t.Errorf("one that is gone: got %v, the app %v", err, s.authenticator.message())
	}
}
