package command

import (
	"bytes"
	"errors"
	"testing"
)

// TestSayKeepsNamesInTheirLine guards against names of files and the like that come from
// elsewhere: they neither colour the screen nor write lines of their own on stderr.
func TestSayKeepsNamesInTheirLine(t *testing.T) {
	var said bytes.Buffer
	e := testEnv(nil)
	e.stderr = &said
	name := "a\x1b[31mb\nnsagent: c\u009bd.json"
	e.warnOfFile(name) // is not there
	e.note("%s still holds %d secrets: %v\nand ends", name, 2, errors.New("x\ry"))
	if got, want := said.String(), "nsagent: note: a [31mb nsagent: c d.json still holds 2 secrets: x y\nand ends\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEndsOfAConsent(t *testing.T) {
	for _, test := range []struct {
		auth   string
		at     int64
		needed bool
		want   string
	}{{"tba", 0, false, "never"}, {"authcode", 0, false, "by its record"}, {"authcode", 0, true, ""}, {"authcode", 86400 * 365, false, day(86400*365, "")}} {
		if got := ends(test.auth, test.at, test.needed); got != test.want {
			t.Errorf("%s %d: got %q, want %q", test.auth, test.at, got, test.want)
		}
	}
}
