package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newPassport(e *env) *cobra.Command {
	var version, format string
	c := &cobra.Command{
		Use:   "passport",
		Short: "Print the TokenPassport of one SOAP request",
		Long: `Print the TokenPassport of one SOAP request, as the element to put into the
header of the envelope. It is good for one send within five minutes.`,
		Example: `  nsagent passport -p acme-sb1
  nsagent passport --format json`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			if format != "xml" && format != "json" {
				return usage(fmt.Sprintf("unknown format %.20q", format), "it is xml or json", "")
			}
			return askAsProfile(c.Context(), e, func(cl *client.Client) (*pb.PassportResponse, error) {
				return cl.Passport(c.Context(), "", version)
			}, func(r *pb.PassportResponse) error {
				e.echo(r.GetProfile(), r.GetAccount(), r.GetEnvironment())
				if e.json() || format == "json" {
					return e.printJSON(r.JSON())
				}
				return e.print(r.GetXml())
			})
		},
	}
	c.Flags().StringVar(&version, "version", "2025_2", "the `VERSION` of the SOAP endpoint")
	c.Flags().StringVar(&format, "format", "xml", "print the element or json: `FORMAT` is xml or json")
	return c
}
