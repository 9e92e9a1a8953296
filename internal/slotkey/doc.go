// Package slotkey writes and reads the random keys that open a key slot beside a
// passphrase: as the words of a recovery code, as the line of a key file, and in files
// that are their owner's alone.
//
// Keys and their texts are secret.Bytes from end to end; no error quotes any of them.
// The forms are on the page docs/vault-format.md, section 7.
package slotkey

import "errors"

// Sizes of the keys in bytes.
const (
	CodeSize = 16 // of a recovery code
	FileSize = 32 // of a key file
)

// MaxText bounds a text that is read as a recovery code or key file, in bytes.
const MaxText = 512

// Errors of texts and files.
var (
	// ErrCode means that a text is not a recovery code: a word is mistyped, missing or
	// out of place. What it wraps says where. A code of another vault is a code.
	ErrCode = errors.New("slotkey: not a recovery code")
	// ErrFile means that a text is not the line of a key file.
	ErrFile = errors.New("slotkey: not a key file")
	// ErrUnsafe means that a file may be read or changed by somebody else.
	ErrUnsafe = errors.New("slotkey: unsafe file")
)
