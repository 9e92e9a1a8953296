package agent

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/secrettest"
	"github.com/nsagent/nsagent/internal/totp"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
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
	if _, err := s.vault.Add(ctx, vault.NewRecord{Name: nameTOTP, Kind: kindTOTP, SignOnly: f.agentSecret(p.key[1:])}); err != nil {
		t.Fatal(err)
	}
	publish("one with a short secret", vault.ErrDamaged)
	empty := secrettest.LeaveRoom(f.agent.arena, 0)
	publish("one that there is no room for", secret.ErrFull)
	empty()
	if err := s.vault.Remove(ctx, nameTOTP); err != nil {
		t.Fatal(err)
	}
	if _, err := s.vault.Add(ctx, vault.NewRecord{Name: nameTOTP, Kind: kindTOTP, SignOnly: f.agentSecret(p.key)}); err != nil {
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

// fillingLedger is a ledger on a disk that has room for so many appends.
type fillingLedger struct {
	values map[store.Kind]uint64
	room   int
}

var errFilled = errors.New("no space left on device")

func (l *fillingLedger) Get(kind store.Kind, _ []byte) (uint64, bool) {
	value, known := l.values[kind]
	return value, known
}

func (l *fillingLedger) Append(entries ...store.Entry) error {
	if l.room--; l.room < 0 {
		return errFilled
	}
	for _, e := range entries {
		l.values[e.Kind] = e.Value
	}
	return nil
}

// What cannot be counted is no guess: wherever the disk fills, a right code is told from a
// wrong one only once one more wrong one is counted, and no right one is taken that can be
// shown again.
func TestCodesThatCannotBeCounted(t *testing.T) {
	f, p := startWithPhone(t)
	f.enrol(p)
	const before = 7
	step := uint64(p.now.Load() / 30)
	for name, c := range map[string]struct {
		code  string
		used  uint64 // the step of the last code that was taken
		room  int
		says  string
		count uint64 // afterwards
	}{
		"a right one":                           {p.code(0), 0, 2, "", 0},
		"a right one, not counted":              {p.code(0), 0, 0, "counting a wrong guess", 1},
		"a right one, not used up":              {p.code(0), 0, 1, "noting that a code was used", 2},
		"a wrong one":                           {p.wrong(), 0, 1, "the code is wrong", 2},
		"a wrong one, not counted":              {p.wrong(), 0, 0, "counting a wrong guess", 1},
		"a used one":                            {p.code(0), step, 2, "the code was used already", 1},
		"a used one, which counts all the same": {p.code(0), step, 1, "taking back that a code was wrong", 2},
	} {
		l := &fillingLedger{map[store.Kind]uint64{ledgerCodeFailures: 1, ledgerLastCode: before, ledgerCodeStep: c.used}, c.room}
		err := f.agent.checkCode(l, f.agent.session.vault.ID(), f.agent.session.authenticator, f.secret(c.code))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", name, err, c.says)
		}
		if got := l.values[ledgerCodeFailures]; got != c.count {
			t.Errorf("%s: %d wrong ones in a row, want %d", name, got, c.count)
		}
		if got := l.values[ledgerLastCode]; c.used != 0 && c.count == 1 && got != before {
			t.Errorf("%s: the pause begins anew", name)
		}
	}
	back := &fillingLedger{map[store.Kind]uint64{ledgerLastCode: math.MaxInt64}, 0}
	if err := f.agent.checkCode(back, f.agent.session.vault.ID(), f.agent.session.authenticator, f.secret(p.code(0))); !errors.Is(err, errFilled) || !strings.Contains(err.Error(), "correcting the time of the last wrong guess") {
		t.Errorf("after the clock was set back: got %v", err)
	}
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

// What is taken away at a lock is the lock's to wipe: who removes the app at that moment leaves
// the session alone.
func TestAppOfASessionThatIsOver(t *testing.T) {
	f, p := startWithPhone(t)
	f.enrol(p)
	over := f.agent.session
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	there := over.authenticator
	if err := f.agent.forgetTOTP(over); !errors.Is(err, vault.ErrLocked) || over.authenticator != there {
		t.Errorf("got %v", err)
	}
}
