package agent

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/keyring"
	"github.com/nsagent/nsagent/vault/store"
)

// slowKeyring is a keyring that is not there, which takes as long to say as the test wants.
type slowKeyring struct {
	slow  chan struct{}      // a value for each question that is to take long
	asked chan chan struct{} // what ends each of them
}

func newSlowKeyring() *slowKeyring {
	return &slowKeyring{make(chan struct{}, 8), make(chan chan struct{})}
}

func (k *slowKeyring) use(c *Config) { c.Keyring = k.launch }

func (k *slowKeyring) launch(context.Context) (*net.UnixConn, error) {
	select {
	case <-k.slow:
		end := make(chan struct{})
		k.asked <- end
		<-end
	default:
	}
	return nil, keyring.ErrNoService
}

// unlocking has f unlocked with a passphrase, and returns in the middle of that. goOn ends
// it and returns what came of it.
func (k *slowKeyring) unlocking(f *fixture, passphrase string) (goOn func() error) {
	f.t.Helper()
	k.slow <- struct{}{}
	unlocked := make(chan error, 1)
	go func() {
		_, err := f.admin.UnlockBy(context.WithoutCancel(f.t.Context()), f.passphrase(passphrase), 0)
		unlocked <- err
	}()
	select {
	case end := <-k.asked:
		done := false
		goOn = func() error {
			if done {
				return nil
			}
			done = true
			close(end)
			return <-unlocked
		}
		f.t.Cleanup(func() { _ = goOn() })
		return goOn
	case err := <-unlocked:
		f.t.Fatalf("unlocking ended without the keyring: %v", err)
	}
	return nil
}

// wrongTries returns how many wrong passphrases in a row the ledger has.
func (f *fixture) wrongTries() (n uint64) {
	f.t.Helper()
	v, err := f.agent.openVault(f.t.Context())
	if err == nil {
		err = f.agent.onLedger(v, func(l *ledger) error { n, _ = l.Get(ledgerUnlockFailures, v.ID()); return nil })
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// TestLedgerIsFreeWhileSomebodyUnlocks: a token is shown to a locked agent, and its uses are
// counted, and a grant is revoked, durably, while a passphrase is looked at.
func TestLedgerIsFreeWhileSomebodyUnlocks(t *testing.T) {
	k := newSlowKeyring()
	f := start(t, k.use)
	f.unlock()
	f.addTBA("acme")
	token := f.mint(unlocktoken.Caveats{Uses: 100}, "acme")
	revoked, g := f.mustGrant("acme")
	f.lock()
	goOn := k.unlocking(f, testPassphrase)
	ctx, cancel := context.WithTimeout(t.Context(), 3*inTime)
	defer cancel()

	c, err := client.Dial(ctx, client.WithSocket(f.paths.Agent), client.WithUnlockToken(token.Text()))
	if err != nil {
		t.Fatalf("showing a token: %v", err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Sign(ctx, request("acme")); err != nil {
		t.Errorf("a use that is counted: %v", err)
	}
	if _, err := f.admin.RevokeGrant(ctx, g.GetId(), false); err != nil {
		t.Errorf("revoking: %v", err)
	}
	v, err := f.agent.openVault(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = f.agent.useLedger(ctx, v, func(l *ledger) error {
		id := grantIDOf(t, revoked)
		if _, there := l.Get(ledgerGrantRevoked, id[:]); !there {
			t.Error("the revocation is not in the ledger")
		}
		return nil
	})
	if err != nil {
		t.Errorf("the ledger: %v", err)
	}
	if !f.locked() {
		t.Error("unlocked before the keyring has answered")
	}
	if err := goOn(); err != nil {
		t.Fatal(err)
	}
	all, err := f.agent.session.vault.Grants()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if at, err := f.agent.markOf(one); err != nil || (at != 0) != (one.ID == grantIDOf(t, revoked)) {
			t.Errorf("the vault has grant %s as revoked at %d, %v", unlocktoken.GrantName(one.ID), at, err)
		}
	}
}

// Two wrong passphrases at once are two, in one agent or in two on the same vault. One that
// is right forgives those that began before it, and no other.
func TestGuessesAtOnce(t *testing.T) {
	k := newSlowKeyring()
	f := start(t, k.use)
	f.unlock()
	f.lock()
	g := f.beside()
	g.lock()
	count := func(what string, want uint64) {
		t.Helper()
		if got := f.wrongTries(); got != want {
			t.Errorf("%s: %d wrong passphrases are counted, want %d", what, got, want)
		}
	}
	wrong := func(err error) {
		t.Helper()
		if !errors.Is(err, client.ErrPassphrase) {
			t.Errorf("got %v, want ErrPassphrase", err)
		}
	}
	right := func(f *fixture, err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		f.lock()
	}

	anew := func() { // by a key file
		t.Helper()
		f.unlock()
		f.lock()
		count("unlocked", 0)
	}

	first := k.unlocking(f, "wrong")
	second := make(chan error, 1)
	go func() {
		_, err := f.admin.Unlock(t.Context(), f.sealer("wrong"), 0)
		second <- err
	}()
	count("one is looked at, the other waits for its turn", 1)
	wrong(first())
	wrong(<-second)
	count("of one agent", 2)
	anew()

	ones, others := k.unlocking(f, "wrong"), k.unlocking(g, "wrong")
	count("both are looked at", 2)
	wrong(others())
	wrong(ones())
	count("of two agents", 2)
	anew()

	ones, others = k.unlocking(f, testPassphrase), k.unlocking(g, "wrong")
	right(f, ones())
	count("right, with a later one under way", 1)
	wrong(others())
	count("the later one is wrong", 1)
	anew()

	others, ones = k.unlocking(g, "wrong"), k.unlocking(f, testPassphrase)
	right(f, ones())
	wrong(others())
	count("the later one is right", 0)
}

// A try counts while its passphrase is looked at, and not after it where that did not come
// to an end; what another agent has written down meanwhile stays.
func TestGuessIsCountedFirst(t *testing.T) {
	var ahead shifted
	f := start(t, ahead.clock)
	f.unlock()
	f.lock()
	v, err := f.agent.openVault(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := f.agent.ledgerKeyOf(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Destroy()
	state := func() (count, last, generation uint64) {
		t.Helper()
		err := k.use(t.Context(), func(l *ledger) error {
			count, _ = l.Get(ledgerUnlockFailures, k.vault)
			last, _ = l.Get(ledgerLastFailure, k.vault)
			generation, _ = l.Get(ledgerGeneration, k.vault)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return count, last, generation
	}
	set := func(entries ...store.Entry) {
		t.Helper()
		if err := k.use(t.Context(), func(l *ledger) error { return l.Append(entries...) }); err != nil {
			t.Fatal(err)
		}
	}
	byPassphrase, newer := vault.Proof{Passphrase: f.secret("x")}, v.Generation()+5
	for what, c := range map[string]struct {
		proof         vault.Proof
		comes         error
		meanwhile     func(cancel func())
		during, after uint64 // of the count, which is 1 before
		generation    uint64
	}{
		"wrong":                       {proof: byPassphrase, comes: vault.ErrPassphrase, during: 2, after: 2},
		"right":                       {proof: byPassphrase, during: 2, after: 0},
		"right, and nobody waits":     {proof: byPassphrase, meanwhile: func(cancel func()) { cancel() }, during: 2, after: 0},
		"no keyring":                  {proof: byPassphrase, comes: vault.ErrKeyring, during: 2, after: 1},
		"no keyring, nobody waits":    {proof: byPassphrase, comes: vault.ErrKeyring, meanwhile: func(cancel func()) { cancel() }, during: 2, after: 1},
		"by the keyring":              {comes: vault.ErrKeyring, during: 1, after: 1},
		"by a key file":               {proof: vault.Proof{KeyFile: f.secret("x")}, during: 1, after: 0},
		"no keyring, and another try": {proof: byPassphrase, comes: vault.ErrKeyring, meanwhile: func(func()) { _, _ = f.agent.begin(t.Context(), k, byPassphrase) }, during: 3, after: 3},
		"right, and another change": {
			proof: byPassphrase, during: 2, generation: newer,
			meanwhile: func(func()) { set(store.Entry{Kind: ledgerGeneration, Subject: k.vault, Value: newer}) },
		},
	} {
		set(store.Entry{Kind: ledgerUnlockFailures, Subject: k.vault, Value: 1}, store.Entry{Kind: ledgerLastFailure, Subject: k.vault, Value: 7})
		_, _, generation := state()
		ctx, cancel := context.WithCancel(t.Context())
		err := f.agent.counted(ctx, v, k, sightings{vault: true, generation: generation}, c.proof, func(context.Context, vault.Proof) error {
			if c.meanwhile != nil {
				c.meanwhile(cancel)
			}
			ahead.Add(int64(time.Hour)) // looking takes long
			if count, _, _ := state(); count != c.during {
				t.Errorf("%s: while it is looked at the count is %d, want %d", what, count, c.during)
			}
			return c.comes
		})
		cancel()
		count, last, now := state()
		if !errors.Is(err, c.comes) || count != c.after {
			t.Errorf("%s: got %v and %d, want %v and %d", what, err, count, c.comes, c.after)
		}
		if ended := unixMilliseconds(ahead.now().Add(-time.Minute)); errors.Is(c.comes, vault.ErrPassphrase) && last < ended {
			t.Errorf("%s: the pause counts from %d, want from the end of it, after %d", what, last, ended)
		}
		if count == 1 && last != 7 {
			t.Errorf("%s: the time of the last wrong one is %d, want 7", what, last)
		}
		if want := max(generation, c.generation); now != want {
			t.Errorf("%s: generation %d, want %d", what, now, want)
		}
		set(store.Entry{Kind: ledgerGeneration, Subject: k.vault, Value: generation})
	}
	destroyProof(byPassphrase)
}
