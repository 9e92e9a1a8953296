// Package agent is the daemon: it identifies who asks, decides, records, and
// only then signs.
//
// One process holds the keys. It serves two Unix sockets, agent.sock to use and
// admin.sock to manage, each for gRPC and the first also for plain JSON over
// HTTP. Every use goes through one function that decides and writes the audit
// entry before anything is signed (decide.go). Keys exist only in the locked
// arena of internal/secret, and only between unlock and lock.
//
// The package does not start processes: agent/supervise does, so that this one
// can deny itself exec and the network.
package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/agent/approval"
	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/harden"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// Agent is one running daemon. Make it with New, run it with Run.
type Agent struct {
	cfg         Config
	log         *slog.Logger
	arena       *secret.Arena
	audit       *audit.Log
	seals       *sealKeys // of admin.sock
	tokenSeals  *sealKeys // of agent.sock
	uploads     *uploads
	presented   *presented
	issuers     atomic.Pointer[issuers] // of ID tokens
	bundled     *bundled                // what is served in the place of a vault; nil: a vault is
	counters    *counters
	grantClocks grantClocks
	reservedIn  atomic.Pointer[vault.Vault] // whose ledger uses were reserved in last
	generation  atomic.Uint64               // of the unlocked vault, that the ledger has; 0: it has none yet
	ledgers     chan struct{}               // holds a value while the ledger is open
	looking     chan struct{}               // holds a value while a locked agent has a first look at a token
	// keyrings and tokenKeyrings have a value for each question to the keyring, by the owner's
	// calls and by what tokens do while the agent is locked. Together they are fewer than the
	// helpers that the supervisor allows, one of which may be about to end.
	keyrings, tokenKeyrings chan struct{}
	ends, hear              chan struct{} // wake watchGrants and watchRevocations
	learnt                  learnt
	noticing                atomic.Bool // watchRevocations is woken when the ledger changes
	logins                  *logins
	approvals               *approval.Queue
	codec                   profileCodec
	network                 network
	rotations               rotations
	sockets                 grantSockets
	// probePause is the time between two tries of a new certificate.
	probePause time.Duration
	boottime   func() time.Duration
	clock      func() time.Time
	instance   [16]byte
	owner      uint32
	sandbox    harden.Report
	seen       vault.Memory // of the vault, from one unlock to the next

	stop    context.CancelFunc
	wake    chan struct{}
	erase   chan struct{} // wakes eraseVersions
	tend    chan struct{} // wakes tendCertificates
	making  making
	tending tending
	aging   chan struct{} // wakes watchExpiry

	recalled chan struct{} // closed once the audit log was read

	admin    chan struct{} // holds a value while something changes the vault or unlocks it
	managers atomic.Int32  // calls that do so or wait for it

	mu sync.RWMutex // guards what follows; held for reading while a key is used
	// session is nil while locked.
	session *session
	// locks is how often somebody asked to lock. An unlock under way then is void.
	locks uint64
	// lastID is the id of the vault as last read; nil while there is none.
	lastID []byte
	// lastUse is when profiles were last used, in Unix seconds, as far as no session
	// knows better.
	lastUse map[string]int64
	// told is what the log says last of the end of each profile.
	told map[string]string
	// keep is until when, by the boot clock, this agent keeps previous versions that
	// came about in its time.
	keep map[kept]time.Duration

	looks    *looks   // at processes behind agent.sock
	underway underway // uses of rules that limit how many there are at once

	slots slotsSeen // of the vault while it is locked

	stopping    atomic.Bool // the last checkpoint is that of the stop
	connections atomic.Int32
	awaited     atomic.Int32 // calls whose message is not there yet
	flood       pace         // of connections that send faster than they are read
	refused     atomic.Int64 // boot-clock time of the last audited refusal of a peer
}

// Boottime returns the time since boot, suspend included (CLOCK_BOOTTIME).
func Boottime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// New prepares an agent: locked memory, the audit log, and a look at the vault,
// so that damage is told at once and not at the first unlock. A missing vault is
// no error; init may come later.
//
// The caller must end the agent with Run or Close.
func New(ctx context.Context, cfg Config) (*Agent, error) {
	a := &Agent{
		cfg: cfg, log: cfg.Log, boottime: cfg.Boottime, clock: cfg.Clock,
		owner: uint32(os.Geteuid()), // #nosec G115 -- a uid fits
		flood: pace{free: freeFlood}, probePause: 2 * time.Second,
		admin: make(chan struct{}, 1), recalled: make(chan struct{}),
		wake: make(chan struct{}, 1), erase: make(chan struct{}, 1), aging: make(chan struct{}, 1), tend: make(chan struct{}, 1),
		lastUse: make(map[string]int64), keep: make(map[kept]time.Duration), told: make(map[string]string),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.boottime == nil {
		a.boottime = Boottime
	}
	if a.clock == nil {
		a.clock = time.Now
	}
	if a.cfg.IdleLock == 0 {
		a.cfg.IdleLock = time.Hour
	}
	if a.cfg.HardLock == 0 {
		a.cfg.HardLock = 12 * time.Hour
	}
	if a.cfg.Memory == "" {
		a.cfg.Memory = secret.ModeAuto
	}
	if _, err := rand.Read(a.instance[:]); err != nil {
		return nil, fmt.Errorf("making an instance id: %w", err)
	}
	var err error
	if a.codec, err = newProfileCodec(); err != nil {
		return nil, fmt.Errorf("preparing the metadata codec: %w", err)
	}
	if a.arena, err = secret.NewArena(secret.ArenaConfig{Mode: a.cfg.Memory}); err != nil {
		return nil, fmt.Errorf("preparing locked memory: %w", err)
	}
	a.network.start, a.network.exchanger = cfg.Gateway, cfg.Exchanger
	a.network.exchangers = make(chan struct{}, maxExchangers)
	a.seals = newSealKeys(a.arena, a.boottime, maxSealKeys)
	a.tokenSeals = newSealKeys(a.arena, a.boottime, maxTokenKeys)
	a.uploads = newUploads(a.boottime)
	a.presented, a.counters = newPresented(), newCounters()
	a.ledgers, a.ends, a.hear = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	a.looks = newLooks()
	a.looking, a.keyrings, a.tokenKeyrings = make(chan struct{}, 1), make(chan struct{}, 2), make(chan struct{}, 1)
	a.logins = newLogins(a.boottime)
	a.approvals = approval.New(a.boottime)
	if err := a.prepare(ctx); err != nil {
		return nil, errors.Join(err, a.arena.Close())
	}
	if a.audit, err = audit.Open(a.cfg.Paths.AuditDir, audit.Options{Strict: cfg.Strict}); err != nil {
		if errors.Is(err, audit.ErrInUse) {
			err = a.elsewhere(err)
		}
		return nil, errors.Join(fmt.Errorf("opening the audit log: %w", err), a.arena.Close())
	}
	if a.bundled != nil {
		return a, nil
	}
	if _, err := a.openVault(ctx); err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// prepare opens the bundle, if one is to be served, and makes the directories of what is
// on disk.
func (a *Agent) prepare(ctx context.Context) error {
	if err := a.knowIssuers(nil); err != nil {
		return err
	}
	if a.cfg.Bundle != nil {
		if err := a.openBundle(ctx); err != nil {
			return err
		}
	}
	for _, dir := range a.dirs() {
		if err := socketpath.EnsureDir(dir); err != nil {
			return fmt.Errorf("preparing %s: %w", dir, err)
		}
	}
	return nil
}

// dirs are the directories of what the agent keeps on disk: of the ledger, beside which
// the vault is, and of the log.
func (a *Agent) dirs() []string {
	return []string{filepath.Dir(a.cfg.Paths.Ledger), a.cfg.Paths.AuditDir}
}

// Close wipes the arena and closes the audit log of an agent that does not run.
func (a *Agent) Close() error {
	a.mu.Lock()
	s := a.session
	a.session = nil
	a.mu.Unlock()
	if s != nil {
		s.destroy()
	}
	a.closeBundle()
	a.network.close()
	return errors.Join(a.audit.Close(), a.arena.Close())
}

// Run serves until ctx ends, Stop is asked for, or a part fails; the first error
// ends all parts. It locks before it returns.
func (a *Agent) Run(ctx context.Context) (err error) {
	ctx, a.stop = context.WithCancel(ctx)
	defer a.stop()
	defer func() { err = errors.Join(err, a.Close()) }()

	ls, err := a.listen()
	if err != nil {
		return err
	}
	defer ls.close()
	// Before the fence, which leaves no way to that directory.
	note := a.leaveNote()
	defer note.take()
	if err := a.fence(); err != nil {
		return err
	}
	if err := a.recordDurably(nil, audit.Event{Event: audit.EventAgentStart, Outcome: audit.OutcomeOK}); err != nil {
		return fmt.Errorf("recording the start: %w", err)
	}
	if err = a.startBundle(ctx); err == nil {
		a.unlockAtStart(ctx)
		err = a.runTasks(ctx, ls, note)
	}
	a.awaitRefreshes()
	a.stopping.Store(true)
	a.lock("agent stopped", nil)
	if e := a.returnUses(); e != nil {
		a.log.Warn("uses that were reserved are lost", "error", e)
	}
	a.settleBundle()
	// A call that is still under way cannot be recorded after the stop, nor answered.
	if e := a.audit.Finish(a.by(nil, audit.Event{Event: audit.EventAgentStop, Outcome: audit.OutcomeOK})); e != nil {
		err = errors.Join(err, fmt.Errorf("recording the stop: %w", e))
	}
	return err
}

// runTasks runs the parts of the agent until one fails or ctx ends.
func (a *Agent) runTasks(ctx context.Context, ls *listeners, note *socketNote) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, note.take)()
	tasks := []func(context.Context) error{
		func(ctx context.Context) error { return a.serve(ctx, ls) },
		a.watchSession,
		a.sweepSealKeys,
		a.eraseVersions,
		a.tendCertificates,
		a.recall,
		a.watchExpiry,
		a.watchGrants,
		a.watchRevocations,
		a.noticeChanges,
		a.repairAudit,
		a.tendPrompter,
	}
	done := make(chan error, len(tasks))
	if a.cfg.Ready != nil {
		a.cfg.Ready()
	}
	for _, task := range tasks {
		go func() { done <- task(ctx) }()
	}
	var first error
	for range tasks {
		err := <-done
		if first == nil {
			first = err
		}
		cancel()
	}
	return first
}

// fence puts up seccomp and Landlock. From here on the process can open nothing
// outside its own directories, start no program and reach no network.
func (a *Agent) fence() error {
	if !a.cfg.Sandbox {
		return nil
	}
	// What a shell left open to us would outlive an exec, were there one. Kernels
	// before 5.11 do not know the flag; seccomp stands there alone.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	p := a.cfg.Paths
	report, err := harden.Agent(harden.AgentSandbox{
		ReadWrite: append(a.dirs(), filepath.Dir(p.Agent), filepath.Dir(p.Admin)),
		ReadOnly:  []string{"/proc"},
	})
	if err != nil {
		return fmt.Errorf("putting up the sandbox: %w", err)
	}
	a.sandbox = report
	return nil
}

// recall reads from the audit log when each profile was last used, and what was said of
// its end. A log of years takes seconds to read, and nobody has to wait for it.
func (a *Agent) recall(ctx context.Context) error {
	past, err := audit.Recall(a.cfg.Paths.AuditDir)
	if err != nil {
		a.log.Error("last uses not known", "error", err)
	}
	a.mu.Lock()
	for name, t := range past.Used {
		a.lastUse[name] = max(a.lastUse[name], t.Unix())
	}
	maps.Copy(a.told, past.Expiry)
	if a.session != nil {
		a.session.noteUse(a.lastUse)
	}
	a.mu.Unlock()
	close(a.recalled)
	<-ctx.Done()
	return nil
}

// repairAudit opens the audit log again after it failed, so that a disk that has
// room again is enough to go on signing. It waits longer after each failure.
func (a *Agent) repairAudit(ctx context.Context) error {
	const shortest, longest = time.Second, time.Minute
	wait := shortest
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if a.audit.Err() == nil {
			wait = shortest
		} else if err := a.audit.Recover(); err != nil {
			a.log.Error("audit log not usable", "error", err)
			wait = min(2*wait, longest)
		} else {
			a.log.Info("audit log usable again")
			wait = shortest
		}
		timer.Reset(wait)
	}
}

func (a *Agent) sweepSealKeys(ctx context.Context) error {
	tick := time.NewTicker(sealKeyLife / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.seals.sweep()
			a.tokenSeals.sweep()
			a.uploads.sweep()
			a.logins.sweep()
		}
	}
}
