package envelope

import "errors"

// While opening.
var (
	// ErrOpen is the one answer to whatever does not open: wrong key, wrong place,
	// damaged commitment, damaged tag, wrong padding. It does not say which, so that
	// nobody can ask.
	ErrOpen = errors.New("envelope: does not open")

	// ErrSignature means that the manifest is not signed by the vault's key.
	ErrSignature = errors.New("envelope: manifest signature does not verify")

	// ErrManifest means that the manifest does not describe what stands beside it:
	// records, slots, generation or the hashes of earlier manifests.
	ErrManifest = errors.New("envelope: manifest does not match the vault")
)

// While parsing.
var (
	// ErrFormat means bytes that no nsagent writes: not in core deterministic
	// encoding, a field out of range, a trailing byte.
	ErrFormat = errors.New("envelope: malformed")

	// ErrNewer means a format version or an object type that this nsagent does not know.
	ErrNewer = errors.New("envelope: written by a newer nsagent")

	// ErrKDF means key derivation parameters below the floor or above the ceiling.
	// They are refused before anything is computed with them.
	ErrKDF = errors.New("envelope: key derivation parameters out of bounds")
)

// While sealing.
var (
	// ErrTooLarge means a secret or metadata longer than a record may hold.
	ErrTooLarge = errors.New("envelope: too large for a record")

	// ErrInput means sealing was asked for something that could not be opened again,
	// such as an empty secret or a passphrase slot without a passphrase.
	ErrInput = errors.New("envelope: nothing to seal")
)
