package audit

import "errors"

// Errors of opening a log.
var (
	// ErrInUse means that another process, or another Log of this one, has the log open.
	ErrInUse = errors.New("audit: log is in use")

	// ErrUnsafe means that the directory or the file is not a plain one of the owner,
	// closed to everybody else.
	ErrUnsafe = errors.New("audit: file or directory is not safe to use")

	// ErrBroken means that the end of the log has been changed: it cannot be continued.
	// The damage that a crash leaves is repaired instead and is no error.
	ErrBroken = errors.New("audit: log was changed")

	// ErrOpen means that the system does not let the log be opened for writing, as on a
	// disk that is full or read-only.
	ErrOpen = errors.New("audit: log cannot be opened")
)

// Errors of appending.
var (
	// ErrUnavailable means that a write or an fsync has failed, or that the file was
	// replaced, removed or changed beneath the log. It stays until Recover.
	ErrUnavailable = errors.New("audit: log cannot be written")

	// ErrClosed means that the log was closed.
	ErrClosed = errors.New("audit: log is closed")

	// ErrEvent means that the event or its outcome is none of this package's.
	ErrEvent = errors.New("audit: unknown event or outcome")
)

// ErrLine means that a line is not an audit entry in its one right form.
var ErrLine = errors.New("audit: malformed line")

// Errors of proving an entry.
var (
	// ErrNotCovered means that no checkpoint covers the entry, or the given one does not.
	ErrNotCovered = errors.New("audit: no checkpoint covers the entry")

	// ErrNoEntry means that the log does not hold an entry any more.
	ErrNoEntry = errors.New("audit: entry is not in the log")
)

// ErrCheckpoint means that a checkpoint, a verifier key or the file of the signing key is
// not in its one right form.
var ErrCheckpoint = errors.New("audit: malformed checkpoint")
