package agent

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/needs"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// used returns how much of the agent's locked memory is taken.
func (f *fixture) used() int {
	f.t.Helper()
	// The key of the audit log's checkpoints is there soon after an unlock, and while
	// the first is made, its successor too.
	eventually(f.t, inTime, func() string {
		if s := f.agent.audit.CheckpointStatus(); f.locked() || s.Active && s.Size > 0 {
			return ""
		}
		return "checkpoints are not being made"
	})
	return f.agent.arena.Info().Used
}

// awaitUsed waits until locked memory is back to what it was: a session that was
// replaced or dropped may be in its last call.
func (f *fixture) awaitUsed(want int) {
	f.t.Helper()
	eventually(f.t, inTime, func() string {
		if got := f.used(); got != want {
			return fmt.Sprintf("%d bytes of locked memory are taken, want %d", got, want)
		}
		return ""
	})
}

// locked reports whether the agent has no session.
func (f *fixture) locked() bool {
	f.agent.mu.RLock()
	defer f.agent.mu.RUnlock()
	return f.agent.session == nil
}

// TestUnlockFor guards G-10: the time that comes with an unlock ends the session
// however much it is used, is held to the configured limit, and is refused if it
// makes no sense.
func TestUnlockFor(t *testing.T) {
	f := start(t, func(c *Config) { c.IdleLock, c.HardLock = 6*time.Hour, 10*time.Hour })
	ctx := t.Context()
	r, err := f.admin.Unlock(ctx, f.sealer(testPassphrase), 2*time.Hour)
	if err != nil || r.GetHardSeconds() != 7200 {
		t.Fatalf("Unlock for 2 h: got %v, %v", r, err)
	}
	f.addTBA("acme")
	for range 3 {
		f.clock.Add(int64(39 * time.Minute))
		f.sign("acme")
	}
	f.clock.Add(int64(4 * time.Minute))
	if _, err := f.signer.Sign(ctx, client.Request{URL: sandboxURL}); !errors.Is(err, client.ErrLocked) {
		t.Errorf("after 2 h 1 min: got %v, want ErrLocked", err)
	}
	f.waitLocked()

	if r, err := f.admin.Unlock(ctx, f.sealer(testPassphrase), 48*time.Hour); err != nil || r.GetHardSeconds() != 36000 {
		t.Errorf("Unlock for 48 h where 10 h is the most: got %v, %v", r, err)
	}
	for _, d := range []time.Duration{-time.Second, 366 * 24 * time.Hour} {
		if _, err := f.admin.Unlock(ctx, f.sealer(testPassphrase), d); !errors.Is(err, client.ErrRequest) {
			t.Errorf("Unlock for %s: got %v, want ErrRequest", d, err)
		}
	}
}

// TestKeysGoWhenTheTimeIsUp guards G-10: nobody needs to ask anything for the keys
// to go when their time is over.
func TestKeysGoWhenTheTimeIsUp(t *testing.T) {
	f := start(t)
	empty := f.used()
	f.unlock()
	f.addTBA("acme")
	if _, err := f.admin.Unlock(t.Context(), f.sealer(testPassphrase), time.Second); err != nil {
		t.Fatal(err)
	}
	f.waitLocked() // within inTime, while the watcher by itself looks each 15 s
	f.awaitUsed(empty)
	eventually(t, inTime, func() string { // the keys go first
		log := f.entries()
		if last := log[len(log)-1]; last.Event != audit.EventVaultLock || last.Detail != "hard limit" {
			return fmt.Sprintf("last entry: got %+v", last)
		}
		return ""
	})
}

// TestUnlockAgain guards G-10: an unlock while unlocked replaces the session and
// leaves nothing of the old one; a wrong passphrase leaves it as it is.
func TestUnlockAgain(t *testing.T) {
	f := start(t)
	empty := f.used()
	f.unlock()
	f.addTBA("acme")
	full := f.used()
	for range 3 {
		f.unlock()
		f.sign("acme")
	}
	f.awaitUsed(full)
	if _, err := f.admin.Unlock(t.Context(), f.sealer("wrong"), 0); !errors.Is(err, client.ErrPassphrase) {
		t.Errorf("wrong passphrase while unlocked: got %v", err)
	}
	f.sign("acme")

	var group sync.WaitGroup
	for range 4 {
		admin := f.dialAdmin()
		group.Go(func() {
			if _, err := admin.Unlock(t.Context(), f.sealer(testPassphrase), 0); err != nil {
				t.Errorf("one of several unlocks at once: %v", err)
			}
		})
	}
	group.Wait()
	f.sign("acme")
	f.awaitUsed(full)
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.awaitUsed(empty)
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Errorf("Lock while locked: %v", err)
	}
}

// TestLockOverrulesUnlock guards G-10: who locks while an unlock is under way finds
// the agent locked once both have returned.
func TestLockOverrulesUnlock(t *testing.T) {
	f := start(t)
	overruled := 0
	for range 8 {
		done := make(chan error, 1)
		go func() {
			_, err := f.admin.Unlock(t.Context(), f.sealer(testPassphrase), 0)
			done <- err
		}()
		eventually(t, inTime, func() string { // until the unlock has begun, or ended
			if len(f.agent.admin) == 0 && len(done) == 0 {
				return "no unlock is under way"
			}
			return ""
		})
		if err := f.admin.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		switch err := <-done; {
		case errors.Is(err, client.ErrLocked):
			overruled++
		case err != nil:
			t.Fatalf("Unlock: got %v, want ErrLocked or nil", err)
		}
		if !f.locked() {
			t.Fatal("the agent is unlocked after a lock that was answered")
		}
	}
	failed := 0
	for _, e := range f.entries() {
		if e.Event == audit.EventVaultUnlock && e.Outcome == audit.OutcomeFailed {
			failed++
		}
	}
	if failed != overruled || overruled == 0 {
		t.Errorf("unlocks overruled: %d, and %d on record; want the same, not 0", overruled, failed)
	}
}

// TestLockUnderLoad guards G-10: after Lock was answered no request that begins
// later is signed, and those under way end well or as locked.
func TestLockUnderLoad(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	empty := 0
	for round := range 5 {
		var stop atomic.Bool
		var locked atomic.Int64 // when Lock was answered, in nanoseconds since begin; 0 before
		begin := time.Now()
		var signed atomic.Int64
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				for !stop.Load() {
					after := locked.Load() != 0
					var err error
					if i%2 == 0 {
						_, err = f.signer.Sign(t.Context(), client.Request{URL: sandboxURL})
					} else {
						_, err = f.signer.Passport(t.Context(), "", "")
					}
					switch {
					case err == nil && after:
						t.Error("signed by a request that began after Lock was answered")
						return
					case err == nil:
						signed.Add(1)
					case !errors.Is(err, client.ErrLocked):
						t.Errorf("got %v, want nil or ErrLocked", err)
						return
					}
				}
			})
		}
		eventually(t, inTime, func() string {
			if signed.Load() < 50 {
				return "too few signatures"
			}
			return ""
		})
		if err := f.admin.Lock(t.Context()); err != nil {
			t.Error(err)
		}
		locked.Store(int64(time.Since(begin)) + 1)
		time.Sleep(5 * time.Millisecond)
		stop.Store(true)
		group.Wait()
		if round == 0 {
			empty = f.used()
		}
		f.awaitUsed(empty)
		f.unlock()
	}
}

// TestAddRacesLock guards P9 and G-10: adding a profile while somebody locks ends
// with the profile stored, or with ErrLocked; and nothing stays in locked memory.
func TestAddRacesLock(t *testing.T) {
	f := start(t)
	empty := f.used()
	var stored []string
	for i := range 12 {
		f.unlock()
		name := fmt.Sprintf("p%d", i)
		done := make(chan error, 1)
		go func() {
			_, err := f.admin.AddProfile(t.Context(), tba(name), f.tbaSecrets())
			done <- err
		}()
		time.Sleep(time.Duration(i) * 500 * time.Microsecond) // from before it to after it
		if err := f.admin.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		switch err := <-done; {
		case err == nil:
			stored = append(stored, name)
		case !errors.Is(err, client.ErrLocked):
			t.Errorf("AddProfile: got %v, want nil or ErrLocked", err)
		}
		if !f.locked() {
			t.Fatal("unlocked after Lock")
		}
		f.awaitUsed(empty)
	}
	f.unlock()
	for _, name := range stored {
		f.sign(name)
	}
	if len(stored) == 0 || len(stored) == 12 {
		t.Logf("%d of 12 were stored: the two did not meet", len(stored))
	}
}

// TestManyAtOnce guards U-01 and C-07: 20 clients add and remove profiles while 20
// others sign and one unlocks anew all the time. At the end exactly the profiles
// are there that should be.
func TestManyAtOnce(t *testing.T) {
	const clients = 20
	rounds := 2
	if needs.Long() {
		rounds = 50
	}
	f := start(t)
	f.unlock()
	f.addTBA("steady")
	var adders, signers sync.WaitGroup
	var stop atomic.Bool
	for range clients {
		c := f.dial()
		signers.Go(func() {
			for !stop.Load() {
				if _, err := c.Sign(t.Context(), client.Request{Profile: "steady", URL: sandboxURL}); err != nil {
					t.Errorf("Sign: %v", err)
					return
				}
				if _, err := c.Sign(t.Context(), client.Request{Profile: "p7", URL: sandboxURL}); err != nil && !errors.Is(err, client.ErrNoProfile) {
					t.Errorf("Sign with a profile that comes and goes: %v", err)
				}
				if _, err := c.Profiles(t.Context()); err != nil {
					t.Errorf("Profiles: %v", err)
				}
			}
		})
	}
	for i := range clients {
		admin, name := f.dialAdmin(), fmt.Sprintf("p%d", i)
		adders.Go(func() {
			for round := range rounds {
				if _, err := admin.AddProfile(t.Context(), tba(name), f.tbaSecrets()); err != nil {
					t.Errorf("AddProfile(%s): %v", name, err)
					return
				}
				if e := (*client.Error)(nil); round == 0 {
					if _, err := admin.AddProfile(t.Context(), tba(name), f.tbaSecrets()); !errors.As(err, &e) || e.Code != pb.CodeExists {
						t.Errorf("AddProfile(%s) again: got %v, want %s", name, err, pb.CodeExists)
					}
				}
				if i%2 == 1 && round == rounds-1 {
					return // the odd ones stay
				}
				if err := admin.RemoveProfile(t.Context(), name); err != nil {
					t.Errorf("RemoveProfile(%s): %v", name, err)
					return
				}
			}
		})
	}
	admin := f.dialAdmin()
	signers.Go(func() {
		for !stop.Load() {
			if _, err := admin.Unlock(t.Context(), f.sealer(testPassphrase), 0); err != nil {
				t.Errorf("Unlock: %v", err)
			}
		}
	})
	adders.Wait()
	stop.Store(true)
	signers.Wait()

	check := func(when string) {
		list, err := f.signer.Profiles(t.Context())
		if err != nil || len(list.GetProfiles()) != 1+clients/2 {
			t.Errorf("%s: got %d profiles, %v; want %d", when, len(list.GetProfiles()), err, 1+clients/2)
		}
	}
	check("after it")
	f.unlock() // reads the vault anew
	check("read anew")
}
