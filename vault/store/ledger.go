package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/nsagent/nsagent/internal/atomicfile"
)

// MaxLedger limits the ledger file, in bytes: about 500,000 subjects.
const MaxLedger = 64 << 20

// MAC computes the HMAC-SHA256 of msg under the machine key. It is safe for
// concurrent use and keeps neither argument.
type MAC func(mac *[32]byte, msg []byte) error

// Kind says what the value of an entry means. The user of the ledger defines the
// kinds; their numbers are part of the file.
type Kind uint64

// Entry says that from now on the value of (Kind, Subject) is Value.
type Entry struct {
	Kind    Kind
	Subject []byte // 16 or 32 bytes: the ID or hash that the value is about
	Value   uint64
}

// Ledger is an append-only file of entries, each numbered, chained to the one
// before and MACed, of which the newest of each (kind, subject) counts. It is for
// what must be durable before a reply goes out, while the vault is locked: uses,
// redemptions, revocations, the highest time seen. It is safe for concurrent use;
// one process at a time has it open.
//
// A change or a cut is an error at the next OpenLedger. An older copy of the whole
// file is not: who must notice that keeps Sequence elsewhere.
type Ledger struct {
	codec *ledgerCodec

	write     sync.Mutex        // guards what follows, and the file; taken before mu
	guard     *atomicfile.Guard // nil once closed
	file      ledgerFile        // nil after an error that leaves the file in doubt: it is then written anew
	head      ledgerHead
	compactAt uint64 // count of entries at which Append tries to compact

	mu     sync.RWMutex // guards values, so that Get does not wait for an fsync
	values map[ledgerKey]ledgerValue
}

// ledgerFile is what the ledger needs of an *os.File.
type ledgerFile interface {
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
}

type ledgerKey struct {
	kind    Kind
	subject [32]byte
	size    uint8 // of the subject
}

type ledgerValue struct {
	value    uint64
	sequence uint64
}

// OpenLedger opens the ledger at path for the vault of the given ID (16 bytes),
// creating it if there is none, and takes its lock until Close, for which it waits until
// ctx ends. An append that was cut off by a crash is dropped.
//
// Errors: ErrBusy together with the error of ctx, ErrDamaged, ErrMAC, ErrNewer, ErrUnsafe,
// ErrTooLarge, or those of the medium and of mac.
func OpenLedger(ctx context.Context, path string, vaultID []byte, mac MAC) (*Ledger, error) {
	l, err := openLedger(ctx, path, vaultID, mac)
	if err != nil {
		return nil, fmt.Errorf("opening the ledger %s: %w", path, translate(err))
	}
	return l, nil
}

func openLedger(ctx context.Context, path string, vaultID []byte, mac MAC) (_ *Ledger, err error) {
	codec, err := newLedgerCodec(vaultID, mac)
	if err != nil {
		return nil, err
	}
	guard, err := atomicfile.Lock(ctx, path)
	if err != nil {
		return nil, err
	}
	l := &Ledger{codec: codec, guard: guard, values: make(map[ledgerKey]ledgerValue)}
	defer func() {
		if err != nil {
			_ = l.Close()
		}
	}()
	data, err := guard.Read(MaxLedger)
	if errors.Is(err, fs.ErrNotExist) {
		return l, l.rewriteLocked()
	}
	if err != nil {
		return nil, err
	}
	l.head, err = codec.decode(data, func(sequence uint64, e Entry) {
		l.values[e.key()] = ledgerValue{e.Value, sequence}
	})
	if err != nil {
		return nil, err
	}
	l.planCompactionLocked()
	if err := l.reopenLocked(); err != nil {
		return nil, err
	}
	if int64(len(data)) > l.endLocked() {
		if err := l.file.Truncate(l.endLocked()); err != nil {
			return nil, err
		}
	}
	// The writer before us may have been killed before its last fsync. What it left
	// counts from now on, so it must not vanish.
	return l, l.file.Sync()
}

// Append adds entries, all or none. When it returns nil they are durable and count;
// after an error they do not count in this process, and after a crash they are all
// there or none is. A later Append may succeed.
//
// Errors: ErrEntry, ErrTooLarge, ErrClosed, or those of the medium and of the MAC.
func (l *Ledger) Append(entries ...Entry) error {
	for _, e := range entries {
		if err := e.check(); err != nil {
			return err
		}
	}
	l.write.Lock()
	defer l.write.Unlock()
	if l.guard == nil {
		return ErrClosed
	}
	if len(entries) == 0 {
		return nil
	}
	if err := l.appendLocked(entries); err != nil {
		return fmt.Errorf("appending to the ledger %s: %w", l.guard.Path(), translate(err))
	}
	return nil
}

func (l *Ledger) appendLocked(entries []Entry) error {
	if l.file == nil || l.head.Count >= l.compactAt {
		if err := l.rewriteLocked(); err != nil && l.file == nil {
			return err
		}
	}
	head := l.head
	var buf []byte
	for _, e := range entries {
		var err error
		if buf, err = l.codec.appendEntry(buf, &head, e); err != nil {
			return err
		}
	}
	if head.Length > MaxLedger-sectorSize {
		return tooLarge("ledger", int(head.Length)+sectorSize, MaxLedger) // no more than was appended
	}
	sector, err := l.codec.encodeHead(head)
	if err != nil {
		return err
	}
	// Until the head counts them, the bytes behind the last entry mean nothing.
	if _, err := l.file.WriteAt(buf, l.endLocked()); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		l.giveUpLocked()
		return err
	}
	if _, err := l.file.WriteAt(sector, 0); err != nil {
		l.giveUpLocked()
		return err
	}
	if err := l.file.Sync(); err != nil {
		l.giveUpLocked()
		return err
	}
	first := l.head.Base + l.head.Count + 1
	l.head = head
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, e := range entries {
		l.values[e.key()] = ledgerValue{e.Value, first + uint64(i)}
	}
	return nil
}

// Get returns the value of the newest entry of kind about subject, and whether
// there is one.
func (l *Ledger) Get(kind Kind, subject []byte) (uint64, bool) {
	e := Entry{Kind: kind, Subject: subject}
	if e.check() != nil {
		return 0, false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	v, ok := l.values[e.key()]
	return v.value, ok
}

// Sequence returns the number of the last entry, 0 in a new ledger. It never
// falls, and grows with each Append and each compaction.
func (l *Ledger) Sequence() uint64 {
	l.write.Lock()
	defer l.write.Unlock()
	return l.head.Base + l.head.Count
}

// Close gives the lock back. What was appended is durable already.
func (l *Ledger) Close() error {
	l.write.Lock()
	defer l.write.Unlock()
	if l.guard == nil {
		return nil
	}
	l.giveUpLocked()
	l.guard.Unlock()
	l.guard = nil
	return nil
}

// endLocked is the offset behind the last entry that counts.
func (l *Ledger) endLocked() int64 {
	return sectorSize + int64(l.head.Length) // at most MaxLedger
}

// giveUpLocked closes the descriptor. After a failed fsync it must not be used
// again: the kernel may have dropped the pages that did not reach the disk.
func (l *Ledger) giveUpLocked() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// key returns e's key in a map.
func (e Entry) key() ledgerKey {
	k := ledgerKey{kind: e.Kind, size: uint8(len(e.Subject))} // 16 or 32
	copy(k.subject[:], e.Subject)
	return k
}
