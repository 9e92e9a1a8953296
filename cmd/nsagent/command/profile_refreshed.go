package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newProfileRefreshed(e *env) *cobra.Command {
	var undo bool
	c := &cobra.Command{
		Use:   "refreshed NAME",
		Short: "Say that a sandbox was refreshed, and enter what is new",
		Long: `Say that the sandbox of a profile was refreshed. A refresh removes the tokens
and the certificate mappings of a sandbox. All profiles of its account are
marked: nothing is signed with them (NSA-STALE), so that no program tries again
and again until NetSuite locks its user out. What has to be done in NetSuite is
printed.

At a terminal it then asks for the new tokens, profile by profile. A profile is
used again once it has a new token secret, private key or certificate.

--undo takes the mark off one profile: it was no refresh, or NetSuite knows the
same credential again, such as a certificate that was mapped once more.`,
		Example: `  nsagent profile refreshed acme-sb1
  nsagent profile refreshed acme-sb1-m2m --undo`,
		Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error { return runProfileRefreshed(c.Context(), e, args[0], undo) },
	}
	c.Flags().BoolVar(&undo, "undo", false, "take the mark off this one profile")
	return c
}

func runProfileRefreshed(ctx context.Context, e *env, name string, undo bool) error {
	return e.manageSecretly(ctx, func(a *client.Admin, arena *secret.Arena) error {
		marked, err := a.MarkRefreshed(ctx, name, undo)
		if err != nil {
			return err
		}
		if e.json() {
			return e.printJSON(refreshedForm(marked))
		}
		if undo {
			e.say("%s is used again", name)
			return nil
		}
		e.say("%s of %s: not used until there is a new credential", strings.Join(namesOf(marked), ", "), marked[0].GetAccount())
		if err := e.printFound(foundStale(marked)); err != nil {
			return err
		}
		return e.reenrol(ctx, a, arena, marked)
	})
}

func namesOf(all []*pb.Profile) []string {
	names := make([]string, 0, len(all))
	for _, p := range all {
		names = append(names, p.GetName())
	}
	return names
}

// refreshedJSON is what profile refreshed prints for programs.
type refreshedJSON struct {
	Schema   string      `json:"schema"`
	Account  string      `json:"account"`
	Profiles []staleJSON `json:"profiles"`
}

type staleJSON struct {
	Name  string `json:"name"`
	Auth  string `json:"auth"`
	State string `json:"state"`
	// Do says what to do in NetSuite, Next what to type afterwards.
	Do   string `json:"do,omitempty"`
	Next string `json:"next,omitempty"`
}

func refreshedForm(all []*pb.Profile) refreshedJSON {
	out := refreshedJSON{Schema: "nsagent.refreshed/v1", Profiles: make([]staleJSON, 0, len(all))}
	for _, p := range all {
		row := staleJSON{Name: p.GetName(), Auth: p.GetAuth(), State: "ready"}
		if p.GetStaleSince() != 0 {
			row.State = "stale"
			row.Do, row.Next = reenrolment(p)
		}
		out.Account = p.GetAccount()
		out.Profiles = append(out.Profiles, row)
	}
	return out
}

func foundStale(all []*pb.Profile) []found {
	out := make([]found, 0, len(all))
	for _, p := range all {
		do, next := reenrolment(p)
		out = append(out, found{level: "stale", name: p.GetName(), text: do, fix: next})
	}
	return out
}

// reenrolment says what brings a credential back after a refresh: in NetSuite, and here.
//
// Source: NetSuite Help, "Viewing, Editing, Creating, and Revoking TBA Tokens" and
// "OAuth 2.0 Client Credentials Setup".
func reenrolment(p *pb.Profile) (do, next string) {
	switch p.GetAuth() {
	case "m2m":
		return fmt.Sprintf("in the sandbox, Setup > Integration > Manage Authentication > OAuth 2.0 Client Credentials (M2M) Setup > Create New: the user, the role, the integration record with client ID %.8s…, and the certificate", p.GetClientId()),
			"the same certificate:  nsagent profile refreshed " + p.GetName() + " --undo"
	case "tba":
		return fmt.Sprintf("in the sandbox, Setup > Users/Roles > Access Tokens > New: the integration record with consumer key %.8s…, the user and the role", p.GetConsumerKey()),
			"then:  nsagent profile edit " + p.GetName()
	default:
		return "somebody has to allow it again, in the browser", "nsagent login -p " + p.GetName()
	}
}

// reenrol asks for the new credentials, one profile after the other, where there is a
// terminal. An empty answer leaves a profile for later.
func (e *env) reenrol(ctx context.Context, a *client.Admin, arena *secret.Arena, marked []*pb.Profile) error {
	t, err := e.terminal()
	if errors.Is(err, term.ErrNoTerminal) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = t.Close() }()
	for _, p := range marked {
		done := false
		switch p.GetAuth() {
		case "m2m":
			var mapped bool
			mapped, err = yesOrNo(t, "Is the certificate of "+p.GetName()+" mapped in the sandbox again? [y/N]: ", false)
			if mapped {
				_, err = a.MarkRefreshed(ctx, p.GetName(), true)
				done = true
			}
		case "tba":
			done, err = e.reenrolToken(ctx, a, arena, t, p)
		}
		if err != nil {
			return err
		}
		if done {
			e.say("%s is used again; try it:  nsagent profile test %s", p.GetName(), p.GetName())
		}
	}
	return nil
}

// reenrolToken asks for a new token, and stores it. done is false where there is none yet.
func (e *env) reenrolToken(ctx context.Context, a *client.Admin, arena *secret.Arena, t *term.TTY, p *pb.Profile) (done bool, err error) {
	d := newDraft()
	defer d.destroy()
	d.profile.Auth = "tba"
	id, err := t.Line("New token ID of " + p.GetName() + " (empty: later): ")
	if err != nil || id == "" {
		return false, err
	}
	b, err := t.Secret(arena, "Its token secret (not shown): ", maxPassphrase)
	if err != nil {
		return false, err
	}
	d.secrets["token_secret"] = b
	d.profile.TokenId = id
	d.given = slices.Concat(d.given, []string{"token_id", "token_secret"})
	change, err := d.edit(e, p)
	if err != nil {
		return false, err
	}
	_, err = a.EditProfile(ctx, p.GetName(), change)
	return err == nil, err
}
