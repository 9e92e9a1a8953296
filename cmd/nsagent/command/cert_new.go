package command

import (
	"context"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// wishFlags say what key and certificate to make.
type wishFlags struct {
	key, name string
	days      positive
}

func (w *wishFlags) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&w.key, "key", "", "make a key of `KIND` ec256 (default), ec384, ec521, rsa3072, rsa4096")
	f.StringVar(&w.name, "name", "", "put `NAME` on the certificate (else that of the profile)")
	f.Var(&w.days, "days", "let it be valid for `N` days, at most 729 (two years if left out)")
}

func (w wishFlags) wish() client.NewCertificate {
	return client.NewCertificate{Key: w.key, Name: w.name, Days: int(w.days)} // #nosec G115 -- Set bounds it
}

type certNewOptions struct {
	wishFlags
	profile *pb.Profile
	caFile  string
	drop    bool
}

func newCertNew(e *env) *cobra.Command {
	o := certNewOptions{profile: &pb.Profile{}}
	c := &cobra.Command{
		Use:   "new [NAME]",
		Short: "Make a key in the agent, and a certificate for NetSuite",
		Long: `Make a private key in the agent, and print a certificate for NetSuite. The key
is never shown, and never leaves the agent.

With --account, --client-id and --scopes it makes a new profile of that NAME.
Otherwise it makes the next certificate of the profile: callers go on with the
present one until cert rotate has tried the next one and switched to it. --drop
forgets the next one.

The certificate goes to stdout, for NetSuite:
  ` + certificateMenu + ` > Create New`,
		Example: `  nsagent cert new m2m --account 1234567 --client-id ID --scopes restlets
  nsagent cert new -p acme-m2m --key rsa4096
  nsagent cert new -p acme-m2m --drop`,
		Args: takes("[NAME]"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				if e.profile != "" && e.profile != args[0] {
					return usage("two profiles are named", "NAME and -p mean the same", "leave one of them out")
				}
				e.profile = args[0]
			}
			return runCertNew(c.Context(), e, o)
		},
	}
	o.register(c)
	f, p := c.Flags(), o.profile
	f.StringVar(&p.Account, "account", "", "of a new profile: the account `ID`")
	f.StringVar(&p.ClientId, "client-id", "", "of a new profile: the client `ID` of the integration record")
	f.StringSliceVar(&p.Scopes, "scopes", nil, "of a new profile: its `SCOPES`, separated by commas")
	f.StringVar(&p.Access, "access", "", "of a new profile: limit it to read, or let it write (`read|write`)")
	f.StringVar(&p.Owner, "owner", "", "of a new profile: `WHO` answers for it")
	f.StringVar(&p.Note, "note", "", "of a new profile: a `NOTE`")
	f.StringVar(&p.Endpoint, "endpoint", "", "of a new profile: an `ORIGIN` in place of NetSuite's")
	f.StringVar(&o.caFile, "ca-file", "", "of a new profile: one more CA to trust for it, as PEM in `FILE`")
	f.BoolVar(&o.drop, "drop", false, "forget the next certificate of the profile")
	return c
}

func runCertNew(ctx context.Context, e *env, o certNewOptions) error {
	p := o.profile
	fresh := p.Account != "" || p.ClientId != "" || len(p.Scopes) > 0
	extra := p.Access != "" || p.Owner != "" || p.Note != "" || p.Endpoint != "" || o.caFile != ""
	switch {
	case o.drop && (fresh || extra || o.wish() != client.NewCertificate{}):
		return usage("--drop stands alone", "it forgets the next certificate, and makes none", "do one after the other")
	case o.drop:
		return e.manageProfile(ctx, func(a *client.Admin, p *pb.Profile) error { return e.dropCertificate(ctx, a, p) })
	case !fresh && extra:
		return usage("a new profile needs --account, --client-id and --scopes", "of one that is there, only the certificate is made", "change the rest:  nsagent profile edit NAME")
	case !fresh:
		return e.manageProfile(ctx, func(a *client.Admin, p *pb.Profile) error {
			r, err := a.NewCertificate(ctx, &pb.Profile{Name: p.GetName()}, o.wish())
			if err != nil {
				return err
			}
			return e.printNewCertificate(r)
		})
	case p.Account == "" || p.ClientId == "" || len(p.Scopes) == 0:
		return usage("a new profile needs --account, --client-id and --scopes", "without all three it makes the next certificate of one that is there", "see:  nsagent cert new --help")
	case e.profile == "":
		return usage("NAME is missing", "a new profile has a name", "see:  nsagent cert new --help")
	}
	if err := checkName(e.profile); err != nil {
		return err
	}
	p.Name = e.profile
	if o.caFile != "" {
		b, err := os.ReadFile(o.caFile)
		if err != nil {
			return usage("--ca-file cannot be read", plain(err), "")
		}
		p.Ca = string(b)
	}
	return e.manage(ctx, func(a *client.Admin) error {
		r, err := a.NewCertificate(ctx, p, o.wish())
		if err != nil {
			return err
		}
		e.echo(r.GetProfile().GetName(), r.GetProfile().GetAccount(), r.GetProfile().GetEnvironment())
		return e.printNewCertificate(r)
	})
}

func (e *env) printNewCertificate(r *pb.NewCertificateResponse) error {
	c, name := r.GetCertificate(), r.GetProfile().GetName()
	if e.json() {
		return e.printJSON(c.JSON(name))
	}
	e.say("made a key for %s in the agent; the certificate is good until %s, with the ID\n  %s", name, day(c.GetValidUntil(), ""), c.GetCertificateId())
	e.say("upload the certificate in NetSuite:\n  %s > Create New", certificateMenu)
	if c.GetState() == "next" {
		e.say("callers go on with the present one; when it is uploaded, switch:\n  nsagent cert rotate --by-hand -p %s\nor have the agent upload it, and switch:  nsagent cert rotate -p %s", name, name)
	} else {
		e.say("then try it:  nsagent token -p %s", name)
	}
	return e.print(strings.TrimSuffix(c.GetCertificate(), "\n"))
}

func (e *env) dropCertificate(ctx context.Context, a *client.Admin, p *pb.Profile) error {
	next := p.GetNextCertificate()
	p, err := a.DropCertificate(ctx, p.GetName())
	if err != nil {
		return err
	}
	if e.json() {
		return e.printJSON(p.CertificatesJSON())
	}
	e.say("the next certificate of %s is gone; if it was uploaded, revoke it in NetSuite:\n  nsagent cert revoke %s -p %s", p.GetName(), next.GetCertificateId(), p.GetName())
	return nil
}
