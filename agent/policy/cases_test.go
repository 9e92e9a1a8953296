package policy

import (
	"errors"
	"testing"
)

// A text that is not TOML is no table of cases.
func TestCasesAreTOML(t *testing.T) {
	for _, bad := range []string{"[[case]", "x = ", "[[case]]\nname = \"a"} {
		if got, err := ParseCases(bad, 7); got != nil || !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: got %+v, %v", bad, got, err)
		}
	}
}

// Who asks is said in known names only, each with a value that it can have.
func TestAsRefuses(t *testing.T) {
	for _, bad := range []string{"", "uid", "uid=-1", "uid=4294967296", "tty=", "tty=true", "terminal=yes", "pid=no", "UID=7", "claim=a", "exe=/a,"} {
		if err := new(Attempt).As(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// What is not said of a process is what a step says is not known, and a path counts only
// where one is asked for.
func TestExplainOfWhatIsNotKnown(t *testing.T) {
	p := rules(t, "effect = \"allow\"\nwhat = \"*\"\nwho = { exe = \"/a\" }")
	for name, a := range map[string]Attempt{"a request": writer("GET", customers), "no request": of(KindToken), "no request, with a path": with(of(KindToken), func(a *Attempt) { a.Path = "/a/../b" })} {
		if _, steps := p.Explain(a); len(steps) != 1 || steps[0].Why != "it wants to know something that is not known" {
			t.Errorf("%s: got %+v", name, steps)
		}
	}
}
