package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// certificateMenu is where people manage certificates in NetSuite.
const certificateMenu = "Setup > Integration > Manage Authentication >\n  OAuth 2.0 Client Credentials (M2M) Setup"

func newCert(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "cert",
		Short: "Make, rotate and revoke the certificates of M2M profiles",
		Long: `Make, rotate and revoke the certificates of machine-to-machine profiles. Keys
are made in the agent, and never leave it. More:  docs/certificates.md`,
	}
	c.AddCommand(newCertNew(e), newCertShow(e), newCertList(e), newCertUpload(e), newCertRotate(e), newCertRevoke(e))
	return c
}

// manageProfile calls the agent's socket for managing with the name of the profile that
// the person means.
func (e *env) manageProfile(ctx context.Context, calls func(a *client.Admin, p *pb.Profile) error) error {
	paths, err := e.paths()
	if err != nil {
		return err
	}
	name, err := e.profileName(paths)
	if err != nil {
		return err
	}
	return e.manage(ctx, func(a *client.Admin) error {
		p, err := a.ShowProfile(ctx, name)
		if err != nil {
			return err
		}
		e.echo(p.GetName(), p.GetAccount(), p.GetEnvironment())
		return calls(a, p)
	})
}

// manageProfileSecretly is manageProfile with locked memory for a proof.
func (e *env) manageProfileSecretly(ctx context.Context, calls func(*client.Admin, *pb.Profile, *secret.Arena) error) error {
	arena, err := newArena()
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	return e.manageProfile(ctx, func(a *client.Admin, p *pb.Profile) error { return calls(a, p, arena) })
}

func newCertShow(e *env) *cobra.Command {
	var pem bool
	c := &cobra.Command{
		Use:   "show",
		Short: "Show a profile's certificate, and its next one",
		Long: `Show a profile's certificate, and its next one, if there is one. This asks
nothing of NetSuite. With --pem it prints the next one, or else the present one,
for NetSuite to read.`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.manageProfile(c.Context(), func(a *client.Admin, p *pb.Profile) error {
				return e.showCertificates(p, pem, func(grant string) bool {
					g, err := a.Grant(c.Context(), grant)
					return err == nil && g.GetState() == "revoked"
				})
			})
		},
	}
	c.Flags().BoolVar(&pem, "pem", false, "print the certificate itself")
	return c
}

// showCertificates prints the certificates of a profile; revoked tells whether a grant was.
func (e *env) showCertificates(p *pb.Profile, pem bool, revoked func(grant string) bool) error {
	if p.GetAuth() != "m2m" {
		return &client.Error{Code: pb.CodeRequest, Message: fmt.Sprintf("profile %q has no certificate", p.GetName()), Why: "its credential is of kind " + p.GetAuth(), Next: "see which have one:  nsagent profile ls"}
	}
	f := p.CertificatesJSON()
	switch {
	case pem:
		text := p.GetCertificate()
		if next := p.GetNextCertificate(); next != nil {
			text = next.GetCertificate()
		}
		if text == "" {
			return &client.Error{Code: pb.CodeNotFound, Message: fmt.Sprintf("profile %q has the ID of its certificate only", p.GetName()), Why: "it was added without the certificate itself", Next: "download it in NetSuite, or make a new one:  nsagent cert new -p " + p.GetName()}
		}
		return e.print(strings.TrimSuffix(text, "\n"))
	case e.json():
		return e.printJSON(f)
	}
	rows := [][2]string{{"profile", p.GetName()}, {"client ID", p.GetClientId()}}
	for _, c := range f.Certificates {
		line := "until " + orMissing(c.ValidUntil, "its end, which is not known here")
		if c.CommonName != "" {
			line += ", " + c.Algorithm + ", for " + c.CommonName
		}
		rows = append(rows, [2]string{c.State, c.CertificateID}, [2]string{"", line})
	}
	for _, r := range p.GetRetired() {
		state, then := "previous", "revoked at NetSuite after "+day(r.GetAfter(), "the next look")
		switch g := r.GetGrant(); {
		case g == "":
		case revoked(g):
			state, then = "bundle", "still to be revoked at NetSuite, as "+shortGrant(g)+" was; the agent goes on trying"
		default:
			state, then = "bundle", "revoked at NetSuite with "+shortGrant(g)+", which ends "+day(r.GetAfter(), "")
		}
		rows = append(rows, [2]string{state, r.GetCertificateId()}, [2]string{"", then})
	}
	rotate := "never; to have the agent do it:  nsagent profile edit " + p.GetName() + " --rotate-after 180d"
	if n := p.GetRotateAfter(); n > 0 {
		rotate = fmt.Sprintf("at an age of %d days", n/86400)
	}
	return e.sheet(append(rows, [2]string{"rotated", rotate}))
}

// orMissing returns the day of an instant in its JSON form.
func orMissing(instant *string, missing string) string {
	if instant == nil {
		return missing
	}
	day, _, _ := strings.Cut(*instant, "T")
	return day
}

func newCertList(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the certificates that NetSuite knows",
		Long: `List the certificates of the profile's integration record, as NetSuite knows
them. Five of them may be active. The role needs the permission Manage own
OAuth 2.0 Client Credentials certificates.`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.manageProfile(c.Context(), func(a *client.Admin, p *pb.Profile) error {
				l, err := a.Certificates(c.Context(), p.GetName())
				if err != nil {
					return err
				}
				return e.printCertificates(p, l)
			})
		},
	}
}

func (e *env) printCertificates(p *pb.Profile, l *pb.ListCertificatesResponse) error {
	switch e.output {
	case "json":
		return e.printJSON(l.JSON(p.GetName()))
	case "jsonl":
		for _, c := range l.JSON(p.GetName()).Certificates {
			if err := e.printJSON(c); err != nil {
				return err
			}
		}
		return nil
	}
	rows := [][]string{{"CERTIFICATE", "STATE", "KEY", "FROM", "UNTIL", "ENTITY", "ROLE"}}
	for _, c := range l.GetCertificates() {
		state := c.GetState()
		if c.GetRevoked() {
			state = strings.TrimPrefix(state+", revoked", ", ")
		}
		rows = append(rows, []string{c.GetCertificateId(), state, c.GetAlgorithm(), day(c.GetValidFrom(), ""), day(c.GetValidUntil(), ""), labelled(c.GetEntity(), c.GetEntityName()), labelled(c.GetRole(), c.GetRoleName())})
	}
	e.say("%d of %d are active", l.GetActive(), l.GetLimit())
	return e.table(rows)
}

// labelled returns an internal ID with the name that goes with it.
func labelled(id, name string) string {
	if name == "" || id == "" {
		return id + name
	}
	return id + " " + name
}
