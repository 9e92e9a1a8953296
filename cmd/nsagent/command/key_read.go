package command

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/slotkey"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// configuredKeyFile returns the key of the file that systemd or config.toml names; zero
// where neither does. The caller destroys it.
func (e *env) configuredKeyFile(arena *secret.Arena) (secret.Bytes, error) {
	if dir := e.getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		text, err := slotkey.ReadCredential(arena, dir)
		if !errors.Is(err, fs.ErrNotExist) {
			return decodeKeyFile(arena, text, filepath.Join(dir, slotkey.Credential), err)
		}
	}
	p, err := e.paths()
	if err != nil {
		return secret.Bytes{}, err
	}
	c, err := e.config(p)
	if err != nil || c.KeyFile == "" {
		return secret.Bytes{}, err
	}
	return readKeyFile(arena, c.KeyFile, c.KeyFile)
}

// readKeyFile reads a key file; named is how it is called for people while nobody knows that
// there is one.
func readKeyFile(arena *secret.Arena, path, named string) (secret.Bytes, error) {
	text, err := slotkey.Read(arena, path)
	if err == nil {
		named = path
	}
	return decodeKeyFile(arena, text, named, err)
}

// decodeKeyFile returns the key in the text of a key file, unless reading it gave err.
func decodeKeyFile(arena *secret.Arena, text secret.Bytes, named string, err error) (secret.Bytes, error) {
	if err != nil {
		return secret.Bytes{}, fileFault("the key file", named, err)
	}
	defer text.Destroy()
	key, err := slotkey.DecodeFile(arena, text)
	if errors.Is(err, slotkey.ErrFile) {
		return secret.Bytes{}, &client.Error{Code: pb.CodeKey, Message: named + " is not a key file", Why: after(err, slotkey.ErrFile), Next: "make one:  nsagent key add key-file --new-key-file F"}
	}
	return key, err
}

// fileFault returns why a file with a key cannot be used, in the form for people; named is how
// the file is called for them.
func fileFault(what, named string, err error) error {
	f := &client.Error{Code: pb.CodeKey, Message: what + " cannot be read", Why: unreadable(named, err)}
	switch {
	case errors.Is(err, slotkey.ErrUnsafe):
		f.Code, f.Message = pb.CodeUnsafe, what+" is not safe to use"
		f.Why, f.Next = cutFix(after(err, slotkey.ErrUnsafe))
	case errors.Is(err, secret.ErrTooLong):
		f.Message, f.Why = named+" is too long for "+what, "is that the right file?"
	}
	return f
}

// after returns what an error says behind a sentinel.
func after(err, sentinel error) string {
	_, text, _ := strings.Cut(err.Error(), sentinel.Error()+": ")
	return text
}

// askRecovery asks for the recovery code at the terminal, again where it is mistyped,
// and returns its key. next says what to do without a terminal.
func (e *env) askRecovery(arena *secret.Arena, next string) (secret.Bytes, error) {
	t, err := e.terminal()
	if errors.Is(err, term.ErrNoTerminal) {
		return secret.Bytes{}, e.cannotAsk("ask for the recovery code", next)
	}
	if err != nil {
		return secret.Bytes{}, err
	}
	defer func() { _ = t.Close() }()
	for try := 1; ; try++ {
		typed, err := t.Secret(arena, "Recovery code: ", slotkey.MaxText)
		if err != nil {
			return secret.Bytes{}, err
		}
		key, err := slotkey.DecodeCode(arena, typed)
		typed.Destroy()
		if !errors.Is(err, slotkey.ErrCode) || try == 3 {
			return key, codeFault(err)
		}
		fmt.Fprintf(t, "That is not a recovery code: %s.\n", after(err, slotkey.ErrCode))
	}
}

// readRecovery reads a recovery code from a file, or from stdin, and returns its key.
func (e *env) readRecovery(arena *secret.Arena, path string) (secret.Bytes, error) {
	var text secret.Bytes
	var err error
	if path == "-" {
		text, err = arena.ReadAll(e.stdin, slotkey.MaxText)
	} else {
		text, err = slotkey.Read(arena, path)
	}
	if err != nil {
		return secret.Bytes{}, fileFault("the recovery code", fileOf("recovery-file"), err)
	}
	defer text.Destroy()
	key, err := slotkey.DecodeCode(arena, text)
	return key, codeFault(err)
}

// codeFault tells people that a code is mistyped, as against one of another vault.
func codeFault(err error) error {
	if !errors.Is(err, slotkey.ErrCode) {
		return err
	}
	return &client.Error{Code: pb.CodeKey, Message: "the recovery code is mistyped", Why: after(err, slotkey.ErrCode), Next: "compare it with the paper, and try again"}
}

// recoveryCode returns the key of the recovery code in a file, or asks for it.
func (e *env) recoveryCode(arena *secret.Arena, file string) (secret.Bytes, error) {
	if file != "" {
		return e.readRecovery(arena, file)
	}
	return e.askRecovery(arena, "give it as a file:  --recovery-file F")
}
