package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const checked = `package p

func f(a, b int, c, d bool) int {
	if a < b {
		return 1
	}
	if c && d {
		a++
	}
	switch {
	case a == 1, c && (d || b == 2):
		return 2
	}
	if (c || d) && a != b { return 3 }
	return 4
}
`

// A check is a condition that leaves, a case, or an operand, each once.
func TestChecksOf(t *testing.T) {
	found, err := checksOf("p/f.go", checked)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range found {
		met := map[bool]string{false: "not met", true: "met"}[r.met]
		got = append(got, r.kind+": "+met)
	}
	want := []string{
		"without a < b: not met", "without c: met", "without d: met",
		"without a == 1: not met", "without c && (d || b == 2): not met", "without c: met", "without (d || b == 2): met", "without d: not met", "without b == 2: not met",
		"without (c || d) && a != b: not met", "without (c || d): met", "without a != b: met", "without c: not met", "without d: not met",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if found[3].line != "case a == 1, c && (d || b == 2):" || found[3].number != 11 {
		t.Errorf("got line %d, %q", found[3].number, found[3].line)
	}
	text := withSwitches("p/f.go", checked, found)
	for _, want := range []string{
		`if (!isLeftOut("0") && (a < b)) {`,
		`case (!isLeftOut("3") && (a == 1)), (!isLeftOut("4") && ((isLeftOut("5") || (c)) && (isLeftOut("6") || (((!isLeftOut("7") && (d)) || (!isLeftOut("8") && (b == 2))))))):`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
	if withSwitches("p/other.go", "package p", found) != "package p" {
		t.Error("switches of another file")
	}
}

// A check that a test looks at is noticed, one that none does is told, and only those of
// the files that are named are tried.
func TestLeaveOut(t *testing.T) {
	t.Chdir(t.TempDir())
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for name, text := range map[string]string{
		"go.mod":      "module example.org/m\n\ngo 1.26\n",
		"p/f.go":      "package p\n\nfunc Small(n int) bool {\n\treturn n >= 0 && n < 10\n}\n",
		"p/g.go":      "package p\n\nfunc other(c bool) bool { return c || !c }\n",
		"p/f_test.go": "package p\n\nimport (\n\t\"os\"\n\t\"syscall\"\n\t\"testing\"\n)\n\nfunc TestSmall(t *testing.T) {\n\tvar most syscall.Rlimit\n\tif err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &most); err != nil || most.Cur > 1<<30 {\n\t\tt.Fatal(\"no bound\", most)\n\t}\n\t_, _ = os.MkdirTemp(\"\", \"left\")\n\tif Small(10) || !Small(9) || !other(true) {\n\t\tt.Error(10)\n\t}\n}\n\nfunc TestFails(t *testing.T) { t.Error(1) }\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := trial{pkg: "./p", files: []string{"f.go"}, tests: "Small", workers: 2}.leaveOut(context.Background(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if r.killed != 1 || len(r.lived) != 1 || r.lived[0].kind != "without n >= 0" || r.lived[0].file != "p/f.go" {
		t.Errorf("got %+v", r)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("the tests leave %v, %v", left, err)
	}
	if want := "| `p/{f.go}`, a check left out | 2 | 1 | 1 | 0 | 50.0 % |\n"; r.score() != want {
		t.Errorf("got %q, want %q", r.score(), want)
	}
	if _, err := (trial{pkg: "./p", workers: 1}).leaveOut(context.Background(), io.Discard); err == nil || !strings.Contains(err.Error(), "without a change") {
		t.Errorf("tests that fail without a change: got %v", err)
	}
	if _, err := (trial{pkg: "./none", workers: 1}).leaveOut(context.Background(), io.Discard); err == nil {
		t.Error("a package without a check passes")
	}
}

// Who leaves out checks does not ask for the reasons of other changes, nor of other files.
func TestReasonsOfItsOwn(t *testing.T) {
	const page = scoreHead + "\n" + survivorHead +
		"| `a/f.go` | without n > 0 \\|\\| c | `if n > 0 \\|\\| c {` | one |\n| `a/f.go` | conditionals boundary | `if n > 0 {` | two |\n| `a/g.go` | without d | `if d {` | three |\n| `a/b/f.go` | without d | `if d {` | four |\n"
	p, err := parsePage(page)
	if err != nil {
		t.Fatal(err)
	}
	r := report{pkg: "a", files: []string{"f.go"}, left: true, lived: []mutant{{file: "a/f.go", kind: "without n > 0 || c", line: "if n > 0 || c {", tried: true}}}
	if wrong := p.judge(r); len(wrong) != 0 {
		t.Errorf("got %q", wrong)
	}
	p, _ = parsePage(page)
	r.files = nil
	if wrong := p.judge(r); len(wrong) != 1 || !strings.Contains(wrong[0], "three") {
		t.Errorf("got %q", wrong)
	}
}
