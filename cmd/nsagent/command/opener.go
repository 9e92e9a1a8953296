package command

import (
	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
)

// Kinds of key slots, as they are typed.
const (
	kindKeyring    = "keyring"
	kindPassphrase = "passphrase"
	kindBoth       = "keyring+passphrase"
	kindRecovery   = "recovery"
	kindKeyFile    = "key-file"
	kindTOTP       = "totp" // opens nothing
)

// takesPassphrase reports whether a key slot of a kind takes a passphrase.
func takesPassphrase(kind string) bool { return kind == kindPassphrase || kind == kindBoth }

// opening is what opens key slots of a kind: a passphrase, or the key of a recovery code
// or of a key file. Whoever has it destroys it.
type opening struct {
	secret.Bytes
	kind string
}

// proof returns how it goes to the agent.
func (o opening) proof() client.Proof {
	switch o.kind {
	case kindRecovery:
		return client.Proof{Recovery: sealer(o.Bytes)}
	case kindKeyFile:
		return client.Proof{KeyFile: sealer(o.Bytes)}
	default:
		return client.Proof{Passphrase: sealer(o.Bytes)}
	}
}

// openerFlags say where a passphrase or a key file comes from that opens the vault, or
// proves that its owner asks. No flag takes its value.
type openerFlags struct {
	passphrase passphraseFlags
	keyFile    string
	// totp is the descriptor of a code of the authenticator app, -1 for none.
	totp int
	// recovery has the recovery code asked for in place of all that, recoveryFile has it read.
	recovery     bool
	recoveryFile string
	// asksOnly is set where the recovery code is read from no file.
	asksOnly bool
}

// register adds the flags of a fresh proof. A command whose --recovery-file is another one
// has added it before.
func (f *openerFlags) register(c *cobra.Command) {
	f.registerOpener(c)
	registerTOTP(c, &f.totp)
	c.Flags().BoolVar(&f.recovery, "recovery", false, "ask for the recovery code instead")
	if f.asksOnly = c.Flags().Lookup("recovery-file") != nil; !f.asksOnly {
		c.Flags().StringVar(&f.recoveryFile, "recovery-file", "", "read the recovery code from `FILE`, or - for stdin, instead")
	}
}

// registerTOTP adds the flag of a code of the authenticator app.
func registerTOTP(c *cobra.Command, fd *int) {
	c.Flags().IntVar(fd, "totp-fd", -1, "read a code of the authenticator app from descriptor `N`")
	c.Flags().Lookup("totp-fd").DefValue = "0" // says nothing in the help
}

// registerOpener adds the flags of what opens the vault.
func (f *openerFlags) registerOpener(c *cobra.Command) {
	f.totp = -1
	f.passphrase.register(c)
	c.Flags().StringVar(&f.keyFile, "key-file", "", "read the key from `FILE`, which nsagent made")
}

// given reports whether a flag names a source.
func (f *openerFlags) given() bool { return f.passphrase.given() || f.keyFile != "" }

// read reads what the flags name.
func (f *openerFlags) read(e *env, arena *secret.Arena) (opening, error) {
	if f.keyFile != "" && f.passphrase.given() {
		return opening{}, usage("a passphrase and a key file exclude each other", "each of them opens the vault", "give one of them")
	}
	if f.keyFile != "" {
		b, err := readKeyFile(arena, f.keyFile, fileOf("key-file"))
		return opening{b, kindKeyFile}, err
	}
	b, err := f.passphrase.read(e, arena)
	return opening{b, kindPassphrase}, err
}

// anyOpenerFlags are openerFlags for who may also have nothing but the recovery code.
type anyOpenerFlags struct{ openerFlags }

func (f *anyOpenerFlags) register(c *cobra.Command) {
	f.registerOpener(c)
	c.Flags().BoolVar(&f.recovery, "recovery", false, "open it by the recovery code, which is asked for")
	c.Flags().StringVar(&f.recoveryFile, "recovery-file", "", "open it by the recovery code in `FILE`, or - for stdin")
}

// byCode reports whether the recovery code is to open the vault, or to prove.
func (f *openerFlags) byCode() bool { return f.recovery || f.recoveryFile != "" }

func (f *anyOpenerFlags) given() bool { return f.byCode() || f.openerFlags.given() }

func (f *anyOpenerFlags) read(e *env, arena *secret.Arena) (opening, error) {
	switch {
	case f.byCode() && (f.openerFlags.given() || f.recovery && f.recoveryFile != ""):
		return opening{}, usage("there is more than one way to open the vault", "--recovery, --recovery-file, --key-file and the passphrase exclude each other", "give one of them")
	case f.byCode():
		b, err := f.recoveryCode(e, arena)
		return opening{b, kindRecovery}, err
	default:
		return f.openerFlags.read(e, arena)
	}
}

// recoveryCode returns the key of the recovery code.
func (f *openerFlags) recoveryCode(e *env, arena *secret.Arena) (secret.Bytes, error) {
	if f.asksOnly {
		return e.askRecovery(arena, "do it at a terminal: --recovery-file is for the new one here")
	}
	return e.recoveryCode(arena, f.recoveryFile)
}
