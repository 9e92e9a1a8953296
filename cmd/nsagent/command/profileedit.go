package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type editOptions struct {
	from        string
	access      string
	overlap     duration
	usePrevious bool
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

Widening access or scopes takes the passphrase again.`,
		Example: `  nsagent profile edit acme-sb1
  nsagent profile edit acme-sb1 --from token.json
  nsagent profile edit acme-sb1 --from token.json --overlap 24h
  nsagent profile edit acme-sb1 --use-previous
  nsagent profile edit acme-sb1 --access read
  echo '{"note":"nightly load"}' | nsagent profile edit acme-sb1 --from -`,
		Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error { return runProfileEdit(c, e, args[0], o) },
	}
	c.Flags().StringVar(&o.from, "from", "", "read the JSON from `FILE`, or - for stdin")
	c.Flags().StringVar(&o.access, "access", "", "limit it to read, or let it write (`read|write`)")
	c.Flags().Var(&o.overlap, "overlap", "keep the previous secret for `TIME`, 1h to 30d (1h if left out)")
	c.Flags().BoolVar(&o.usePrevious, "use-previous", false, "go back to the previous secret, while it is kept")
	o.opener.register(c)
	return c
}

func runProfileEdit(c *cobra.Command, e *env, name string, o editOptions) error {
	if overlap := time.Duration(o.overlap); c.Flags().Changed("overlap") && (overlap < time.Hour || overlap > 30*24*time.Hour) {
		return usage("--overlap is out of range", "it is from 1h to 30d", "")
	}
	if o.usePrevious && (o.from != "" || o.access != "") {
		return usage("--use-previous stands alone", "", "make other changes after it")
	}
	if c.Flags().Changed("access") && o.access != "read" && o.access != "write" {
		return usage("--access is read or write", "", "")
	}
	arena, err := arenaFor(o.from)
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	d := newDraft()
	defer func() { d.destroy() }()
	if o.from != "" {
		read, err := e.readDraft(arena, o.from)
		if err != nil {
			return err
		}
		d = read
	}
	a, err := e.dialAdmin(c.Context())
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	old, err := a.ShowProfile(c.Context(), name)
	if err != nil {
		return err
	}
	if o.access != "" {
		d.setAccess(o.access)
	}
	if o.from == "" && o.access == "" && !o.usePrevious {
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
	if len(change.Fields) == 0 && len(change.Secrets) == 0 && change.Value == nil && !o.usePrevious {
		e.say("nothing changed in %s", name)
		if e.json() {
			return e.printJSON(old.JSON())
		}
		return nil
	}
	var p *pb.Profile
	err = e.proved(arena, o.opener, func(proof client.Proof) (err error) {
		change.Proof = proof
		p, err = a.EditProfile(c.Context(), name, change)
		return err
	})
	if err != nil {
		return err
	}
	fresh := len(change.Secrets) > 0 || change.Value != nil
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
	s := fmt.Sprintf("changed %s: account %s (%s), %s, access %s", p.GetName(), p.GetAccount(), strings.ToUpper(p.GetEnvironment()), p.GetAuth(), p.GetAccess())
	if v := p.GetVersions(); fresh && len(v) > 1 {
		s += fmt.Sprintf("\nversion %d of the secret is in use; version %d is kept until %s:  nsagent profile edit %s --use-previous",
			v[0].GetNumber(), v[1].GetNumber(), day(v[1].GetUntil(), ""), p.GetName())
	}
	e.say("%s", s)
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

// askEdit asks for the parts of a profile at the terminal.
func (e *env) askEdit(arena *secret.Arena, old *pb.Profile) (*draft, error) {
	t, err := e.terminal()
	if err != nil {
		return nil, usage("there is no terminal to ask on", "", "give the changes as JSON:  --from FILE, or --from - for stdin")
	}
	defer func() { _ = t.Close() }()
	d := newDraft()
	p := d.profile
	ask := func(key, label string, to *string, was string) {
		if err != nil {
			return
		}
		prompt := label + ": "
		if was != "" {
			prompt = fmt.Sprintf("%s [%s]: ", label, oneLine(was))
		}
		if *to, err = t.Line(prompt); err == nil && *to != "" && *to != was {
			d.given = append(d.given, key)
		}
	}
	hide := func(key, prompt string) {
		if err != nil {
			return
		}
		var b secret.Bytes
		if b, err = t.Secret(arena, prompt, maxPassphrase); err == nil && b.Len() > 0 {
			d.secrets[key] = b
			d.given = append(d.given, key)
		}
	}
	e.say("an empty answer keeps what there is")
	ask("access", "Access, read or write", &p.Access, old.GetAccess())
	ask("owner", "Owner", &p.Owner, old.GetOwner())
	ask("note", "Note", &p.Note, old.GetNote())
	switch old.GetAuth() {
	case "tba":
		ask("consumer_key", "Consumer key", &p.ConsumerKey, old.GetConsumerKey())
		hide("consumer_secret", "New consumer secret (not shown): ")
		ask("token_id", "Token ID", &p.TokenId, old.GetTokenId())
		hide("token_secret", "New token secret (not shown): ")
	case "secret":
		hide("value", "New value (not shown; a longer one than fits on a line comes by --from): ")
	default:
		var certificate, key string
		ask("", "File with the new certificate (PEM)", &certificate, "")
		ask("", "File with the new private key (PEM)", &key, "")
		d.given = slices.DeleteFunc(d.given, func(k string) bool { return k == "" })
		if err == nil {
			err = d.readFiles(arena, certificate, key)
		}
	}
	if err != nil {
		d.destroy()
		return nil, err
	}
	return d, nil
}

func newProfileRename(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "rename OLD NEW",
		Short: "Give a profile another name",
		Args:  takes("OLD", "NEW"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName(args[1]); err != nil {
				return err
			}
			a, err := e.dialAdmin(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = a.Close() }()
			p, err := a.RenameProfile(c.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			if e.json() {
				return e.printJSON(p.JSON())
			}
			e.say("%s is now %s", args[0], p.GetName())
			return nil
		},
	}
}

func newProfileTest(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "test NAME",
		Short: "Check a profile, without asking NetSuite",
		Long: `Check a profile, without asking NetSuite: that its record opens, that its key
signs and that the signature is right by another computation, account, dates
and ID of the certificate, endpoint and CA. It says what it looked at, and exits
with 9 where something is wrong.`,
		Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := e.dialAdmin(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = a.Close() }()
			r, err := a.TestProfile(c.Context(), args[0])
			if err != nil {
				return err
			}
			e.echo(args[0], r.GetAccount(), r.GetEnvironment())
			return e.printChecks(pb.ChecksForm(args[0], r.GetChecks()))
		},
	}
}

// printChecks prints what was looked at, and returns an error if something is wrong.
func (e *env) printChecks(r pb.ChecksJSON) error {
	if e.json() {
		if err := e.printJSON(r); err != nil {
			return err
		}
	} else {
		var rows [][]string
		for _, c := range r.Checks {
			rows = append(rows, []string{c.State, c.Name, c.Detail})
			if c.Remedy != "" {
				rows = append(rows, []string{"", "", "  " + c.Remedy})
			}
		}
		if err := e.table(rows); err != nil {
			return err
		}
	}
	if r.OK {
		return nil
	}
	for _, c := range r.Checks {
		if c.State == "problem" {
			return &client.Error{Code: pb.CodeCheck, Message: "a check found a problem", Why: c.Name + ": " + c.Detail, Next: c.Remedy}
		}
	}
	return errors.New("a check failed without a problem")
}
