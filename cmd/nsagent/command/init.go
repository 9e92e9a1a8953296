package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
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
	made, err := o.fill(e, arena, slot)
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
	if e.json() {
		return e.printJSON(struct {
			Schema  string   `json:"schema"`
			Vault   string   `json:"vault"`
			VaultID string   `json:"vault_id"`
			Unlock  string   `json:"unlock"`
			Slots   []string `json:"slots"`
			// AuditKey is the first public key of the audit log; null if there is none yet.
			AuditKey *string `json:"audit_key"`
		}{"nsagent.init/v1", p.Vault, fmt.Sprintf("%x", id), string(kind), made.kinds(), firstAuditKey(p, recorded)})
	}
	e.say("vault   %s", p.Vault)
	e.say("unlock  %s", unlockSentence(kind))
	if key := firstAuditKey(p, recorded); key != nil {
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

// checkPlace refuses a place that has a vault, or what an earlier one left behind:
// its copy would be overwritten, and its ledger would not fit to a new one.
func checkPlace(p socketpath.Paths) error {
	if _, err := os.Lstat(p.Vault); err == nil {
		return agentFailure("", fmt.Errorf("making the vault: %w", store.ErrExists))
	}
	for _, path := range []string{p.Vault + ".prev", p.Ledger, p.MachineKey} {
		if _, err := os.Lstat(path); err == nil {
			dir := filepath.Dir(p.Vault)
			return &client.Error{
				Code: pb.CodeExists, Message: "an earlier vault was here",
				Why:  fmt.Sprintf("%s is gone, and %s was left behind", filepath.Base(p.Vault), path),
				Next: fmt.Sprintf("put it back, or move the rest away:  mv %s %s.old", dir, dir),
			}
		}
	}
	return nil
}

// createVault records that a vault is made, makes it, shows its recovery code and
// returns its id. If it cannot be made, nothing is left of it, and the log says so; if
// nobody takes the code down, the vault is there and the error says what it lacks. A
// running agent, which has no vault yet, holds the log; then nobody else can record
// anything. made is called once the vault is there.
func createVault(ctx context.Context, e *env, arena *secret.Arena, p socketpath.Paths, s newSlots, made func()) (id []byte, recorded bool, err error) {
	const what = "the vault cannot be made"
	for _, dir := range []string{filepath.Dir(p.Vault), p.AuditDir} {
		if err := socketpath.EnsureDir(dir); err != nil {
			return nil, false, agentFailure(what, err)
		}
	}
	kind := s.slots[0].Kind
	log, err := audit.Open(p.AuditDir, audit.Options{})
	record := func(entry audit.Event) error {
		entry.UID, entry.PID = os.Geteuid(), os.Getpid()
		entry.Exe, _ = os.Readlink(self) // evidence only
		if entry.Outcome == "" {
			entry.Outcome = audit.OutcomeOK
		}
		_, err := log.AppendSync(entry)
		return err
	}
	switch {
	case errors.Is(err, audit.ErrInUse):
		record = func(audit.Event) error { return nil }
	case err != nil:
		return nil, false, agentFailure(what, fmt.Errorf("opening the audit log: %w", err))
	default:
		recorded = true
		defer func() { _ = log.Close() }() // every entry was fsynced
	}
	entry := audit.Event{Event: audit.EventVaultCreate, Detail: strings.Join(s.kinds(), " ")}
	if err := record(entry); err != nil {
		return nil, false, agentFailure(what, fmt.Errorf("recording the new vault: %w", err))
	}
	cfg := vault.Config{Store: store.NewFile(p.Vault), Arena: arena, Keyring: e.keyringDoor(arena), MachineKeyFile: p.MachineKey}
	v, err := vault.Create(ctx, cfg, s.slots[0], s.slots[1:]...)
	if err != nil {
		failed := initFailure(what, err, kind)
		entry.Outcome, entry.Reason = audit.OutcomeFailed, string(failure(failed).Code)
		return nil, false, errors.Join(failed, record(entry))
	}
	defer v.Lock()
	if recorded {
		// The first checkpoint: its key is what an auditor starts from. If it cannot be
		// made now, the first unlock tries again.
		if keys, err := agent.CheckpointKeys(arena, v); err == nil {
			log.StartCheckpoints(keys).Stop()
		}
	}
	e.makeMachineKey(ctx, v, cfg, kind)
	made()
	if s.show {
		err = s.showRecovery(context.WithoutCancel(ctx), e, arena, v, record)
	}
	return v.ID(), recorded, err
}

// makeMachineKey makes the key of the ledger. A vault that opens without the keyring
// must not depend on a keyring that did not answer: it may be locked for good,
// as in a session over SSH. Where no key can be made now, the first unlock tries
// again.
func (e *env) makeMachineKey(ctx context.Context, v *vault.Vault, cfg vault.Config, kind vault.SlotKind) {
	if protection := v.RollbackProtection(); !kind.NeedsShare() && strings.HasPrefix(protection, "weak") {
		cfg.Keyring = nil
		var err error
		if v, err = vault.Open(ctx, cfg); err != nil {
			return
		}
	}
	if key, _, err := v.MachineKey(ctx); err == nil {
		key.Destroy()
	}
}

// initFailure is agentFailure, with the way round for a machine whose keyring does
// not help.
func initFailure(what string, err error, kind vault.SlotKind) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("making the vault: %w", context.Canceled)
	}
	err = agentFailure(what, fmt.Errorf("making the vault: %w", err))
	if f := failure(err); f.Code == pb.CodeKeyring && kind.NeedsShare() {
		return &client.Error{Code: f.Code, Message: f.Message, Why: f.Why, Next: "do without it:  nsagent init --unlock passphrase   (nsagent help modes)"}
	}
	return err
}

// slot returns the key slot that the flags name; its kind is empty where the
// person is to be asked.
func (o initOptions) slot() (vault.Slot, error) {
	s := vault.Slot{Kind: vault.SlotKind(o.unlock)}
	switch s.Kind {
	case "", vault.SlotKeyring, vault.SlotPassphrase, vault.SlotKeyringPassphrase, vault.SlotKeyFile:
	default:
		return s, usage(fmt.Sprintf("unknown way to unlock %.40q", o.unlock), "it is keyring, passphrase, keyring+passphrase or key-file", "see:  nsagent help modes")
	}
	switch o.kdf {
	case "default":
		s.KDF = vault.KDFDefault
	case "low":
		s.KDF = vault.KDFLow
	default:
		return s, usage(fmt.Sprintf("unknown cost %.20q", o.kdf), "it is default or low", "see:  nsagent init --help")
	}
	switch file := s.Kind == vault.SlotKeyFile; {
	case file && o.keyFile == "":
		return s, usage("--unlock key-file needs a file", "", "name it, it is made where it is not there:  --key-file F")
	case file && o.passphrase.given():
		return s, usage("--unlock key-file takes no passphrase", "", "did you mean:  --unlock passphrase")
	case !file && o.keyFile != "":
		return s, usage("--key-file belongs to --unlock key-file", "", "did you mean:  nsagent init --unlock key-file --key-file F")
	}
	if s.Kind == vault.SlotKeyring && o.passphrase.given() {
		return s, usage("--unlock keyring takes no passphrase", "", "did you mean:  --unlock keyring+passphrase")
	}
	return s, nil
}

// fillPassphrase gets the passphrase, and decides on the kind of slot where no
// flag did.
func (o initOptions) fillPassphrase(e *env, arena *secret.Arena, s *vault.Slot) (err error) {
	if s.Kind == vault.SlotKeyring {
		return nil
	}
	if o.passphrase.given() {
		if s.Kind == "" {
			s.Kind = vault.SlotKeyringPassphrase
		}
		s.Passphrase, err = o.passphrase.read(e, arena)
		return err
	}
	prompt := "Passphrase (empty: the keyring alone opens the vault): "
	if s.Kind != "" {
		prompt = "Passphrase: "
	}
	s.Passphrase, err = e.askPassphrase(arena, prompt, true)
	switch {
	case errors.Is(err, term.ErrNoTerminal) && s.Kind == "":
		return usage("there is no terminal to ask for a passphrase on", "say what opens the vault:  nsagent help modes",
			"nsagent init --unlock keyring, or --unlock passphrase --passphrase-file F")
	case errors.Is(err, term.ErrNoTerminal):
		return usage("there is no terminal to ask for a passphrase on", "", "nsagent init --unlock "+string(s.Kind)+" --passphrase-file F")
	case err != nil:
		return err
	}
	empty := s.Passphrase.Len() == 0
	switch {
	case s.Kind != "" && empty:
		return usage("the passphrase is empty", "--unlock "+string(s.Kind)+" needs one", "")
	case s.Kind == "" && empty:
		s.Kind = vault.SlotKeyring
	case s.Kind == "":
		s.Kind = vault.SlotKeyringPassphrase
	}
	return nil
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

// agentFailure returns an error of the agent's packages in the form that the
// command line prints; what says what failed where the error itself does not.
func agentFailure(what string, err error) error {
	code, message, why, next := agent.Explain(err)
	switch {
	case code != pb.CodeInternal:
	case what != "":
		message, why, next = what, plain(err), system(err)
	default:
		why, next = plain(err), system(err)
	}
	return &client.Error{Code: code, Message: message, Why: why, Next: next}
}
