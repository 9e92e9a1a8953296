package command

import (
	"errors"
	"strings"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/term"
)

// proved makes a call that may need a fresh proof: with the passphrase or key file that
// the flags name, or without, and then again with what is asked for at the terminal or
// with the key file of the configuration. Without any the agent's refusal stands.
func (e *env) proved(arena *secret.Arena, from openerFlags, call func(client.Proof) error) error {
	if from.given() {
		o, err := from.read(e, arena)
		if err != nil {
			return err
		}
		defer o.Destroy()
		return call(o.proof())
	}
	err := call(client.Proof{})
	switch {
	case errors.Is(err, client.ErrProof):
		b, asked := e.askPassphrase(arena, failure(err).Message+".\nPassphrase: ", false)
		if errors.Is(asked, term.ErrNoTerminal) {
			return err
		}
		if asked != nil {
			return asked
		}
		defer b.Destroy()
		return call(client.Proof{Passphrase: sealer(b)})
	case errors.Is(err, client.ErrKey):
		key, fault := e.configuredKeyFile(arena)
		if fault != nil || key.IsZero() {
			return errors.Join(fault, err)
		}
		defer key.Destroy()
		return call(client.Proof{KeyFile: sealer(key)})
	case errors.Is(err, client.ErrConfirm):
		t, asked := e.terminal()
		if asked != nil {
			return err
		}
		defer func() { _ = t.Close() }()
		answer, asked := t.Line(failure(err).Message + ". Go on? [y/N]: ")
		if asked != nil {
			return asked
		}
		if a := strings.ToLower(answer); a != "y" && a != "yes" {
			return err
		}
		return call(client.Proof{Confirmed: true})
	default:
		return err
	}
}
