package command

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type unlockOptions struct {
	anyOpenerFlags
	hard duration
}

func newUnlock(e *env) *cobra.Command {
	var o unlockOptions
	c := &cobra.Command{
		Use:   "unlock",
		Short: "Open the vault, so that the agent can sign",
		Long: `Open the vault, so that the agent can sign. It asks for the passphrase where
there is one. A key file comes from --key-file, from the credential nsagent.key
of a systemd unit, or from key_file in config.toml. With --recovery it asks for
the recovery code, which needs neither passphrase nor keyring.

The vault locks by itself after an hour without use, and after twelve hours at
the latest; config.toml can say otherwise.`,
		Example: `  nsagent unlock
  nsagent unlock --for 8h
  nsagent unlock --passphrase-file FILE
  nsagent unlock --key-file FILE
  nsagent unlock --recovery`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runUnlock(c, e, o) },
	}
	o.register(c)
	c.Flags().Var(&o.hard, "for", "lock again after `TIME`, such as 8h; hard_lock is the most")
	return c
}

func runUnlock(c *cobra.Command, e *env, o unlockOptions) error {
	hard := time.Duration(o.hard)
	if c.Flags().Changed("for") && hard < time.Second {
		return usage("--for is too short", errDuration.Error(), "")
	}
	var r *pb.UnlockResponse
	err := e.manageSecretly(c.Context(), func(a *client.Admin, arena *secret.Arena) (err error) {
		r, err = e.unlock(c.Context(), a, arena, o, hard)
		return err
	})
	if err != nil {
		return err
	}
	if at := time.Duration(r.GetHardSeconds()) * time.Second; hard >= at+time.Second {
		e.note("it locks after %s at the latest, and not after the %s of --for: hard_lock in config.toml is the most", seconds(r.GetHardSeconds()), seconds(int64(hard/time.Second)))
	}
	notes := r.GetMissing()
	if e.verbose || o.byCode() {
		notes = r.GetWarnings()
	}
	for _, w := range notes {
		e.note("%s", w)
	}
	if e.json() {
		return e.printJSON(struct {
			Schema      string `json:"schema"`
			Locked      bool   `json:"locked"`
			Profiles    int32  `json:"profiles"`
			IdleSeconds int64  `json:"idle_seconds"`
			HardSeconds int64  `json:"hard_seconds"`
		}{"nsagent.unlock/v1", false, r.GetProfiles(), r.GetIdleSeconds(), r.GetHardSeconds()})
	}
	e.say("unlocked: %s; locks after %s without use, and after %s at the latest",
		count(uint64(max(r.GetProfiles(), 0)), "profile"), // #nosec G115 -- not negative
		seconds(min(r.GetIdleSeconds(), r.GetHardSeconds())), seconds(r.GetHardSeconds()))
	if o.byCode() {
		e.say("next  set a new passphrase, or bind it to the keyring of this machine:  nsagent key recover")
	}
	return nil
}

// unlock opens the vault with what the flags name; without any it tries the key file of
// the configuration and the keyring, and asks if that is not enough.
func (e *env) unlock(ctx context.Context, a *client.Admin, arena *secret.Arena, o unlockOptions, hard time.Duration) (*pb.UnlockResponse, error) {
	if o.given() {
		by, err := o.read(e, arena)
		if err != nil {
			return nil, err
		}
		defer by.Destroy()
		return a.UnlockBy(ctx, by.proof(), hard)
	}
	key, err := e.configuredKeyFile(arena)
	if err != nil {
		return nil, err
	}
	if !key.IsZero() {
		defer key.Destroy()
		r, err := a.UnlockBy(ctx, client.Proof{KeyFile: sealer(key)}, hard)
		if !errors.Is(err, &client.Error{Code: pb.CodeNotFound}) { // the vault may have no such slot
			return r, err
		}
	}
	r, err := a.Unlock(ctx, nil, hard)
	if !needsPassphrase(err) {
		return r, err
	}
	b, err := e.askKnown(arena, "", "Passphrase", pb.CodePassphrase)
	if errors.Is(err, term.ErrNoTerminal) {
		return nil, &client.Error{
			Code: pb.CodePassphrase, Message: "the vault needs its passphrase", Why: e.unasked("ask for it"),
			Next: "give it as a file:  nsagent unlock --passphrase-file F",
		}
	}
	if err != nil {
		return nil, err
	}
	defer b.Destroy()
	return a.Unlock(ctx, sealer(b), hard)
}

// needsPassphrase reports whether asking for a passphrase may help.
func needsPassphrase(err error) bool {
	var f *client.Error
	return errors.As(err, &f) && f.Code == pb.CodePassphrase
}
