package command

import (
	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newConnectPassword(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "connect-password",
		Short: "Print the password of one SuiteAnalytics Connect session",
		Long: `Print the password of one SuiteAnalytics Connect session. The user name is TBA.
The password is good for one session, to be opened within five minutes.`,
		Example: `  nsagent connect-password -p acme-prod`,
		Args:    takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return askAsProfile(c.Context(), e, func(cl *client.Client) (*pb.ConnectPasswordResponse, error) {
				return cl.ConnectPassword(c.Context(), "")
			}, func(r *pb.ConnectPasswordResponse) error {
				e.echo(r.GetProfile(), r.GetAccount(), r.GetEnvironment())
				if e.json() {
					return e.printJSON(r.JSON())
				}
				return e.print(r.GetPassword())
			})
		},
	}
}
