package needs

import (
	"cmp"
	"os"
	"testing"
)

// A part is required by its own name, or by "all", and not by the beginning of another's.
func TestRequired(t *testing.T) {
	for value, want := range map[string]bool{"": false, "x": false, "keyrings": false, "keyring": true, "x,keyring": true, "all": true, "x,all": true, "almost-all": false} {
		t.Setenv("NSAGENT_TEST_REQUIRE", value)
		if got := Required("keyring"); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

// end is how a test ended, first of all: unlike a real one it goes on.
type end struct {
	testing.TB
	how string
}

func (e *end) Helper()               {}
func (e *end) Skip(...any)           { e.how = cmp.Or(e.how, "skipped") }
func (e *end) Skipf(string, ...any)  { e.how = cmp.Or(e.how, "skipped") }
func (e *end) Fatalf(string, ...any) { e.how = cmp.Or(e.how, "failed") }

// What is missing skips a test, and fails it where it is required.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for value, want := range map[string]string{"": "skipped", "tmux": "failed"} {
		t.Setenv("NSAGENT_TEST_REQUIRE", value)
		e := &end{TB: t}
		if Program(e, "tmux"); e.how != want {
			t.Errorf("%q: got %q, want %q", value, e.how, want)
		}
	}
}

func TestRoot(t *testing.T) {
	e, want := &end{TB: t}, "skipped"
	if os.Geteuid() == 0 {
		want = ""
	}
	if Root(e, "mounts"); e.how != want {
		t.Errorf("got %q, want %q", e.how, want)
	}
}
