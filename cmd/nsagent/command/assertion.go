package command

import (
	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
)

func newAssertion(e *env) *cobra.Command {
	var scopes []string
	var aud string
	c := &cobra.Command{
		Use:   "assertion",
		Short: "Print the JWT client assertion of one token request",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.dial(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = cl.Close() }()
			r, err := cl.Assertion(c.Context(), client.AssertionRequest{Scopes: scopes, Audience: aud})
			if err != nil {
				return err
			}
			e.echo(r.GetProfile(), r.GetAccount(), r.GetEnvironment())
			if e.json() {
				return e.printJSON(r.JSON())
			}
			return e.print(r.GetAssertion())
		},
	}
	c.Flags().StringSliceVar(&scopes, "scope", nil, "scopes, separated by commas (else all of the profile's)")
	c.Flags().StringVar(&aud, "aud", "", "token endpoint (else the account's own)")
	return c
}
