package slotkey

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nsagent/nsagent/internal/atomicfile"
	"github.com/nsagent/nsagent/internal/secret"
)

// filePrefix begins the one line of a key file, so that it is known for what it is.
const filePrefix = "nsk1_"

// Credential is the name under which systemd hands a key file on:
// LoadCredential=nsagent.key:PATH.
const Credential = "nsagent.key"

// EncodeFile returns the line that a key file holds for a key of FileSize bytes.
func EncodeFile(a *secret.Arena, key secret.Bytes) (secret.Bytes, error) {
	if key.Len() != FileSize {
		return secret.Bytes{}, fmt.Errorf("%w: a key of %d bytes", ErrFile, key.Len())
	}
	text, err := a.Alloc(len(filePrefix) + 2*FileSize + 1)
	if err != nil {
		return secret.Bytes{}, err
	}
	err = key.Use(func(k []byte) error {
		return text.Use(func(p []byte) error {
			n := copy(p, filePrefix)
			n += hex.Encode(p[n:], k)
			p[n] = '\n'
			return nil
		})
	})
	if err != nil {
		text.Destroy()
		return secret.Bytes{}, err
	}
	return text, nil
}

// DecodeFile returns the key in the text of a key file, which the caller owns. Only the
// line end may be missing or be CRLF. The error wraps ErrFile or is one of Alloc's.
func DecodeFile(a *secret.Arena, text secret.Bytes) (secret.Bytes, error) {
	key, err := a.Alloc(FileSize)
	if err != nil {
		return secret.Bytes{}, err
	}
	err = text.Use(func(p []byte) error {
		p = bytes.TrimSuffix(bytes.TrimSuffix(p, []byte("\n")), []byte("\r"))
		digits, ok := bytes.CutPrefix(p, []byte(filePrefix))
		if !ok || len(digits) != 2*FileSize || bytes.ContainsAny(digits, "ABCDEF") {
			return fmt.Errorf("%w: it is one line, %s and %d hexadecimal digits", ErrFile, filePrefix, 2*FileSize)
		}
		return key.Use(func(k []byte) error {
			if _, err := hex.Decode(k, digits); err != nil {
				return fmt.Errorf("%w: a digit is not hexadecimal", ErrFile)
			}
			return nil
		})
	})
	if err != nil {
		key.Destroy()
		return secret.Bytes{}, err
	}
	return key, nil
}

// Create writes text to a new file of mode 0600 and makes it durable. What is there
// already is not touched: fs.ErrExist. The directory must be one in which nobody else
// can exchange files. Other errors: ErrUnsafe, those of the system calls; then there is
// no file.
func Create(path string, text secret.Bytes) (err error) {
	dir, err := atomicfile.OpenDir(path)
	if err != nil {
		return unsafe(err)
	}
	defer func() { _ = dir.Close() }()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the path is the caller's
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(path)
		}
	}()
	if err := f.Chmod(0o600); err != nil { // whatever the umask
		return err
	}
	if err := text.Use(func(p []byte) error {
		_, err := f.Write(p)
		return err
	}); err != nil {
		return err
	}
	return errors.Join(f.Sync(), dir.Sync())
}

// Read reads a file that is a regular one of our own, of mode 0600 or less, in a
// directory where nobody else can exchange it. Errors: fs.ErrNotExist, ErrUnsafe,
// secret.ErrTooLong, those of the arena and the system calls.
func Read(a *secret.Arena, path string) (secret.Bytes, error) {
	f, err := atomicfile.OpenRegular(path)
	if err != nil {
		return secret.Bytes{}, unsafe(err)
	}
	defer func() { _ = f.Close() }()
	return a.ReadAll(f, MaxText)
}

// ReadCredential reads the credential that systemd put into dir, the value of
// CREDENTIALS_DIRECTORY. It may be root's, which Read refuses. Errors as Read.
func ReadCredential(a *secret.Arena, dir string) (secret.Bytes, error) {
	f, err := atomicfile.OpenCredential(filepath.Join(dir, Credential))
	if err != nil {
		return secret.Bytes{}, unsafe(err)
	}
	defer func() { _ = f.Close() }()
	return a.ReadAll(f, MaxText)
}

// unsafe puts the sentinel of this package in front of a file's refusal.
func unsafe(err error) error {
	if errors.Is(err, atomicfile.ErrUnsafe) {
		return fmt.Errorf("%w: %w", ErrUnsafe, err)
	}
	return err
}
