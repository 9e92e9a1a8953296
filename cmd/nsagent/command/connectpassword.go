package command

import "github.com/spf13/cobra"

func newConnectPassword(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "connect-password",
		Short: "Print the password of one SuiteAnalytics Connect session",
		Long: `Print the password of one SuiteAnalytics Connect session. The user name is TBA.
The password is good for one session, to be opened within five minutes.`,
		Example: `  nsagent connect-password -p acme-prod`,
		Args:    takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.dialProfile(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = cl.Close() }()
			r, err := cl.ConnectPassword(c.Context(), "")
			if err != nil {
				return err
			}
			e.echo(r.GetProfile(), r.GetAccount(), r.GetEnvironment())
			if e.json() {
				return e.printJSON(r.JSON())
			}
			return e.print(r.GetPassword())
		},
	}
}
