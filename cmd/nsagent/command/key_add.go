package command

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
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
  keyring+passphrase   both together
  totp                 an authenticator app, which opens nothing: its codes are
                       asked for by what needs a fresh proof`,
		Example: `  nsagent key add recovery
  nsagent key add key-file --new-key-file /etc/nsagent.key
  nsagent key add passphrase --new-passphrase-file NEW --passphrase-file OLD`,
		Args: takes("KIND"),
		RunE: func(c *cobra.Command, args []string) error { return runKeyAdd(c.Context(), e, args[0], o) },
	}
	c.Flags().StringVar(&o.recoveryFile, "recovery-file", "", "write the recovery code to `FILE`, which must not exist")
	o.opener.register(c) // after a flag of the same name as one of its own
	o.fresh.register(c)
	c.Flags().StringVar(&o.newKeyFile, "new-key-file", "", "write the new key to `FILE`, which must not exist")
	return c
}

// slotKinds are the kinds that can be added, in the order of the help.
func slotKinds() []string {
	return []string{kindRecovery, kindKeyFile, kindPassphrase, kindKeyring, kindBoth, kindTOTP}
}

func (o keyAddOptions) check(kind string) error {
	if !slices.Contains(slotKinds(), kind) {
		return usage(fmt.Sprintf("unknown kind of key slot %.40q", kind), "it is recovery, key-file, passphrase, keyring, keyring+passphrase or totp", "see:  nsagent key add --help")
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
			return usage(f.name+" does not belong to "+kind, "another kind of key slot takes it", "see:  nsagent key add --help")
		}
	}
	if kind == kindKeyFile && o.newKeyFile == "" {
		return usage("it is not said where the key goes", "the file is made, and none is ever replaced", "name a new file:  --new-key-file F")
	}
	return o.fresh.check()
}

func runKeyAdd(ctx context.Context, e *env, kind string, o keyAddOptions) error {
	if err := o.check(kind); err != nil {
		return err
	}
	if kind == kindTOTP {
		return runKeyAddTOTP(ctx, e, o.opener)
	}
	return e.manageSecretly(ctx, func(a *client.Admin, arena *secret.Arena) error {
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
		return e.reportSlots("added "+kind, r, warnOfAdded(kind, before, r))
	})
}

// warnOfAdded says what is less safe than before, now that a slot was added.
func warnOfAdded(kind string, before, after keySlots) []string {
	var warnings []string
	if kind == kindRecovery && hasKind(before, kindRecovery) {
		warnings = append(warnings, "the recovery code from before opens the vault as well; remove it with nsagent key rm if it is lost")
	}
	if weakest := after.GetWeakest(); weakest == kind && weakest != before.GetWeakest() {
		warnings = append(warnings, fmt.Sprintf("the vault is now as safe as its %s, which is weaker than %s", weakest, before.GetWeakest()))
	}
	return warnings
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
