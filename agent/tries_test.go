package agent

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// triesWorld is an agent whose clock stands still, and the key to the ledger of its vault,
// which is locked.
type triesWorld struct {
	*fixture
	vault *vault.Vault
	key   *ledgerKey
	at    atomic.Int64 // Unix seconds
}

func newTries(t *testing.T) *triesWorld {
	t.Helper()
	w := &triesWorld{}
	w.at.Store(1_800_000_000)
	w.fixture = start(t, func(c *Config) { c.Clock = func() time.Time { return time.Unix(w.at.Load(), 0) } })
	w.unlock()
	w.lock()
	var err error
	if w.vault, err = w.agent.openVault(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.key, _, err = w.agent.ledgerKeyOf(t.Context(), w.vault); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.key.Destroy)
	return w
}

// has says what the ledger has: how many wrong passphrases, and the time of the last.
func (w *triesWorld) has(count, last uint64) {
	w.t.Helper()
	entries := []store.Entry{{Kind: ledgerUnlockFailures, Subject: w.key.vault, Value: count}, {Kind: ledgerLastFailure, Subject: w.key.vault, Value: last}}
	if err := w.key.use(w.t.Context(), func(l *ledger) error { return l.Append(entries...) }); err != nil {
		w.t.Fatal(err)
	}
}

// counted has a try come to an end with an error, after what is done meanwhile.
func (w *triesWorld) counted(seen uint64, proof vault.Proof, meanwhile func(), comes error) error {
	return w.agent.counted(w.t.Context(), w.vault, w.key, sightings{vault: true, generation: seen}, proof, func(context.Context, vault.Proof) error {
		meanwhile()
		return comes
	})
}

// A vault that is older than what this machine has seen is opened for nobody, and no
// passphrase is looked at.
func TestTriesAtAnOlderVault(t *testing.T) {
	w := newTries(t)
	tried := func() { t.Error("it was tried") }
	if err := w.counted(w.vault.Generation()+1, vault.Proof{Passphrase: w.secret("x")}, tried, nil); !errors.Is(err, vault.ErrRollback) {
		t.Errorf("got %v", err)
	}
	if n := w.wrongTries(); n != 0 {
		t.Errorf("%d are counted", n)
	}
}

// An unlock that cannot be noted is none.
func TestTriesThatCannotBeNoted(t *testing.T) {
	w := newTries(t)
	broken := func() {
		if err := os.Chmod(w.paths.Ledger, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.counted(0, vault.Proof{Passphrase: w.secret("x")}, broken, nil); !errors.Is(err, store.ErrUnsafe) || !strings.Contains(err.Error(), "noting the unlock") {
		t.Errorf("got %v", err)
	}
}

// What was broken off takes back its own count and that of nobody else, though both were at
// the same time, or the count is the same again.
func TestTriesOfOthersAreNotTakenBack(t *testing.T) {
	w := newTries(t)
	byPassphrase := vault.Proof{Passphrase: w.secret("x")}
	another := func() {
		if _, err := w.agent.begin(t.Context(), w.key, byPassphrase); err != nil {
			t.Error(err)
		}
	}
	for what, c := range map[string]struct {
		proof     vault.Proof
		meanwhile func()
		after     uint64 // of the count, which is 1 before
	}{
		"nobody else":                    {byPassphrase, func() {}, 1},
		"by a key file, beside another":  {vault.Proof{KeyFile: w.secret("x")}, another, 2},
		"by the keyring, beside another": {vault.Proof{}, another, 2},
		"beside two, of which one was right": {byPassphrase, func() {
			w.has(1, 7)
			w.at.Add(1)
			another()
		}, 2},
	} {
		w.has(1, 7)
		if err := w.counted(0, c.proof, c.meanwhile, vault.ErrKeyring); !errors.Is(err, vault.ErrKeyring) {
			t.Errorf("%s: got %v", what, err)
		}
		if n := w.wrongTries(); n != c.after {
			t.Errorf("%s: %d are counted, want %d", what, n, c.after)
		}
	}
}

// Nobody guesses a key file or a recovery code, which wait for nothing.
func TestTriesThatWait(t *testing.T) {
	w := newTries(t)
	now := time.Unix(w.at.Load(), 0)
	w.has(freeTries, unixMilliseconds(now))
	secret := w.secret("x")
	for what, c := range map[string]struct {
		proof vault.Proof
		want  error
	}{
		"a passphrase":    {vault.Proof{Passphrase: secret}, ErrBackoff},
		"the keyring":     {vault.Proof{}, ErrBackoff},
		"a key file":      {vault.Proof{KeyFile: secret}, nil},
		"a recovery code": {vault.Proof{Recovery: secret}, nil},
	} {
		if _, err := w.agent.begin(t.Context(), w.key, c.proof); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", what, err, c.want)
		}
	}
	if n := w.wrongTries(); n != freeTries {
		t.Errorf("%d are counted", n)
	}
}

// Where the wait cannot be begun anew after the clock was set back, nobody slips past it.
func TestTriesOnADiskThatFills(t *testing.T) {
	w := newTries(t)
	now := time.Unix(w.at.Load(), 0)
	for _, failing := range []bool{true, false} {
		l := &failingOnce{fillingLedger{map[store.Kind]uint64{ledgerUnlockFailures: freeTries, ledgerLastFailure: unixMilliseconds(now.Add(time.Hour))}, 2}, failing}
		_, err := beginIn(l, w.key.vault, vault.Proof{Passphrase: w.secret("x")}, now)
		if want := map[bool]error{true: errFilled, false: ErrBackoff}[failing]; !errors.Is(err, want) {
			t.Errorf("the first append fails, %v: got %v, want %v", failing, err, want)
		}
	}
}

// failingOnce is a ledger whose disk is full for a moment.
type failingOnce struct {
	fillingLedger
	full bool
}

func (l *failingOnce) Append(entries ...store.Entry) error {
	if l.full {
		l.full = false
		return errFilled
	}
	return l.fillingLedger.Append(entries...)
}

// The recovery code opens the vault where the ledger is lost, and no other way. A ledger that
// cannot be read for now is not lost, and a wrong code is a wrong one.
func TestRecoveryCodeAndTheLedger(t *testing.T) {
	f := startApart(t)
	f.unlock()
	f.addSlot("recovery", testCode)
	unlock := func(code string) (string, error) {
		r, err := f.admin.UnlockBy(t.Context(), client.Proof{Recovery: f.sealer(code)}, 0)
		return strings.Join(r.GetWarnings(), "\n"), err
	}
	f.lock()
	f.unreadableLedger(t, func() {
		if _, err := unlock(testCode); errorCode(err) != string(pb.CodeUnsafe) {
			t.Errorf("a ledger that others may write: got %v", err)
		}
	})
	if err := os.Remove(f.paths.MachineKey); err != nil {
		t.Fatal(err)
	}
	if _, err := unlock("X123456789abcdef"); !errors.Is(err, client.ErrKey) || !f.locked() {
		t.Errorf("a wrong code: got %v", err)
	}
	if said, err := unlock(testCode); err != nil || !strings.Contains(said, "the ledger of this machine cannot be read") {
		t.Errorf("the code: %q, %v", said, err)
	}
}

// Who recovers a vault on a machine that has not seen it is told what nobody else is: that it
// may be an older one.
func TestRecoveryCodeOnANewMachine(t *testing.T) {
	f := startApart(t)
	f.unlock()
	f.addSlot("recovery", testCode)
	for what, c := range map[string]struct {
		proof client.Proof
		anew  bool
		told  bool
	}{
		"the code, here":                {client.Proof{Recovery: f.sealer(testCode)}, false, false},
		"the code, elsewhere":           {client.Proof{Recovery: f.sealer(testCode)}, true, true},
		"the passphrase, somewhere new": {f.passphrase(testPassphrase), true, false},
	} {
		if c.anew {
			if err := os.Remove(f.paths.Ledger); err != nil {
				t.Fatal(err)
			}
		}
		r, err := f.admin.UnlockBy(t.Context(), c.proof, 0)
		said := strings.Join(r.GetWarnings(), "\n")
		if err != nil || strings.Contains(said, "opens the vault for the first time") != c.told {
			t.Errorf("%s: %q, %v", what, said, err)
		}
	}
}

// A proof is taken where its tries can be counted, from what this machine has seen on.
func TestProofWithoutALedger(t *testing.T) {
	f := start(t)
	f.unlock()
	f.stop()
	mend := func() {}
	// It does not run, so that nobody else looks at the clock.
	a, err := New(t.Context(), Config{Paths: f.paths, Version: "test", Clock: func() time.Time { mend(); return time.Now() }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	v, err := a.openVault(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Lock()
	proof := vault.Proof{Passphrase: f.secret(testPassphrase)}
	if err := v.UnlockBy(t.Context(), proof); err != nil {
		t.Fatal(err)
	}
	prove := func() error { return a.proveBy(t.Context(), &session{vault: v}, proof) }
	if err := prove(); err != nil {
		t.Errorf("got %v", err)
	}
	f.unreadableLedger(t, func() {
		mend = func() { // before the try would be counted
			if err := os.Chmod(f.paths.Ledger, 0o600); err != nil {
				t.Error(err)
			}
		}
		if err := prove(); !errors.Is(err, store.ErrUnsafe) {
			t.Errorf("a ledger that could not be read: got %v", err)
		}
	})
	if err := os.WriteFile(f.paths.MachineKey, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := prove(); !errors.Is(err, vault.ErrMachineKey) {
		t.Errorf("by a machine key that is none: got %v", err)
	}
}
