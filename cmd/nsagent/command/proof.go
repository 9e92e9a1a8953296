package command

import (
	"errors"
	"io"
	"strings"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// prover gathers the fresh proof of a call, as far as the agent asks for it.
type prover struct {
	env   *env
	arena *secret.Arena
	from  openerFlags
	proof client.Proof
	given []secret.Bytes
	// asks is where somebody is asked who may also say no; nil: at the terminal, where what
	// is asked for has to be given.
	asks asker
}

// asker asks somebody who may say no; that is errNo.
type asker interface {
	// span asks for how long to approve: "once", "5m" or "session".
	span() (string, error)
	// secret asks for a secret of that name, which why says what for.
	secret(why, name string) (secret.Bytes, error)
	// yes returns nil where somebody says yes to going on.
	yes(why string) error
}

// errNo means that somebody was asked, and said no.
var errNo = errors.New("command: somebody said no")

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
	if p.from.byCode() {
		if p.from.given() || p.from.totp >= 0 || p.from.recovery && p.from.recoveryFile != "" {
			return usage("the recovery code takes the place of all other proofs", "whoever has it may do all that they allow", "leave the other flags out")
		}
		code, err := p.from.recoveryCode(p.env, p.arena)
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
		b, err := p.ask(failure(refusal).Message, "Passphrase", pb.CodePassphrase)
		if err != nil {
			return false, unlessNobody(err)
		}
		p.proof.Passphrase = p.keep(b)
	case errors.Is(refusal, client.ErrTOTP) && p.proof.TOTP == nil:
		b, err := p.ask(failure(refusal).Message, "Code", pb.CodeTOTP)
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
		if p.asks != nil { // a file says neither yes nor no
			err = p.asks.yes(failure(refusal).Message)
		}
		return err == nil, err
	case errors.Is(refusal, client.ErrConfirm) && !p.proof.Confirmed:
		what := failure(refusal).Message
		yes, err := p.confirm(what)
		switch {
		case err != nil:
			return false, unlessNobody(err)
		case !yes:
			return false, answeredNo(what)
		}
		p.proof.Confirmed = true
	default:
		return false, nil
	}
	return true, nil
}

// ask asks for a secret; code is of the refusal where there is none.
func (p *prover) ask(why, name string, code pb.Code) (secret.Bytes, error) {
	if p.asks != nil {
		return p.asks.secret(why, name)
	}
	return p.env.askKnown(p.arena, why+".\n", name, code)
}

// confirm asks whether to go on.
func (p *prover) confirm(why string) (bool, error) {
	if p.asks != nil {
		err := p.asks.yes(why)
		return err == nil, err
	}
	return p.env.confirm(why + goOn)
}

// goOn is the end of a question that confirm asks.
const goOn = ". Go on? [y/N]: "

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
	return yesOrNo(t, question, false)
}

// answeredNo is the error of what somebody at a terminal did not confirm.
func answeredNo(what string) error {
	return &client.Error{Code: pb.CodeConfirm, Message: what, Why: "the answer was no; nothing was changed", Next: "to do it, do the command again, and say yes"}
}

// yesOrNo asks a question until the answer is one of the two, three times at most; return
// alone is the usual one.
func yesOrNo(t *term.TTY, question string, usual bool) (bool, error) {
	for try := 1; ; try++ {
		answer, err := t.Line(question)
		if err != nil {
			return false, err
		}
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "":
			return usual, nil
		case "y", "yes":
			return true, nil
		case "n", "no":
			return false, nil
		}
		if try == 3 {
			return false, usage("neither yes nor no was answered", "nothing was changed", "do the command again, and answer y or n")
		}
		_, _ = io.WriteString(t, "Answer y or n.\n")
	}
}
