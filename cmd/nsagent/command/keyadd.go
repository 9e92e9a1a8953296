package command

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type keyAddOptions struct {
	opener                   openerFlags
	fresh                    newPassphraseFlags
	recoveryFile, newKeyFile string
}

func newKeyAdd(e *env) *cobra.Command {
	var o keyAddOptions
	c := &cobra.Command{
		Use:   "add KIND",
		Short: "Add something that opens the vault",
		Long: `Add a key slot. KIND is one of

  recovery             a code of 13 words on paper; it is shown once, at the
                       terminal, or written to a new file with --recovery-file
  key-file             a new file, for servers; --new-key-file names it
  passphrase           a passphrase alone
  keyring              the OS keyring alone
  keyring+passphrase   both together`,
		Example: `  nsagent key add recovery
  nsagent key add key-file --new-key-file /etc/nsagent.key
  nsagent key add passphrase --new-passphrase-file NEW --passphrase-file OLD`,
		Args: takes("KIND"),
		RunE: func(c *cobra.Command, args []string) error { return runKeyAdd(c.Context(), e, args[0], o) },
	}
	o.opener.register(c)
	o.fresh.register(c)
	c.Flags().StringVar(&o.recoveryFile, "recovery-file", "", "write the recovery code to `FILE`, which must not exist")
	c.Flags().StringVar(&o.newKeyFile, "new-key-file", "", "write the new key to `FILE`, which must not exist")
	return c
}

func (o keyAddOptions) check(kind string) error {
	switch kind {
	case kindRecovery, kindKeyFile, kindPassphrase, kindKeyring, kindBoth:
	default:
		return usage(fmt.Sprintf("unknown kind of key slot %.40q", kind), "it is recovery, key-file, passphrase, keyring or keyring+passphrase", "see:  nsagent key add --help")
	}
	for _, f := range []struct {
		name        string
		given, fits bool
	}{
		{"--recovery-file", o.recoveryFile != "", kind == kindRecovery},
		{"--new-key-file", o.newKeyFile != "", kind == kindKeyFile},
		{"--new-passphrase-file", o.fresh.given(), takesPassphrase(kind)},
	} {
		if f.given && !f.fits {
			return usage(f.name+" does not belong to "+kind, "", "see:  nsagent key add --help")
		}
	}
	if kind == kindKeyFile && o.newKeyFile == "" {
		return usage("it is not said where the key goes", "", "name a new file:  --new-key-file F")
	}
	return o.fresh.check()
}

func runKeyAdd(ctx context.Context, e *env, kind string, o keyAddOptions) error {
	if err := o.check(kind); err != nil {
		return err
	}
	arena, err := newArena()
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	a, err := e.dialAdmin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	before, err := a.KeySlots(ctx)
	if err != nil {
		return err
	}
	slot := client.NewSlot{Kind: kind, Cost: o.fresh.kdf}
	if kind != kindKeyring {
		b, err := o.newOpener(e, arena, kind)
		if err != nil {
			return err
		}
		defer b.Destroy()
		slot.Opener = sealer(b)
	}
	var r *pb.AddKeySlotResponse
	err = e.proved(arena, o.opener, func(proof client.Proof) (err error) {
		r, err = a.AddKeySlot(ctx, proof, slot)
		return err
	})
	if err != nil {
		removeNew(o.recoveryFile+o.newKeyFile, err)
		return err
	}
	var warnings []string
	if kind == kindRecovery && hasKind(before.GetSlots(), kindRecovery) {
		warnings = append(warnings, "the recovery code from before opens the vault as well; remove it with nsagent key rm if it is lost")
	}
	if weakest := r.GetWeakest(); weakest == kind && weakest != before.GetWeakest() {
		warnings = append(warnings, fmt.Sprintf("the vault is now as safe as its %s, which is weaker than %s", weakest, before.GetWeakest()))
	}
	return e.reportSlots("added "+kind, r.GetSlots(), r.GetWeakest(), warnings)
}

func hasKind(slots []*pb.KeySlot, kind string) bool {
	return slices.ContainsFunc(slots, func(s *pb.KeySlot) bool { return s.GetKind() == kind })
}

// newOpener returns what a new key slot is to open by.
func (o keyAddOptions) newOpener(e *env, arena *secret.Arena, kind string) (secret.Bytes, error) {
	switch kind {
	case kindRecovery:
		return e.newRecovery(arena, o.recoveryFile)
	case kindKeyFile:
		return newKeyFile(arena, o.newKeyFile)
	default:
		return o.fresh.get(e, arena)
	}
}

type keyRecoverOptions struct {
	unlock, recoveryFile string
	fresh                newPassphraseFlags
}

func newKeyRecover(e *env) *cobra.Command {
	var o keyRecoverOptions
	c := &cobra.Command{
		Use:   "recover",
		Short: "Open the vault by the recovery code, and set a new passphrase",
		Long: `Open the vault by its recovery code, after the passphrase is forgotten, the
keyring lost, or the vault moved to another machine. A new passphrase, and the
keyring of this machine, take the place of all that opened it before; recovery
code and key files stay. Without --unlock it becomes what it was.`,
		Example: `  nsagent key recover
  nsagent key recover --unlock passphrase`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runKeyRecover(c.Context(), e, o) },
	}
	c.Flags().StringVar(&o.unlock, "unlock", "", "what opens the vault from now on: `MODE` is keyring, passphrase or keyring+passphrase")
	c.Flags().StringVar(&o.recoveryFile, "recovery-file", "", "read the recovery code from `FILE`")
	o.fresh.register(c)
	return c
}

func runKeyRecover(ctx context.Context, e *env, o keyRecoverOptions) error {
	switch o.unlock {
	case "", kindKeyring, kindPassphrase, kindBoth:
	default:
		return usage(fmt.Sprintf("unknown way to unlock %.40q", o.unlock), "it is keyring, passphrase or keyring+passphrase", "see:  nsagent help modes")
	}
	if err := o.fresh.check(); err != nil {
		return err
	}
	arena, err := newArena()
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	a, err := e.dialAdmin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	before, err := a.KeySlots(ctx)
	if err != nil {
		return err
	}
	if !hasKind(before.GetSlots(), kindRecovery) {
		return &client.Error{Code: pb.CodeNotFound, Message: "the vault has no recovery code", Why: "none was made while it was open", Next: "see what opens it:  nsagent key ls"}
	}
	code, err := e.recoveryCode(arena, o.recoveryFile)
	if err != nil {
		return err
	}
	defer code.Destroy()
	if _, err := a.UnlockBy(ctx, client.Proof{Recovery: sealer(code)}, 0); err != nil {
		return err
	}
	slot := client.NewSlot{Kind: o.kind(before.GetSlots()), Cost: o.fresh.kdf}
	if takesPassphrase(slot.Kind) {
		b, err := o.fresh.get(e, arena)
		if err != nil {
			return err
		}
		defer b.Destroy()
		slot.Opener = sealer(b)
	}
	r, err := a.Recover(ctx, sealer(code), slot)
	if errors.Is(err, client.ErrKeyring) && takesPassphrase(slot.Kind) {
		f := failure(err)
		return &client.Error{Code: f.Code, Message: f.Message, Why: f.Why, Next: "do without it:  nsagent key recover --unlock passphrase"}
	}
	if err != nil {
		return err
	}
	return e.reportSlots("recovered", r.GetSlots(), r.GetWeakest(), r.GetWarnings())
}

// kind returns the kind of the slot to be made: the one that is asked for, or what the
// vault opened by so far.
func (o keyRecoverOptions) kind(slots []*pb.KeySlot) string {
	if o.unlock != "" {
		return o.unlock
	}
	for _, kind := range []string{kindBoth, kindPassphrase, kindKeyring} {
		if hasKind(slots, kind) {
			return kind
		}
	}
	return kindPassphrase
}

func isNoTerminal(err error) bool { return errors.Is(err, term.ErrNoTerminal) }
