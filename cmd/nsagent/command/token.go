package command

import (
	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newToken(e *env) *cobra.Command {
	var scopes []string
	c := &cobra.Command{
		Use:   "token",
		Short: "Print an OAuth 2.0 access token",
		Long: `Print an OAuth 2.0 access token, of an m2m or authcode profile. The agent
keeps it until shortly before its end, and gets a new one from NetSuite then.
Whoever has it can do what the role may do, for up to an hour.`,
		Example: `  curl -H "Authorization: Bearer $(nsagent token -p acme-m2m)" "$URL"
  nsagent token --scope rest_webservices -o json`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return askAsProfile(c.Context(), e, func(cl *client.Client) (*pb.AccessTokenResponse, error) {
				return cl.AccessToken(c.Context(), client.AccessTokenRequest{Scopes: scopes})
			}, func(r *pb.AccessTokenResponse) error {
				e.echo(r.GetProfile(), r.GetAccount(), r.GetEnvironment())
				if e.json() {
					return e.printJSON(r.JSON())
				}
				return e.print(r.GetAccessToken())
			})
		},
	}
	c.Flags().StringSliceVar(&scopes, "scope", nil, "only these `SCOPES`, separated by commas (else all of the profile's)")
	return c
}
