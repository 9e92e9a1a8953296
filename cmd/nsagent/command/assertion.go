package command

import (
	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newAssertion(e *env) *cobra.Command {
	var scopes []string
	var aud string
	c := &cobra.Command{
		Use:   "assertion",
		Short: "Print the JWT client assertion of one token request",
		Long: `Print the JWT client assertion (client_assertion) of one request to the token
endpoint, for machine-to-machine profiles. It is good for five minutes.`,
		Example: `  nsagent assertion -p acme-m2m --scope restlets,rest_webservices
  nsagent assertion -o json`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return askAsProfile(c.Context(), e, func(cl *client.Client) (*pb.AssertionResponse, error) {
				return cl.Assertion(c.Context(), client.AssertionRequest{Scopes: scopes, Audience: aud})
			}, func(r *pb.AssertionResponse) error {
				e.echo(r.GetProfile(), r.GetAccount(), r.GetEnvironment())
				if e.json() {
					return e.printJSON(r.JSON())
				}
				return e.print(r.GetAssertion())
			})
		},
	}
	c.Flags().StringSliceVar(&scopes, "scope", nil, "only these `SCOPES`, separated by commas (else all of the profile's)")
	c.Flags().StringVar(&aud, "aud", "", "the token endpoint is `URL` (else the account's own)")
	return c
}
