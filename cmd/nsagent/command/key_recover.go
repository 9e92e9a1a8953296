package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

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
	c.Flags().StringVar(&o.recoveryFile, "recovery-file", "", "read the recovery code from `FILE`, or - for stdin")
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
	return e.manageSecretly(ctx, func(a *client.Admin, arena *secret.Arena) error {
		before, err := a.KeySlots(ctx)
		if err != nil {
			return err
		}
		if !hasKind(before, kindRecovery) {
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
		slot := client.NewSlot{Kind: o.kind(before), Cost: o.fresh.kdf}
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
		return e.reportSlots("recovered", r, r.GetWarnings())
	})
}

// kind returns the kind of the slot to be made: the one that is asked for, or what the
// vault opened by so far.
func (o keyRecoverOptions) kind(slots keySlots) string {
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
