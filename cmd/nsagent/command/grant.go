package command

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newGrant(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "grant",
		Short: "Make, list, show, narrow and revoke grants for CI jobs",
		Long: `A grant says what whoever shows its unlock token may do: with which profiles, in
which way, until when. The token is one line of text for the secrets of a CI
job. It opens its own profiles and no others, also while the vault is locked.`,
	}
	c.AddCommand(newGrantNew(e), newGrantList(e), newGrantShow(e), newGrantNarrow(e), newGrantRevoke(e))
	return c
}

func newGrantList(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the grants",
		Long: `List the grants, the newest first. While the vault is locked, nothing but their
IDs is known, and which were revoked. One that ended a month ago is gone with
the next grant that is made.`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.manage(c.Context(), func(a *client.Admin) error {
				all, err := a.Grants(c.Context())
				if err != nil {
					return err
				}
				forms := make([]grantJSON, 0, len(all))
				for _, g := range all {
					forms = append(forms, grantForm(g))
				}
				return printList(e, forms, "no grants yet; make one:  nsagent grant new -p NAME --ttl 8h", func() [][]string { return grantRows(all) })
			})
		},
	}
}

func grantRows(all []*pb.Grant) [][]string {
	rows := [][]string{{"ID", "STATE", "KIND", "USES", "PROFILES", "ENDS", "MADE"}}
	for _, g := range all {
		rows = append(rows, []string{g.GetId(), g.GetState(), kindOf(g), usesOf(g), strings.Join(profileNames(g), " "), day(g.GetNotAfter(), ""), day(g.GetCreatedAt(), "")})
	}
	return rows
}

// usesOf tells how many of how many uses a grant has had: "2 of 4", of a bundle, whose uses are
// counted where it is, "of 4", and "" where they are not limited.
func usesOf(g *pb.Grant) string {
	most := g.GetLimits().GetUses()
	switch {
	case most == 0:
		return ""
	case g.GetDetached():
		return fmt.Sprintf("of %d", most)
	}
	return fmt.Sprintf("%d of %d", g.GetUsesMade(), most)
}

// shortGrant is as much of a grant's id as people need to tell it from others.
func shortGrant(id string) string { return id[:min(len("g_")+idLength, len(id))] }

func profileNames(g *pb.Grant) []string {
	names := make([]string, 0, len(g.GetProfiles()))
	for _, p := range g.GetProfiles() {
		names = append(names, p.GetName())
	}
	return names
}

// profilesOf names the profiles of a grant together with account and environment.
func profilesOf(g *pb.Grant) []string {
	var out []string
	for _, p := range g.GetProfiles() {
		out = append(out, inWhich(p.GetName(), p.GetAccount(), p.GetEnvironment()))
	}
	return out
}

func newGrantRevoke(e *env) *cobra.Command {
	var rotate bool
	c := &cobra.Command{
		Use:   "revoke ID",
		Short: "End a grant for good",
		Long: `End a grant: its tokens are refused from the next request on, and connections
that showed one are closed. It works while the vault is locked.

With --rotate its profiles get new keys in the vault as well, so that nobody who
has a token, and comes by this machine's key and the vault file, opens them. The
credentials themselves are as they were; to be rid of those:  nsagent rotate

A bundle does not learn of it, and --rotate does nothing for it: it has no key
of the vault. Its M2M certificates are revoked at NetSuite, as soon as the vault
is unlocked; TBA tokens have to be revoked there.`,
		Example: "  nsagent grant ls\n  nsagent grant revoke g_mfzwizlt",
		Args:    takes("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.manage(c.Context(), func(a *client.Admin) error {
				r, err := a.RevokeGrant(c.Context(), args[0], rotate)
				if err != nil {
					return err
				}
				if rotate && len(r.GetRotated()) == 0 {
					e.noteNotRotated(r.GetGrant())
				}
				return e.reportRevoked(r)
			})
		},
	}
	c.Flags().BoolVar(&rotate, "rotate", false, "give its profiles new keys as well")
	return c
}

// noteNotRotated says why no profile of a grant that was revoked has got new keys.
func (e *env) noteNotRotated(g *pb.Grant) {
	why := "its tokens open nothing of the vault any more"
	if g.GetDetached() {
		why = "its token opens the bundle, which has none of the vault's"
	}
	e.note("--rotate made no new keys: %s", why)
}

func (e *env) reportRevoked(r *pb.RevokeGrantResponse) error {
	if e.json() {
		return e.printJSON(struct {
			grantJSON
			Rotated  []string `json:"rotated"`
			Affected []string `json:"affected"`
		}{grantForm(r.GetGrant()), orEmpty(r.GetRotated()), orEmpty(r.GetAffected())})
	}
	e.say("revoked %s", r.GetGrant().GetId())
	if n := len(r.GetRotated()); n > 0 {
		e.say("new keys for %s", strings.Join(r.GetRotated(), ", "))
	}
	for _, p := range r.GetGrant().GetProfiles() {
		switch {
		case p.GetCertificateId() != "":
			e.note("its bundle's certificate of %s is being revoked at NetSuite; see:  nsagent cert show -p %s", p.GetName(), p.GetName())
		case r.GetGrant().GetDetached():
			e.note("its bundle signs with %s until the token is revoked at NetSuite; to replace it:  nsagent rotate %s", p.GetName(), p.GetName())
		}
	}
	for _, id := range r.GetAffected() {
		e.note("tokens of %s open these profiles no more while the vault is locked", id)
	}
	return nil
}

func newGrantShow(e *env) *cobra.Command {
	var from tokenFlags
	c := &cobra.Command{
		Use:   "show [ID|-]",
		Short: "Show what a grant, or an unlock token, allows",
		Long: `Show a grant by its ID or the start of it. With - it shows what the unlock token
on stdin allows, or that of --token-file or of NSAGENT_TOKEN; that takes no
agent, and checks no signature. The token itself is never shown.`,
		Example: "  nsagent grant show g_mfzwizlt\n  nsagent grant show --token-file token",
		Args:    takes("[ID|-]"),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) == 1 && args[0] != "-" && from.file != "":
				return usage("an ID and a token exclude each other", "either is enough", "leave one of them out")
			case len(args) == 1 && args[0] != "-":
				return runGrantShow(c.Context(), e, args[0])
			case len(args) == 1 && from.file == "":
				from.file = "-"
			}
			return runTokenShow(e, from)
		},
	}
	from.register(c)
	return c
}

func runGrantShow(ctx context.Context, e *env, id string) error {
	return e.manage(ctx, func(a *client.Admin) error {
		g, err := a.Grant(ctx, id)
		if err != nil {
			return err
		}
		f := grantForm(g)
		if e.json() {
			return e.printJSON(f)
		}
		rows := [][2]string{{"id", f.ID}, {"state", f.State}, {"made", day(g.GetCreatedAt(), "")}, {"made by", f.MadeBy}, {"ends", day(g.GetNotAfter(), "")}, {"revoked", day(g.GetRevokedAt(), "")}}
		profiles := profilesOf(g)
		for i, p := range g.GetProfiles() {
			rows = append(rows, [2]string{"profile", fmt.Sprintf("%s (credential %s)", profiles[i], p.GetCredential())})
			if id := p.GetCertificateId(); id != "" {
				rows = append(rows, [2]string{"", "certificate " + id + ", of the bundle alone"})
			}
			if !p.GetOpens() && !f.Detached {
				rows = append(rows, [2]string{"", "no token opens it while the vault is locked"})
			}
		}
		if f.Listen != "" {
			rows = append(rows, [2]string{"listens", "at " + f.Listen + " while the vault is unlocked"})
		}
		if f.Detached {
			rows = append(rows, [2]string{"opens", "its bundle, and not this vault"})
		}
		rows = append(rows, [2]string{"audience", f.Audience})
		if f.Scope != nil {
			rows = append(rows, f.Scope.rows()...)
		}
		if f.UsesMade != nil {
			rows = append(rows, [2]string{"uses made", strconv.FormatUint(*f.UsesMade, 10)})
		}
		return e.sheet(filled(rows))
	})
}

// filled returns the rows that say something.
func filled(rows [][2]string) [][2]string {
	var out [][2]string
	for _, r := range rows {
		if r[1] != "" {
			out = append(out, r)
		}
	}
	return out
}
