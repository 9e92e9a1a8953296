package peercred

import "errors"

// Errors when a connection is looked at.
var (
	// ErrPeerGone means that the process that connected does not run any more.
	ErrPeerGone = errors.New("peercred: the process that connected is gone")
	// ErrNotUnix means that the connection is not a Unix socket, so that nobody can
	// say who is at its other end.
	ErrNotUnix = errors.New("peercred: not a unix socket")
	// ErrUnidentified means that a connection reached the server's credentials
	// without having been through Identify.
	ErrUnidentified = errors.New("peercred: connection without an identified peer")
	// ErrWrongServer means that the socket is served by a user who is not trusted.
	ErrWrongServer = errors.New("peercred: the server belongs to another user")
	// ErrUnsupported means that this system cannot say who is at the other end.
	ErrUnsupported = errors.New("peercred: peers cannot be identified on this system")
)
