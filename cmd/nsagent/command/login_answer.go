package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/nsagent/nsagent/internal/callback"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// defaultRedirect is what is proposed for OAuth 2.0. NetSuite compares it to the
	// letter, so the port is part of it.
	defaultRedirect = "https://localhost:8765/callback"
	// anyRedirect is for the three-step flow, where http://localhost:* on the integration
	// record allows any port.
	anyRedirect = "http://localhost:0/callback"
	// maxPasted bounds an address that is pasted, in bytes.
	maxPasted = 12 << 10
	// pasteTries is how often something that is no answer may be pasted.
	pasteTries = 5
)

// listen begins to listen at the redirect URI, if that is on this machine. Otherwise
// there has to be a terminal to paste the answer on.
func (l *loginRun) listen() error {
	if l.redirect == "" { // of the three-step flow only
		l.redirect = anyRedirect
	}
	var once sync.Once
	listener, err := callback.Listen(callback.Config{RedirectURI: l.redirect, Refused: func(r callback.Refusal) {
		// What browsers ask for besides, and what was answered already, is no news.
		if r != callback.WrongPath && r != callback.UsedAlready {
			once.Do(func() { l.e.note("something else was sent to %s and refused (%s); still waiting", l.redirect, r) })
		}
	}})
	switch {
	case err == nil:
		l.listener, l.redirect = listener, listener.RedirectURI()
		return nil
	case errors.Is(err, callback.ErrElsewhere):
		t, err := l.e.terminal()
		if err != nil {
			return usage("the answer cannot come here", "the redirect URI does not lead to this machine, and "+l.e.unasked("paste it"), "log in at a terminal, or use a redirect URI such as "+defaultRedirect)
		}
		return t.Close()
	case errors.Is(err, callback.ErrPortInUse):
		// Whoever listens there would get the answer.
		return usage("another program listens at "+l.redirect, "the browser would bring the answer to that program", "end it, or give another --redirect-uri that the integration record lists")
	case errors.Is(err, callback.ErrRedirect):
		return badRedirect(err)
	default:
		return usage("nsagent cannot listen at "+l.redirect, plain(err), "give another --redirect-uri that the integration record lists")
	}
}

// sendOff has the browser opened, or says where to go.
func (l *loginRun) sendOff(ctx context.Context) error {
	e, r := l.e, l.begun
	e.echo(l.profile.GetName(), r.GetAccount(), r.GetEnvironment())
	if e.output == "jsonl" {
		err := e.printJSON(struct {
			Schema       string `json:"schema"`
			AuthorizeURL string `json:"authorize_url"`
			RedirectURI  string `json:"redirect_uri"`
			Fingerprint  string `json:"certificate_sha256,omitzero"`
			ExpiresAt    string `json:"expires_at"`
		}{"nsagent.login/v1", r.GetAuthorizeUrl(), l.redirect, l.fingerprint(), time.Now().Add(time.Duration(r.GetExpiresIn()) * time.Second).UTC().Format(time.RFC3339)})
		if err != nil {
			return err
		}
	}
	if f := l.fingerprint(); f != "" {
		e.say("The browser will warn of the certificate of %s: nsagent made it\nfor this login. Its SHA-256 fingerprint is\n  %s", l.redirect, f)
	}
	if !l.options.noBrowser {
		signal.Reset(syscall.SIGPIPE) // what Main ignores, the browser would ignore too
		err := callback.OpenBrowser(ctx, r.GetAuthorizeUrl(), os.Environ())
		signal.Ignore(syscall.SIGPIPE)
		if err == nil {
			e.say("NetSuite's page is open in the browser. Should it not be, open this address:\n  %s", oneLine(r.GetAuthorizeUrl()))
			return nil
		}
		if e.verbose {
			e.note("%s", plain(err))
		}
	}
	// Without it nobody can go on, so it is said with -q too.
	fmt.Fprintf(e.stderr, "Open this address in a browser, within %s:\n  %s\n", seconds(r.GetExpiresIn()), oneLine(r.GetAuthorizeUrl()))
	return nil
}

func (l *loginRun) fingerprint() string {
	if l.listener == nil {
		return ""
	}
	return l.listener.Fingerprint()
}

// arrived is the answer, or why there is none.
type arrived struct {
	callback *callback.Callback
	err      error
}

// await waits for the answer, which the browser brings here or a person pastes.
func (l *loginRun) await(ctx context.Context) (*callback.Callback, error) {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait() // the terminal is put in order
	defer cancel()
	got := make(chan arrived, 2)
	if l.listener != nil {
		go func() {
			c, err := l.listener.Wait(ctx)
			got <- arrived{c, err}
		}()
	}
	// A job in the background would be stopped when it asks.
	if t, err := l.e.terminal(); err == nil && (l.listener == nil || t.Foreground()) {
		asking.Go(func() {
			defer func() { _ = t.Close() }()
			a, err := l.paste(ctx, t)
			if l.listener != nil && err != nil && !errors.Is(err, term.ErrInterrupted) && failure(err).Code != pb.CodeUsage {
				return // a terminal that has gone; the browser can still come
			}
			got <- arrived{callback.Pasted(a), err}
		})
	}
	first := <-got
	if first.err != nil {
		return nil, first.err
	}
	return first.callback, nil
}

// paste asks for the address at which the browser has ended up.
func (l *loginRun) paste(ctx context.Context, t *term.TTY) (*callback.Answer, error) {
	prompt := "Paste the address at which the browser ends up (not shown): "
	if l.listener != nil {
		fmt.Fprintln(t, "Waiting for the browser. If it does not get through to nsagent, paste the")
		prompt = "address at which it ends up (not shown): "
	}
	for try := 1; ; try++ {
		text, err := t.SecretUntil(ctx, l.arena, prompt, maxPasted)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var a *callback.Answer
		why := "it is too long"
		if err == nil {
			a, why = l.readPasted(text)
		} else if !errors.Is(err, term.ErrTooLong) {
			return nil, err
		}
		if why == "" {
			return a, nil
		}
		if try == pasteTries {
			return nil, usage("what was pasted is not the answer", why, "begin anew:  nsagent login -p "+l.profile.GetName())
		}
		fmt.Fprintf(t, "That is not it: %s.\n", why)
		prompt = "Paste the whole address (not shown): "
	}
}

// readPasted reads an answer, or says why it is none of this login.
func (l *loginRun) readPasted(text secret.Bytes) (a *callback.Answer, why string) {
	defer text.Destroy()
	err := text.Use(func(p []byte) (err error) {
		a, err = callback.ParseURL(p, l.redirect)
		return err
	})
	switch {
	case errors.Is(err, callback.ErrOtherAddress):
		return nil, "it does not begin with " + l.redirect
	case err != nil:
		return nil, plain(err)
	case a.State != l.begun.GetState():
		a.Wipe()
		return nil, "it is the answer to another login, or not all of it was copied"
	default:
		return a, ""
	}
}
