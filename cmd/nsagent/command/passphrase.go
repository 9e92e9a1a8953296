package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/givenfd"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// maxPassphrase bounds a passphrase, in bytes.
const maxPassphrase = 1 << 10

// passphraseFlags say where a passphrase comes from. No flag takes its value.
type passphraseFlags struct {
	file string
	fd   int
}

func (f *passphraseFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.file, "passphrase-file", "", "read the passphrase from `FILE`, or - for stdin")
	c.Flags().IntVar(&f.fd, "passphrase-fd", -1, "read the passphrase from descriptor `N`")
	c.Flags().Lookup("passphrase-fd").DefValue = "0" // says nothing in the help
}

// given reports whether a flag names a source.
func (f *passphraseFlags) given() bool { return f.file != "" || f.fd >= 0 }

// read reads the passphrase from where the flags say. One line end after it is
// not part of it.
func (f *passphraseFlags) read(e *env, arena *secret.Arena) (secret.Bytes, error) {
	if f.file != "" && f.fd >= 0 {
		return secret.Bytes{}, usage("--passphrase-file and --passphrase-fd exclude each other", "the passphrase comes from one place", "leave one of them out")
	}
	source, err := f.open(e)
	if err != nil {
		return secret.Bytes{}, usage("the passphrase cannot be read", unreadable("the file that is named for it", err), "")
	}
	defer func() { _ = source.Close() }()
	b, err := arena.ReadAll(source, maxPassphrase)
	if errors.Is(err, secret.ErrTooLong) {
		return secret.Bytes{}, usage("the passphrase is too long", fmt.Sprintf("it has more than %d bytes; is that the right file?", maxPassphrase), "")
	}
	if err != nil {
		return secret.Bytes{}, usage("the passphrase cannot be read", readFault(err), "")
	}
	if err := trimLineEnd(b); err != nil {
		b.Destroy()
		return secret.Bytes{}, err
	}
	if b.Len() == 0 {
		b.Destroy()
		return secret.Bytes{}, usage("the passphrase is empty", "nothing but a line end was read", "")
	}
	return b, nil
}

// open opens the source that the flags name.
func (f *passphraseFlags) open(e *env) (io.ReadCloser, error) {
	if f.file == "-" {
		return io.NopCloser(e.stdin), nil
	}
	if f.file == "" {
		// What the program has opened itself, or writes to, must not become a passphrase.
		if f.fd == 1 || f.fd == 2 || givenfd.Check(f.fd) != nil {
			return nil, fmt.Errorf("descriptor %d was not given to nsagent, as by %d< FILE", f.fd, f.fd)
		}
		return os.NewFile(uintptr(f.fd), fmt.Sprintf("descriptor %d", f.fd)), nil // #nosec G115 -- not negative here
	}
	file, err := os.Open(f.file)
	if err != nil {
		return nil, err
	}
	e.noteReadable(f.file)
	return file, nil
}

// noteReadable says so where others than its owner may read a file with a secret. It does
// not open it: that may be a pipe.
func (e *env) noteReadable(path string) {
	if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o077 != 0 {
		e.note("other users may read %[1]s; run:  chmod 600 %[1]s", oneLine(path))
	}
}

// readFault returns why a file could not be read into locked memory.
func readFault(err error) string {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Error()
	}
	return plain(err)
}

// trimLineEnd shortens b by one line end.
func trimLineEnd(b secret.Bytes) error {
	n := b.Len()
	err := b.Use(func(p []byte) error {
		if n > 0 && p[n-1] == '\n' {
			if n--; n > 0 && p[n-1] == '\r' {
				n--
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.Truncate(n)
}

// shortPassphrase is how many bytes a new passphrase has at least that goes without a
// remark.
const shortPassphrase = 8

// askPassphrase asks at the terminal; twice is for a new one: it asks again, compares, and
// says so where it is short.
func (e *env) askPassphrase(arena *secret.Arena, prompt string, twice bool) (secret.Bytes, error) {
	t, err := e.terminal()
	if err != nil {
		return secret.Bytes{}, err
	}
	defer func() { _ = t.Close() }()
	first, err := t.Secret(arena, prompt, maxPassphrase)
	if err != nil || !twice || first.Len() == 0 {
		return first, err
	}
	second, err := t.Secret(arena, "Again: ", maxPassphrase)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer second.Destroy()
	if !first.Equal(second) {
		first.Destroy()
		return secret.Bytes{}, usage("the two passphrases differ", "nothing was changed", "try again")
	}
	if first.Len() < shortPassphrase {
		e.note("a passphrase this short is soon guessed by who gets the vault file; five random words are not")
	}
	return first, nil
}

// askKnown asks at the terminal for what the vault has, such as its passphrase. With an empty
// answer the agent is not asked: what it would say is about a vault that is locked.
func (e *env) askKnown(arena *secret.Arena, before, name string, code pb.Code) (secret.Bytes, error) {
	b, err := e.askPassphrase(arena, before+name+": ", false)
	if err == nil && b.Len() == 0 {
		b.Destroy()
		return b, &client.Error{Code: code, Message: "the " + strings.ToLower(name) + " is empty", Why: "nothing was changed", Next: "do the command again, and type it"}
	}
	return b, err
}

// newPassphraseFlags say where a new passphrase comes from.
type newPassphraseFlags struct {
	passphraseFlags
	kdf string
}

func (f *newPassphraseFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.file, "new-passphrase-file", "", "read the new passphrase from `FILE`, or - for stdin")
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
		return b, e.cannotAsk("ask for the new passphrase", "give it as a file:  --new-passphrase-file F")
	case err == nil && b.Len() == 0:
		b.Destroy()
		return secret.Bytes{}, usage("the new passphrase is empty", "an empty one keeps nobody out", "try again")
	}
	return b, err
}
