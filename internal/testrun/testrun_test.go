package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/needs"
)

// module writes a module of one package into a directory and goes there.
func module(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example.test/m\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

const mixed = `package a
import "testing"
func TestGood(t *testing.T) {
	t.Run("one", func(t *testing.T) {})
	t.Run("two", func(t *testing.T) {})
}
func TestRoot(t *testing.T) { t.Skip("needs root: reads the memory of another process") }
func TestQuiet(t *testing.T) { t.Log("not to be seen") }
`

func TestOnlyRootMayBeLacking(t *testing.T) {
	module(t, map[string]string{"a/a_test.go": mixed})
	for _, c := range []struct {
		root bool
		code int
		want []string
	}{
		{false, 0, []string{"not run, for they need root", "    example.test/m/a TestRoot: needs root: reads the memory", "\n3 passed, 0 failed, 1 skipped\n"}},
		{true, 1, []string{"skipped without leave", "    example.test/m/a TestRoot: needs root: reads the memory", "\n3 passed, 1 failed, 0 skipped\n"}},
	} {
		var out, errs strings.Builder
		r := newResults(c.root)
		if err := goTest(context.Background(), r, pass{packages: []string{"./..."}, atOnce: 2}, &out, &errs); err != nil {
			t.Fatal(err)
		}
		if code := r.report(&out); code != c.code {
			t.Errorf("root %v: exit code %d, want %d", c.root, code, c.code)
		}
		for _, want := range append(c.want, "ok  \texample.test/m/a\t") {
			if !strings.Contains(out.String(), want) {
				t.Errorf("root %v: output lacks %q:\n%s", c.root, want, out.String())
			}
		}
		if strings.Contains(out.String(), "not to be seen") {
			t.Errorf("root %v: output shows the log of a test that passed:\n%s", c.root, out.String())
		}
	}
}

func TestEveryKindOfFailureCounts(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		want   []string
	}{
		"assertion": {
			"package a\nimport \"testing\"\nfunc TestA(t *testing.T) { t.Run(\"s\", func(t *testing.T) { t.Error(\"the reason\") }) }\n",
			[]string{"the reason", "FAIL\texample.test/m/a", "    example.test/m/a TestA/s\n", "\n0 passed, 1 failed, 0 skipped\n"},
		},
		"panic": {
			"package a\nimport \"testing\"\nfunc TestA(t *testing.T) {}\nfunc TestB(t *testing.T) { panic(\"the reason\") }\n",
			[]string{"the reason", "    example.test/m/a TestB\n", "\n1 passed, 1 failed, 0 skipped\n"},
		},
		"exit": {
			"package a\nimport (\"os\"; \"testing\")\nfunc TestA(t *testing.T) { os.Exit(3) }\n",
			[]string{"    example.test/m/a TestA\n", "\n0 passed, 1 failed, 0 skipped\n"},
		},
		"build": {
			"package a\nimport \"testing\"\nfunc TestA(t *testing.T) { undefinedName() }\n",
			[]string{"undefined: undefinedName", "    example.test/m/a\n", "\n0 passed, 1 failed, 0 skipped\n"},
		},
		"other skip": {
			"package a\nimport \"testing\"\nfunc TestA(t *testing.T) { t.Skip(\"no keyring here\") }\n",
			[]string{"    example.test/m/a TestA: no keyring here\n", "\n0 passed, 1 failed, 0 skipped\n"},
		},
		"no test at all": {
			"package a\n",
			[]string{"0 passed, 0 failed, 0 skipped\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			module(t, map[string]string{"a/a_test.go": c.source})
			var out, errs strings.Builder
			r := newResults(true)
			if err := goTest(context.Background(), r, pass{packages: []string{"./..."}, atOnce: 2}, &out, &errs); err != nil {
				t.Fatal(err)
			}
			if code := r.report(&out); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s%s", want, out.String(), errs.String())
				}
			}
		})
	}
}

// With -rest, what the race detector leaves out runs without it, and nothing else does
// twice. Each test says here whether the detector was on.
func TestRunsWhatTheRaceDetectorLeavesOut(t *testing.T) {
	module(t, map[string]string{
		"a/a_test.go":    "package a\nimport \"testing\"\nfunc TestBoth(t *testing.T) { if !raceOn { t.Error(\"a second time\") } }\n",
		"a/on_test.go":   "//go:build race\npackage a\nconst raceOn = true\n",
		"a/off_test.go":  "//go:build !race\npackage a\nimport \"testing\"\nconst raceOn = false\nfunc TestPlain(t *testing.T) {}\nfunc TestMain(m *testing.M) { m.Run() }\n",
		"b/all_test.go":  "package b\nimport \"testing\"\nfunc TestAll(t *testing.T) {}\n",
		"c/c.go":         "package c\n",
		"c/only_test.go": "//go:build !race\npackage c\nimport \"testing\"\nfunc TestOther(t *testing.T) { t.Error(\"wrong\") }\n",
	})
	if code := run(context.Background(), []string{"-race", "-rest", "./a", "-plain", "./a", "./b"}, io.Discard, io.Discard); code != 1 {
		t.Error("what -plain names did not run whole")
	}
	for packages, want := range map[string]string{
		"./a ./b":     "\n3 passed, 0 failed, 0 skipped\n",
		"./b":         "\n2 passed, 0 failed, 0 skipped\n",
		"./a ./b ./c": "\n    example.test/m/c TestOther\n3 passed, 1 failed, 0 skipped\n",
	} {
		var out, errs strings.Builder
		code := run(context.Background(), []string{"-race", "-rest", packages}, &out, &errs)
		if !strings.HasSuffix(out.String(), want) || (code == 0) != strings.Contains(want, " 0 failed") {
			t.Errorf("%s: exit code %d and\n%s%s", packages, code, out.String(), errs.String())
		}
	}
}

func TestPassInOneRunIsEnoughAndFailureInOneIsTooMuch(t *testing.T) {
	r := newResults(true)
	r.add("p", "TestOnlyPlain", "skip", "measures time, not with the race detector")
	r.add("p", "TestOnlyPlain", "pass", "")
	r.add("p", "TestRacy", "fail", "")
	r.add("p", "TestRacy", "pass", "")
	var out strings.Builder
	if code := r.report(&out); code != 1 || !strings.HasSuffix(out.String(), "\n    p TestRacy\n1 passed, 1 failed, 0 skipped\n") {
		t.Errorf("exit code %d and\n%s", code, out.String())
	}
}

const ofAUser = `package a
import ("os"; "testing")
func TestRefused(t *testing.T) {
	if os.Getuid() == 0 { t.Skip("not as root: permissions do not stop it") }
	if err := os.WriteFile("/x", nil, 0o600); err == nil { t.Error("could write") }
	if _, err := os.Stat("a_test.go"); err != nil { t.Error(err) }
}
func TestOther(t *testing.T) {}
`

func TestRootBecomesANormalUser(t *testing.T) {
	needs.Root(t, "becomes another user")
	module(t, map[string]string{"a/a_test.go": ofAUser})
	var out, errs strings.Builder
	if code := run(context.Background(), nil, &out, &errs); code != 0 || !strings.HasSuffix(out.String(), "\n2 passed, 0 failed, 0 skipped\n") {
		t.Errorf("exit code %d and\n%s%s", code, out.String(), errs.String())
	}
}

const fuzzed = `package a
import "testing"
func FuzzFine(f *testing.F) { f.Add("x"); f.Fuzz(func(t *testing.T, s string) {}) }
func FuzzFinds(f *testing.F) {
	f.Add("x")
	f.Fuzz(func(t *testing.T, s string) { if len(s) > 1 { t.Error("too long") } })
}
func helperFuzz() {}
`

func TestFuzzesEachTargetByItsTime(t *testing.T) {
	module(t, map[string]string{"a/a_test.go": fuzzed, "b/b.go": "package b\n"})
	for _, how := range [][]string{nil, {"-unguided"}} {
		var out, errs strings.Builder
		code := run(context.Background(), append([]string{"-notests", "-fuzztime", "2s"}, how...), &out, &errs)
		if code != 1 {
			t.Errorf("%s: exit code %d, want 1", how, code)
		}
		for _, want := range []string{
			"fuzz\texample.test/m/a\tFuzzFine\t", "FUZZ\texample.test/m/a\tFuzzFinds\n", "too long",
			"    example.test/m/a FuzzFinds (fuzzing)\n1 passed, 1 failed, 0 skipped\n",
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: output lacks %q:\n%s%s", how, want, out.String(), errs.String())
			}
		}
		if strings.Contains(out.String(), "no execs") {
			t.Errorf("%s: a target was not executed:\n%s", how, out.String())
		}
		if err := os.RemoveAll("a/testdata"); err != nil { // what was found
			t.Fatal(err)
		}
	}
}

func TestInterruptedRunFails(t *testing.T) {
	module(t, map[string]string{"a/a_test.go": "package a\nimport (\"testing\"; \"time\")\nfunc TestA(t *testing.T) { time.Sleep(time.Minute) }\n"})
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	var out, errs strings.Builder
	if code := run(ctx, nil, &out, &errs); code == 0 {
		t.Errorf("exit code 0:\n%s%s", out.String(), errs.String())
	}
}

func TestOnlyABareDeadlineIsTriedAgain(t *testing.T) {
	for out, want := range map[string]bool{
		"--- FAIL: FuzzA (5.00s)\n    context deadline exceeded\n":                                               true,
		"--- FAIL: FuzzA (5.00s)\n    context deadline exceeded\n    Failing input written to testdata/fuzz/x\n": false,
		"panic: context deadline exceeded\n":                                                                     false,
		"--- FAIL: FuzzA (5.00s)\n    too long\n":                                                                false,
	} {
		if got := isDeadlineRace(out); got != want {
			t.Errorf("isDeadlineRace(%q) = %v, want %v", out, got, want)
		}
	}
}

// A row of the table of requirements holds if each of its tests ran and passed; which
// need root may be left out by others.
func TestRequirements(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	row := func(id, shown, result string) string {
		return "| " + id + " | C | text | " + shown + " | " + result + " |\n"
	}
	for name, c := range map[string]struct {
		table string
		root  bool
		right bool
		want  string
	}{
		"all passed":    {row("S-01", "`agent.TestGood`, `agent/audit.TestLog`", "passes") + row("C-01", "`cmd/x/testdata/script/lock.txtar`", "passes"), true, true, "2 shown by 3 tests that passed, 0 struck out"},
		"struck out":    {row("S-01", "`agent.TestGood`", "passes") + row("P-01", "there is no proxy yet", "struck out"), true, true, "1 shown by 1 tests that passed, 1 struck out"},
		"one failed":    {row("S-01", "`agent.TestBad`", "passes"), true, false, "S-01: agent.TestBad did not pass"},
		"never ran":     {row("S-01", "`agent.TestGone`", "passes"), true, false, "S-01: agent.TestGone did not pass"},
		"left out":      {row("S-01", "`agent.TestRoot`", "passes"), false, true, "1 shown by 0 tests"},
		"root skips it": {row("S-01", "`agent.TestRoot`", "passes"), true, false, "S-01: agent.TestRoot did not pass"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(page, []byte("text\n\n"+requirementsHead+c.table), 0o600); err != nil {
				t.Fatal(err)
			}
			all, err := readRequirements(page)
			if err != nil {
				t.Fatal(err)
			}
			r := newResults(c.root)
			r.add("m/agent", "TestGood", "pass", "")
			r.add("m/agent/audit", "TestLog", "pass", "")
			r.add("m/cmd/x", "TestScript/lock", "pass", "")
			r.add("m/agent", "TestBad", "pass", "")
			r.add("m/agent", "TestBad", "fail", "")
			r.add("m/agent", "TestRoot", "skip", "needs root: reads memory")
			var out strings.Builder
			if right := r.checkRequirements(&out, "m", all); right != c.right || !strings.Contains(out.String(), c.want) {
				t.Errorf("got %v, want %v and %q:\n%s", right, c.right, c.want, out.String())
			}
		})
	}
	for name, text := range map[string]string{
		"no table": "text", "nothing shows it": requirementsHead + row("S-01", "", "passes"), "too few cells": requirementsHead + "| S-01 | C |\n", "empty": requirementsHead,
	} {
		if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readRequirements(page); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
