package oidc

import "errors"

// Why a token is refused. Each is the cause of a *Refused.
var (
	// ErrFormat: it is no signed token of a kind that is accepted, or too long.
	ErrFormat = errors.New("oidc: format")
	// ErrIssuer: nobody configured its issuer.
	ErrIssuer = errors.New("oidc: issuer")
	// ErrKey: its issuer has no such key.
	ErrKey = errors.New("oidc: unknown key")
	// ErrSignature: the key did not sign it.
	ErrSignature = errors.New("oidc: signature")
	// ErrAudience: it is for somebody else.
	ErrAudience = errors.New("oidc: audience")
	// ErrTime: it is over, not good yet, or good for too long.
	ErrTime = errors.New("oidc: time")
	// ErrClaims: a claim is missing or malformed.
	ErrClaims = errors.New("oidc: claims")
	// ErrEvent: anybody can cause the event that the job runs for.
	ErrEvent = errors.New("oidc: event")
	// ErrScope: the grant is for another job.
	ErrScope = errors.New("oidc: scope")
)

// Errors that are not about a token.
var (
	// ErrKeys: the keys of an issuer are not to be had, or malformed.
	ErrKeys = errors.New("oidc: keys of the issuer")
	// ErrConfig: an issuer or an identity of a grant makes no sense.
	ErrConfig = errors.New("oidc: configuration")
)

// Refused says why a token is refused. It wraps one of the errors above.
type Refused struct {
	// Why is a sentence in plain words. It quotes claims, which are not secret, and
	// nothing else of the token.
	Why   string
	cause error
}

// Error returns the refusal as one line.
func (r *Refused) Error() string { return r.cause.Error() + ": " + r.Why }

// Unwrap returns the cause.
func (r *Refused) Unwrap() error { return r.cause }

func refuse(cause error, why string) error { return &Refused{Why: why, cause: cause} }
