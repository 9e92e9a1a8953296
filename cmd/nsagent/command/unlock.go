package command

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type unlockOptions struct {
	passphrase passphraseFlags
	hard       time.Duration
}

func newUnlock(e *env) *cobra.Command {
	var o unlockOptions
	c := &cobra.Command{
		Use:   "unlock",
		Short: "Open the vault, so that the agent can sign",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return runUnlock(c, e, o) },
	}
	o.passphrase.register(c)
	c.Flags().DurationVar(&o.hard, "for", 0, "lock again after this time at the latest, such as 8h")
	return c
}

func runUnlock(c *cobra.Command, e *env, o unlockOptions) error {
	if c.Flags().Changed("for") && o.hard < time.Second {
		return usage("--for is too short", "it is a time such as 8h", "")
	}
	arena, err := newArena()
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	a, err := e.dialAdmin(c.Context())
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()

	var passphrase client.Sealer
	if o.passphrase.given() {
		b, err := o.passphrase.read(arena)
		if err != nil {
			return err
		}
		defer b.Destroy()
		passphrase = sealer(b)
	}
	r, err := a.Unlock(c.Context(), passphrase, o.hard)
	if passphrase == nil && needsPassphrase(err) {
		b, aerr := e.askPassphrase(arena, "Passphrase: ", false)
		if aerr != nil {
			return err
		}
		defer b.Destroy()
		r, err = a.Unlock(c.Context(), sealer(b), o.hard)
	}
	if err != nil {
		return err
	}
	for _, w := range r.GetWarnings() {
		e.say("nsagent: note: %s", w)
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
	e.say("unlocked: %s; locks after %s unused, %s at most", count(r.GetProfiles(), "profile"),
		seconds(r.GetIdleSeconds()), seconds(r.GetHardSeconds()))
	return nil
}

// needsPassphrase reports whether asking for a passphrase may help.
func needsPassphrase(err error) bool {
	var f *client.Error
	return errors.As(err, &f) && f.Code == pb.CodePassphrase
}

func newLock(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "lock",
		Short: "Drop every key from memory",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := e.dialAdmin(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = a.Close() }()
			if err := a.Lock(c.Context()); err != nil {
				return err
			}
			if e.json() {
				return e.printJSON(struct {
					Schema string `json:"schema"`
					Locked bool   `json:"locked"`
				}{"nsagent.lock/v1", true})
			}
			e.say("locked")
			return nil
		},
	}
}
