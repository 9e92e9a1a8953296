package command

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

type initOptions struct {
	unlock, kdf string
	passphrase  passphraseFlags
}

func newInit(e *env) *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init",
		Short: "Make the vault",
		Long: `Make the vault. Without --unlock it asks for a passphrase: with one, both the
passphrase and a share in the OS keyring are needed to open the vault; with an
empty one the keyring alone opens it.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runInit(c.Context(), e, o) },
	}
	c.Flags().StringVar(&o.unlock, "unlock", "", "keyring, passphrase or keyring+passphrase")
	c.Flags().StringVar(&o.kdf, "kdf", "default", "cost of the passphrase: default (256 MiB) or low (19 MiB)")
	o.passphrase.register(c)
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
	arena, err := newArena()
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	if err := o.fillPassphrase(e, arena, &slot); err != nil {
		return err
	}
	defer slot.Passphrase.Destroy()
	if err := socketpath.EnsureDir(filepath.Dir(p.Vault)); err != nil {
		return agentFailure(err)
	}
	v, err := vault.Create(ctx, vault.Config{Store: store.NewFile(p.Vault), Arena: arena, Keyring: e.keyringDoor(arena), MachineKeyFile: p.MachineKey}, slot)
	if err != nil {
		return agentFailure(fmt.Errorf("making the vault: %w", err))
	}
	defer v.Lock()
	if e.json() {
		return e.printJSON(struct {
			Schema  string `json:"schema"`
			Vault   string `json:"vault"`
			VaultID string `json:"vault_id"`
			Unlock  string `json:"unlock"`
		}{"nsagent.init/v1", p.Vault, fmt.Sprintf("%x", v.ID()), string(slot.Kind)})
	}
	e.say("vault   %s", p.Vault)
	e.say("unlock  %s", unlockSentence(slot.Kind))
	e.say("next    nsagent agent start && nsagent unlock")
	return nil
}

// slot returns the key slot that the flags name; its kind is empty where the
// person is to be asked.
func (o initOptions) slot() (vault.Slot, error) {
	s := vault.Slot{Kind: vault.SlotKind(o.unlock)}
	switch s.Kind {
	case "", vault.SlotKeyring, vault.SlotPassphrase, vault.SlotKeyringPassphrase:
	default:
		return s, usage(fmt.Sprintf("unknown way to unlock %.40q", o.unlock), "it is keyring, passphrase or keyring+passphrase", "")
	}
	switch o.kdf {
	case "default":
		s.KDF = vault.KDFDefault
	case "low":
		s.KDF = vault.KDFLow
	default:
		return s, usage(fmt.Sprintf("unknown cost %.20q", o.kdf), "it is default or low", "")
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
		s.Passphrase, err = o.passphrase.read(arena)
		return err
	}
	prompt := "Passphrase (empty: the keyring alone opens the vault): "
	if s.Kind != "" {
		prompt = "Passphrase: "
	}
	if s.Passphrase, err = e.askPassphrase(arena, prompt, true); err != nil {
		return usage("there is no terminal to ask for a passphrase on", "",
			"say how to unlock:  --unlock keyring, or --unlock passphrase --passphrase-file F")
	}
	empty := s.Passphrase.Len() == 0
	switch {
	case s.Kind != "" && empty:
		return usage("the passphrase is empty", "", "")
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
	default:
		return "passphrase and keyring together; neither alone opens the vault"
	}
}

// agentFailure returns an error of the agent's packages in the form that the
// command line prints.
func agentFailure(err error) error {
	code, message, why, next := agent.Explain(err)
	if code == pb.CodeInternal {
		why = strings.TrimPrefix(why, "agent: ")
	}
	return &client.Error{Code: code, Message: message, Why: why, Next: next}
}
