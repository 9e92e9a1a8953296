package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/slotkey"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Kinds of key slots, as they are typed.
const (
	kindKeyring    = "keyring"
	kindPassphrase = "passphrase"
	kindBoth       = "keyring+passphrase"
	kindRecovery   = "recovery"
	kindKeyFile    = "key-file"
)

// takesPassphrase reports whether a key slot of a kind takes a passphrase.
func takesPassphrase(kind string) bool { return kind == kindPassphrase || kind == kindBoth }

// openerFlags say where a passphrase or a key file comes from that opens the vault, or
// proves that its owner asks. No flag takes its value.
type openerFlags struct {
	passphrase passphraseFlags
	keyFile    string
}

func (f *openerFlags) register(c *cobra.Command) {
	f.passphrase.register(c)
	c.Flags().StringVar(&f.keyFile, "key-file", "", "read the key from `FILE`, which nsagent made")
}

// given reports whether a flag names a source.
func (f *openerFlags) given() bool { return f.passphrase.given() || f.keyFile != "" }

// read reads what the flags name; the caller destroys it.
func (f *openerFlags) read(e *env, arena *secret.Arena) (p client.Proof, b secret.Bytes, err error) {
	if f.keyFile != "" && f.passphrase.given() {
		return p, b, usage("a passphrase and a key file exclude each other", "each of them opens the vault", "")
	}
	if f.keyFile != "" {
		b, err = readKeyFile(arena, f.keyFile)
		return client.Proof{KeyFile: sealer(b)}, b, err
	}
	b, err = f.passphrase.read(e, arena)
	return client.Proof{Passphrase: sealer(b)}, b, err
}

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
	return readKeyFile(arena, c.KeyFile)
}

func readKeyFile(arena *secret.Arena, path string) (secret.Bytes, error) {
	text, err := slotkey.Read(arena, path)
	return decodeKeyFile(arena, text, path, err)
}

// decodeKeyFile returns the key in the text of a key file, unless reading it gave err.
func decodeKeyFile(arena *secret.Arena, text secret.Bytes, path string, err error) (secret.Bytes, error) {
	if err != nil {
		return secret.Bytes{}, fileFault("the key file", path, err)
	}
	defer text.Destroy()
	key, err := slotkey.DecodeFile(arena, text)
	if errors.Is(err, slotkey.ErrFile) {
		return secret.Bytes{}, &client.Error{Code: pb.CodeKey, Message: path + " is not a key file", Why: after(err, slotkey.ErrFile), Next: "make one:  nsagent key add key-file --new-key-file F"}
	}
	return key, err
}

// fileFault returns why a file with a key cannot be used, in the form for people.
func fileFault(what, path string, err error) error {
	f := &client.Error{Code: pb.CodeKey, Message: what + " cannot be read", Why: plain(err)}
	switch {
	case errors.Is(err, slotkey.ErrUnsafe):
		f.Code, f.Message = pb.CodeUnsafe, what+" is not safe to use"
		why, fix, _ := strings.Cut(after(err, slotkey.ErrUnsafe), " (fix: ")
		f.Why, f.Next = why, strings.TrimSuffix(fix, ")")
	case errors.Is(err, fs.ErrNotExist):
		f.Message, f.Why = "there is no file "+path, ""
	case errors.Is(err, secret.ErrTooLong):
		f.Message, f.Why = path+" is too long for "+what, ""
	}
	return f
}

// after returns what an error says behind a sentinel.
func after(err, sentinel error) string {
	_, text, _ := strings.Cut(err.Error(), sentinel.Error()+": ")
	return text
}

// askRecovery asks for the recovery code at the terminal, again where it is mistyped,
// and returns its key.
func (e *env) askRecovery(arena *secret.Arena) (secret.Bytes, error) {
	t, err := e.terminal()
	if errors.Is(err, term.ErrNoTerminal) {
		return secret.Bytes{}, usage("there is no terminal to ask for the recovery code on", "", "give it as a file:  --recovery-file F")
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

// readRecovery reads a recovery code from a file and returns its key.
func readRecovery(arena *secret.Arena, path string) (secret.Bytes, error) {
	text, err := slotkey.Read(arena, path)
	if err != nil {
		return secret.Bytes{}, fileFault("the recovery code", path, err)
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

// newPassphraseFlags say where a new passphrase comes from.
type newPassphraseFlags struct {
	passphraseFlags
	kdf string
}

func (f *newPassphraseFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.file, "new-passphrase-file", "", "read the new passphrase from `FILE`")
	c.Flags().IntVar(&f.fd, "new-passphrase-fd", -1, "read the new passphrase from descriptor `N`")
	c.Flags().Lookup("new-passphrase-fd").DefValue = "0" // says nothing in the help
	c.Flags().StringVar(&f.kdf, "kdf", "", "what a try at the new passphrase costs: `COST` is default (256 MiB) or low (19 MiB)")
}

func (f *newPassphraseFlags) check() error {
	if f.kdf != "" && f.kdf != "default" && f.kdf != "low" {
		return usage(fmt.Sprintf("unknown cost %.20q", f.kdf), "it is default or low", "")
	}
	return nil
}

// get returns the new passphrase; it asks for it twice where no flag names a source.
func (f *newPassphraseFlags) get(e *env, arena *secret.Arena) (secret.Bytes, error) {
	if f.given() {
		return f.read(e, arena)
	}
	b, err := e.askPassphrase(arena, "New passphrase: ", true)
	switch {
	case errors.Is(err, term.ErrNoTerminal):
		return b, usage("there is no terminal to ask for the new passphrase on", "", "give it as a file:  --new-passphrase-file F")
	case err == nil && b.Len() == 0:
		b.Destroy()
		return secret.Bytes{}, usage("the new passphrase is empty", "", "")
	}
	return b, err
}

// removeNew takes a file away that was made for a key slot, unless the slot may have
// been made all the same.
func removeNew(path string, err error) {
	if path != "" && err != nil && !errors.Is(err, client.ErrAgent) {
		_ = os.Remove(path)
	}
}
