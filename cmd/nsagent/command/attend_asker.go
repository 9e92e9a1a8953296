package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/term"
)

// terminalAsker asks at the terminal, until ctx ends. An empty answer is a no. Where it asks for
// how long, that answer is the yes.
type terminalAsker struct {
	ctx   context.Context
	env   *env
	arena *secret.Arena
	known bool // who asks is, so that the next call can be told to be of the same
}

// span asks for how long; a program that is not known is approved once, whatever is asked for.
func (k *terminalAsker) span() (string, error) {
	if !k.known {
		return "once", nil
	}
	t, err := k.env.terminal()
	if err != nil {
		return "", err
	}
	defer func() { _ = t.Close() }()
	for try := 1; ; try++ {
		key, err := k.key(t, "Approve it? y once, 5 for 5 minutes, s for the session, n no [n]: ")
		if err != nil {
			return "", err
		}
		span, said := "", ""
		switch key {
		case 'y', 'Y':
			span, said = "once", "once"
		case '5':
			span, said = "5m", "for 5 minutes"
		case 's', 'S':
			span, said = "session", "for the session"
		case 'n', 'N':
			return "", errNo
		}
		switch {
		case span != "":
			_, err := fmt.Fprintf(t, "Approving it %s.\n", said)
			return span, err
		case try == approvalTries:
			return "", fmt.Errorf("%w: no answer was one", errNotAsked)
		}
		fmt.Fprintln(t, "Answer y, 5, s or n.")
	}
}

// key asks for an answer of one key, and returns that: 'n' where none was typed, 0 where more
// was. Nothing of it is shown: who expects to be asked for the passphrase types that.
func (k *terminalAsker) key(t *term.TTY, question string) (key byte, err error) {
	b, err := t.SecretUntil(k.ctx, k.arena, question, maxPassphrase)
	switch {
	case errors.Is(err, term.ErrTooLong):
		return 0, nil
	case err != nil:
		return 0, err
	case b.Len() == 0:
		b.Destroy()
		return 'n', nil
	}
	defer b.Destroy()
	err = b.Use(func(p []byte) error {
		if len(p) == 1 {
			key = p[0]
		}
		return nil
	})
	return key, err
}

func (k *terminalAsker) secret(why, name string) (secret.Bytes, error) {
	t, err := k.env.terminal()
	if err != nil {
		return secret.Bytes{}, err
	}
	defer func() { _ = t.Close() }()
	b, err := t.SecretUntil(k.ctx, k.arena, why+".\n"+name+": ", maxPassphrase)
	if err == nil && b.Len() == 0 {
		b.Destroy()
		return secret.Bytes{}, errNo
	}
	return b, err
}

func (k *terminalAsker) yes(why string) error {
	if k.known {
		return nil // which the span was
	}
	yes, err := k.env.confirm(why + goOn)
	if err == nil && !yes {
		return errNo
	}
	return err
}
