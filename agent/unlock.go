package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/keyring"
	"github.com/nsagent/nsagent/vault/store"
)

// openVault opens the vault file, locked.
func (a *Agent) openVault(ctx context.Context) (*vault.Vault, error) {
	return a.openVaultAt(ctx, a.keyrings)
}

// door returns a door to the keyring whose calls take turns at seats; nil: there is none.
func (a *Agent) door(seats chan struct{}) *keyring.Door {
	if a.cfg.Keyring == nil {
		return nil
	}
	d := keyring.New(a.arena, a.cfg.Keyring)
	d.Seats = seats
	return d
}

// openVaultAt is openVault with the seats at which the keyring is asked for it.
func (a *Agent) openVaultAt(ctx context.Context, seats chan struct{}) (*vault.Vault, error) {
	return a.openVaultWith(ctx, vault.Open, seats)
}

// openVaultWith is openVaultAt by vault.Open or vault.OpenHeld.
func (a *Agent) openVaultWith(ctx context.Context, open func(context.Context, vault.Config) (*vault.Vault, error), seats chan struct{}) (*vault.Vault, error) {
	if a.bundled != nil {
		return nil, noVaultInBundle(ErrNoVault)
	}
	cfg := vault.Config{Store: store.NewFile(a.cfg.Paths.Vault), Arena: a.arena, MachineKeyFile: a.cfg.Paths.MachineKey, Memory: &a.seen}
	if d := a.door(seats); d != nil {
		cfg.Keyring = d
	}
	v, err := open(ctx, cfg)
	if errors.Is(err, store.ErrNotFound) {
		err = NoVault(a.cfg.Paths, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the vault: %w", err)
	}
	a.mu.Lock()
	a.lastID = v.ID()
	a.mu.Unlock()
	return v, nil
}

// Leftover returns what an earlier vault left behind, whose own file is gone; "" for nothing.
func Leftover(p socketpath.Paths) string {
	if _, err := os.Lstat(p.Vault); !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	for _, path := range []string{p.Vault + ".prev", p.Ledger, p.MachineKey} {
		if _, err := os.Lstat(path); err == nil {
			return path
		}
	}
	return ""
}

// NoVault is the refusal where the file of the vault is missing, which cause says: nobody is
// to make another one where something is left of an earlier one.
func NoVault(p socketpath.Paths, cause error) error {
	rest := Leftover(p)
	if rest == "" {
		return refuse(cause, pb.CodeNoVault, "there is no vault yet", "", "make one:  nsagent init")
	}
	return refuse(cause, pb.CodeNoVault, "the vault is gone: "+p.Vault, rest+" was left behind by it", "see what can be put back:  nsagent vault fsck")
}

// noVaultInBundle is the refusal of what needs the vault where a bundle is served.
func noVaultInBundle(cause error) error {
	return refuse(cause, pb.CodeNoVault, "this agent serves a bundle and has no vault", "a bundle can be used, and not changed; its limits are where it was made", "see what it serves:  nsagent status")
}

// unlock opens the vault with proof, which may be zero, and makes every profile ready
// to sign. It records the unlock before it takes effect. hard is
// how long the session lives at most; zero means the configured time.
//
// Where somebody locks meanwhile, the agent stays locked: the later word counts.
func (a *Agent) unlock(ctx context.Context, c *caller, proof vault.Proof, hard time.Duration) (*session, error) {
	a.mu.RLock()
	locks := a.locks
	a.mu.RUnlock()
	end, err := a.beginUnlock(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	defer a.arena.DelayRelease()() // many ask meanwhile
	defer a.arena.ReleaseMemory()

	s, err := a.openSession(ctx, proof)
	e := audit.Event{Event: audit.EventVaultUnlock, Outcome: audit.OutcomeOK}
	if err != nil {
		e.Outcome, e.Reason = audit.OutcomeDenied, string(refusalOf(err).Code)
	} else {
		// An older copy that was put back shows in the log as a smaller number.
		e.Detail = fmt.Sprintf("generation=%d", s.vault.Generation())
		if by := proofName(proof); by != string(vault.SlotPassphrase) {
			e.Detail += " by=" + by
		}
	}
	werr := a.recordDurably(c, e)
	if werr == nil && err == nil {
		werr = a.recordCut(c, s)
	}
	if werr != nil {
		if err == nil {
			s.destroy()
		}
		return nil, fmt.Errorf("recording the unlock: %w", werr)
	}
	if err != nil {
		return nil, err
	}
	s.since, s.idle, s.hard = a.boottime(), a.cfg.IdleLock, a.cfg.HardLock
	if hard > 0 {
		s.hard = min(hard, a.cfg.HardLock)
	}
	s.lastUse.Store(int64(s.since))

	if err := a.startCheckpoints(s); err != nil {
		s.destroy()
		return nil, err
	}
	old, ok := a.install(s, locks)
	if old != nil {
		old.destroy()
	}
	if ok {
		// What tokens opened by themselves is as it was then, and not used any more.
		for _, c := range a.presented.all() {
			a.dropOwn(c.now().grant)
		}
		a.endForeign(s)
	}
	if !ok {
		s.destroy()
		s.checkpoints.Stop()
		return nil, a.overruled(c, e)
	}
	a.look()
	a.lookAtAges()
	wake(a.erase)
	wake(a.tend)
	a.listenForGrants(ctx, s)
	s.vault.Release()
	return s, nil
}

// install makes s the session and returns the one before it, unless somebody
// locked since locks was read.
func (a *Agent) install(s *session, locks uint64) (old *session, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.locks != locks {
		return nil, false
	}
	old = a.takeLocked()
	s.noteUse(a.lastUse)
	a.session = s
	return old, true
}

// overruled records that the unlock e by c did not take effect, and returns why.
func (a *Agent) overruled(c *caller, e audit.Event) error {
	err := refuse(vault.ErrLocked, pb.CodeLocked, "the vault stays locked", "it was locked while it was being unlocked", "unlock it:  nsagent unlock")
	e.Outcome, e.Reason = audit.OutcomeFailed, string(err.Code)
	if werr := a.recordDurably(c, e); werr != nil {
		a.log.Error("audit log not written after an unlock that was overruled", "error", werr)
	}
	return err
}

// openSession opens the vault and all its profiles.
func (a *Agent) openSession(ctx context.Context, proof vault.Proof) (*session, error) {
	v, err := a.openVaultWith(ctx, vault.OpenHeld, a.keyrings)
	if errors.Is(err, store.ErrNotFound) {
		return nil, NoVault(a.cfg.Paths, ErrNoVault)
	}
	if err != nil {
		return nil, err
	}
	s := &session{vault: v, profiles: make(map[string]*live), staged: make(map[string]*live)}
	if err = a.tryUnlock(ctx, s, proof); err != nil {
		v.Lock()
		return nil, err
	}
	if s.signer, err = v.GrantKey(); err == nil {
		err = v.Each(a.openRecords(s))
	}
	if err != nil {
		s.destroy()
		return nil, fmt.Errorf("opening the profiles: %w", err)
	}
	a.noteMissing(ctx, s)
	a.putInForce(s, readRules(v.Policy()))
	return s, nil
}

// openRecords returns what takes the records of the vault into s, several at once.
func (a *Agent) openRecords(s *session) func(vault.Record, secret.Bytes) error {
	var mu sync.Mutex // guards what s has
	return func(r vault.Record, signOnly secret.Bytes) error {
		if r.Kind == kindTOTP {
			mu.Lock()
			defer mu.Unlock()
			return s.takeAuthenticator(r, signOnly)
		}
		p, err := a.codec.decodeRecord(r)
		if err != nil {
			signOnly.Destroy()
			return err
		}
		l, err := newLive(a.arena, p, signOnly)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if p.For != "" {
			s.staged[p.For] = l
		} else {
			s.profiles[p.Name] = l
		}
		return nil
	}
}
