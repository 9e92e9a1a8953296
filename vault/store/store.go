// Package store keeps the vault's sealed bytes: a snapshot that is replaced whole
// by compare-and-swap, and an append-only ledger beside it for what must be
// written while the vault is locked.
//
// The store understands none of what it keeps. A root and a set of records are
// opaque to it, already sealed and signed by its user; it never sees a key. It
// guarantees that a commit is atomic and durable, that no commit is lost between
// writers, and that a damaged file is an error and never other content. Against a
// deliberate change of the file its user's signature protects, not the checksum
// here.
package store

import (
	"context"
	"encoding/hex"
)

// Limits of a snapshot. A file beyond them is refused before memory is spent on
// it; a change beyond them is refused before anything is written.
const (
	MaxFile    = 64 << 20       // bytes of the encoded file
	MaxRecords = 100_000        // records of a snapshot
	MaxRecord  = 1<<20 + 64<<10 // bytes of one record: a secret of 1,000,000 characters, sealed and padded
	MaxRoot    = 8 << 20        // bytes of the root
)

// ID names a record. It is chosen by the user of the store, at random.
type ID [16]byte

// String returns the 32 hexadecimal digits of id.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Snapshot is the whole content of a store at one generation. The caller owns it.
type Snapshot struct {
	Generation uint64        // 1 for the first, one more with each commit
	Root       []byte        // opaque; never nil
	Records    map[ID][]byte // opaque; never nil

	// recent are blobs that were added a short while ago; see blobs.go.
	recent map[BlobHash]recentBlob
}

// Change is what a commit does to a snapshot. What it does not name stays.
type Change struct {
	Root   []byte        // replaces the root; nil keeps it
	Put    map[ID][]byte // added, or replaced where the ID exists
	Delete []ID          // removed; each must exist and not be in Put

	// Blobs are added. They are durable before the snapshot that names them.
	Blobs map[BlobHash][]byte
	// Named are the blobs that the new snapshot or the one before it names. Others
	// are removed some time later.
	Named map[BlobHash]bool
}

// Store keeps one snapshot. Implementations are safe for concurrent use by
// goroutines and processes.
type Store interface {
	// Load returns the snapshot of the last commit. It waits for no writer.
	// Errors: ErrNotFound, ErrDamaged, ErrNewer, ErrUnsafe, ErrTooLarge.
	Load(ctx context.Context) (Snapshot, error)

	// Commit applies c to the snapshot of generation base and returns the new
	// generation, which is durable by then. With base 0 the store must be empty
	// and c becomes its first snapshot. After an error other than ErrConflict and
	// ErrExists, the store holds the old snapshot or, if the last step failed,
	// the new one.
	// Errors: ErrConflict if the generation is not base (ErrExists if base is 0),
	// ErrChange, those of Load, and those of the medium.
	Commit(ctx context.Context, base uint64, c Change) (generation uint64, err error)

	// Blob returns the blob of that hash. Errors: ErrNotFound, ErrDamaged, ErrUnsafe,
	// ErrTooLarge.
	Blob(ctx context.Context, h BlobHash) ([]byte, error)
}
