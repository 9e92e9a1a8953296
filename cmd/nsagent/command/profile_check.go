package command

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

type testOptions struct {
	offline bool
	restlet string
}

func newProfileTest(e *env) *cobra.Command {
	var o testOptions
	c := &cobra.Command{
		Use:   "test NAME",
		Short: "Check a profile, and try each way into NetSuite",
		Long: `Check a profile: that its record opens, that its key signs and that the
signature is right by another computation, account, dates and ID of the
certificate, endpoint and CA. Then the agent makes one request on each way into
NetSuite that the credential is for, and says of each what is missing and where
to get it:

  token    a new access token (m2m, authcode)
  rest     one customer             suiteql  one row
  restlet  the script that --restlet names, by GET; it is run
  soap     the time of the server   connect  a password, or the token's scope;
                                             no session is opened

Nothing is written. A surface that the profile's access does not allow, or that
its scopes leave out, is skipped. It exits with 9 where something is wrong, and
with 8 where NetSuite refuses every way.`,
		Example: `  nsagent profile test acme-sb1
  nsagent profile test acme-sb1 --restlet customscript_sync/customdeploy_sync
  nsagent profile test acme-sb1 --offline`,
		Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error { return runProfileTest(c.Context(), e, args[0], o) },
	}
	c.Flags().BoolVar(&o.offline, "offline", false, "do not ask NetSuite")
	c.Flags().StringVar(&o.restlet, "restlet", "", "also call the RESTlet `SCRIPT/DEPLOYMENT`")
	return c
}

func runProfileTest(ctx context.Context, e *env, name string, o testOptions) error {
	var how []client.TestOption
	if o.offline {
		how = append(how, client.WithoutNetSuite())
	}
	if o.restlet != "" {
		how = append(how, client.WithRESTlet(o.restlet))
	}
	if o.offline && o.restlet != "" {
		return usage("--offline and --restlet do not go together", "one is a request to NetSuite, and the other makes none", "leave one of the two out")
	}
	return e.manage(ctx, func(a *client.Admin) error {
		r, err := a.TestProfile(ctx, name, how...)
		if err != nil {
			return err
		}
		e.echo(name, r.GetAccount(), r.GetEnvironment())
		form := pb.ChecksForm(name, r.GetChecks()).WithSurfaces(r.GetSurfaces())
		if err := e.printChecks(form); err != nil {
			return err
		}
		return judgeSurfaces(name, form.Surfaces)
	})
}

// judgeSurfaces returns the error of a test whose checks went well: of the ways into
// NetSuite, whether all refuse or some are not open.
func judgeSurfaces(name string, all []pb.SurfaceJSON) error {
	n := make(map[string]uint64)
	var first *pb.SurfaceJSON
	for i, s := range all {
		if s.Name != "connect" { // which NetSuite is not asked about
			n[s.State]++
		}
		if first == nil && (s.State == "refused" || s.State == "unreached") {
			first = &all[i]
		}
	}
	if first == nil {
		return nil
	}
	f := &client.Error{
		Code: pb.CodeCheck, Message: "not open to " + name + ": " + count(n["refused"]+n["unreached"], "surface") + " of NetSuite",
		Why: first.Name + ": " + first.Detail, Next: first.Fix,
	}
	if n["works"]+n["limited"]+n["unreached"] == 0 {
		f.Code, f.Message = pb.CodeNetSuite, "NetSuite refuses "+name
	}
	return f
}

func foundSurfaces(all []pb.SurfaceJSON) []found {
	out := make([]found, 0, len(all))
	for _, s := range all {
		f := found{level: s.State, name: s.Name, text: s.Detail, fix: s.Fix}
		if s.Missing != "" {
			f.why = "missing: " + s.Missing
			if s.State == "skipped" {
				f.why = s.Missing
			}
		}
		out = append(out, f)
	}
	return out
}
