package store

import "errors"

// Errors of reading, by snapshot file and ledger.
var (
	// ErrNotFound says that there is no vault at this place.
	ErrNotFound = errors.New("store: not found")
	// ErrDamaged says that what is there is not what was written: cut, changed,
	// or never a file of this kind.
	ErrDamaged = errors.New("store: damaged")
	// ErrNewer says that the file was written by a later version of the format.
	ErrNewer = errors.New("store: written by a newer version")
	// ErrUnsafe says that the file or its directory could be changed or read by
	// somebody else. An *atomicfile.UnsafeError beneath it names the fix.
	ErrUnsafe = errors.New("store: unsafe file")
	// ErrTooLarge says that a file or a change exceeds the limits of the format.
	ErrTooLarge = errors.New("store: too large")
)

// Errors of writing.
var (
	// ErrConflict says that somebody else committed first: load and try again.
	ErrConflict = errors.New("store: changed since it was loaded")
	// ErrExists refuses to create what is there already.
	ErrExists = errors.New("store: exists already")
	// ErrChange says that a change contradicts itself or the snapshot.
	ErrChange = errors.New("store: impossible change")
)

// Errors of the ledger alone.
var (
	// ErrBusy says that another process had the ledger open, or held the lock of
	// the snapshot file, for as long as the context allowed.
	ErrBusy = errors.New("store: in use by another process")
	// ErrClosed says that the ledger was closed.
	ErrClosed = errors.New("store: ledger closed")
	// ErrEntry says that an entry cannot be kept: its subject has neither 16 nor
	// 32 bytes.
	ErrEntry = errors.New("store: bad ledger entry")
	// ErrMAC says that the ledger was not written for this vault under this machine
	// key: it was changed, comes from another machine, or the key was replaced.
	ErrMAC = errors.New("store: ledger not written for this vault under this machine key")
)
