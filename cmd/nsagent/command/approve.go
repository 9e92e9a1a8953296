package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newApprove(e *env) *cobra.Command {
	var opener openerFlags
	var span string
	c := &cobra.Command{
		Use:   "approve ID",
		Short: "Let those go ahead who wait for a request",
		Long: `Let those go ahead who wait for a request. It takes the passphrase again, or
what else is a fresh proof, and a code of the authenticator app where the rule
wants one. Approved is what was shown: the same program, profile, method, URL.`,
		Example: `  nsagent requests
  nsagent approve k3v7qa
  nsagent approve k3v7qa --for 5m`,
		Args: takes("ID"),
		RunE: func(c *cobra.Command, args []string) error { return runApprove(c.Context(), e, args[0], span, opener) },
	}
	opener.register(c)
	c.Flags().StringVar(&span, "for", "once", "whom it lets go ahead: `SPAN` is once (who waits now), 5m or session")
	return c
}

func runApprove(ctx context.Context, e *env, id, span string, opener openerFlags) error {
	if !slices.Contains([]string{"once", "5m", "session"}, span) {
		return usage(fmt.Sprintf("an approval is not for %.20q", span), "it is for once, 5m or session", "see:  nsagent approve --help")
	}
	return e.manageSecretly(ctx, func(a *client.Admin, arena *secret.Arena) error {
		r, err := findRequest(ctx, a, id)
		if err != nil {
			return err
		}
		if !e.quiet {
			if err := writeCard(e.stderr, e.errScreen, r); err != nil {
				return err
			}
		}
		err = e.proved(arena, opener, func(proof client.Proof) error { return a.Approve(ctx, proof, r.GetId(), span) })
		if err != nil {
			return err
		}
		return e.answered("approved", r.GetId(), span)
	})
}

func newDeny(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "deny ID",
		Short: "Send those away who wait for a request",
		Long: `Send those away who wait for a request. Whoever asks the same within a minute is
sent away, too. It takes no proof.`,
		Example: "  nsagent deny k3v7qa",
		Args:    takes("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.manage(c.Context(), func(a *client.Admin) error {
				r, err := findRequest(c.Context(), a, args[0])
				if err != nil {
					return err
				}
				if err := a.Deny(c.Context(), r.GetId()); err != nil {
					return err
				}
				return e.answered("denied", r.GetId(), "")
			})
		},
	}
}

// findRequest returns the request of an id, however it is typed.
func findRequest(ctx context.Context, a *client.Admin, id string) (*pb.ApprovalRequest, error) {
	all, err := a.Requests(ctx, 0)
	if err != nil {
		return nil, err
	}
	for _, r := range all.GetRequests() {
		if strings.EqualFold(r.GetId(), id) {
			return r, nil
		}
	}
	return nil, &client.Error{Code: pb.CodeNotFound, Message: fmt.Sprintf("no request %.20q waits", id), Why: "it was answered, or waited too long, or never was", Next: "see what waits:  nsagent requests"}
}

// answered says what became of a request.
func (e *env) answered(how, id, span string) error {
	if e.json() {
		return e.printJSON(struct {
			Schema  string `json:"schema"`
			ID      string `json:"id"`
			Outcome string `json:"outcome"`
			For     string `json:"for,omitzero"`
		}{"nsagent.request/v1", id, how, span})
	}
	e.say("%s %s", how, id)
	return nil
}
