// Command gosec looks at the packages of this repository with the rules of gosec.
//
// gosec's own command can ask language models for help, and takes minutes to compile for
// that. Its rules are all that is wanted here.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"runtime"

	"github.com/securego/gosec/v2"
	"github.com/securego/gosec/v2/analyzers"
	"github.com/securego/gosec/v2/issue"
	"github.com/securego/gosec/v2/report"
	"github.com/securego/gosec/v2/rules"
)

// excluded are rules that say nothing here:
//   - G104, unchecked errors: staticcheck and review see the ones that matter
//   - G115, conversions of integers: lengths are capped before they are converted
//   - G304, files named by variables: naming files is what a command line does
var excluded = []string{"G104", "G115", "G304"}

// excludedIn are rules that say nothing in some places:
//   - G103, unsafe: it is allowed where locked memory is mapped, and nowhere else
//   - G204, programs: they are started by the supervisor, and by tools of ours
//   - G404, a weak generator: the soak does things at random times, of which nothing is secret
var excludedIn = []gosec.PathExcludeRule{
	{Path: "internal/secret/.*", Rules: []string{"G103"}},
	{Path: "(agent/supervise|internal/(testrun|keyringtest|bench|realagent|nsabuse|soak|mutate))/.*", Rules: []string{"G204"}},
	{Path: "internal/soak/.*", Rules: []string{"G404"}},
}

func main() {
	found, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "gosec:", err)
		os.Exit(2)
	}
	if found {
		os.Exit(1)
	}
}

// run looks at the packages below each path, and prints what it finds.
func run(paths []string) (found bool, err error) {
	config := gosec.NewConfig()
	config.SetGlobal(gosec.NoSecRequireRules, "true")
	config.SetGlobal(gosec.NoSecRequireJustification, "true")
	a := gosec.NewAnalyzer(config, false, true, false, runtime.NumCPU(), log.New(io.Discard, "", 0))
	a.LoadRules(rules.Generate(false, rules.NewRuleFilter(true, excluded...)).RulesInfo())
	a.LoadAnalyzers(analyzers.Generate(false, analyzers.NewAnalyzerFilter(true, excluded...)).AnalyzersInfo())
	var packages, roots []string
	for _, path := range paths {
		some, err := gosec.PackagePaths(path, gosec.ExcludedDirsRegExp([]string{"testdata", `\.git/`}))
		if err != nil {
			return false, fmt.Errorf("looking for packages: %w", err)
		}
		root, err := gosec.RootPath(path)
		if err != nil {
			return false, fmt.Errorf("looking for packages: %w", err)
		}
		packages, roots = append(packages, some...), append(roots, root)
	}
	if len(packages) == 0 {
		return false, fmt.Errorf("there are no packages in %v", paths)
	}
	if err := a.Process(nil, packages...); err != nil {
		return false, fmt.Errorf("looking at packages: %w", err)
	}
	issues, metrics, errors := a.Report()
	filter, err := gosec.NewPathExclusionFilter(excludedIn)
	if err != nil {
		return false, fmt.Errorf("excluding rules: %w", err)
	}
	issues, _ = filter.FilterIssues(issues)
	issues = certain(issues)
	metrics.NumFound = len(issues)
	if len(issues) == 0 && len(errors) == 0 {
		return false, nil
	}
	return true, report.CreateReport(os.Stdout, "text", false, roots, gosec.NewReportInfo(issues, metrics, errors))
}

// certain returns the issues that gosec is at least half sure of.
func certain(all []*issue.Issue) []*issue.Issue {
	var out []*issue.Issue
	for _, i := range all {
		if i.Confidence >= issue.Medium {
			out = append(out, i)
		}
	}
	return out
}
