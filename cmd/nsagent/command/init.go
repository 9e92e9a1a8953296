package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/vault"
)

type initOptions struct {
	unlock, kdf  string
	passphrase   passphraseFlags
	keyFile      string
	recovery     bool
	recoverySaid bool // the flag was given
	recoveryFile string
}

func newInit(e *env) *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init",
		Short: "Make the vault",
		Long: `Make the vault. Without --unlock it asks for a passphrase: with one, both the
passphrase and a share in the OS keyring are needed to open the vault; with an
empty one the keyring alone opens it. On a machine without a keyring, say
--unlock passphrase or, for a server, --unlock key-file, which makes the file
where it is not there. More on the choice:  nsagent help modes

Who is asked for the passphrase is offered a recovery code as well.`,
		Example: `  nsagent init
  nsagent init --unlock passphrase
  nsagent init --unlock keyring+passphrase --passphrase-file FILE
  nsagent init --unlock key-file --key-file /etc/nsagent.key`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			o.recoverySaid = c.Flags().Changed("recovery")
			return runInit(c.Context(), e, o)
		},
	}
	c.Flags().StringVar(&o.unlock, "unlock", "", "what opens the vault: `MODE` is keyring, passphrase, keyring+passphrase or key-file")
	c.Flags().StringVar(&o.kdf, "kdf", "default", "what a try at the passphrase costs: `COST` is default (256 MiB) or low (19 MiB)")
	o.passphrase.register(c)
	c.Flags().StringVar(&o.keyFile, "key-file", "", "the key file of --unlock key-file: `FILE`, made where it is not there")
	c.Flags().BoolVar(&o.recovery, "recovery", false, "make a recovery code, and show it at the terminal; =false does not offer it")
	c.Flags().StringVar(&o.recoveryFile, "recovery-file", "", "make a recovery code, and write it to `FILE`, which must not exist")
	return c
}

func runInit(ctx context.Context, e *env, o initOptions) error {
	p, err := e.paths()
	if err != nil {
		return err
	}
	slot, err := o.slot()
	if err != nil {
		return err
	}
	if err := checkPlace(p); err != nil { // before anybody thinks of a passphrase
		return err
	}
	arena, err := newArena()
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	made, err := o.fill(ctx, e, arena, slot)
	if err != nil {
		return err
	}
	defer made.destroy()
	// Until the vault is there a share may be in the keyring, which an interrupt takes out
	// again.
	ctx, stop := interruptible(ctx)
	defer stop()
	id, recorded, err := createVault(ctx, e, arena, p, made, stop)
	if err != nil && id == nil {
		made.undo()
	}
	if err != nil {
		return err
	}
	kind := made.slots[0].Kind
	key := firstAuditKey(p, recorded)
	if recorded && key == nil { // as on a disk that is full
		e.note("the audit log has no key yet, and nothing in it is signed: nsagent doctor says what is wrong there; the first unlock makes the key, and then  nsagent audit export --key  prints it")
	}
	if e.json() {
		return e.printJSON(struct {
			Schema  string   `json:"schema"`
			Vault   string   `json:"vault"`
			VaultID string   `json:"vault_id"`
			Unlock  string   `json:"unlock"`
			Slots   []string `json:"slots"`
			// AuditKey is the first public key of the audit log; null if there is none yet.
			AuditKey *string `json:"audit_key"`
		}{"nsagent.init/v1", p.Vault, fmt.Sprintf("%x", id), string(kind), made.kinds(), key})
	}
	e.say("vault   %s", p.Vault)
	e.say("unlock  %s", unlockSentence(kind))
	if key != nil {
		e.say("audit   %s", *key)
	}
	next := "nsagent unlock"
	if kind == vault.SlotKeyFile {
		next += " --key-file " + o.keyFile
	}
	e.say("next    %s", next)
	for _, f := range made.files {
		e.note("%s was made: keep it apart from the vault and its copies", f)
	}
	if !recorded {
		e.note("a running agent holds the audit log, so it has no entry of this init")
	}
	return nil
}

// firstAuditKey returns the verifier key that the audit log of the new vault starts with,
// if it was made.
func firstAuditKey(p socketpath.Paths, recorded bool) *string {
	starts, err := audit.Starts(p.AuditDir)
	if err != nil || !recorded || len(starts) == 0 {
		return nil
	}
	return &starts[len(starts)-1]
}

func unlockSentence(k vault.SlotKind) string {
	switch k {
	case vault.SlotKeyring:
		return "keyring: any program that runs as you can read its share"
	case vault.SlotPassphrase:
		return "passphrase"
	case vault.SlotKeyFile:
		return "key file: whoever can read both it and the vault can open the vault"
	default:
		return "passphrase and keyring together; neither alone opens the vault"
	}
}
