package command

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newKeyRemove(e *env) *cobra.Command {
	var opener openerFlags
	c := &cobra.Command{
		Use:   "rm ID",
		Short: "Remove something that opens the vault",
		Long: `Remove a key slot by its ID, or by the start of it. The last one stays. Copies
of the vault that were made before still open by what is removed. The
authenticator app goes with one of its codes or, where the phone is lost, with
--recovery.`,
		Example: "  nsagent key ls\n  nsagent key rm 1f3a9c02",
		Args:    takes("ID"),
		RunE:    func(c *cobra.Command, args []string) error { return runKeyRemove(c.Context(), e, args[0], opener) },
	}
	opener.register(c)
	return c
}

func runKeyRemove(ctx context.Context, e *env, id string, opener openerFlags) error {
	return e.manageSecretly(ctx, func(a *client.Admin, arena *secret.Arena) error {
		slot, err := findSlot(ctx, a, id)
		if err != nil {
			return err
		}
		var r *pb.RemoveKeySlotResponse
		err = e.proved(arena, opener, func(proof client.Proof) (err error) {
			r, err = a.RemoveKeySlot(ctx, proof, slot.GetId())
			return err
		})
		if err != nil {
			return err
		}
		return e.reportSlots("removed "+slot.GetKind()+" "+shortID(slot.GetId()), r, r.GetWarnings())
	})
}

type keyPasswdOptions struct {
	old   passphraseFlags
	fresh newPassphraseFlags
	totp  int // as in openerFlags
}

func newKeyPasswd(e *env) *cobra.Command {
	var o keyPasswdOptions
	c := &cobra.Command{
		Use:   "passwd",
		Short: "Change the passphrase",
		Long: `Change the passphrase: it asks for the old one, and twice for the new one. What
the old one opened, the new one opens; the old one opens copies of the vault
that were made before. Where the policy wants codes, it takes one as well.`,
		Example: `  nsagent key passwd
  nsagent key passwd --passphrase-file OLD --new-passphrase-file NEW`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runKeyPasswd(c.Context(), e, o) },
	}
	o.old.register(c)
	registerTOTP(c, &o.totp)
	o.fresh.register(c)
	return c
}

func runKeyPasswd(ctx context.Context, e *env, o keyPasswdOptions) error {
	if err := o.fresh.check(); err != nil {
		return err
	}
	return e.manageSecretly(ctx, func(a *client.Admin, arena *secret.Arena) error {
		old, err := o.oldPassphrase(e, arena)
		if err != nil {
			return err
		}
		defer old.Destroy()
		fresh, err := o.fresh.get(e, arena)
		if err != nil {
			return err
		}
		defer fresh.Destroy()
		p := &prover{env: e, arena: arena, from: openerFlags{passphrase: passphraseFlags{fd: -1}, totp: o.totp}, proof: client.Proof{Passphrase: sealer(old)}}
		defer p.destroy()
		var r *pb.ChangePassphraseResponse
		err = p.prove(func(proof client.Proof) (err error) {
			r, err = a.ChangePassphrase(ctx, proof, sealer(fresh), o.fresh.kdf)
			return err
		})
		if err != nil {
			return err
		}
		if e.json() {
			return e.printJSON(struct {
				Schema  string `json:"schema"`
				Changed int32  `json:"changed"`
			}{"nsagent.key-passwd/v1", r.GetChanged()})
		}
		e.say("the passphrase is changed")
		e.note("copies of the vault from before still open by the old one, vault.nsv.prev until the next change")
		return nil
	})
}

func (o keyPasswdOptions) oldPassphrase(e *env, arena *secret.Arena) (secret.Bytes, error) {
	if o.old.given() {
		return o.old.read(e, arena)
	}
	b, err := e.askKnown(arena, "", "Old passphrase", pb.CodePassphrase)
	if errors.Is(err, term.ErrNoTerminal) {
		return b, e.cannotAsk("ask for the old passphrase", "give it as a file:  --passphrase-file F")
	}
	return b, err
}
