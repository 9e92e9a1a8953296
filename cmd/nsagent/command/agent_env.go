package command

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func newAgentEnv(e *env) *cobra.Command {
	var shell string
	c := &cobra.Command{
		Use:   "env",
		Short: "Print the variables that lead programs to the agent",
		Long: `Print the variables that lead programs to the agent, as commands for a shell:
NSAGENT_SOCK, and NSAGENT_ADMIN_SOCK where that socket is not beside the other.
It does not look whether an agent is there. With --shell github they are lines
for the file that GITHUB_ENV names, for the later steps of a job.

With NSAGENT_SOCK set, no command starts an agent by itself.`,
		Example: `  eval "$(nsagent agent env)"
  eval (nsagent agent env --shell fish)
  eval ` + "`nsagent agent env --shell csh`",
		Args: takes(),
		RunE: func(*cobra.Command, []string) error { return printAgentEnv(e, shell) },
	}
	c.Flags().StringVar(&shell, "shell", "", "write for `SHELL`: sh, csh, fish or github (else that of SHELL)")
	return c
}

func printAgentEnv(e *env, shell string) error {
	p, err := e.paths()
	if err != nil {
		return err
	}
	if shell == "" {
		shell = shellKind(e.getenv("SHELL"))
	}
	set, ok := map[string]func(name, value string) string{
		"sh": setSh, "bash": setSh, "dash": setSh, "ksh": setSh, "zsh": setSh, "csh": setCsh, "tcsh": setCsh, "fish": setFish, "github": setGitHub,
	}[shell]
	if !ok {
		return usage(fmt.Sprintf("unknown shell %.20q", shell), "it is sh, csh, fish, or github for the file of GITHUB_ENV", "")
	}
	if shell == "github" && strings.Contains(p.Agent+p.Admin, "\n") {
		return usage("the path of a socket has a line end", "a line of GITHUB_ENV holds one variable", "")
	}
	if e.json() {
		return e.printJSON(struct {
			Schema      string `json:"schema"`
			Socket      string `json:"socket"`
			AdminSocket string `json:"admin_socket"`
		}{"nsagent.agent-env/v1", p.Agent, p.Admin})
	}
	if err := e.print(set("NSAGENT_SOCK", p.Agent)); err != nil {
		return err
	}
	if p.Admin != filepath.Join(filepath.Dir(p.Agent), "admin.sock") {
		return e.print(set("NSAGENT_ADMIN_SOCK", p.Admin))
	}
	return nil
}

// shellKind returns which language a login shell speaks.
func shellKind(path string) string {
	switch name := filepath.Base(path); name {
	case "csh", "tcsh":
		return "csh"
	case "fish":
		return name
	default:
		return "sh"
	}
}

func setSh(name, value string) string {
	return "export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "';"
}

// setCsh quotes for csh, which looks for ! and line ends inside quotes too.
func setCsh(name, value string) string {
	return "setenv " + name + " '" + strings.NewReplacer("'", `'\''`, "!", `\!`, "\n", "\\\n").Replace(value) + "';"
}

// setGitHub writes a line of the file that GITHUB_ENV names, for the later steps of a job.
func setGitHub(name, value string) string { return name + "=" + value }

func setFish(name, value string) string {
	return "set -gx " + name + " '" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(value) + "';"
}
