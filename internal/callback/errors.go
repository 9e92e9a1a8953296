package callback

import "errors"

// Errors about the redirect URI and the place that it names.
var (
	// ErrRedirect: the redirect URI is none, or one that no callback can come to.
	ErrRedirect = errors.New("callback: not a redirect URI")
	// ErrElsewhere: the redirect URI does not lead to this machine, so that the
	// callback has to be pasted.
	ErrElsewhere = errors.New("callback: the redirect URI does not lead to this machine")
	// ErrPortInUse: another program listens there.
	ErrPortInUse = errors.New("callback: the port is in use")
	// ErrClosed: the listener was closed while somebody waited.
	ErrClosed = errors.New("callback: closed")
)

// Errors about what came back.
var (
	// ErrMalformed: the query is not one that NetSuite makes.
	ErrMalformed = errors.New("callback: not the answer of a consent page")
	// ErrOtherAddress: what was pasted does not begin with the redirect URI.
	ErrOtherAddress = errors.New("callback: the address does not begin with the redirect URI")
)
