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

func newProfile(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "profile",
		Short: "Add, list, show, test, edit, rename and remove profiles",
	}
	c.AddCommand(newProfileAdd(e), newProfileList(e), newProfileShow(e), newProfileTest(e), newProfileEdit(e), newProfileRename(e), newProfileRemove(e), newProfileRefreshed(e))
	return c
}

func newProfileList(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the profiles",
		Args:    takes(),
		RunE:    func(c *cobra.Command, _ []string) error { return runProfileList(c.Context(), e) },
	}
}

func runProfileList(ctx context.Context, e *env) error {
	return e.ask(ctx, func(cl *client.Client) error {
		r, err := cl.Profiles(ctx)
		if err != nil {
			return err
		}
		return printList(e, r.JSON(), "no profiles yet; add one:  nsagent profile add NAME", func() [][]string {
			rows := [][]string{{"NAME", "ACCOUNT", "ENVIRONMENT", "AUTH", "ACCESS", "STATE", "EXPIRES", "LAST USED"}}
			for _, p := range r.GetProfiles() {
				rows = append(rows, []string{p.GetName(), p.GetAccount(), p.GetEnvironment(), p.GetAuth(), p.GetAccess(),
					p.GetState(), ends(p.GetAuth(), p.GetExpiresAt(), p.GetState() == "consent"), day(p.GetLastUsed(), "never")})
			}
			return rows
		})
	})
}

func newProfileShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a profile; its secrets are never shown",
		Args:  takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.manage(c.Context(), func(a *client.Admin) error {
				p, err := a.ShowProfile(c.Context(), args[0])
				if err != nil {
					return err
				}
				if e.json() {
					return e.printJSON(p.JSON())
				}
				return e.printProfile(p)
			})
		},
	}
}

func (e *env) printProfile(p *pb.Profile) error {
	rows := [][2]string{
		{"name", p.GetName()}, {"account", p.GetAccount() + " (" + p.GetEnvironment() + ")"}, {"auth", p.GetAuth()}, {"access", p.GetAccess()},
		{"owner", p.GetOwner()}, {"note", p.GetNote()}, {"endpoint", p.GetEndpoint()}, {"consumer key", p.GetConsumerKey()},
		{"token ID", p.GetTokenId()}, {"client ID", p.GetClientId()}, {"certificate ID", p.GetCertificateId()}, {"algorithm", p.GetAlg()},
		{"scopes", strings.Join(p.GetScopes(), " ")}, {"hosts", strings.Join(p.GetHosts(), " ")}, {"header", p.GetHeader()},
		{"client", p.GetClient()}, {"redirect URI", p.GetRedirectUri()}, {"role", p.GetRole()}, {"entity", p.GetEntity()},
		{"authorized", day(p.GetAuthorizedAt(), "")}, {"refreshed", day(p.GetRefreshedAt(), "")}, {"consent", consent(p)},
		{"created", day(p.GetCreatedAt(), "")}, {"expires", ends(p.GetAuth(), p.GetExpiresAt(), p.GetConsent() != "")}, {"last used", day(p.GetLastUsed(), "never")},
	}
	if p.GetStaleSince() != 0 {
		rows = append(rows, [2]string{"stale", "since " + day(p.GetStaleSince(), "") + ": from before a refresh of the sandbox, and not used"})
	}
	for _, v := range p.GetVersions() {
		line := fmt.Sprintf("%s, since %s", v.GetState(), day(v.GetSince(), ""))
		if v.GetState() == "previous" {
			line += ", erased after " + day(v.GetUntil(), "the next unlock") + "; nothing uses it"
		}
		rows = append(rows, [2]string{fmt.Sprintf("version %d", v.GetNumber()), line})
	}
	return e.sheet(slices.DeleteFunc(rows, func(r [2]string) bool { return r[1] == "" }))
}

// ends says when a credential of a kind ends. That of a public client's consent is on its
// integration record alone; one that is still to be given has no end yet.
func ends(auth string, at int64, needed bool) string {
	switch {
	case auth == "authcode" && needed:
		return day(at, "")
	case auth == "authcode":
		return day(at, "by its record")
	default:
		return day(at, "never")
	}
}

// consent says whether somebody has to log in.
func consent(p *pb.Profile) string {
	why := map[string]string{
		"new": "nobody has logged in yet", "refused": "NetSuite refused the refresh token", "interrupted": "a refresh was interrupted", "changed": "the profile was changed",
	}[p.GetConsent()]
	if why == "" {
		return ""
	}
	return "needed, since " + why + ":  nsagent login -p " + p.GetName()
}

func newProfileRename(e *env) *cobra.Command {
	var opener openerFlags
	c := &cobra.Command{
		Use:   "rename OLD NEW",
		Short: "Give a profile another name",
		Long: `Give a profile another name. Approvals that were given for either name end.

Where a policy is in force it takes the passphrase again, or what else is a
fresh proof: rules select profiles by name.`,
		Args: takes("OLD", "NEW"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName(args[1]); err != nil {
				return err
			}
			return runProfileRename(c.Context(), e, args[0], args[1], opener)
		},
	}
	opener.register(c)
	return c
}

func runProfileRename(ctx context.Context, e *env, name, to string, opener openerFlags) error {
	return e.manageSecretly(ctx, func(a *client.Admin, arena *secret.Arena) error {
		var p *pb.Profile
		err := e.proved(arena, opener, func(proof client.Proof) (err error) {
			p, err = a.RenameProfile(ctx, proof, name, to)
			return err
		})
		if err != nil {
			return err
		}
		if e.json() {
			return e.printJSON(p.JSON())
		}
		e.say("%s is now %s", name, p.GetName())
		return nil
	})
}

func newProfileRemove(e *env) *cobra.Command {
	var revoke, yes bool
	c := &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a profile and its credential from the vault",
		Long: `Remove a profile and its credential from the vault. What NetSuite has given out
goes on being good there, for whoever has a copy.

--revoke-at-netsuite ends it there first, and removes the profile only if that
went well: the certificate of an m2m profile, whose role has to be allowed to
manage its own; the refresh token of an authcode profile; or the token of
token-based authentication, where the account lets a token revoke itself.

At a terminal it asks first, except with --yes.`,
		Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return runProfileRemove(c.Context(), e, args[0], revoke, yes)
		},
	}
	c.Flags().BoolVar(&revoke, "revoke-at-netsuite", false, "end the credential at NetSuite first")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func runProfileRemove(ctx context.Context, e *env, name string, revoke, yes bool) error {
	return e.manage(ctx, func(a *client.Admin) error {
		p := e.profileNamed(ctx, name)
		if p != nil && !yes {
			if err := e.confirmRemoval(p, revoke); err != nil {
				return err
			}
		}
		remove := a.RemoveProfile
		if revoke {
			remove = a.RevokeProfile
		}
		if err := remove(ctx, name); err != nil {
			return err
		}
		if e.json() {
			return e.printJSON(struct {
				Schema  string `json:"schema"`
				Name    string `json:"name"`
				Revoked bool   `json:"revoked"`
			}{"nsagent.profile-rm/v1", name, revoke})
		}
		if revoke {
			e.say("revoked %s at NetSuite, and removed it", name)
			return nil
		}
		e.say("removed %s; %s", name, revocation(p.GetAuth()))
		return nil
	})
}

// confirmRemoval asks somebody at a terminal before a profile is removed. Where there is
// none, nobody is asked.
func (e *env) confirmRemoval(p *pb.ProfileSummary, revoke bool) error {
	what := "Remove " + inWhich(p.GetName(), p.GetAccount(), p.GetEnvironment()) + ", and its secret"
	if revoke {
		what = "End the credential of " + inWhich(p.GetName(), p.GetAccount(), p.GetEnvironment()) + " at NetSuite, and remove it"
	}
	yes, err := e.confirm(what + "? [y/N]: ")
	if err == nil && !yes {
		return answeredNo(fmt.Sprintf("profile %q is not removed", p.GetName()))
	}
	return unlessNobody(err)
}

// profileNamed returns a profile as it is listed; nil where that cannot be learnt, which
// whoever acts on the profile learns anyway.
func (e *env) profileNamed(ctx context.Context, name string) (found *pb.ProfileSummary) {
	_ = e.ask(ctx, func(cl *client.Client) error {
		r, err := cl.Profiles(ctx)
		for _, p := range r.GetProfiles() {
			if p.GetName() == name {
				found = p
			}
		}
		return err
	})
	return found
}

// revocation says what ends a credential of a kind, which its removal here does not.
func revocation(kind string) string {
	switch kind {
	case "tba":
		return "revoke its token in NetSuite too, if nobody else uses it"
	case "authcode":
		return "revoke the authorized application in NetSuite too, if nobody else uses it"
	case "m2m":
		return "revoke its certificate in NetSuite too, if nobody else uses it"
	default:
		return "have the secret revoked by whoever gave it out, if nobody else uses it"
	}
}
