package unlocktoken

import "errors"

var (
	// ErrToken is the root of all that is wrong with a token itself.
	ErrToken = errors.New("unlocktoken: token")
	// ErrFormat means that it is no token, or a damaged or truncated one.
	ErrFormat = errors.New("unlocktoken: format")
	// ErrSignature means that a block or the proof of possession was not signed by the
	// key that it has to be signed by.
	ErrSignature = errors.New("unlocktoken: signature")
	// ErrIssuer means that the token is of another vault.
	ErrIssuer = errors.New("unlocktoken: issuer")
	// ErrUnknownCaveat means that a block limits in a way that is not known here.
	ErrUnknownCaveat = errors.New("unlocktoken: unknown caveat")
	// ErrCaveats means that a caveat has no sense, or a token would be without an end.
	ErrCaveats = errors.New("unlocktoken: caveats")
	// ErrRefused is the root of what Clear refuses.
	ErrRefused = errors.New("unlocktoken: refused")
)

// CaveatIdentities is the name of the caveat on the job that asks, as Refused has it.
const CaveatIdentities = "identities"

// CaveatNotBefore is the name of the caveat on when the right begins, as Refused has it.
const CaveatNotBefore = "not_before"

// Refused says which caveat refused, and why. It wraps ErrRefused.
type Refused struct {
	// Caveat is the name of the caveat, such as "methods" or "not_after".
	Caveat string
	// Why is a sentence in plain words with what is allowed, without what was asked.
	Why string
}

// Error returns the refusal as one line.
func (r *Refused) Error() string { return "unlocktoken: refused: " + r.Why }

// Unwrap returns ErrRefused.
func (r *Refused) Unwrap() error { return ErrRefused }
