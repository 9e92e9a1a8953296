package socketpath

import "errors"

// Errors about where things are.
var (
	// ErrNoHome means that neither HOME nor the XDG variable of the directory is
	// set to an absolute path.
	ErrNoHome = errors.New("socketpath: no home directory: set HOME to an absolute path")
	// ErrRelative means that a variable names a socket or file by a relative path.
	ErrRelative = errors.New("socketpath: path is not absolute")
	// ErrTooLong means that a socket path does not fit into a socket address.
	ErrTooLong = errors.New("socketpath: socket path too long")
)

// Errors about what is there.
var (
	// ErrUnsafe means that another user could read or replace what is at the path:
	// wrong owner, open permissions, or a symbolic link.
	ErrUnsafe = errors.New("socketpath: unsafe place")
	// ErrNotSocket means that something other than a socket is at the path.
	ErrNotSocket = errors.New("socketpath: not a socket")
	// ErrTaken means that somebody listens at the path already.
	ErrTaken = errors.New("socketpath: somebody listens there")
)
