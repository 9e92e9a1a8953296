package command

import "github.com/spf13/cobra"

func newVersion(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v, commit, goVersion := buildVersion()
			if e.json() {
				return e.printJSON(struct {
					Schema  string `json:"schema"`
					Version string `json:"version"`
					Commit  string `json:"commit"`
					Go      string `json:"go"`
				}{"nsagent.version/v1", v, commit, goVersion})
			}
			return e.print("nsagent " + v)
		},
	}
}
