package agent

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// openedLedger returns the ledger of the vault of f, which others wait for until the test
// closes it.
func (f *fixture) openedLedger() (*ledger, *vault.Vault) {
	f.t.Helper()
	v, _, err := f.agent.vaultOfState(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	l, err := f.agent.openLedger(f.t.Context(), v)
	if err != nil {
		f.t.Fatal(err)
	}
	return l, v
}

// grantClock is the clock by which grants of the fixture's vault end.
func (f *fixture) grantClock() *grantClock {
	f.t.Helper()
	v, _, err := f.agent.vaultOfState(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return f.agent.grantClocks.of(v.ID())
}

// closedLedger is openedLedger for one that can be read and not written.
func (f *fixture) closedLedger() (*ledger, *vault.Vault) {
	f.t.Helper()
	l, v := f.openedLedger()
	if err := l.Ledger.Close(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = l.Close() })
	return l, v
}

// hangingLedger is openedLedger for one whose disk hangs from the next entry on: hangs says
// when it does, and goOn ends that.
func (f *fixture) hangingLedger() (l *ledger, v *vault.Vault, hangs <-chan struct{}, goOn func()) {
	f.t.Helper()
	l, v = f.openedLedger()
	f.t.Cleanup(func() { _ = l.Close() })
	if err := l.Ledger.Close(); err != nil {
		f.t.Fatal(err)
	}
	in, out := make(chan struct{}), make(chan struct{})
	writes := atomic.Bool{}
	enter := sync.OnceFunc(func() { close(in) })
	opened, err := store.OpenLedger(f.t.Context(), f.paths.Ledger, v.ID(), func(mac *[32]byte, msg []byte) error {
		if writes.Load() { // what is written is first computed
			enter()
			<-out
		}
		return l.key.HMACSHA256(mac, msg)
	})
	if err != nil {
		f.t.Fatal(err)
	}
	writes.Store(true)
	l.Ledger = opened
	return l, v, in, sync.OnceFunc(func() { close(out) })
}

// ledgerSize returns the length of the ledger, in bytes: each entry adds to it.
func (f *fixture) ledgerSize() int64 {
	f.t.Helper()
	fi, err := os.Stat(f.paths.Ledger)
	if err != nil {
		f.t.Fatal(err)
	}
	return fi.Size()
}

// whileDamaged calls what while something else lies in the place of the vault.
func (f *fixture) whileDamaged(what func()) {
	f.t.Helper()
	text := f.vaultFile()
	for _, b := range [][]byte{[]byte("no vault"), text} {
		if err := os.WriteFile(f.paths.Vault, b, 0o600); err != nil {
			f.t.Fatal(err)
		}
		if len(b) != len(text) {
			what()
		}
	}
}

// The highest time is written down by steps, or exactly where somebody met an end, and
// never twice.
func TestGrantClockIsNoted(t *testing.T) {
	f := start(t)
	l, v := f.openedLedger()
	defer func() { _ = l.Close() }()
	k, begin, step := &grantClock{}, time.Unix(1<<30, 0), int64(clockStep/time.Second)
	for _, c := range []struct {
		after int64
		exact bool
		noted int64
	}{
		{0, false, 0}, {1, false, 0}, {step - 1, false, 0}, {step, false, step},
		{step + 1, false, step}, {step + 1, true, step + 1}, {5, true, step + 1}, {2 * step, true, 2 * step},
	} {
		k.at(0, begin.Add(time.Duration(c.after)*time.Second))
		if err := k.note(l, v.ID(), c.exact); err != nil {
			t.Fatal(err)
		}
		if got := ledgerTimeOf(l, ledgerClock, v.ID()) - begin.Unix(); got != c.noted {
			t.Errorf("%d s later, exact %v: the ledger has %d, want %d", c.after, c.exact, got, c.noted)
		}
		before := f.ledgerSize()
		if err := k.note(l, v.ID(), c.exact); err != nil || f.ledgerSize() != before {
			t.Errorf("%d s later, exact %v: noted twice, or %v", c.after, c.exact, err)
		}
	}
}

// The time of a grant is that of the machine, to the nanosecond, where that did not go back.
func TestGrantClockIsExact(t *testing.T) {
	k, now := &grantClock{}, time.Unix(1<<30, 500)
	if got := k.at(0, now); !got.Equal(now) {
		t.Errorf("got %v, want %v", got, now)
	}
	if got := k.at(0, now.Add(-time.Hour)); got.Unix() != now.Unix() {
		t.Errorf("set back: got %v, want %v", got, now)
	}
}

// A time that cannot be written down counts as not written down.
func TestGrantClockOfAClosedLedger(t *testing.T) {
	f := start(t)
	l, v := f.closedLedger()
	k := &grantClock{seen: 1 << 40}
	if err := k.note(l, v.ID(), true); !errors.Is(err, store.ErrClosed) || k.noted != 0 {
		t.Errorf("noting: got %v, and %d as noted", err, k.noted)
	}
	if err := k.restart(l, v.ID(), 1<<30); !errors.Is(err, store.ErrClosed) || k.seen != 1<<40 || k.epoch != 0 {
		t.Errorf("starting anew: got %v, %d, %d", err, k.seen, k.epoch)
	}
	// A grant that ends keeps its reason; one that is good is not used by a time that a
	// restart would forget.
	good := f.agent.newGranted(&unlocktoken.Grant{Authority: unlocktoken.Authority{Vault: unlocktoken.ID(v.ID()), IssuedAt: time.Now().Unix(), Caveats: unlocktoken.Caveats{NotAfter: time.Now().Add(time.Hour).Unix()}}}, [32]byte{})
	if _, err := f.agent.goodBy(l, good, true); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a good grant: got %v", err)
	}
	good.revoked.Store(true)
	if _, err := f.agent.goodBy(l, good, true); !errors.Is(err, ErrRevoked) {
		t.Errorf("one that was revoked: got %v", err)
	}
}

// Where nothing is to be noted, nobody waits for the ledger.
func TestGrantClockWaitsForNobody(t *testing.T) {
	f := start(t)
	l, v := f.openedLedger()
	defer func() { _ = l.Close() }()
	begin := time.Now()
	if err := f.agent.noteGrantTime(v, false); err != nil || time.Since(begin) > ledgerTime/2 {
		t.Errorf("got %v after %v", err, time.Since(begin))
	}
}

// A clock that is ahead by the slack that clocks have is not started anew. What is started
// anew again keeps the highest time of all.
func TestGrantClockIsStartedAnew(t *testing.T) {
	f := start(t)
	l, v := f.openedLedger()
	defer func() { _ = l.Close() }()
	const seen = int64(1 << 30)
	for behind, want := range map[time.Duration]bool{0: false, clockSlack: false, clockSlack + time.Second: true} {
		k := &grantClock{seen: seen}
		now := seen - int64(behind/time.Second)
		if err := k.restart(l, v.ID(), now); err != nil {
			t.Fatal(err)
		}
		if got := k.epoch == now && k.seen == now && k.before == seen; got != want {
			t.Errorf("%v behind: epoch %d, seen %d, before %d", behind, k.epoch, k.seen, k.before)
		}
	}
	again := &grantClock{seen: seen, epoch: 1 << 29, before: 1 << 31}
	if err := again.restart(l, v.ID(), 1<<29); err != nil || again.before != 1<<31 || ledgerTimeOf(l, ledgerClockBefore, v.ID()) != 1<<31 {
		t.Errorf("again: got %v, before %d", err, again.before)
	}
}

// A new grant needs the ledger, and what the vault says of the others.
func TestNewGrantWithoutALedger(t *testing.T) {
	f := start(t)
	f.unlock()
	v := f.agent.session.vault
	f.whileDamaged(func() {
		if err := f.agent.trustClock(t.Context(), v, time.Now().Unix()); !errors.Is(err, vault.ErrDamaged) {
			t.Errorf("with a damaged vault: got %v", err)
		}
	})
	if err := os.WriteFile(f.paths.Ledger, []byte("no ledger"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.agent.trustClock(t.Context(), v, time.Now().Unix()); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("with a damaged ledger: got %v", err)
	}
}

// TestNewGrantByAClockThatIsBehind: one wrong clock ends no grant. Whether the clock is wrong
// now or was then, its owner says: they set it right, or revoke what was made later.
func TestNewGrantByAClockThatIsBehind(t *testing.T) {
	f, ahead := unlockedAhead(t)
	good, g := f.mustGrant("acme")
	ahead.Store(-int64(365 * 24 * time.Hour))
	_, _, err := f.newGrant(f.passphrase(testPassphrase), "acme")
	e := (*client.Error)(nil)
	if !errors.As(err, &e) || e.Code != pb.CodeRequest {
		t.Fatalf("a year behind: got %v", err)
	}
	if !strings.Contains(e.Message, f.agent.clock().UTC().Format("2006-01-02")) || !strings.Contains(e.Why, g.GetId()) || !strings.HasSuffix(e.Next, "  nsagent grant revoke "+g.GetId()) {
		t.Errorf("got %q, %q, %q; want the time that the clock has, which grants are later, and what to type", e.Message, e.Why, e.Next)
	}
	ahead.Store(0)
	if _, err := f.show(good).Sign(t.Context(), request("acme")); err != nil {
		t.Errorf("the clock is set right: %v", err)
	}
	f.mustGrant("acme")
	f.show(good)
}

// What is in the way of a new grant is what was made later, unless it was revoked. Clocks may
// be five minutes apart; one that starts anew has nothing later at all, which would begin to
// live once more, and nothing of which nobody can say.
func TestOnlyGrantsMadeLaterAreInTheWay(t *testing.T) {
	for name, c := range map[string]struct {
		made, seen time.Duration // ahead of now
		unreadable bool
		revoked    bool
		refused    bool
	}{
		"a little later":                      {made: clockSlack},
		"later":                               {made: clockSlack + time.Second, refused: true},
		"a little later than a new beginning": {made: time.Second, seen: clockSlack + time.Second, refused: true},
		"earlier than a new beginning":        {made: -time.Second, seen: clockSlack + time.Second},
		"revoked":                             {made: time.Hour, seen: time.Hour, revoked: true},
		"unreadable":                          {unreadable: true},
		"unreadable at a new beginning":       {unreadable: true, seen: clockSlack + time.Second, refused: true},
		"unreadable, and revoked":             {unreadable: true, seen: clockSlack + time.Second, revoked: true},
	} {
		t.Run(name, func(t *testing.T) {
			f, ahead := unlockedAhead(t)
			ahead.Store(int64(c.made))
			_, g := f.mustGrant("acme")
			id := g.GetId()
			if c.unreadable {
				other := vault.NewGrant{ID: [16]byte{7}, Meta: []byte{0xff}}
				if err := f.agent.session.vault.AddGrant(t.Context(), other); err != nil {
					t.Fatal(err)
				}
				id = unlocktoken.GrantName(other.ID)
			}
			if c.revoked {
				if _, err := f.admin.RevokeGrant(t.Context(), id, false); err != nil {
					t.Fatal(err)
				}
			}
			issued := g.GetCreatedAt() - int64(c.made/time.Second)
			f.grantClock().at(0, time.Unix(issued, 0).Add(c.seen))
			if err := f.agent.trustClock(t.Context(), f.agent.session.vault, issued); (err != nil) != c.refused || err != nil && (refusedWith(err) != pb.CodeRequest || !strings.Contains(err.Error(), id)) {
				t.Errorf("got %v", err)
			}
			if got := f.grantClock().epoch; (got == issued) != (!c.refused && c.seen > clockSlack) {
				t.Errorf("the clock starts anew at %d, now is %d", got, issued)
			}
		})
	}
}

// A grant from before the clock was started anew never goes back behind what was seen since.
func TestGrantClockOfEarlierGrants(t *testing.T) {
	f, ahead := unlockedAhead(t)
	old := f.mint(unlocktoken.Caveats{NotAfter: time.Now().Add(2 * time.Hour).Unix()}, "acme")
	ahead.Store(int64(30 * time.Minute))
	f.show(old)
	ahead.Store(int64(2 * time.Second)) // not the second in which old was made
	fresh, _ := f.mustGrant("acme")
	if f.grantClock().epoch == 0 {
		t.Fatal("control: the clock was not started anew")
	}
	ahead.Store(int64(3 * time.Hour))
	if _, err := f.dialWith(fresh); !errors.Is(err, client.ErrExpired) {
		t.Fatalf("control: got %v", err)
	}
	ahead.Store(int64(time.Hour))
	for _, restarted := range []bool{false, true} {
		if restarted {
			f.restart()
		}
		if _, err := f.dialWith(old); !errors.Is(err, client.ErrExpired) {
			t.Errorf("restarted %v, an hour after its end was seen: got %v", restarted, err)
		}
	}
}

// TestGrantClockOfAnotherVault: another vault is put into the place of the one that an agent
// has served. What its grants go by saw nothing of the clock that was ahead.
func TestGrantClockOfAnotherVault(t *testing.T) {
	other := startApart(t)
	other.unlock()
	other.addTBA("acme")
	theirs := other.mint(unlocktoken.Caveats{}, "acme")
	ahead := &shifted{}
	f := startApart(t, ahead.clock)
	f.unlock()
	f.addTBA("acme")
	mine := f.mint(unlocktoken.Caveats{}, "acme")
	ahead.Store(int64(2 * time.Hour))
	if _, err := f.dialWith(mine); !errors.Is(err, client.ErrExpired) {
		t.Fatalf("control: got %v", err)
	}
	ahead.Store(0)
	f.agent.lock("test", nil)
	for _, p := range []struct{ from, to string }{{other.paths.MachineKey, f.paths.MachineKey}, {other.paths.Ledger, f.paths.Ledger}, {other.paths.Vault, f.paths.Vault}} {
		if err := os.Rename(p.from, p.to); err != nil {
			t.Fatal(err)
		}
	}
	f.unlock()
	if _, err := f.show(theirs).Sign(t.Context(), request("acme")); err != nil {
		t.Error(err)
	}
}

// TestGrantClockWhileTheDiskHangs: while the time is written down, which a disk may hold up
// for ever, grants are used, and anybody can lock.
func TestGrantClockWhileTheDiskHangs(t *testing.T) {
	for name, write := range map[string]func(*grantClock, *ledger, []byte) error{
		"noting the time": func(k *grantClock, l *ledger, id []byte) error {
			k.at(0, time.Now().Add(time.Minute))
			return k.note(l, id, true)
		},
		"starting anew": func(k *grantClock, l *ledger, id []byte) error {
			return k.restart(l, id, time.Now().Add(-time.Hour).Unix())
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			f.unlock()
			f.addTBA("acme")
			c := f.show(f.mint(unlocktoken.Caveats{}, "acme"))
			l, v, hangs, goOn := f.hangingLedger()
			wrote := make(chan error, 1)
			k := f.grantClock()
			go func() { wrote <- write(k, l, v.ID()) }()
			<-hangs
			ctx, cancel := context.WithTimeout(t.Context(), inTime)
			defer cancel()
			if _, err := c.Sign(ctx, request("acme")); err != nil {
				goOn()
				t.Fatalf("using a grant: %v", err)
			}
			f.agent.lock("test", nil)
			later := time.Now().Add(2 * time.Hour)
			k.at(0, later)
			goOn()
			if err := <-wrote; err != nil {
				t.Error(err)
			}
			if got := k.at(0, time.Now()); got.Unix() != later.Unix() {
				t.Errorf("what was seen meanwhile: the clock is at %v, want %v", got, later)
			}
		})
	}
}

// A good grant notes the time by steps, unless it is to be exact; one that is over, exactly.
func TestGrantClockNotesEnds(t *testing.T) {
	f := start(t)
	l, v := f.openedLedger()
	defer func() { _ = l.Close() }()
	now := time.Now().Unix()
	good := f.agent.newGranted(&unlocktoken.Grant{Authority: unlocktoken.Authority{Vault: unlocktoken.ID(v.ID()), IssuedAt: now, Caveats: unlocktoken.Caveats{NotAfter: now + 3600}}}, [32]byte{})
	over := f.agent.newGranted(&unlocktoken.Grant{Authority: unlocktoken.Authority{Vault: unlocktoken.ID(v.ID()), IssuedAt: now - 20, Caveats: unlocktoken.Caveats{NotAfter: now - 10}}}, [32]byte{})
	for _, c := range []struct {
		g            *granted
		exact, noted bool
	}{{good, false, false}, {good, true, true}, {over, false, true}} {
		before := now - 5                                                                                        // five seconds ago the time was noted
		if err := l.Append(store.Entry{Kind: ledgerClock, Subject: v.ID(), Value: uint64(before)}); err != nil { // #nosec G115 -- a time
			t.Fatal(err)
		}
		k := f.grantClock() // as in an agent that has just started
		k.mu.Lock()
		k.seen, k.noted = 0, 0
		k.mu.Unlock()
		if _, err := f.agent.goodBy(l, c.g, c.exact); (err != nil) != (c.g == over) {
			t.Fatal(err)
		}
		if got := ledgerTimeOf(l, ledgerClock, v.ID()); (got > before) != c.noted {
			t.Errorf("over %v, exact %v: noted %d, and %d before", c.g == over, c.exact, got, before)
		}
	}
}
