package command

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/slotkey"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// newRecovery draws a recovery code and gives it to the person: in a new file, or at
// the terminal, where two of its words have to be typed back. It returns its key.
func (e *env) newRecovery(arena *secret.Arena, file string) (secret.Bytes, error) {
	key, err := arena.Random(slotkey.CodeSize)
	if err != nil {
		return secret.Bytes{}, err
	}
	code, err := slotkey.EncodeCode(arena, key)
	if err == nil {
		defer code.Destroy()
		if file != "" {
			err = writeCode(arena, file, code)
		} else {
			err = e.showCode(arena, code)
		}
	}
	if err != nil {
		key.Destroy()
		return secret.Bytes{}, err
	}
	return key, nil
}

// newKeyFile draws a key, writes it to a new file and returns it.
func newKeyFile(arena *secret.Arena, file string) (secret.Bytes, error) {
	key, err := arena.Random(slotkey.FileSize)
	if err != nil {
		return secret.Bytes{}, err
	}
	line, err := slotkey.EncodeFile(arena, key)
	if err == nil {
		defer line.Destroy()
		err = writeNew("key", file, line)
	}
	if err != nil {
		key.Destroy()
		return secret.Bytes{}, err
	}
	return key, nil
}

// writeCode writes a recovery code, as a line, to a file that must not be there yet.
func writeCode(arena *secret.Arena, file string, code secret.Bytes) error {
	line, err := arena.Alloc(code.Len() + 1)
	if err != nil {
		return err
	}
	defer line.Destroy()
	err = code.Use(func(p []byte) error {
		return line.Use(func(q []byte) error {
			q[copy(q, p)] = '\n'
			return nil
		})
	})
	if err != nil {
		return err
	}
	return writeNew("recovery code", file, line)
}

// writeNew writes a secret to a file that must not be there yet.
func writeNew(what, path string, text secret.Bytes) error {
	err := slotkey.Create(path, text)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return &client.Error{Code: pb.CodeExists, Message: path + " is there already", Why: "it is not written over", Next: "name another file for the " + what}
	case errors.Is(err, slotkey.ErrUnsafe):
		return fileFault("the place for the "+what, path, err)
	default:
		return &client.Error{Code: pb.CodeUsage, Message: "the " + what + " cannot be written", Why: plain(err), Next: system(err)}
	}
}

// rowWords is how many words of a code stand on one line.
const rowWords = 5

// showCode shows a recovery code on the terminal, and has the person type two of its
// words back: a code that nobody wrote down is worth nothing.
func (e *env) showCode(arena *secret.Arena, code secret.Bytes) error {
	t, err := e.terminal()
	if errors.Is(err, term.ErrNoTerminal) {
		return e.cannotAsk("show the recovery code", "have it in a file:  --recovery-file F")
	}
	if err != nil {
		return err
	}
	defer func() { _ = t.Close() }()
	fmt.Fprint(t, "\nThis recovery code opens the vault without passphrase and keyring. Write it down\nand keep it away from this machine; it is not shown again.\n\n")
	if err := code.Use(func(p []byte) error { return writeRows(t, p) }); err != nil {
		return fmt.Errorf("showing the recovery code: %w", err)
	}
	fmt.Fprint(t, "\nTo be sure that you have it, two of its words:\n")
	first := 1 + rand.IntN(slotkey.Words-1)              // #nosec G404 -- which words are asked is no secret
	second := first + 1 + rand.IntN(slotkey.Words-first) // #nosec G404 -- nor is this
	for _, n := range []int{first, second} {
		if err := askWord(t, arena, code, n); err != nil {
			return err
		}
	}
	return nil
}

// writeRows writes a code in rows, without a copy of it.
func writeRows(t *term.TTY, code []byte) error {
	for len(code) > 0 {
		end, words := 0, 0
		for words < rowWords && end < len(code) {
			i := bytes.IndexByte(code[end:], '-')
			if i < 0 {
				end = len(code)
				break
			}
			end += i + 1
			words++
		}
		for _, part := range [][]byte{[]byte("    "), code[:end], []byte("\n")} {
			if _, err := t.Write(part); err != nil {
				return err
			}
		}
		code = code[end:]
	}
	return nil
}

// askWord asks for word n of a code until it is right, three times at most.
func askWord(t *term.TTY, arena *secret.Arena, code secret.Bytes, n int) error {
	for try := 1; ; try++ {
		typed, err := t.Secret(arena, fmt.Sprintf("Word %d: ", n), maxPassphrase)
		if err != nil {
			return err
		}
		right := slotkey.HasWord(code, n, typed)
		typed.Destroy()
		switch {
		case right:
			return nil
		case try == 3:
			return usage(fmt.Sprintf("word %d of the recovery code is another one", n), "nothing was made of this code", "begin again, and write the code down")
		}
		fmt.Fprintln(t, "That is another word.")
	}
}

// removeNew takes a file away that was made for a key slot, unless the slot may have
// been made all the same.
func removeNew(path string, err error) {
	if path != "" && err != nil && !errors.Is(err, client.ErrAgent) {
		_ = os.Remove(path)
	}
}
