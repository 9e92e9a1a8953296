package command

import (
	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

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
			return e.manage(c.Context(), func(a *client.Admin) error {
				r, err := a.TestProfile(c.Context(), args[0])
				if err != nil {
					return err
				}
				e.echo(args[0], r.GetAccount(), r.GetEnvironment())
				return e.printChecks(pb.ChecksForm(args[0], r.GetChecks()))
			})
		},
	}
}
