package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdFinding looks into what doctor -o json printed last for a finding of a check, of
// a level, that matches:
//
//	[!] finding LEVEL CHECK [PATTERN]
func cmdFinding(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: [!] finding LEVEL CHECK [PATTERN]")
	}
	var report struct {
		OK       bool
		Problems int
		Findings []struct{ Check, Level, Text, Why, Fix string }
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &report))
	if report.OK != (report.Problems == 0) || len(report.Findings) == 0 {
		ts.Fatalf("the report does not fit together: ok %t, %d problems, %d findings", report.OK, report.Problems, len(report.Findings))
	}
	pattern := regexp.MustCompile("(?s).*")
	if len(args) == 3 {
		pattern = regexp.MustCompile("(?s)" + args[2])
	}
	found := false
	for _, f := range report.Findings {
		if f.Level != "ok" && f.Fix == "" {
			ts.Fatalf("%s says %s and not what to type: %s", f.Check, f.Level, f.Text)
		}
		found = found || f.Level == args[0] && f.Check == args[1] && pattern.MatchString(f.Text+"\n"+f.Why+"\n"+f.Fix)
	}
	if found == neg {
		ts.Fatalf("found is %t: %s %s %s", found, args[0], args[1], pattern)
	}
}

// cmdOtherVersion builds the program anew, as another version, at a path:
//
//	otherversion VERSION FILE
func cmdOtherVersion(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: otherversion VERSION FILE")
	}
	dir, err := os.Getwd()
	ts.Check(err)
	build := exec.Command("go", "build", "-ldflags", "-X github.com/nsagent/nsagent/cmd/nsagent/command.version="+args[0], "-o", ts.MkAbs(args[1]), ".")
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[1])), 0o755))
	if out, err := build.CombinedOutput(); err != nil {
		ts.Fatalf("building %s: %v\n%s", args[0], err, out)
	}
}
