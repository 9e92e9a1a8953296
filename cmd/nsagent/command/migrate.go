package command

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type migrateOptions struct {
	clientID, kind     string
	scopes             []string
	finish, back, drop bool
}

func newMigrate(e *env) *cobra.Command {
	var o migrateOptions
	c := &cobra.Command{
		Use:   "migrate PROFILE",
		Short: "Take a profile from a token to a certificate, and back",
		Long: `Take a profile from token-based authentication to OAuth 2.0 machine to machine.
From 2027.1 on NetSuite takes no new integrations that use tokens.

The first call makes a key in the agent, prints its certificate and says what to
click. Callers go on with the token. --finish tries both side by side and, where
NetSuite takes the certificate, lets it take the place: the profile makes
assertions and gets access tokens then, and signs no more. The token stays in
the vault: --back lets it take the place again, as often as you like. --drop
forgets the one of the two that is not in use.`,
		Example: `  nsagent migrate acme-prod
  nsagent migrate acme-prod --finish
  nsagent migrate acme-prod --back`,
		Args: takes("PROFILE"),
		RunE: func(c *cobra.Command, args []string) error { return runMigrate(c.Context(), e, args[0], o) },
	}
	f := c.Flags()
	f.StringVar(&o.clientID, "client-id", "", "the client ID is `ID` (else the consumer key, of the same record)")
	f.StringSliceVar(&o.scopes, "scope", nil, "these `SCOPES`, separated by commas (else rest_webservices,restlets)")
	f.StringVar(&o.kind, "key", "", "make this `KIND` of key, as cert new does")
	f.BoolVar(&o.finish, "finish", false, "try token and certificate, and go over to the certificate")
	f.BoolVar(&o.back, "back", false, "go back to the token")
	f.BoolVar(&o.drop, "drop", false, "forget the one that is not in use")
	return c
}

func runMigrate(ctx context.Context, e *env, name string, o migrateOptions) error {
	step, steps := "begin", 0
	for s, given := range map[string]bool{"finish": o.finish, "back": o.back, "drop": o.drop} {
		if given {
			step, steps = s, steps+1
		}
	}
	if steps > 1 || steps == 1 && (o.clientID != "" || o.kind != "" || len(o.scopes) > 0) {
		return usage("--finish, --back and --drop stand alone", "each is a step of its own", "do one after the other")
	}
	return e.manage(ctx, func(a *client.Admin) error {
		r, err := a.MigrateProfile(ctx, name, step, o.clientID, o.scopes, o.kind)
		if err != nil {
			return err
		}
		e.echo(name, r.GetProfile().GetAccount(), r.GetProfile().GetEnvironment())
		if e.json() {
			return e.printMigration(step, r)
		}
		switch step {
		case "begin":
			e.sayMigration(r.GetNext())
			return e.print(strings.TrimSpace(r.GetNext().GetCertificate()))
		case "finish":
			for _, s := range r.GetBefore() {
				e.say("token: %s %s", s.GetName(), s.GetState())
			}
			for _, s := range r.GetAfter() {
				e.say("certificate: %s %s", s.GetName(), s.GetState())
			}
			e.say("%s has a certificate now; back:  nsagent migrate %s --back", name, name)
		case "back":
			e.say("%s has its token again; the certificate is kept:  nsagent migrate %s --finish", name, name)
		default:
			e.say("%s keeps what it has: %s", name, summary(r.GetProfile()))
		}
		return nil
	})
}

// sayMigration says what to click.
//
// Source: NetSuite Help, "OAuth 2.0 Client Credentials Setup".
func (e *env) sayMigration(next *pb.Profile) {
	e.say("in NetSuite:")
	e.say("1  %s > New, or the record with client ID %.8s…: Client Credentials (Machine to Machine) Grant, %s", "Setup > Integration > Manage Integrations", next.GetClientId(), strings.Join(next.GetScopes(), ", "))
	e.say("2  Setup > Users/Roles > Manage Roles, the role of the token: Log in using OAuth 2.0 Access Tokens")
	e.say("3  %s > Create New: the user and role of the token, the record, this certificate", strings.ReplaceAll(certificateMenu, "\n ", ""))
	e.say("then  nsagent migrate %s --finish", next.GetName())
}

func (e *env) printMigration(step string, r *pb.MigrateProfileResponse) error {
	out := struct {
		Schema  string           `json:"schema"`
		Step    string           `json:"step"`
		Profile pb.ProfileJSON   `json:"profile"`
		Next    *pb.ProfileJSON  `json:"next,omitempty"`
		Before  []pb.SurfaceJSON `json:"before,omitempty"`
		After   []pb.SurfaceJSON `json:"after,omitempty"`
	}{Schema: "nsagent.migrate/v1", Step: step, Profile: r.GetProfile().JSON()}
	if r.GetNext() != nil {
		next := r.GetNext().JSON()
		out.Next = &next
	}
	out.Before = pb.ChecksJSON{}.WithSurfaces(r.GetBefore()).Surfaces
	out.After = pb.ChecksJSON{}.WithSurfaces(r.GetAfter()).Surfaces
	return e.printJSON(out)
}
