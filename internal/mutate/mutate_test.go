package main

import (
	"os"
	"strings"
	"testing"
)

const sample = `{"files":[{"file_name":"signer/a.go","mutations":[
 {"line":1,"column":2,"type":"CONDITIONALS_BOUNDARY","status":"KILLED"},
 {"line":2,"column":2,"type":"CONDITIONALS_BOUNDARY","status":"LIVED"},
 {"line":3,"column":2,"type":"INVERT_LOGICAL","status":"LIVED"},
 {"line":3,"column":2,"type":"INVERT_LOGICAL","status":"TIMED OUT"},
 {"line":4,"column":2,"type":"INVERT_LOGICAL","status":"NOT COVERED"},
 {"line":3,"column":2,"type":"INVERT_LOGICAL","status":"NOT VIABLE"}]}]}`

func sampleReport(t *testing.T) report {
	t.Helper()
	const code = "one\n\tif a < b {\n\tif a || b {\n\tcase a || b:\n"
	r, err := parseReport("./signer", []byte(sample), func(file string, n int) (string, error) {
		if file != "signer/a.go" {
			t.Errorf("got file %q", file)
		}
		return nthLine(code, n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestScore(t *testing.T) {
	if got, want := sampleReport(t).score(), "| `signer` | 5 | 2 | 2 | 1 | 50.0 % |\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := parseReport("./signer", []byte(`{"files":[]}`), nil); err == nil {
		t.Error("a run that changed nothing passes")
	}
	if _, err := parseReport("./signer", []byte(`{`), nil); err == nil {
		t.Error("half a file passes")
	}
}

func TestJudge(t *testing.T) {
	const head = "# Page\n\n" + scoreHead + "| `signer` | stale |\n\nSurvivors:\n\n" + survivorHead
	const known = "| `signer/a.go` | conditionals boundary | `if a < b {` | equal is fine |\n"
	const orphan = "| `signer/a.go` | invert logical | `gone` | it was |\n"
	const elsewhere = "| `vault/b.go` | invert logical | `gone` | of another package |\n"
	for _, test := range []struct {
		name, rows string
		want       []string
	}{
		{"one without a reason", known + elsewhere, []string{"| `signer/a.go` | invert logical | `if a \\|\\| b {` | 3: no reason given |"}},
		{"a reason that is no longer needed", known + orphan + "| `signer/a.go` | invert logical | `if a \\|\\| b {` | both hold |\n", []string{"lives no longer: " + strings.TrimSpace(orphan)}},
		{"two reasons for one that lives once", known + known + "| `signer/a.go` | invert logical | `if a \\|\\| b {` | both hold |\n", []string{"lives no longer: " + strings.TrimSpace(known)}},
		{"all is said", known + "| `signer/a.go` | invert logical | `if a \\|\\| b {` | both hold |\n", nil},
	} {
		p, err := parsePage(head + test.rows + "\nEnd.\n")
		if err != nil {
			t.Fatal(err)
		}
		if got := p.judge(sampleReport(t)); strings.Join(got, "\n") != strings.Join(test.want, "\n") {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		p.scores["`signer`"] = sampleReport(t).score()
		if got := p.String(); !strings.Contains(got, "| 50.0 % |\n\nSurvivors:") || !strings.HasSuffix(got, test.rows+"\nEnd.\n") || strings.Contains(got, "stale") {
			t.Errorf("%s: written is %q", test.name, got)
		}
	}
}

// TestJudgeAlike: a reason is for one change, and not for another of a line that reads alike.
func TestJudgeAlike(t *testing.T) {
	const row = "| `signer/a.go` | without err != nil | `if err != nil {` | harmless |\n"
	m := mutant{file: "signer/a.go", kind: "without err != nil", line: "if err != nil {", tried: true}
	r := report{pkg: "signer", lived: []mutant{m, m}, left: true}
	for rows, want := range map[string]int{"": 2, row: 1, row + row: 0} {
		p, err := parsePage("# Page\n\n" + scoreHead + "\nSurvivors:\n\n" + survivorHead + rows + "\nEnd.\n")
		if err != nil {
			t.Fatal(err)
		}
		if got := p.judge(r); len(got) != want {
			t.Errorf("%d reasons: got %q", strings.Count(rows, "\n"), got)
		}
	}
}

// TestPage reads the page as it is, and that its survivors still have their lines.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/mutation.md")
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsePage(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if p.String() != string(text) {
		t.Error("the page written again is another one")
	}
	for _, s := range p.rows {
		code, err := os.ReadFile("../../" + s.file)
		line := strings.SplitN(s.key, "\x00", 3)[2]
		if err != nil || !strings.Contains(string(code), line) {
			t.Errorf("%s has no line %q any more: run make mutate", s.file, line)
		}
	}
	if len(p.scores) == 0 {
		t.Error("the page has no scores")
	}
}
