package secret

import "errors"

// Making an arena.
var (
	// ErrMemlock says that the process may not lock enough memory. The error that
	// wraps it names the limit and the remedy.
	ErrMemlock = errors.New("secret: not enough lockable memory")
	// ErrMode says that the memory mode asked for is unknown or refused here.
	ErrMode = errors.New("secret: memory mode not available")
)

// Using an arena.
var (
	// ErrFull says that the arena has no free range of the size asked for.
	ErrFull = errors.New("secret: locked memory is full")
	// ErrClosed says that the arena was closed.
	ErrClosed = errors.New("secret: arena is closed")
	// ErrDestroyed says that the bytes or the key were destroyed or never set.
	ErrDestroyed = errors.New("secret: used after Destroy, or never set")
	// ErrLength says that a length is negative or does not fit.
	ErrLength = errors.New("secret: length out of range")
	// ErrTooLong says that a reader held more than the caller allowed.
	ErrTooLong = errors.New("secret: input too long")
	// ErrRedacted is what every marshaller of secret bytes returns.
	ErrRedacted = errors.New("secret: refusing to marshal secret bytes")
)

// Keys and sealed input.
var (
	// ErrKeyFormat says that the bytes are not one PKCS#8, SEC 1 or PKCS#1 key.
	ErrKeyFormat = errors.New("secret: not a private key in PKCS#8, SEC 1 or PKCS#1 form")
	// ErrKeyKind says that the key is none of EC P-256, P-384, P-521 and RSA of
	// 2048 to 8192 bits.
	ErrKeyKind = errors.New("secret: key kind not supported, want EC P-256, P-384, P-521 or RSA of 2048 to 8192 bits")
	// ErrSign says that a signature could not be made.
	ErrSign = errors.New("secret: signing refused")
	// ErrPEM says that the text is not exactly one PEM block without headers.
	ErrPEM = errors.New("secret: not exactly one PEM block")
	// ErrContext says that a part of a seal context is longer than 65,535 bytes.
	ErrContext = errors.New("secret: seal context too long")
	// ErrOpen is the one answer to every sealed message that does not open.
	ErrOpen = errors.New("secret: sealed message does not open")
	// ErrPublicKey says that a receiver's public key is not a usable X25519 key.
	ErrPublicKey = errors.New("secret: not a usable X25519 public key")
)
