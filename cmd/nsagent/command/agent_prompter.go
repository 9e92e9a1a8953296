package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/supervise"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/pinentry"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// newPrompter is the process that asks somebody, by a pinentry program, for the approvals
// that callers wait for. The agent starts it through the supervisor when the first one
// waits; it ends when none does. It comes to the agent by admin.sock, as a person at
// another terminal would.
func newPrompter(e *env) *cobra.Command {
	return forAgent("prompter", func(ctx context.Context, conn net.Conn) error {
		signal.Reset(syscall.SIGPIPE) // the program would inherit it
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			cancel() // the agent wants no more
		}()
		return e.manageSecretly(ctx, func(a *client.Admin, arena *secret.Arena) error {
			p := prompter{
				look:  a.Requests,
				ask:   func(ctx context.Context, r *pb.ApprovalRequest) error { return e.askByPinentry(ctx, a, arena, r) },
				fault: func(err error) { _, _ = fmt.Fprintln(conn, oneLine(plain(err))) },
			}
			return p.run(ctx)
		})
	})
}

// errNotAsked means that the pinentry program did not ask, or that there is none.
var errNotAsked = errors.New("command: nobody was asked")

// askByPinentry has somebody approve a request, or deny it.
func (e *env) askByPinentry(ctx context.Context, a *client.Admin, arena *secret.Arena, r *pb.ApprovalRequest) error {
	program, err := e.pinentry()
	if err != nil {
		return fmt.Errorf("%w: %w", errNotAsked, err)
	}
	d, err := pinentry.Open(ctx, arena, pinentry.Config{Program: program, Screen: pinentry.FindScreen(os.Environ()), Start: supervise.StartTied})
	if err != nil {
		return fmt.Errorf("%w: %w", errNotAsked, err)
	}
	defer d.Close()
	asks := &pinentryAsker{dialog: d, arena: arena, request: r}
	return e.approveBy(ctx, a, arena, r.GetId(), asks, func(fault string) { asks.fault = fault + "." })
}

// pinentry returns the program that config.toml names now.
func (e *env) pinentry() (string, error) {
	paths, err := e.paths()
	if err != nil {
		return "", err
	}
	settings, err := e.config(paths)
	if err != nil {
		return "", err
	}
	return pinentry.Find(settings.Pinentry)
}

// pinentryAsker asks by a pinentry program.
type pinentryAsker struct {
	dialog  *pinentry.Dialog
	arena   *secret.Arena
	request *pb.ApprovalRequest
	fault   string // of the answer before
}

// span is once: a window has a yes and a no.
func (k *pinentryAsker) span() (string, error) { return "once", nil }

func (k *pinentryAsker) secret(why, name string) (secret.Bytes, error) {
	b, err := k.dialog.Secret(k.arena, k.prompt(why, name+":"), maxPassphrase)
	if err != nil {
		return b, unanswered(err)
	}
	if b.Len() == 0 { // the button for a no is beside it
		b.Destroy()
		return secret.Bytes{}, &client.Error{Code: pb.CodePassphrase, Message: "nothing was typed"}
	}
	return b, nil
}

func (k *pinentryAsker) yes(why string) error {
	return unanswered(k.dialog.Confirm(k.prompt(why, "")))
}

// prompt returns what somebody is shown: the card that a terminal shows, cut as far as the
// program's lines make it necessary.
func (k *pinentryAsker) prompt(why, label string) pinentry.Prompt {
	const longest, least = 1000, 50
	text := ""
	for most := longest; most >= least; most -= least {
		// The first line has no markup: windows that would show some then do not.
		if text = card(screen{}, k.request, most) + "\n" + why + "."; pinentry.Fits(text) {
			break
		}
	}
	p := pinentry.Prompt{Title: "nsagent", Text: text, Label: label, Yes: "Approve", No: "Deny", Fault: k.fault}
	k.fault = ""
	return p
}

// unanswered tells a no from what is none.
func unanswered(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pinentry.ErrCancelled):
		return errNo
	default:
		return fmt.Errorf("%w: %w", errNotAsked, err)
	}
}
