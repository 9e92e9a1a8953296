package command

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type rotateOptions struct {
	from     string
	overlap  duration
	untested bool
}

func newRotate(e *env) *cobra.Command {
	var o rotateOptions
	c := &cobra.Command{
		Use:   "rotate PROFILE",
		Short: "Give a profile a new token, once NetSuite has taken it",
		Long: `Give a profile with token-based authentication a new token. It says what to
click in NetSuite, and asks for the new token ID and token secret. The agent
tries them with one request; callers go on with the old token until NetSuite has
taken the new one, and if it does not.

The old token is kept for an hour or as long as --overlap says, to go back to:
  nsagent profile edit PROFILE --use-previous
Revoke it in NetSuite after that.

--from reads one JSON object with token_id and token_secret; for a token of
another integration record also consumer_key and consumer_secret.`,
		Example: `  nsagent rotate acme-sb1
  nsagent rotate acme-sb1 --from token.json --overlap 24h`,
		Args: takes("PROFILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if overlap := time.Duration(o.overlap); c.Flags().Changed("overlap") && (overlap < time.Hour || overlap > 30*24*time.Hour) {
				return usage("--overlap is out of range", "it is from 1h to 30d", "")
			}
			return runRotate(c.Context(), e, args[0], o)
		},
	}
	c.Flags().StringVar(&o.from, "from", "", "read the JSON from `FILE`, or - for stdin")
	c.Flags().Var(&o.overlap, "overlap", "keep the old token for `TIME`, 1h to 30d (1h if left out)")
	c.Flags().BoolVar(&o.untested, "untested", false, "do not ask NetSuite whether it takes the new token")
	return c
}

func runRotate(ctx context.Context, e *env, name string, o rotateOptions) error {
	arena, err := arenaFor(o.from)
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	return e.manage(ctx, func(a *client.Admin) error {
		old, err := a.ShowProfile(ctx, name)
		if err != nil {
			return err
		}
		e.echo(name, old.GetAccount(), old.GetEnvironment())
		d, err := e.newToken(arena, old, o.from)
		if err != nil {
			return err
		}
		defer d.destroy()
		d.profile.Name = name
		sealed := make(map[string]client.Sealer, len(d.secrets))
		for field, b := range d.secrets {
			sealed[field] = sealer(b)
		}
		r, err := a.RotateProfile(ctx, d.profile, sealed, time.Duration(o.overlap), o.untested)
		if err != nil {
			return err
		}
		if o.from != "" {
			e.warnOfFile(o.from)
		}
		if e.json() {
			return e.printJSON(r.GetProfile().JSON())
		}
		if r.GetTried() != nil {
			e.say("NetSuite has taken it: %s", r.GetTried().GetDetail())
		}
		e.sayEdited(r.GetProfile(), true)
		e.say("next  revoke the old token after that:  Setup > Users/Roles > Access Tokens, token ID %.8s…", old.GetTokenId())
		return nil
	})
}

// newToken returns the new token, from a file or from who sits at the terminal and is told
// where to make one.
func (e *env) newToken(arena *secret.Arena, old *pb.Profile, from string) (*draft, error) {
	d := newDraft()
	var err error
	if from == "" {
		err = e.askToken(arena, d, old)
	} else {
		d, err = e.readDraft(arena, from)
	}
	if err != nil {
		return nil, err
	}
	known := []string{"token_id", "token_secret", "consumer_key", "consumer_secret"}
	odd := slices.IndexFunc(d.given, func(key string) bool { return !slices.Contains(known, key) })
	if odd >= 0 {
		err = usage(fmt.Sprintf("%s is no part of a new token", d.given[odd]), "it is token_id and token_secret", "to change anything else:  nsagent profile edit "+old.GetName())
	}
	if err == nil && d.profile.GetConsumerKey() == old.GetConsumerKey() {
		d.profile.ConsumerKey = ""
		if b, ok := d.secrets["consumer_secret"]; ok { // the one that there is
			b.Destroy()
			delete(d.secrets, "consumer_secret")
		}
	}
	if err == nil {
		d.profile.Auth = "tba"
		err = d.completeEdit(e)
	}
	if err != nil {
		d.destroy()
		return nil, err
	}
	return d, nil
}

func (e *env) askToken(arena *secret.Arena, d *draft, old *pb.Profile) error {
	t, err := e.terminal()
	if err != nil {
		return e.cannotAsk("ask", "give the new token as JSON:  --from FILE, or --from - for stdin")
	}
	defer func() { _ = t.Close() }()
	e.say("in NetSuite, Setup > Users/Roles > Access Tokens > New: the integration record with consumer key %.8s…, the same user and role", old.GetConsumerKey())
	if d.profile.TokenId, err = t.Line("New token ID: "); err != nil {
		return err
	}
	b, err := t.Secret(arena, "Its token secret (not shown): ", maxPassphrase)
	if err == nil {
		d.secrets["token_secret"] = b
	}
	return err
}
