package command

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newCertUpload(e *env) *cobra.Command {
	var entity, role string
	var opener openerFlags
	c := &cobra.Command{
		Use:   "upload",
		Short: "Upload a profile's next certificate to NetSuite",
		Long: `Upload a profile's next certificate to NetSuite, with the present one, for the
entity and role of that. cert rotate does so too; this is for those who want to
look at it in between. The first certificate of a profile has to be uploaded by
hand.

Where NetSuite does not list the present certificate, --entity and --role say
whose it is. That takes the passphrase again, or what else is a fresh proof.`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.manageProfileSecretly(c.Context(), func(a *client.Admin, p *pb.Profile, arena *secret.Arena) error {
				var cert *pb.Certificate
				err := e.proved(arena, opener, func(proof client.Proof) (err error) {
					cert, err = a.UploadCertificate(c.Context(), proof, p.GetName(), entity, role)
					return err
				})
				if err != nil {
					return err
				}
				if e.json() {
					return e.printJSON(cert.JSON(p.GetName()))
				}
				how := "rotate"
				if entity != "" || role != "" { // the agent may not see that they are those of the present one
					how = "rotate --by-hand"
				}
				e.say("NetSuite has %s; switch to it:  nsagent cert %s -p %s", cert.GetCertificateId(), how, p.GetName())
				return nil
			})
		},
	}
	c.Flags().StringVar(&entity, "entity", "", "the entity of the present one, by its internal `ID`")
	c.Flags().StringVar(&role, "role", "", "the role of the present one, by its internal `ID`")
	opener.register(c)
	return c
}

func newCertRotate(e *env) *cobra.Command {
	var o struct {
		wishFlags
		overlap duration
		byHand  bool
	}
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Put a new key and certificate into the place of the present",
		Long: `Put a new key and certificate into the place of the present ones: make them,
upload the certificate, get an access token with it, and switch. Callers notice
nothing. What fails before the switch is undone. The certificate before stays
good for an hour, or as long as --overlap says, and is then revoked at NetSuite.

A next certificate that was made before is taken, if it is for the same entity
and role. With --by-hand people have uploaded it, and said in NetSuite for whom
it is: then nothing is uploaded, and nothing revoked.

To have the agent do so:  nsagent profile edit NAME --rotate-after 180d`,
		Example: `  nsagent cert rotate -p acme-m2m
  nsagent cert rotate -p acme-m2m --overlap 24h
  nsagent cert rotate -p acme-m2m --by-hand`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			overlap := time.Duration(o.overlap)
			if c.Flags().Changed("overlap") && (overlap < time.Hour || overlap > 30*24*time.Hour) {
				return usage("--overlap is out of range", "it is from 1h to 30d", "")
			}
			return e.manageProfile(c.Context(), func(a *client.Admin, p *pb.Profile) error {
				r, err := a.RotateCertificate(c.Context(), p.GetName(), client.Rotation{NewCertificate: o.wish(), Overlap: overlap, ByHand: o.byHand})
				if err != nil {
					return err
				}
				return e.printRotation(r)
			})
		},
	}
	o.register(c)
	c.Flags().Var(&o.overlap, "overlap", "keep the certificate before for `TIME`, 1h to 30d (1h if left out)")
	c.Flags().BoolVar(&o.byHand, "by-hand", false, "the next certificate was uploaded by hand")
	return c
}

func (e *env) printRotation(r *pb.RotateCertificateResponse) error {
	if e.json() {
		return e.printJSON(r.JSON())
	}
	name, c := r.GetProfile().GetName(), r.GetCertificate()
	e.say("%s uses certificate %s now, good until %s", name, c.GetCertificateId(), day(c.GetValidUntil(), ""))
	if r.GetRevokedAfter() == 0 {
		e.say("the one before is still good at NetSuite; revoke it when nobody needs it:\n  %s", certificateMenu)
		return nil
	}
	e.say("the one before is revoked after %s; until then:  nsagent profile edit %s --use-previous", day(r.GetRevokedAfter(), ""), name)
	return nil
}

func newCertRevoke(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke a certificate at NetSuite",
		Long: `Revoke a certificate at NetSuite, for good. The one that the profile uses
cannot be revoked so: rotate first.`,
		Args:        takes("ID"),
		Annotations: map[string]string{takesCertificateID: "yes"},
		RunE: func(c *cobra.Command, args []string) error {
			return e.manageProfile(c.Context(), func(a *client.Admin, p *pb.Profile) error {
				if err := a.RevokeCertificate(c.Context(), p.GetName(), args[0]); err != nil {
					return err
				}
				if e.json() {
					return e.printJSON(struct {
						Schema        string `json:"schema"`
						Profile       string `json:"profile"`
						CertificateID string `json:"certificate_id"`
					}{"nsagent.cert-revoke/v1", p.GetName(), args[0]})
				}
				e.say("revoked %s at NetSuite", args[0])
				return nil
			})
		},
	}
}
