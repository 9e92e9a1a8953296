package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/nsagent/nsagent/internal/atomicfile"
)

// Keys holds the one-time key that signs the next checkpoint, where nobody else can read
// it. The agent implements it.
type Keys interface {
	// Restore takes up a key that Seal has returned; nil means to draw a new one. The
	// error wraps ErrCheckpoint if these keys can never open it.
	Restore(sealed []byte) error
	// Public returns the public half of the key that signs next.
	Public() (ed25519.PublicKey, error)
	// Next draws the key after that, and returns its public half.
	Next() (ed25519.PublicKey, error)
	// Sign signs msg, erases the key that did, and puts the one of Next in its place.
	Sign(msg []byte) ([]byte, error)
	// Seal returns the key that signs next, in a form that is safe on a disk.
	Seal() ([]byte, error)
	// Destroy erases all keys. Later calls fail.
	Destroy()
}

// The file audit.key holds the key of the next checkpoint, sealed, and in clear the
// checkpoints that were signed last: by the time that a checkpoint can be read, the key
// that signed it is nowhere any more, and after a crash in between, the checkpoint is
// still there to be appended.
const (
	keyFile     = "audit.key"
	keyFileHead = "nsagent/audit/key/v1\n"
	maxKeyFile  = 1 << 20
	maxSealed   = 4096
)

// keyState is what audit.key holds.
type keyState struct {
	sealed []byte
	signed []Checkpoint // the last ones, in order; none if no checkpoint was signed yet
}

func (k *keyState) encode() []byte {
	b := []byte(keyFileHead)
	b = base64.StdEncoding.AppendEncode(b, k.sealed)
	b = append(b, '\n', '\n')
	for i := range k.signed {
		b = append(k.signed[i].AppendNote(b), '\n')
	}
	return b
}

// parseKeyState is strict: encoding what it returns gives the same bytes.
func parseKeyState(b []byte) (keyState, error) {
	var k keyState
	rest, ok := bytes.CutPrefix(b, []byte(keyFileHead))
	line, rest, ok2 := bytes.Cut(rest, []byte("\n\n"))
	sealed, err := base64.StdEncoding.DecodeString(string(line))
	if !ok || !ok2 || err != nil || len(sealed) > maxSealed {
		return keyState{}, fmt.Errorf("%w: %s", ErrCheckpoint, keyFile)
	}
	k.sealed = sealed
	for len(rest) > 0 {
		var c Checkpoint
		if c, rest, err = cutCheckpoint(rest); err != nil {
			return keyState{}, fmt.Errorf("%s: %w", keyFile, err)
		}
		k.signed = append(k.signed, c)
	}
	if !bytes.Equal(k.encode(), b) {
		return keyState{}, fmt.Errorf("%w: %s is not in its one right form", ErrCheckpoint, keyFile)
	}
	return k, nil
}

// cutCheckpoint parses the checkpoint that b begins with, and the blank line behind it.
func cutCheckpoint(b []byte) (Checkpoint, []byte, error) {
	// A note has one blank line before its signature; the next one ends it.
	text, rest, ok := bytes.Cut(b, []byte("\n\n"))
	signature, after, ok2 := bytes.Cut(rest, []byte("\n\n"))
	if !ok || !ok2 {
		return Checkpoint{}, nil, fmt.Errorf("%w: incomplete", ErrCheckpoint)
	}
	c, err := ParseCheckpoint(b[:len(text)+2+len(signature)+1])
	return c, after, err
}

// readKeyState returns nil if there is no file.
func readKeyState(dir string) (*keyState, error) {
	b, err := atomicfile.ReadRegular(filepath.Join(dir, keyFile), maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit: reading the key: %w", err)
	}
	k, err := parseKeyState(b)
	if err != nil {
		return nil, err
	}
	return &k, nil
}

// write replaces the file. The key that it held before is gone.
func (k *keyState) write(dir string) error {
	err := atomicfile.Write(filepath.Join(dir, keyFile), k.encode(), atomicfile.Options{NoPrevious: true})
	if err != nil {
		return fmt.Errorf("audit: keeping the key: %w", err)
	}
	return nil
}
