package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newIntegration(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "integration",
		Short: "List integration records, and give one its new pair",
	}
	c.AddCommand(newIntegrationList(e), newIntegrationRotate(e))
	return c
}

func newIntegrationList(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the integration records that profiles use",
		Long: `List the integration records that profiles use: account, consumer key (which
OAuth 2.0 calls client ID) and profiles. One consumer pair serves many tokens.`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runIntegrationList(c.Context(), e) },
	}
}

func runIntegrationList(ctx context.Context, e *env) error {
	return e.manage(ctx, func(a *client.Admin) error {
		r, err := a.Integrations(ctx)
		if err != nil {
			return err
		}
		return printList(e, r.JSON(), "no profile uses an integration record", func() [][]string {
			rows := [][]string{{"CONSUMER KEY", "ACCOUNT", "ENVIRONMENT", "PROFILES", "ENDPOINT"}}
			for _, i := range r.GetIntegrations() {
				rows = append(rows, []string{i.GetKey(), i.GetAccount(), i.GetEnvironment(), strings.Join(usersOf(i), " "), i.GetEndpoint()})
			}
			return rows
		})
	})
}

func usersOf(i *pb.Integration) []string {
	names := make([]string, 0, len(i.GetUses()))
	for _, u := range i.GetUses() {
		names = append(names, u.GetProfile())
	}
	return names
}

// findIntegration returns the record that a person means: by a profile that uses it, by
// its consumer key, or by the beginning of that.
func findIntegration(all []*pb.Integration, which string) (*pb.Integration, error) {
	const shortest = 4
	var by []*pb.Integration
	for _, i := range all {
		for _, name := range usersOf(i) {
			if name == which {
				return i, nil
			}
		}
		if len(which) >= shortest && strings.HasPrefix(i.GetKey(), which) {
			by = append(by, i)
		}
	}
	next := "list them:  nsagent integration ls"
	switch {
	case len(by) == 1:
		return by[0], nil
	case len(by) > 1:
		return nil, usage(fmt.Sprintf("%.80q is more than one integration record", which), "several accounts or endpoints use that key", "name a profile that uses it; "+next)
	case len(which) < shortest:
		return nil, &client.Error{Code: pb.CodeNotFound, Message: fmt.Sprintf("no integration record %.80q", which), Why: fmt.Sprintf("of a consumer key, the first %d characters are needed at least", shortest), Next: next}
	default:
		return nil, &client.Error{Code: pb.CodeNotFound, Message: fmt.Sprintf("no integration record %.80q", which), Why: "it is one of its profiles, its key, or the start of that", Next: next}
	}
}
