package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newProfile(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "profile",
		Short: "Add, list, show, test, edit, rename and remove profiles",
	}
	c.AddCommand(newProfileAdd(e), newProfileList(e), newProfileShow(e), newProfileTest(e), newProfileEdit(e), newProfileRename(e), newProfileRemove(e))
	return c
}

func newProfileList(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the profiles",
		Args:    takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.dial(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = cl.Close() }()
			r, err := cl.Profiles(c.Context())
			if err != nil {
				return err
			}
			switch e.output {
			case "json":
				return e.printJSON(r.JSON())
			case "jsonl":
				for _, p := range r.JSON() {
					if err := e.printJSON(p); err != nil {
						return err
					}
				}
				return nil
			}
			if len(r.GetProfiles()) == 0 {
				e.say("no profiles yet; add one:  nsagent profile add NAME")
				return nil
			}
			rows := [][]string{{"NAME", "ACCOUNT", "ENVIRONMENT", "AUTH", "ACCESS", "STATE", "EXPIRES", "LAST USED"}}
			for _, p := range r.GetProfiles() {
				rows = append(rows, []string{p.GetName(), p.GetAccount(), p.GetEnvironment(), p.GetAuth(), p.GetAccess(),
					p.GetState(), day(p.GetExpiresAt(), "never"), day(p.GetLastUsed(), "never")})
			}
			return e.table(rows)
		},
	}
}

func newProfileShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a profile; its secrets are never shown",
		Args:  takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := e.dialAdmin(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = a.Close() }()
			p, err := a.ShowProfile(c.Context(), args[0])
			if err != nil {
				return err
			}
			if e.json() {
				return e.printJSON(p.JSON())
			}
			return e.printProfile(p)
		},
	}
}

func (e *env) printProfile(p *pb.Profile) error {
	rows := [][2]string{
		{"name", p.GetName()}, {"account", p.GetAccount() + " (" + p.GetEnvironment() + ")"}, {"auth", p.GetAuth()}, {"access", p.GetAccess()},
		{"owner", p.GetOwner()}, {"note", p.GetNote()}, {"endpoint", p.GetEndpoint()}, {"consumer key", p.GetConsumerKey()},
		{"token ID", p.GetTokenId()}, {"client ID", p.GetClientId()}, {"certificate ID", p.GetCertificateId()}, {"algorithm", p.GetAlg()},
		{"scopes", strings.Join(p.GetScopes(), " ")}, {"hosts", strings.Join(p.GetHosts(), " ")}, {"header", p.GetHeader()},
		{"created", day(p.GetCreatedAt(), "")}, {"expires", day(p.GetExpiresAt(), "never")}, {"last used", day(p.GetLastUsed(), "never")},
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

func newProfileRemove(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a profile and its credential from the vault",
		Args:  takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := e.dialAdmin(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = a.Close() }()
			if err := a.RemoveProfile(c.Context(), args[0]); err != nil {
				return err
			}
			if e.json() {
				return e.printJSON(struct {
					Schema string `json:"schema"`
					Name   string `json:"name"`
				}{"nsagent.profile-rm/v1", args[0]})
			}
			e.say("removed %s; revoke its token in NetSuite too, if nobody else uses it", args[0])
			return nil
		},
	}
}
