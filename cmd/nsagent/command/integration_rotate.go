package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type integrationOptions struct {
	from    string
	overlap duration
}

func newIntegrationRotate(e *env) *cobra.Command {
	var o integrationOptions
	c := &cobra.Command{
		Use:   "rotate RECORD",
		Short: "Give all profiles of an integration record its new pair",
		Long: `Give all profiles of an integration record its new consumer key and secret, in
one change. RECORD is a profile that uses it, its consumer key, or the first
characters of that.

In NetSuite: Setup > Integration > Manage Integrations, the record, Edit, Reset
Credentials. The old pair is dead at once; tokens stay what they are. NetSuite
shows the new pair once: enter it here, or give it by --from as
  {"consumer_key":"…","consumer_secret":"…"}
OAuth 2.0 calls them client_id and client_secret, and so may you. For profiles
with auth authcode somebody has to log in again afterwards.

The pair before is kept for an hour or as long as --overlap says, profile by
profile, for who has entered that of another record:
  nsagent profile edit NAME --use-previous`,
		Example: `  nsagent integration rotate acme-sb1
  nsagent integration rotate 9f86d081 --from pair.json`,
		Args: takes("RECORD"),
		RunE: func(c *cobra.Command, args []string) error {
			if overlap := time.Duration(o.overlap); c.Flags().Changed("overlap") && (overlap < time.Hour || overlap > 30*24*time.Hour) {
				return usage("--overlap is out of range", "it is from 1h to 30d", "")
			}
			return runIntegrationRotate(c.Context(), e, args[0], o)
		},
	}
	c.Flags().StringVar(&o.from, "from", "", "read the JSON from `FILE`, or - for stdin")
	c.Flags().Var(&o.overlap, "overlap", "keep the previous pair for `TIME`, 1h to 30d (1h if left out)")
	return c
}

func runIntegrationRotate(ctx context.Context, e *env, which string, o integrationOptions) error {
	arena, err := arenaFor(o.from)
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	return e.manage(ctx, func(a *client.Admin) error {
		all, err := a.Integrations(ctx)
		if err != nil {
			return err
		}
		record, err := findIntegration(all.GetIntegrations(), which)
		if err != nil {
			return err
		}
		e.echo(strings.Join(usersOf(record), " "), record.GetAccount(), record.GetEnvironment())
		key, b, err := e.newPair(arena, record, o.from)
		if err != nil {
			return err
		}
		var by client.Sealer
		if !b.IsZero() {
			defer b.Destroy()
			by = sealer(b)
		}
		if slices.ContainsFunc(record.GetUses(), func(u *pb.IntegrationUse) bool { return u.GetAuth() == "tba" }) {
			pair := draft{profile: &pb.Profile{ConsumerKey: key}, secrets: map[string]secret.Bytes{"consumer_secret": b}}
			pair.warnTBA(e)
		}
		done, err := a.RotateIntegration(ctx, usersOf(record)[0], key, by, time.Duration(o.overlap))
		if err != nil {
			return err
		}
		if o.from != "" && by != nil {
			e.warnOfFile(o.from)
		}
		if e.json() {
			return e.printRotated(done)
		}
		e.say("the new pair is that of %s now: %s", count(uint64(len(done)), "profile"), strings.Join(namesOf(done), " "))
		e.say("next  try one:  nsagent profile test %s", done[0].GetName())
		return nil
	})
}

func (e *env) printRotated(done []*pb.Profile) error {
	return e.printJSON(struct {
		Schema   string   `json:"schema"`
		Account  string   `json:"account"`
		Key      string   `json:"key"`
		Profiles []string `json:"profiles"`
	}{"nsagent.integration-rotate/v1", done[0].GetAccount(), keyOf(done[0]), namesOf(done)})
}

func keyOf(p *pb.Profile) string {
	if p.GetAuth() == "tba" {
		return p.GetConsumerKey()
	}
	return p.GetClientId()
}

// newPair returns the new consumer key and secret, from a file or from who sits at the
// terminal. The secret is zero where no profile of the record needs it.
func (e *env) newPair(arena *secret.Arena, record *pb.Integration, from string) (string, secret.Bytes, error) {
	signs := slices.ContainsFunc(record.GetUses(), (*pb.IntegrationUse).GetKeyed)
	if from == "" {
		return e.askPair(arena, signs)
	}
	d, err := e.readDraft(arena, from)
	if err != nil {
		return "", secret.Bytes{}, err
	}
	b := d.secrets["consumer_secret"]
	delete(d.secrets, "consumer_secret")
	if b.IsZero() {
		b = d.secrets["client_secret"]
		delete(d.secrets, "client_secret")
	}
	d.destroy()
	known := []string{"consumer_key", "consumer_secret", "client_id", "client_secret"}
	odd := slices.IndexFunc(d.given, func(key string) bool { return !slices.Contains(known, key) })
	key := d.profile.GetConsumerKey() + d.profile.GetClientId()
	switch {
	case odd >= 0:
		err = usage(fmt.Sprintf("%s is no part of an integration record's pair", d.given[odd]), "it is consumer_key and consumer_secret", "")
	case d.profile.GetConsumerKey() != "" && d.profile.GetClientId() != "":
		err = usage("consumer_key and client_id are the same thing", "both name the key of the record", "give one of the two")
	case key == "":
		err = misfit("consumer_key is missing", "")
	case !signs && !b.IsZero():
		b.Destroy()
		b = secret.Bytes{} // nobody here uses it
	}
	if err == nil && !b.IsZero() {
		var trimmed bool
		if trimmed, err = trimBlanks(b); trimmed {
			e.note("consumer_secret had blanks around it, which were left out")
		}
	}
	if err != nil {
		b.Destroy()
		return "", secret.Bytes{}, err
	}
	return key, b, nil
}

func (e *env) askPair(arena *secret.Arena, signs bool) (string, secret.Bytes, error) {
	t, err := e.terminal()
	if err != nil {
		return "", secret.Bytes{}, e.cannotAsk("ask", "give the new pair as JSON:  --from FILE, or --from - for stdin")
	}
	defer func() { _ = t.Close() }()
	key, err := t.Line("New consumer key (client ID): ")
	if err != nil || !signs {
		return strings.TrimSpace(key), secret.Bytes{}, err
	}
	b, err := t.Secret(arena, "New consumer secret (not shown): ", maxPassphrase)
	if err == nil {
		_, err = trimBlanks(b)
	}
	return strings.TrimSpace(key), b, err
}
