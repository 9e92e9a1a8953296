package command

import (
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the Makefile.
var version = "0.1.0-dev"

func newVersion(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  takes(),
		RunE:  func(*cobra.Command, []string) error { return printVersion(e) },
	}
}

func printVersion(e *env) error {
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
}

// buildVersion returns the version with the commit it was built from.
func buildVersion() (v, commit, goVersion string) {
	v = version
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	return v, commit, goVersion
}
