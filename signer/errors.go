package signer

import (
	"errors"
	"fmt"
)

// Errors about what was asked for. Each is the root of all errors of its kind, for
// errors.Is; the text behind it names the part at fault, and shows of the input only
// what is printable ASCII, and nothing of a URL's userinfo.
var (
	// ErrAccount says that a text is not an account ID in either spelling.
	ErrAccount = errors.New("signer: not an account ID")
	// ErrURL says that a URL cannot be signed as it stands, or, from CheckHost, that
	// it has a form that no account host may have (a port, an IP address, plain http).
	ErrURL = errors.New("signer: url cannot be signed")
	// ErrRequest says that a method, a form body or a parameter cannot be signed.
	ErrRequest = errors.New("signer: request cannot be signed")
	// ErrIdentity says that a consumer key, token ID or client ID is malformed.
	ErrIdentity = errors.New("signer: malformed identifier")
	// ErrNonce says that a nonce is not 6 to 64 letters and digits.
	ErrNonce = errors.New("signer: malformed nonce")
	// ErrTimestamp says that a timestamp is not a positive number of seconds.
	ErrTimestamp = errors.New("signer: timestamp out of range")
	// ErrPassport says that a SOAP version or namespace for a TokenPassport is not
	// one there is.
	ErrPassport = errors.New("signer: malformed TokenPassport option")
	// ErrClaims says that the claims of a client assertion are not ones that NetSuite
	// takes.
	ErrClaims = errors.New("signer: malformed assertion claims")
)

// Errors about what was refused although it is well formed.
var (
	// ErrDenied is the root of every refusal that is a matter of rights and not of form.
	ErrDenied = errors.New("signer: denied")
	// ErrHost says that a URL leads to a host that is not the account's own. It wraps
	// ErrDenied.
	ErrHost = fmt.Errorf("%w: host does not belong to the account", ErrDenied)
)

// Errors about keys and certificates.
var (
	// ErrKey says that a key handle is missing, or holds a key of a kind or size that
	// NetSuite does not take.
	ErrKey = errors.New("signer: unusable key")
	// ErrAlgorithm says that a signature algorithm is not one of the six NetSuite
	// takes, or does not fit the key.
	ErrAlgorithm = errors.New("signer: unusable algorithm")
	// ErrCertificate says that a certificate is malformed.
	ErrCertificate = errors.New("signer: malformed certificate")
	// ErrCertificateKey says that a certificate is not that of the key beside it.
	ErrCertificateKey = errors.New("signer: certificate does not belong to the key")
	// ErrCertificateTime says that a certificate is not valid yet, or no longer.
	ErrCertificateTime = errors.New("signer: certificate not valid now")
)
