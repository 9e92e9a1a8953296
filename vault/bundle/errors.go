package bundle

import "errors"

var (
	// ErrFormat means bytes that no nsagent writes.
	ErrFormat = errors.New("bundle: malformed")
	// ErrEmpty means that there is nothing in the file, and ErrPointer that there is what Git LFS
	// leaves in the place of it. Both come with ErrFormat.
	ErrEmpty   = errors.New("bundle: empty")
	ErrPointer = errors.New("bundle: a pointer of Git LFS")
	// ErrNewer means a format that this nsagent does not know.
	ErrNewer = errors.New("bundle: written by a newer nsagent")
	// ErrIssuer means that the bundle is of another vault than the token.
	ErrIssuer = errors.New("bundle: of another issuer")
	// ErrSignature means that its issuer did not sign it so.
	ErrSignature = errors.New("bundle: signature does not verify")
	// ErrOpen means that there is no such credential, or another key is needed. It does not
	// say which of them.
	ErrOpen = errors.New("bundle: does not open")
)
