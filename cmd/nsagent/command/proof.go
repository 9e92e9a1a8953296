package command

import (
	"context"
	"errors"
	"strings"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/term"
)

// prover gathers the fresh proof of a call, as far as the agent asks for it.
type prover struct {
	env   *env
	arena *secret.Arena
	from  openerFlags
	proof client.Proof
	given []secret.Bytes
	// ctx ends a question at the terminal; nil: nothing does. With it, an empty answer is
	// errEmpty.
	ctx context.Context
}

// errEmpty means that a question that may be left unanswered was.
var errEmpty = errors.New("command: empty answer")

// proved makes a call that may need a fresh proof: with what the flags name, or without,
// and then again with what is asked for at the terminal or with the key file of the
// configuration. What nobody can be asked for leaves the agent's refusal standing.
func (e *env) proved(arena *secret.Arena, from openerFlags, call func(client.Proof) error) error {
	p := &prover{env: e, arena: arena, from: from}
	defer p.destroy()
	return p.prove(call)
}

// prove is proved for a prover.
func (p *prover) prove(call func(client.Proof) error) error {
	if err := p.read(); err != nil {
		return err
	}
	for {
		err := call(p.proof)
		if err == nil {
			return nil
		}
		switch more, fault := p.add(err); {
		case fault != nil:
			return fault
		case !more:
			return err
		}
	}
}

func (p *prover) destroy() {
	for _, b := range p.given {
		b.Destroy()
	}
}

// keep has b destroyed in the end, and returns what seals it.
func (p *prover) keep(b secret.Bytes) client.Sealer {
	p.given = append(p.given, b)
	return sealer(b)
}

// read reads what the flags name.
func (p *prover) read() error {
	if p.from.recovery {
		if p.from.given() || p.from.totp >= 0 {
			return usage("the recovery code takes the place of all other proofs", "", "leave the other flags out")
		}
		code, err := p.env.askRecovery(p.arena)
		if err != nil {
			return err
		}
		p.proof.Recovery = p.keep(code)
		return nil
	}
	if p.from.given() {
		o, err := p.from.read(p.env, p.arena)
		if err != nil {
			return err
		}
		p.keep(o.Bytes)
		p.proof = o.proof()
	}
	if p.from.totp < 0 {
		return nil
	}
	code, err := p.env.readTOTP(p.arena, p.from.totp)
	if err != nil {
		return err
	}
	p.proof.TOTP = p.keep(code)
	return nil
}

// add adds to the proof what a refusal asks for. It reports false where that is there, so
// that it was wrong, or where nobody can be asked. A fault takes the place of the refusal.
func (p *prover) add(refusal error) (more bool, fault error) {
	e := p.env
	switch {
	case errors.Is(refusal, client.ErrProof) && p.proof.Passphrase == nil:
		b, err := p.ask(failure(refusal).Message + ".\nPassphrase: ")
		if err != nil {
			return false, unlessNobody(err)
		}
		p.proof.Passphrase = p.keep(b)
	case errors.Is(refusal, client.ErrTOTP) && p.proof.TOTP == nil:
		b, err := p.ask(failure(refusal).Message + ".\nCode: ")
		if err == nil {
			err = withoutBlanks(b)
		}
		if err != nil {
			return false, unlessNobody(err)
		}
		p.proof.TOTP = p.keep(b)
	case errors.Is(refusal, client.ErrKey) && p.proof.KeyFile == nil && p.proof.Recovery == nil:
		key, err := e.configuredKeyFile(p.arena)
		if err != nil || key.IsZero() {
			return false, err
		}
		p.proof.KeyFile = p.keep(key)
	case errors.Is(refusal, client.ErrConfirm) && !p.proof.Confirmed:
		yes, err := e.confirm(failure(refusal).Message + ". Go on? [y/N]: ")
		if err != nil || !yes {
			return false, unlessNobody(err)
		}
		p.proof.Confirmed = true
	default:
		return false, nil
	}
	return true, nil
}

// ask asks for a secret at the terminal.
func (p *prover) ask(prompt string) (secret.Bytes, error) {
	if p.ctx == nil {
		return p.env.askPassphrase(p.arena, prompt, false)
	}
	t, err := p.env.terminal()
	if err != nil {
		return secret.Bytes{}, err
	}
	defer func() { _ = t.Close() }()
	b, err := t.SecretUntil(p.ctx, p.arena, prompt, maxPassphrase)
	if err == nil && b.Len() == 0 {
		b.Destroy()
		return secret.Bytes{}, errEmpty
	}
	return b, err
}

// unlessNobody returns err, except where it says that there is nobody to ask.
func unlessNobody(err error) error {
	if errors.Is(err, term.ErrNoTerminal) {
		return nil
	}
	return err
}

// confirm asks a question that return alone says no to.
func (e *env) confirm(question string) (bool, error) {
	t, err := e.terminal()
	if err != nil {
		return false, err
	}
	defer func() { _ = t.Close() }()
	answer, err := t.Line(question)
	a := strings.ToLower(answer)
	return a == "y" || a == "yes", err
}
