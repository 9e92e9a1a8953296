// Package vault keeps named records with versioned secrets in a store, sealed, and
// gives them out into locked memory while it is unlocked. Beside them it keeps grants,
// which open the sign-only parts of some records by keys of their own while it is locked,
// and one policy. It knows nothing of NetSuite: what a record, a grant or the policy means
// is in bytes that are opaque here.
//
// # Guarantee
//
// A change is durable before the call that makes it returns, and no other process's
// change is lost. A vault that was damaged, edited or forged does not open, and
// nothing wrong is ever opened from it; one older than what this process or, with a
// keyring, this machine has seen is refused. Secrets are secret.Bytes from end to
// end.
//
// # What the user must still do
//
// Destroy what OpenSignOnly, OpenRaw and Each give, call Lock when the session ends,
// and tell the people whose vault it is what RollbackProtection and the kinds of the
// key slots say: the weakest slot decides what a thief of the file needs.
package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// Config is what a vault works with.
type Config struct {
	Store store.Store   // required
	Arena *secret.Arena // required; outlives the vault

	// Keyring holds the share of the key slots that want one, the rollback pin and
	// the machine key. nil: this machine has none.
	Keyring Keyring

	// MachineKeyFile is where the machine key lies if there is no keyring, and where
	// it is noted if there is one: machine.key beside the vault. "" means that
	// without a keyring there is no machine key.
	MachineKeyFile string

	// Memory carries what this process has seen of the vault from one Vault to the
	// next, so that locking, opening and unlocking again takes no older copy. nil: a
	// Vault remembers for itself.
	Memory *Memory

	// Rand is the source of keys, nonces and ids. nil means crypto/rand.
	Rand io.Reader

	// now is the clock of Created. nil means time.Now; only tests set it.
	now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Memory == nil {
		c.Memory = &Memory{}
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.Keyring = present(c.Keyring)
	return c
}

// Vault is one vault. It is safe for concurrent use; other processes may work on
// the same store at the same time.
type Vault struct {
	cfg Config
	id  envelope.ID

	// work is held by what reads the store in order to change something, here or in
	// the store: one unlock or commit at a time. It is taken before mu.
	work sync.Mutex

	// machine is held while the machine key is read or made. That waits for no work: what is
	// written while the vault is locked is written while a passphrase is looked at, too.
	machine sync.Mutex

	mu         sync.RWMutex   // guards what follows
	root       *envelope.Root // as last verified
	keys       *envelope.Keys // nil while locked
	index      *index         // nil while locked
	locks      uint64         // how often Lock was called
	least      uint64         // the oldest generation that is taken while locked; see AtLeast
	held       *snapshot      // nil: nothing; see OpenHeld
	protection string         // what RollbackProtection says
}

// Create makes a vault with these key slots in an empty store and leaves it unlocked.
// A store that holds something is an error wrapping store.ErrExists. Other errors:
// ErrNeedPassphrase, ErrSlot, ErrKeyring, those of the arena and the store.
func Create(ctx context.Context, cfg Config, slot Slot, more ...Slot) (*Vault, error) {
	v, err := create(ctx, cfg.withDefaults(), append([]Slot{slot}, more...))
	if err != nil {
		return nil, fmt.Errorf("creating a vault: %w", err)
	}
	return v, nil
}

func create(ctx context.Context, cfg Config, slots []Slot) (*Vault, error) {
	// Looked at before a passphrase is stretched and a share made; the commit looks again.
	switch _, err := cfg.Store.Load(ctx); {
	case err == nil:
		return nil, store.ErrExists
	case !errors.Is(err, store.ErrNotFound):
		return nil, classify(err)
	}
	v := &Vault{cfg: cfg}
	if _, err := io.ReadFull(cfg.Rand, v.id[:]); err != nil {
		return nil, fmt.Errorf("drawing a vault id: %w", err)
	}
	keys, err := envelope.GenerateKeys(cfg.Arena, cfg.Rand, v.id)
	if err != nil {
		return nil, err
	}
	defer cfg.Arena.ReleaseMemory()
	if err := v.createWith(ctx, keys, slots); err != nil {
		keys.Destroy()
		return nil, err
	}
	return v, nil
}

// createWith makes the first commit of v, for which keys were drawn.
func (v *Vault) createWith(ctx context.Context, keys *envelope.Keys, slots []Slot) error {
	public, err := keys.PublicKey()
	if err != nil {
		return err
	}
	var all []*envelope.Slot
	undo := func() {}
	for _, slot := range slots {
		makeShare := !slices.ContainsFunc(all, takesShare)
		sealed, undoSlot, err := v.sealSlot(ctx, keys, slot, makeShare)
		if err != nil {
			undo()
			return err
		}
		if slot.Kind.NeedsShare() && makeShare {
			undo = undoSlot
		}
		all = append(all, sealed)
	}
	root, err := envelope.NewRoot(v.id, public, v.unixNow()).Next(keys, all, nil)
	if err == nil {
		_, err = v.cfg.Store.Commit(ctx, 0, store.Change{Root: root.Encode()})
	}
	if err != nil {
		// A commit that failed in its last step may have made the vault; then its share
		// is needed.
		if _, gone := v.cfg.Store.Load(context.WithoutCancel(ctx)); errors.Is(gone, store.ErrNotFound) || errors.Is(err, store.ErrExists) {
			undo()
		}
		return err
	}
	v.keys, v.index = keys, newIndex(0)
	v.publish(keys, root, v.index)
	v.movePin(ctx, root)
	return nil
}

// Open reads the vault and checks its structure and its signature; it leaves it
// locked. Whether the signature is the vault's own shows at Unlock. Errors:
// store.ErrNotFound, store.ErrUnsafe, ErrDamaged, ErrNewer and those of the store.
func Open(ctx context.Context, cfg Config) (*Vault, error) {
	v, err := OpenHeld(ctx, cfg)
	if err != nil {
		return nil, err
	}
	v.Release()
	return v, nil
}

// Lock forgets every key and everything that was opened. It waits for nothing: what
// is under way fails with ErrLocked.
func (v *Vault) Lock() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.locks++
	if v.keys != nil {
		v.keys.Destroy()
	}
	v.keys, v.index, v.held = nil, nil, nil
	v.cfg.Arena.ReleaseMemory()
}

// Locked reports whether the vault is locked.
func (v *Vault) Locked() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.keys == nil
}

// ID returns the 16 bytes that name the vault. They are public and never change.
func (v *Vault) ID() []byte { return append([]byte(nil), v.id[:]...) }

// Generation returns the generation of the vault as last read.
func (v *Vault) Generation() uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.root.Generation()
}

// RollbackProtection says how an older copy of the vault would be noticed: "keyring
// pin", or "weak: " and why.
func (v *Vault) RollbackProtection() string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.protection
}

func (v *Vault) unixNow() uint64 { return uint64(max(0, v.cfg.now().Unix())) }

// publish makes root and ix what this process works with, unless the vault was
// locked since keys were taken.
func (v *Vault) publish(keys *envelope.Keys, root *envelope.Root, ix *index) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.cfg.Memory.remember(v.id, root)
	v.root = root
	if v.keys == keys {
		v.index = ix
	}
}
