package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/term"
	"github.com/nsagent/nsagent/internal/totp"
)

const (
	// maxTOTP bounds what is typed or read as a code, in bytes.
	maxTOTP = 32
	// maxLabel bounds the name of an entry in an app: a longer one makes a larger QR code.
	maxLabel = 24
	// totpTries is how often the first code may be typed.
	totpTries = 3
)

// runKeyAddTOTP sets up an authenticator app: the secret is drawn here, goes to the agent
// sealed, as a recovery code does, and is shown once.
func runKeyAddTOTP(ctx context.Context, e *env, opener openerFlags) error {
	return e.manageSecretly(ctx, func(a *client.Admin, arena *secret.Arena) error {
		t, err := e.terminal()
		if errors.Is(err, term.ErrNoTerminal) {
			return e.cannotAsk("show the secret", "type it at a terminal, with the phone at hand:  nsagent key add totp")
		}
		if err != nil {
			return err
		}
		defer func() { _ = t.Close() }()
		var refused error // of the first code, which is no proof
		err = e.proved(arena, opener, func(proof client.Proof) error {
			if _, err := a.AddTOTP(ctx, proof, nil, nil); err != nil {
				return err
			}
			refused = e.enrol(ctx, a, arena, t, proof)
			return nil
		})
		if err = errors.Join(err, refused); err != nil {
			return err
		}
		r, err := a.KeySlots(ctx)
		if err != nil {
			return err
		}
		return e.reportSlots("added totp "+shortID(r.GetTotp().GetId()), r, warnOfTOTP(r))
	})
}

// warnOfTOTP says what the loss of the phone would mean.
func warnOfTOTP(r keySlots) []string {
	if hasKind(r, kindRecovery) {
		return nil
	}
	return []string{"who loses the phone needs a recovery code to go on without it, and there is none:  nsagent key add recovery"}
}

// enrol shows a new secret, and sets the app up once a code shows that the person has it.
func (e *env) enrol(ctx context.Context, a *client.Admin, arena *secret.Arena, t *term.TTY, proof client.Proof) error {
	key, err := arena.Random(totp.KeySize)
	if err != nil {
		return err
	}
	defer key.Destroy()
	if err := e.showTOTP(arena, t, key); err != nil {
		return fmt.Errorf("showing the secret: %w", err)
	}
	for try := 1; ; try++ {
		code, err := readCode(arena, t, "Code that the app shows: ")
		if err != nil {
			return err
		}
		_, err = a.AddTOTP(ctx, proof, sealer(key), sealer(code))
		code.Destroy()
		if !errors.Is(err, client.ErrTOTP) {
			return err
		}
		if try == totpTries {
			return err
		}
		fmt.Fprintln(t, "That is not the code of this secret.")
	}
}

// showTOTP shows a secret, to be scanned or typed.
func (e *env) showTOTP(arena *secret.Arena, t *term.TTY, key secret.Bytes) error {
	uri, err := totp.URI(arena, key, e.label())
	if err != nil {
		return err
	}
	defer uri.Destroy()
	text, err := totp.Text(arena, key)
	if err != nil {
		return err
	}
	defer text.Destroy()
	fmt.Fprint(t, "\nScan this with an authenticator app, or type the key below it into the app. It is\nnot shown again.\n\n")
	if err := t.QR(arena, uri, colourful(e.getenv)); errors.Is(err, term.ErrNarrow) {
		fmt.Fprintln(t, "(the window is too narrow for a QR code)")
	} else if err != nil {
		return err
	}
	fmt.Fprint(t, "\nKey:\n    ")
	if err := text.Use(func(p []byte) error { return writeGroups(t, p) }); err != nil {
		return err
	}
	fmt.Fprint(t, "\nURI:\n    ")
	if err := uri.Use(func(p []byte) error { _, err := t.Write(p); return err }); err != nil {
		return err
	}
	fmt.Fprint(t, "\n\n")
	return nil
}

// writeGroups writes a key in groups of four, without a copy of it.
func writeGroups(t *term.TTY, key []byte) error {
	for len(key) > 0 {
		n := min(4, len(key))
		for _, part := range [][]byte{key[:n], []byte(" ")} {
			if _, err := t.Write(part); err != nil {
				return err
			}
		}
		key = key[n:]
	}
	_, err := t.Write([]byte("\n"))
	return err
}

// label names the vault for who has several in an app: user and machine.
func (e *env) label() string {
	label := e.getenv("USER")
	if host, err := os.Hostname(); err == nil {
		label = strings.TrimPrefix(label+"@"+host, "@")
	}
	plain := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, label)
	return plain[:min(len(plain), maxLabel)]
}

// readCode asks for a code.
func readCode(arena *secret.Arena, t *term.TTY, prompt string) (secret.Bytes, error) {
	code, err := t.Secret(arena, prompt, maxTOTP)
	if err != nil {
		return secret.Bytes{}, err
	}
	return code, withoutBlanks(code)
}

// readTOTP reads a code from a descriptor.
func (e *env) readTOTP(arena *secret.Arena, fd int) (secret.Bytes, error) {
	source, err := (&passphraseFlags{fd: fd}).open(e)
	if err != nil {
		return secret.Bytes{}, usage("the code cannot be read", err.Error(), "")
	}
	defer func() { _ = source.Close() }()
	code, err := arena.ReadAll(source, maxTOTP)
	if errors.Is(err, secret.ErrTooLong) {
		return secret.Bytes{}, usage("the code is too long", fmt.Sprintf("it has %d digits", totp.Digits), "")
	}
	if err != nil {
		return secret.Bytes{}, usage("the code cannot be read", readFault(err), "")
	}
	return code, withoutBlanks(code)
}

// withoutBlanks takes blanks and line ends out of a code, which apps show in two groups.
func withoutBlanks(code secret.Bytes) error {
	n := 0
	err := code.Use(func(p []byte) error {
		for _, c := range p {
			if !bytes.ContainsRune([]byte(" \t\r\n"), rune(c)) {
				p[n] = c
				n++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return code.Truncate(n)
}
