package archtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// page is a small layout to test the checks with.
const page = `
| package | one sentence | may import of ours | may import of others | never, at any depth |
|---|---|---|---|---|
| ` + "`signer`" + ` | Makes the signatures themselves | | | ` + "`net/http`, `time.Now`" + ` |
| ` + "`agent`" + ` | Runs as the daemon | ` + "`signer`" + ` | ` + "`google.golang.org/grpc`" + ` | |

| files | may import too |
|---|---|
| ` + "`agent/{start,stop}*.go`" + ` | ` + "`vault`" + ` |

| module | tests of |
|---|---|
| ` + "`github.com/dghubble/oauth1`" + ` | ` + "`signer`" + ` |
`

// TestRefusals shows that the import check can fail, case by case.
func TestRefusals(t *testing.T) {
	l, err := parseLayout(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, imported string
		want           string // part of the refusal; "" if allowed
	}{
		{"signer/a.go", "net/http", ""},
		{"signer/a.go", modulePath + "/agent", "does not list it for signer"},
		{"signer/a_test.go", modulePath + "/agent", ""},
		{"signer/a.go", "github.com/dghubble/oauth1", "does not list it for signer"},
		{"signer/a_test.go", "github.com/dghubble/oauth1", ""},
		{"agent/a_test.go", "github.com/dghubble/oauth1", "leaves github.com/dghubble/oauth1 to the tests of"},
		{"agent/a_test.go", "pgregory.net/rapid", ""},
		{"agent/a.go", "pgregory.net/rapid", "does not list it for agent"},
		{"agent/a.go", modulePath + "/signer", ""},
		{"agent/a.go", "google.golang.org/grpc/codes", ""},
		{"agent/a.go", "google.golang.org/grpcx", "does not list it for agent"},
		{"agent/a.go", modulePath + "/vault", "does not list it for agent"},
		{"agent/start_linux.go", modulePath + "/vault", ""},
		{"agent/stop.go", modulePath + "/vault", ""},
		{"agent/stop.go", modulePath + "/vault/store", "does not list it for agent"},
	} {
		file := source{path: c.path, pkg: filepath.Dir(c.path), test: strings.HasSuffix(c.path, "_test.go")}
		got := l.refusal(file, c.imported)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s importing %s: got %q, want %q", c.path, c.imported, got, c.want)
		}
	}
}

func TestPageThatCannotBeReadIsAnError(t *testing.T) {
	for name, change := range map[string][2]string{
		"a cell too few":  {" | | | `net/http`, `time.Now` |", " | | |"},
		"no sentence":     {"Makes the signatures themselves", ""},
		"two rows":        {"`agent` | Runs", "`signer` | Runs"},
		"no package name": {"`agent` | Runs", "agent | Runs"},
		"no place":        {"oauth1` | `signer` |", "oauth1` | any |"},
		"a table gone":    {"| module | tests of |", "| modul | tests of |"},
	} {
		text := strings.Replace(page, change[0], change[1], 1)
		if text == page {
			t.Fatalf("%s: nothing to replace", name)
		}
		if _, err := parseLayout(text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

const sample = `package sample

import (
	clock "time"
	"os"
)

var a, b, c, d = 1, map[string]int{}, struct{ f int }{}, 4

func f(d int) {
	e := clock.Now()
	_ = e
	a++
	b["x"] = 1
	c.f = 2
	d = 3
	os := 1
	os = 2
}
`

// TestStyleChecksSeeWhatTheyLookFor shows that the checks of shape can fail.
func TestStyleChecksSeeWhatTheyLookFor(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sample.go")
	if err := os.WriteFile(name, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := parse("sample/sample.go", name)
	if err != nil {
		t.Fatal(err)
	}
	if !s.uses("time.Now") || s.uses("time.Since") || s.uses("os.Exit") {
		t.Error("uses goes wrong: time.Now is there under another name, time.Since and os.Exit are not")
	}
	assigned := map[string]bool{}
	for _, fn := range s.functions() {
		for _, name := range assignedOutside(fn) {
			assigned[name] = true
		}
	}
	got := slices.DeleteFunc(packageVariables(s.File), func(name string) bool { return !assigned[name] })
	if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("package variables assigned: got %v, want %v", got, want)
	}
	for name, want := range map[string]bool{"time.Now": true, "crypto/rand.Reader": true, "net/http": false, "github.com/awnumar/memguard": false, "agent/policy": false} {
		if got := isSelector(name); got != want {
			t.Errorf("isSelector(%q) = %v, want %v", name, got, want)
		}
	}
}
