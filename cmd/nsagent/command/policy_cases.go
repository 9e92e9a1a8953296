package command

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newPolicyTest(e *env) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "test FILE",
		Short: "Try a policy, by default the draft, against a table of cases",
		Long: `Try a policy, by default the draft, against a table of cases: each says what is
attempted with which profile by whom, and what is to become of it, as
docs/policy.md describes. It needs no agent, and exits with 9 if a case comes
out otherwise.`,
		Example: "  nsagent policy test cases.toml\n  nsagent policy test cases.toml --file new-policy.toml",
		Args:    takes("FILE"),
		RunE:    func(_ *cobra.Command, args []string) error { return runPolicyTest(e, file, args[0]) },
	}
	c.Flags().StringVar(&file, "file", "", "try the policy in `FILE` in place of the draft")
	return c
}

// caseJSON is how a case came out, for programs.
type caseJSON struct {
	Name    string `json:"name"`
	Line    int    `json:"line"`
	OK      bool   `json:"ok"`
	Got     string `json:"got,omitempty"`
	Profile string `json:"profile"`
	Do      string `json:"do"`
}

func runPolicyTest(e *env, file, table string) error {
	text, err := e.readPolicyFile(table) // first, as it is what was typed
	if err != nil {
		return err
	}
	cases, err := policy.ParseCases(text, uint32(os.Geteuid())) // #nosec G115 -- a uid fits
	if err != nil {
		return notWellFormed(table, err)
	}
	p, _, err := e.readDraftPolicy(file)
	if err != nil {
		return err
	}
	if file, err = e.draftPath(file); err != nil {
		return err
	}
	out, failed, ask := make([]caseJSON, 0, len(cases)), uint64(0), ""
	for _, c := range cases {
		got := c.Check(p)
		if got != "" {
			failed++
			ask = cmp.Or(ask, explainCase(c, file))
		}
		out = append(out, caseJSON{c.Name, c.Line, got == "", got, c.Attempt.Profile, c.Do})
	}
	if e.json() {
		err = e.printJSON(struct {
			Schema string     `json:"schema"`
			OK     bool       `json:"ok"`
			Cases  []caseJSON `json:"cases"`
		}{"nsagent.policy-test/v1", failed == 0, out})
	} else if err = e.printCases(out); err == nil && failed == 0 {
		e.say("%s, each as it is meant", count(uint64(len(out)), "case"))
	}
	if err == nil && failed > 0 {
		err = &client.Error{Code: pb.CodeCheck, Message: fmt.Sprintf("%s of %d came out otherwise", count(failed, "case"), len(out)), Why: "the policy decides otherwise than the table says", Next: "ask why:  " + ask}
	}
	return err
}

// explainCase is the command that says what the policy in file makes of a case, and why.
func explainCase(c policy.Case, file string) string {
	words := append([]string{"nsagent", "policy", "explain"}, strings.SplitN(c.Do, " ", 2)...)
	words = append(words, "-p", c.Attempt.Profile, "--environment", c.Attempt.Environment, "--file", file)
	if c.Attempt.Access == policy.Read {
		words = append(words, "--access", "read")
	}
	for _, flag := range [][2]string{{"--as", c.As}, {"--at", c.At}} {
		if flag[1] != "" {
			words = append(words, flag[:]...)
		}
	}
	return strings.Join(mapped(words, shellQuote), " ")
}

func (e *env) printCases(cases []caseJSON) error {
	all := make([]found, 0, len(cases))
	for _, c := range cases {
		f := found{level: "ok", name: fmt.Sprintf("line %d", c.Line), text: cmp.Or(c.Name, c.Do+" with "+c.Profile)}
		if !c.OK {
			f.level, f.why = "problem", c.Got
		}
		all = append(all, f)
	}
	return e.printFound(all)
}
