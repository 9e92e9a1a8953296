package command

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type editOptions struct {
	from        string
	access      string
	overlap     duration
	usePrevious bool
	rotateAfter rotateAfter
	opener      openerFlags
}

func newProfileEdit(e *env) *cobra.Command {
	var o editOptions
	c := &cobra.Command{
		Use:   "edit NAME",
		Short: "Change a profile, or give it a new secret",
		Long: `Change a profile, or give it a new secret. Without --from it asks for one part
after the other; an empty answer keeps what there is.

--from reads one JSON object with the keys to change, as profile add has them;
null clears one. account, endpoint, ca_file, hosts and header change only with
every secret of the profile: a stored secret goes nowhere else than where it was
entered for.

A new secret becomes the current version, which everything is signed with from
then on. The one before it is kept, sealed and unused, for an hour or as long as
--overlap says, and then erased; until then --use-previous goes back to it.

Of auth authcode no previous version is kept. Where account, client, scopes or
destination of one change, somebody has to log in again:  nsagent login.

--rotate-after has the agent rotate the certificate of an M2M profile by itself.

Widening access or scopes takes the passphrase again.`,
		Example: `  nsagent profile edit acme-sb1
  nsagent profile edit acme-sb1 --from token.json
  nsagent profile edit acme-sb1 --from token.json --overlap 24h
  nsagent profile edit acme-sb1 --use-previous
  nsagent profile edit acme-sb1 --access read
  nsagent profile edit acme-m2m --rotate-after 180d
  echo '{"note":"nightly load"}' | nsagent profile edit acme-sb1 --from -`,
		Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.check(c.Flags()); err != nil {
				return err
			}
			return runProfileEdit(c.Context(), e, args[0], o)
		},
	}
	c.Flags().StringVar(&o.from, "from", "", "read the JSON from `FILE`, or - for stdin")
	c.Flags().StringVar(&o.access, "access", "", "limit it to read, or let it write (`read|write`)")
	c.Flags().Var(&o.overlap, "overlap", "keep the previous secret for `TIME`, 1h to 30d (1h if left out)")
	c.Flags().BoolVar(&o.usePrevious, "use-previous", false, "go back to the previous secret, while it is kept")
	c.Flags().Var(&o.rotateAfter, "rotate-after", "rotate its certificate at an age of `TIME`, 1d to 728d, or never")
	o.opener.register(c)
	return c
}

func (o *editOptions) check(f *pflag.FlagSet) error {
	overlap := time.Duration(o.overlap)
	switch {
	case f.Changed("overlap") && (overlap < time.Hour || overlap > 30*24*time.Hour):
		return usage("--overlap is out of range", "it is from 1h to 30d", "")
	case f.Changed("rotate-after") && (o.from != "" || o.access != "" || o.usePrevious):
		return usage("--rotate-after stands alone", "it changes what the agent does by itself", "make other changes after it")
	case o.usePrevious && (o.from != "" || o.access != ""):
		return usage("--use-previous stands alone", "it exchanges the two versions, and nothing else", "make other changes after it")
	case f.Changed("access") && o.access != "read" && o.access != "write":
		return usage(fmt.Sprintf("unknown access %.20q", o.access), "it is read or write", "")
	}
	return nil
}

func runProfileEdit(ctx context.Context, e *env, name string, o editOptions) error {
	arena, err := arenaFor(o.from)
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	d := newDraft()
	if o.from != "" {
		if d, err = e.readDraft(arena, o.from); err != nil {
			return err
		}
	}
	defer func() { d.destroy() }()
	return e.manage(ctx, func(a *client.Admin) error {
		old, err := a.ShowProfile(ctx, name)
		if err != nil {
			return err
		}
		switch {
		case o.rotateAfter.given:
			d.profile.RotateAfter = o.rotateAfter.seconds
			d.given = append(d.given, "rotate_after")
		case o.access != "":
			d.setAccess(o.access)
		case o.from == "" && !o.usePrevious:
			asked, err := e.askEdit(arena, old)
			if err != nil {
				return err
			}
			d = asked
		}
		change, err := d.edit(e, old)
		if err != nil {
			return err
		}
		change.Overlap, change.UsePrevious = time.Duration(o.overlap), o.usePrevious
		return e.change(ctx, a, arena, old, change, o)
	})
}

// change has the agent make a change, unless it is none, and says what became of it.
func (e *env) change(ctx context.Context, a *client.Admin, arena *secret.Arena, old *pb.Profile, change client.ProfileEdit, o editOptions) error {
	fresh := len(change.Secrets) > 0 || change.Value != nil
	if len(change.Fields) == 0 && !fresh && !o.usePrevious {
		e.say("nothing changed in %s", old.GetName())
		if e.json() {
			return e.printJSON(old.JSON())
		}
		return nil
	}
	var p *pb.Profile
	err := e.proved(arena, o.opener, func(proof client.Proof) (err error) {
		change.Proof = proof
		p, err = a.EditProfile(ctx, old.GetName(), change)
		return err
	})
	if err != nil {
		return err
	}
	if o.from != "" && fresh {
		e.warnOfFile(o.from)
	}
	if e.json() {
		return e.printJSON(p.JSON())
	}
	e.sayEdited(p, fresh || o.usePrevious)
	return nil
}

func (e *env) sayEdited(p *pb.Profile, fresh bool) {
	e.say("changed %s: %s", p.GetName(), summary(p))
	if v := p.GetVersions(); fresh && len(v) > 1 {
		e.say("version %d of the secret is in use; version %d is kept until %s:  nsagent profile edit %s --use-previous",
			v[0].GetNumber(), v[1].GetNumber(), day(v[1].GetUntil(), ""), p.GetName())
	}
}

// setAccess sets one limit, over what a file may have said of it.
func (d *draft) setAccess(access string) {
	d.profile.Access = access
	if !slices.Contains(d.given, "access") {
		d.given = append(d.given, "access")
	}
}

// edit returns what the draft changes in a profile.
func (d *draft) edit(e *env, old *pb.Profile) (client.ProfileEdit, error) {
	out := client.ProfileEdit{Profile: d.profile, Secrets: make(map[string]client.Sealer, len(d.secrets))}
	for _, key := range d.given {
		switch {
		case secretFields[key]:
			if _, ok := d.secrets[key]; !ok {
				return out, misfitEdit(key+" cannot be cleared", "leave it out to keep it")
			}
			if out.Value = d.longValue(); key != "value" || out.Value == nil {
				out.Secrets[key] = sealer(d.secrets[key])
			}
		case key == "auth" && d.profile.GetAuth() == old.GetAuth():
		case key == "ca_file":
			out.Fields = append(out.Fields, "ca")
		case key == "expires":
			out.Fields = append(out.Fields, "expires_at")
		default:
			out.Fields = append(out.Fields, key)
		}
	}
	d.profile.Auth = old.GetAuth()
	return out, d.completeEdit(e)
}

// completeEdit is complete for what is there.
func (d *draft) completeEdit(e *env) error {
	for field, b := range d.secrets {
		trimmed, err := trimBlanks(b)
		if err != nil {
			return err
		}
		if b.Len() == 0 {
			return misfitEdit(field+" is empty", "leave it out to keep it")
		}
		if trimmed && d.profile.GetAuth() != "m2m" {
			e.note("%s had blanks around it, which were left out", field)
		}
	}
	switch _, key := d.secrets["private_key"]; {
	case d.profile.GetAuth() == "tba":
		d.warnTBA(e)
	case key:
		if err := d.mendM2M(); err != nil {
			return err
		}
	case d.profile.GetAuth() == "m2m":
		d.mendCertificate()
	}
	return d.readCA()
}

func misfitEdit(message, why string) error {
	return &client.Error{Code: pb.CodeCredential, Message: message, Why: why, Next: "see:  nsagent profile edit --help"}
}
